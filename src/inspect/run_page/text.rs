//! Runs side by side, as rows of texts. Pure.

use super::read::Run;

/// Head and rows of a table of runs: what came of each; and below it the keys of their recipes that differ.
#[must_use]
pub fn runs_text(runs: &[Run]) -> (Vec<Vec<String>>, Vec<Vec<String>>) {
    let percent = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), |share| format!("{:.1}", 100.0 * share));
    let row = |run: &Run| {
        let (loss, accuracy) = (run.best_loss(), run.best_accuracy());
        let top5 = accuracy.and_then(|best| run.figure(best.epoch, "val_top5_well"));
        let chance = run.epochs.last().and_then(|epoch| epoch.figures.get("chance").copied());
        let of = |best: Option<super::read::Best>| best.map_or_else(|| "–".to_owned(), |best| best.epoch.to_string());
        let last = run.epochs.last().map_or(0, |epoch| epoch.number);
        vec![
            run.name.clone(),
            if run.finished { last.to_string() } else { format!("{last}, not finished") },
            match (loss, run.diverged()) {
                (_, Some(epoch)) => format!("NaN in epoch {epoch}"),
                (Some(best), None) => format!("{:.3}", best.value),
                (None, None) => "–".to_owned(),
            },
            of(loss),
            percent(accuracy.map(|best| best.value)),
            of(accuracy),
            percent(top5),
            percent(chance),
        ]
    };
    let mut differing = Vec::new();
    let keys = runs.first().map_or(0, |run| run.recipe.len());
    for key in 0..keys {
        let values: Vec<&String> = runs.iter().map(|run| &run.recipe[key].1).collect();
        if values.iter().any(|value| *value != values[0]) {
            let name = runs[0].recipe[key].0.to_owned();
            let shown = |value: &&String| if value.is_empty() { "–".to_owned() } else { (*value).clone() };
            differing.push(std::iter::once(name).chain(values.iter().map(shown)).collect());
        }
    }
    (runs.iter().map(row).collect(), differing)
}
