//! All wells of a store as columns, and plates with equal layouts. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::Result;
use crate::inspect::page::packed::Scaled;
use crate::inspect::page::packed::{bytes, scaled, words};
use crate::inspect::plate_map::Shape;
use crate::site::Well;
use crate::store::Store;
use crate::store::format::rows::SiteRow;

use super::gather::Gathered;

/// The wells of a store, plate by plate.
#[derive(Serialize)]
pub(super) struct Wells {
    /// Row of each, from 0, a byte each.
    row: String,
    /// Column of each, from 1.
    column: String,
    /// Its place in [`Population::ALL`](crate::site::Population::ALL).
    population: String,
    /// Sites of each.
    sites: String,
    /// Its place in `treatments`, in 32 bits.
    treatment: String,
    /// The names of what wells were given; the first is none.
    treatments: Vec<String>,
    /// The class of each of these; none where it has none.
    classes: Vec<Option<u32>>,
    /// Values by name and channel, each the mean over a well's sites.
    values: Vec<Values>,
}

/// Values of a kind.
#[derive(Serialize)]
struct Values {
    name: &'static str,
    about: &'static str,
    channels: Vec<Scaled>,
}

/// A plate.
#[derive(Serialize)]
pub(super) struct Plate {
    /// Its experiment's place.
    experiment: usize,
    name: String,
    rows: u16,
    columns: u16,
    /// Its first well's place.
    first: usize,
    wells: usize,
    /// `train`, `test` ... where all of its treatments are of one.
    dataset: String,
}

/// Gathers the columns.
pub(super) fn wells(store: &Store, gathered: &Gathered) -> Result<(Vec<Plate>, Wells)> {
    let sites = store.sites();
    let starts: Vec<usize> = (0..sites.len()).filter(|&i| i == 0 || sites[i].id.well != sites[i - 1].id.well).collect();
    let ends = starts.iter().skip(1).copied().chain([sites.len()]);
    let ranges: Vec<std::ops::Range<usize>> = starts.iter().zip(ends).map(|(&start, end)| start..end).collect();
    let byte = |of: &dyn Fn(&SiteRow) -> u8| bytes(starts.iter().map(|&i| of(&sites[i])).collect::<Vec<u8>>());
    let mut known: BTreeMap<(Option<u32>, &str), u32> = BTreeMap::new();
    for &i in &starts {
        known.insert((sites[i].label.class, &*sites[i].label.sirna), 0);
    }
    known.remove(&(None, ""));
    (1..).zip(known.values_mut()).for_each(|(place, known)| *known = place);
    let place = |&i: &usize| known.get(&(sites[i].label.class, &*sites[i].label.sirna)).copied().unwrap_or(0);
    let names = known.keys().map(|(_, name)| (*name).to_owned());
    let classes = known.keys().map(|(class, _)| *class);
    let n_channels = store.spec().channels.len();
    let means = |of: &dyn Fn(usize, usize) -> f64| -> Vec<Scaled> {
        let of_well = |range: &std::ops::Range<usize>, channel: usize| {
            let values: Vec<f64> =
                range.clone().map(|site| of(site, channel)).filter(|value| !value.is_nan()).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        (0..n_channels).map(|c| scaled(&ranges.iter().map(|range| of_well(range, c)).collect::<Vec<_>>())).collect()
    };
    let mut values = vec![
        Values { name: "mean", about: "mean grey level", channels: means(&|site, c| gathered.means[site][c]) },
        Values { name: "median", about: "median grey level", channels: means(&|site, c| gathered.medians[site][c]) },
        Values {
            name: "std",
            about: "standard deviation of grey levels",
            channels: means(&|site, c| gathered.stds[site][c]),
        },
    ];
    if let Some(measured) = &gathered.measured {
        let of = |site: usize, c: usize| measured[site].get(c);
        values.push(Values {
            name: "focus",
            about: "focus: Laplacian over spread",
            channels: means(&|site, c| of(site, c).map_or(f64::NAN, |found| found.focus)),
        });
        values.push(Values {
            name: "saturated",
            about: "share of saturated pixels",
            channels: means(&|site, c| of(site, c).map_or(f64::NAN, |found| found.saturated)),
        });
    }
    let wells = Wells {
        row: byte(&|site| site.id.well.well.row().min(255) as u8),
        column: byte(&|site| site.id.well.well.column() as u8),
        population: byte(&|site| site.label.population.index() as u8),
        sites: bytes(ranges.iter().map(|range| range.len().min(255) as u8).collect::<Vec<u8>>()),
        treatment: words(starts.iter().map(place)),
        treatments: std::iter::once(String::new()).chain(names).collect(),
        classes: std::iter::once(None).chain(classes).collect(),
        values,
    };
    Ok((plates(store, &starts)?, wells))
}

fn plates(store: &Store, starts: &[usize]) -> Result<Vec<Plate>> {
    let sites = store.sites();
    let shape = Shape::of_store(store)?;
    let mut plates: Vec<Plate> = Vec::new();
    let mut experiment = 0;
    let mut last = None;
    for of_plate in starts.chunk_by(|&a, &b| sites[a].id.well.plate == sites[b].id.well.plate) {
        let plate = &sites[of_plate[0]].id.well.plate;
        if last.is_some_and(|last| last != &plate.experiment) {
            experiment += 1;
        }
        last = Some(&plate.experiment);
        let mut datasets: Vec<&str> = of_plate.iter().map(|&i| &*sites[i].label.dataset).collect();
        datasets.sort_unstable();
        datasets.dedup();
        plates.push(Plate {
            experiment,
            name: plate.plate.as_str().to_owned(),
            rows: shape.rows,
            columns: shape.columns,
            first: plates.last().map_or(0, |plate| plate.first + plate.wells),
            wells: of_plate.len(),
            dataset: datasets.join(", "),
        });
    }
    Ok(plates)
}

/// Groups of plates, by their places, whose wells were given the same, without those that are alone in that; and how many
/// plates are left out, as it is not known of all of their wells what they were given.
pub(super) fn equal_layouts(store: &Store) -> (Vec<Vec<usize>>, usize) {
    let mut known: BTreeMap<Vec<(Well, &str)>, Vec<usize>> = BTreeMap::new();
    let mut n_unknown = 0;
    for (i, plate) in store.sites().chunk_by(|a, b| a.id.well.plate == b.id.well.plate).enumerate() {
        let mut layout: Vec<(Well, &str)> = plate.iter().map(|site| (site.id.well.well, &*site.label.sirna)).collect();
        layout.dedup();
        if layout.iter().any(|(_, given)| given.is_empty()) {
            n_unknown += 1;
        } else {
            known.entry(layout).or_default().push(i);
        }
    }
    let mut groups: Vec<Vec<usize>> = known.into_values().filter(|plates| plates.len() > 1).collect();
    groups.sort();
    (groups, n_unknown)
}
