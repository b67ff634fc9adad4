//! Classes that a split validates and does not train. Pure.

use std::collections::BTreeSet;

use crate::store::format::rows::SiteRow;

/// The most classes that are named.
const EXAMPLES: usize = 5;

/// Says which classes only the validation set has: no network can learn them, so that every well of theirs counts as
/// wrong.
pub(super) fn unseen_classes(rows: &[SiteRow], train: &[usize], validation: &[usize]) -> Option<String> {
    let classes = |sites: &[usize]| sites.iter().filter_map(|&i| rows[i].label.class).collect::<BTreeSet<u32>>();
    let trained = classes(train);
    let unseen: Vec<String> = classes(validation).difference(&trained).map(|class| format!("class {class}")).collect();
    let first = unseen.iter().take(EXAMPLES).cloned().collect::<Vec<_>>().join(", ");
    let more = if unseen.len() > EXAMPLES { ", ..." } else { "" };
    (!unseen.is_empty()).then(|| format!("only the validation set has {first}{more} ({} in all)", unseen.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{Label, Population, SiteId};

    fn row(well: &str, class: u32) -> SiteRow {
        let label = Label {
            dataset: "train".into(),
            population: Population::Treatment,
            sirna: format!("s{class}").into(),
            class: Some(class),
        };
        SiteRow { id: SiteId::new("RPE-01", 1, well, 1).unwrap(), label, row: 0, crc32c: 0 }
    }

    #[test]
    fn a_class_that_only_validation_has_is_told() {
        let rows = [row("B02", 3), row("B03", 4), row("B04", 3), row("B05", 9)];
        assert_eq!(unseen_classes(&rows, &[0, 1], &[2]), None);
        let told = unseen_classes(&rows, &[0, 1], &[2, 3]).unwrap();
        assert_eq!(told, "only the validation set has class 9 (1 in all)");
    }
}
