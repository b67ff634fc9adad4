//! The page of one run or of several.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::error::Result;
use crate::feed::Reader;
use crate::inspect::page::pictures::thumbnail;
use crate::inspect::page::{Part, document};
use crate::site::WellId;
use crate::store::Store;
use crate::training::data::experiments_sha256;
use crate::training::run::metrics_csv::GroupRow;
use crate::words::quoted;

use super::confused::confused;
use super::read::{Best, Epoch, Run};

/// Pairs of treatments that are shown.
const MOST_CONFUSED: usize = 12;
/// Pixels that a picture of one is wide at most.
const TILE: u32 = 128;

#[derive(Serialize)]
struct Page {
    runs: Vec<RunOfPage>,
}

#[derive(Serialize)]
struct RunOfPage {
    name: String,
    finished: bool,
    diverged: Option<u32>,
    model: String,
    classes: usize,
    epochs: Vec<Epoch>,
    best_loss: Option<Best>,
    best_accuracy: Option<Best>,
    /// At the epoch of highest accuracy.
    groups: Vec<Group>,
    losses: Vec<(f64, f64)>,
    split: BTreeMap<&'static str, BTreeMap<String, u64>>,
    recipe: Vec<(&'static str, String)>,
    command: String,
    device: String,
    confused: Vec<Pair>,
    n_answers: usize,
    n_right: usize,
}

#[derive(Serialize)]
struct Group {
    kind: String,
    name: String,
    wells: u64,
    accuracy: f64,
    top5: f64,
}

#[derive(Serialize)]
struct Pair {
    treatment: String,
    taken_for: String,
    n: u64,
    of: u64,
    back: u64,
    /// A well of the one that was taken for the other, and one of the other.
    wells: Vec<String>,
    images: Vec<Option<String>>,
}

/// A store, and what [`experiments_of`] it has of the runs.
pub type Known<'a> = Option<(&'a Reader, &'a BTreeMap<String, String>)>;

/// Makes the page of some runs. With the store that they learned from, it has pictures of what is confused; sites that the
/// store lacks, that cannot be read, or that are of an experiment with other pixels or labels have none.
///
/// # Errors
/// If there is no memory for it.
pub fn runs_page(runs: &[Run], store: Known<'_>, title: &str) -> Result<String> {
    let runs = runs.iter().map(|run| run_of_page(run, store)).collect::<Result<_>>()?;
    document(title, Part::Runs, &Page { runs })
}

/// What the store has of the experiments that runs learned from, as they were: none where it is another store.
#[must_use]
pub fn experiments_of(runs: &[Run], store: &Store) -> BTreeMap<String, String> {
    let learned = || runs.iter().flat_map(|run| &run.info.experiments);
    let wanted: BTreeSet<&str> = learned().map(|(name, _)| name.as_str()).collect();
    let mut found = experiments_sha256(store, &wanted);
    found.retain(|name, sha256| learned().any(|known| known == (&*name, &*sha256)));
    found
}

fn run_of_page(run: &Run, store: Known<'_>) -> Result<RunOfPage> {
    let best = run.best_accuracy();
    let of_best = |row: &&GroupRow| best.is_some_and(|best| row.epoch == best.epoch);
    let group = |row: &GroupRow| Group {
        kind: row.kind.clone(),
        name: row.group.clone(),
        wells: row.wells,
        accuracy: row.accuracy_well.0,
        top5: row.top5_well.0,
    };
    let environment = run.info.environment.clone().unwrap_or_default();
    Ok(RunOfPage {
        name: run.name.clone(),
        finished: run.finished,
        diverged: run.diverged(),
        model: run.info.model.name().to_owned(),
        classes: run.info.n_treatments,
        epochs: run.epochs.clone(),
        best_loss: run.best_loss(),
        best_accuracy: best,
        groups: run.groups.iter().filter(of_best).map(group).collect(),
        losses: run.losses.clone(),
        split: run.split.clone(),
        recipe: run.recipe.clone(),
        command: command(&environment.command_line),
        device: environment.gpu.unwrap_or(environment.device),
        confused: pairs(run, store)?,
        n_answers: run.answers.len(),
        n_right: run.answers.iter().filter(|row| row.rank == 1).count(),
    })
}

/// A command for a shell, the program by its name alone.
fn command(words: &[String]) -> String {
    let program = words.first().map(|program| program.rsplit('/').next().unwrap_or_default());
    quoted(program.into_iter().chain(words.iter().skip(1).map(String::as_str)))
}

fn pairs(run: &Run, store: Known<'_>) -> Result<Vec<Pair>> {
    let names: BTreeMap<u32, &str> = run.info.classes.iter().map(|class| (class.class, class.sirna.as_str())).collect();
    let name = |class: u32| {
        names.get(&class).filter(|name| !name.is_empty()).map_or(class.to_string(), |name| (*name).to_owned())
    };
    let mut pairs = Vec::new();
    for pair in confused(&run.answers, MOST_CONFUSED) {
        let taken = |row: &&crate::training::run::AnswerRow| {
            row.class == pair.class && row.first().next().is_some_and(|(class, _)| class == pair.taken_for)
        };
        let one = run.answers.iter().find(taken).map(|row| &row.well_id);
        let other = run.answers.iter().find(|row| row.class == pair.taken_for).map(|row| &row.well_id);
        let (mut wells, mut images) = (Vec::new(), Vec::new());
        for well in [one, other].into_iter().flatten() {
            wells.push(well.shown());
            // An experiment of the same name with other pixels or labels is another one.
            let experiment = well.plate.experiment.as_str();
            let of_run =
                |known: &BTreeMap<String, String>| known.get(experiment) == run.info.experiments.get(experiment);
            let image = store.filter(|(_, known)| of_run(known)).map(|(reader, _)| picture_of(reader, well));
            images.push(image.transpose()?.flatten());
        }
        pairs.push(Pair {
            treatment: name(pair.class),
            taken_for: name(pair.taken_for),
            n: pair.n,
            of: pair.of,
            back: pair.back,
            wells,
            images,
        });
    }
    Ok(pairs)
}

/// The first site of a well in its colours; `None` where it cannot be had.
fn picture_of(reader: &Reader, well: &WellId) -> Result<Option<String>> {
    let store = reader.store();
    let Some(site) = store.sites().iter().position(|site| site.id.well == *well) else { return Ok(None) };
    let pixels = reader.site_or_damage(site)?.ok();
    pixels.map(|pixels| thumbnail(store, &pixels, TILE)).transpose()
}
