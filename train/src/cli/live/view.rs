//! What is shown of a run while it trains, as lines of a width. Pure.

use super::curve::Curve;
use cellshard::cli::{bytes, count};
use cellshard::training::evaluate::metrics::{EpochMetrics, Sums};
use cellshard::training::run::{Doing, Standing, in_words, left_in_words};

/// Columns of the labels, as those of the log.
const LABEL: usize = 11;
/// Columns of bars and curves at most: what is longer tells no more.
const MOST: usize = 60;
/// And at least: below that there are none.
const LEAST: usize = 8;
/// Columns between them and what stands behind.
const GAP: usize = 2;

/// What has been seen of a run.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The network that it is of, by its cell type.
    network: String,
    loss: Curve,
    accuracy: Curve,
    wells: Curve,
    /// The last validation, and the best: accuracy and epoch.
    validated: Option<[(f64, u32); 2]>,
    chance: f64,
    /// The epoch and what was known of it when it was last looked at.
    seen: Option<(u32, Sums)>,
}

/// A line: its label, a bar or curve, and what stands behind it, in full, shorter, and as short as it gets.
struct Row {
    label: &'static str,
    drawn: Drawn,
    texts: [String; 3],
}

enum Drawn {
    /// The share that is done.
    Bar(f64),
    /// A curve, already as wide as there is room.
    Curve(String),
}

impl View {
    /// Takes note of where the run stands.
    pub(crate) fn see(&mut self, at: &Standing<'_>) {
        if self.network != at.network {
            *self = Self { network: at.network.to_owned(), ..Self::default() };
        }
        let zero = Sums::default();
        let before = match &self.seen {
            Some((epoch, sums)) if *epoch == at.epoch && sums.sites <= at.sums.sites => sums,
            _ => &zero,
        };
        let new = at.sums.sites - before.sites;
        if new > 0 && at.doing == Doing::Training {
            let n = new as f64;
            self.loss.add((at.sums.loss - before.loss) / n);
            self.accuracy.add((at.sums.correct - before.correct) / n);
        }
        self.seen = Some((at.epoch, at.sums.clone()));
    }

    /// Takes note of an epoch that is over.
    pub(crate) fn epoch(&mut self, metrics: &EpochMetrics) {
        let Some(found) = &metrics.validation else { return };
        let last = (found.accuracy_well, metrics.epoch);
        let best = self.validated.map_or(last, |[_, best]| if last.0 > best.0 { last } else { best });
        self.validated = Some([last, best]);
        self.chance = metrics.chance;
        self.wells.add(found.accuracy_well);
    }

    /// The lines for a terminal of so many columns.
    pub(crate) fn lines(&self, at: &Standing<'_>, columns: u16) -> Vec<String> {
        // The last column stays free.
        let room = usize::from(columns).saturating_sub(LABEL + 1);
        // In as much detail as leaves room for a bar, and then as wide as that leaves room for: the scale of a curve, and
        // so what is said of it, follows from how wide it is drawn.
        let widths = |detail: usize| (LEAST..=MOST.min(room)).rev().chain((detail == 2).then_some(0));
        let found =
            (0..3).flat_map(|detail| widths(detail).map(move |width| (detail, width))).find_map(|(detail, width)| {
                let rows = self.rows(at, width);
                let widest = rows.iter().map(|row| row.texts[detail].chars().count()).max().unwrap_or(0);
                let gap = if width > 0 { GAP } else { 0 };
                (width + gap + widest <= room).then_some((detail, width, rows))
            });
        let (detail, width, rows) = found.unwrap_or_else(|| (2, 0, self.rows(at, 0)));
        let mut lines: Vec<String> = rows.into_iter().map(|row| row.line(detail, width)).collect();
        lines.push(format!("{:<LABEL$}{}", "speed", status(at, room)));
        lines
    }

    /// All lines but the last; curves take `width` columns at most.
    fn rows(&self, at: &Standing<'_>, width: usize) -> Vec<Row> {
        let mut rows = vec![now(at), run(at)];
        let row = |label, (curve, least, most): (String, f64, f64), now: Option<f64>, number: fn(f64) -> String| {
            let (now, scale) = (now.map_or(String::new(), number), format!("{} to {}", number(least), number(most)));
            Row {
                label,
                drawn: Drawn::Curve(curve),
                texts: [format!("{now}, scale {scale}"), format!("{now} ({scale})"), now],
            }
        };
        let sites = at.sums.sites;
        let accuracy = (sites > 0).then(|| at.sums.correct / sites as f64);
        rows.extend(self.loss.draw(width).map(|drawn| row("loss", drawn, at.loss(), |loss| format!("{loss:.3}"))));
        rows.extend(self.accuracy.draw(width).map(|drawn| row("accuracy", drawn, accuracy, percent)));
        if let (Some([(last, _), seen]), Some((curve, ..))) = (self.validated, self.wells.draw(width)) {
            // That of epochs before this process among them.
            let (best, epoch) = at.best.filter(|best| best.0 > seen.0).unwrap_or(seen);
            let [last, best, chance] = [last, best, self.chance].map(percent);
            let short = format!("{last}, best {best}");
            let texts = [format!("{short} in epoch {epoch}, chance {chance}"), short, last];
            rows.push(Row { label: "val. wells", drawn: Drawn::Curve(curve), texts });
        }
        rows
    }
}

impl Row {
    fn line(self, detail: usize, width: usize) -> String {
        let drawn = match self.drawn {
            Drawn::Bar(share) => {
                let full = ((share * width as f64) as usize).min(width);
                "█".repeat(full) + &"░".repeat(width - full)
            }
            Drawn::Curve(curve) => curve,
        };
        let Self { label, texts, .. } = self;
        let text = &texts[detail];
        if width == 0 {
            return format!("{label:<LABEL$}{text}");
        }
        format!("{label:<LABEL$}{drawn:<width$}{:<GAP$}{text}", "").trim_end().to_owned()
    }
}

/// What it does now.
fn now(at: &Standing<'_>) -> Row {
    let (label, unit) = match at.doing {
        Doing::Training => ("epoch", "steps"),
        Doing::Validating => ("validation", "sites"),
    };
    let done = format!("{}/{} {unit}", count(at.at), count(at.of));
    let left = at.pace.time_for(at.left_now).map(|left| left_in_words(left, false));
    let share = at.at as f64 / at.of.max(1) as f64;
    let full = left.as_ref().map_or(done.clone(), |left| format!("{done}, {left}"));
    let short = left.unwrap_or_else(|| done.clone());
    Row { label, drawn: Drawn::Bar(share), texts: [full, short, format!("{:.0} %", (100.0 * share).floor())] }
}

/// How far the run is.
fn run(at: &Standing<'_>) -> Row {
    // A run is not over before it is: never 100 % of it, and never rounded up.
    let share = at.share();
    let percent = format!("{:.0} %", (100.0 * share).floor());
    let of = if at.network.is_empty() { String::new() } else { format!("{} ", at.network) };
    let epoch = format!("{of}epoch {}/{}", at.epoch, at.epochs);
    let left = at.time_left().map(|left| format!(", {}", left_in_words(left, at.may_stop_early))).unwrap_or_default();
    let short = at.time_left().map(|left| format!(", {}", in_words(left))).unwrap_or_default();
    let texts = [format!("{epoch}, {percent}{left}"), format!("{epoch}{short}"), percent];
    Row { label: "run", drawn: Drawn::Bar(share), texts }
}

/// How fast it is and what comes next, as much of it as there is room for.
fn status(at: &Standing<'_>, room: usize) -> String {
    let rate = at.pace.sites_per_second(at.doing).map(|rate| format!("{rate:.0} sites/s"));
    let waiting = at.pace.wait_share(at.doing).map(|share| format!("{:.0} % waiting for data", 100.0 * share));
    let memory = at.gpu_memory.map(|held| format!("GPU {}", bytes(held)));
    let saves = at.saves_in.map(|time| format!("saves in {}", in_words(time)));
    let stops = at.stops_in.map(|time| format!("stops in {}", in_words(time)));
    let mut text = String::new();
    for part in [rate, waiting, memory, saves, stops].into_iter().flatten() {
        let gap = if text.is_empty() { "" } else { ", " };
        if text.chars().count() + gap.len() + part.chars().count() <= room {
            text = text + gap + &part;
        }
    }
    if text.is_empty() { "not known yet".chars().take(room).collect() } else { text }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use std::collections::BTreeMap;

    use cellshard::training::evaluate::metrics::Validation;
    use cellshard::training::run::{Pace, Work};

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// The third of fifteen epochs, some steps of it done.
    fn standing(at: u64, loss: f64) -> Standing<'static> {
        let mut pace = Pace::default();
        pace.add(Doing::Training, 100, seconds(1), Duration::from_millis(20));
        Standing {
            network: "",
            doing: Doing::Training,
            epoch: 3,
            epochs: 15,
            may_stop_early: true,
            at,
            of: 1914,
            done: Work { trained: 180_000, judged: 0 },
            all: Work { trained: 900_000, judged: 0 },
            left_now: Work { trained: 30_000, judged: 0 },
            pace,
            sums: Sums { loss, correct: at as f64, sites: 10 * at, seconds: 0.0, waited: 0.0 },
            best: None,
            saves_in: Some(seconds(420)),
            stops_in: Some(seconds(10_920)),
            gpu_memory: Some(31_200_000_000),
        }
    }

    fn view() -> (View, Standing<'static>) {
        let mut view = View::default();
        for (at, loss) in [(0, 0.0), (100, 5000.0), (200, 8000.0), (200, 8000.0), (300, 10_000.0)] {
            view.see(&standing(at, loss));
        }
        for (epoch, accuracy) in [(1, 0.25), (2, 0.125)] {
            let mut metrics = EpochMetrics::new(epoch, 3, 0.1, &Sums::default(), None, 0.001);
            metrics.validation = Some(Validation {
                loss: 1.0,
                accuracy_site: 0.5,
                accuracy_well: accuracy,
                top5_well: 1.0,
                by_cell_type: BTreeMap::new(),
                by_experiment: BTreeMap::new(),
                by_plate: BTreeMap::new(),
                wells: Vec::new(),
            });
            view.epoch(&metrics);
        }
        (view, standing(300, 10_000.0))
    }

    #[test]
    fn on_eighty_columns_bars_and_curves_stand_beside_their_figures() {
        let (view, at) = view();
        let expected = "\
epoch      ███░░░░░░░░░░░░░░░░░░░  300/1,914 steps, 5m left
run        ████░░░░░░░░░░░░░░░░░░  epoch 3/15, 20 %, 2h left at most
loss       █▃▁                     3.333, scale 2.000 to 5.000
accuracy   ▅▅▅                     10.0 %, scale 10.0 % to 10.0 %
val. wells █▁                      12.5 %, best 25.0 % in epoch 1, chance 0.1 %
speed      100 sites/s, 2 % waiting for data, GPU 31.2 GB, saves in 7m
";
        assert_eq!(view.lines(&at, 80).join("\n") + "\n", expected);
    }

    #[test]
    fn lines_fit_terminals_of_any_width() {
        let (view, at) = view();
        for columns in 0..250 {
            let lines = view.lines(&at, columns);
            let widest = lines.iter().map(|line| line.chars().count()).max().unwrap();
            // Labels and the shortest texts stand by themselves where there is no room.
            assert!(columns < 40 || widest < usize::from(columns), "{columns}: {lines:#?}");
            assert_eq!(lines.len(), 6);
        }
        assert!(view.lines(&at, 40)[0].contains('█') && !view.lines(&at, 20)[0].contains('█'));
        let judging = Standing { doing: Doing::Validating, pace: Pace::default(), network: "RPE", ..at };
        let lines = view.lines(&judging, 80);
        assert!(lines[0].starts_with("validation █") && lines[0].ends_with("300/1,914 sites"), "{lines:#?}");
        assert!(lines[1].ends_with("RPE epoch 3/15, 20 %") && lines[5].starts_with("speed      GPU"), "{lines:#?}");
    }

    #[test]
    fn another_network_has_curves_of_its_own() {
        let (mut view, at) = view();
        view.see(&Standing { network: "RPE", ..at.clone() });
        let lines = view.lines(&Standing { network: "RPE", ..at }, 80);
        assert_eq!(lines.len(), 5, "nothing is validated yet: {lines:#?}");
        assert!(lines[2].contains("▅ "), "one value: {lines:#?}");
    }
}
