//! Which treatments are taken for which others. Pure.

use std::collections::BTreeMap;

use crate::training::run::AnswerRow;

/// Two classes, the one taken for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Confused {
    /// What wells are.
    pub(super) class: u32,
    /// What they are taken for.
    pub(super) taken_for: u32,
    /// How many of them.
    pub(super) n: u64,
    /// How many wells of the class there are.
    pub(super) of: u64,
    /// How many wells of the other class are taken for this one.
    pub(super) back: u64,
}

/// The pairs that are confused most, at most `most`: by how many wells, then by how large a share of the class.
pub(super) fn confused(answers: &[AnswerRow], most: usize) -> Vec<Confused> {
    let mut of: BTreeMap<u32, u64> = BTreeMap::new();
    let mut pairs: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    for row in answers {
        *of.entry(row.class).or_default() += 1;
        if let Some((taken_for, _)) = row.first().next().filter(|(taken_for, _)| *taken_for != row.class) {
            *pairs.entry((row.class, taken_for)).or_default() += 1;
        }
    }
    let mut all: Vec<Confused> = pairs
        .iter()
        .map(|(&(class, taken_for), &n)| {
            let back = pairs.get(&(taken_for, class)).copied().unwrap_or(0);
            Confused { class, taken_for, n, of: of[&class], back }
        })
        .collect();
    let share = |pair: &Confused| (pair.n + pair.back, pair.n * 1_000_000 / pair.of);
    all.sort_by(|a, b| share(b).cmp(&share(a)).then((a.class, a.taken_for).cmp(&(b.class, b.taken_for))));
    // A pair that is confused both ways is told once.
    let mut told = Vec::new();
    all.retain(|pair| {
        let is_new = !told.contains(&(pair.taken_for, pair.class));
        told.push((pair.class, pair.taken_for));
        is_new
    });
    all.truncate(most);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv_table::Figure;

    fn row(class: u32, taken_for: u32) -> AnswerRow {
        AnswerRow {
            epoch: 1,
            well_id: "RPE-01_1_B02".parse().unwrap(),
            class,
            sites: 2,
            rank: usize::from(class != taken_for) + 1,
            class_1: Some(taken_for),
            probability_1: Some(Figure(0.5)),
            class_2: None,
            probability_2: None,
            class_3: None,
            probability_3: None,
            class_4: None,
            probability_4: None,
            class_5: None,
            probability_5: None,
        }
    }

    #[test]
    fn pairs_are_told_once_from_the_most_confused() {
        let answers = [(1, 2), (1, 2), (1, 1), (2, 1), (2, 2), (3, 1), (4, 4), (5, 6), (5, 6)];
        let found = confused(&answers.map(|(class, taken_for)| row(class, taken_for)), 9);
        let pairs: Vec<[u64; 5]> =
            found.iter().map(|pair| [pair.class.into(), pair.taken_for.into(), pair.n, pair.of, pair.back]).collect();
        assert_eq!(pairs, [[1, 2, 2, 3, 1], [5, 6, 2, 2, 0], [3, 1, 1, 1, 0]]);
        assert_eq!(confused(&[row(1, 1)], 9), []);
        assert_eq!(confused(&answers.map(|(class, taken_for)| row(class, taken_for)), 1).len(), 1);
    }
}
