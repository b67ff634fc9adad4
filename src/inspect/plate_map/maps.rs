//! What the wells of a plate are coloured by: a category or a value each. Reads pixels only where nothing less tells.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::feed::Reader;
use crate::inspect::drawing::palette;
use crate::inspect::drawing::picture::Rgb;
use crate::inspect::measure::{Measured, measure};
use crate::plate_statistics::read_pixel_stats;
use crate::site::{PlateId, Population, Well};
use crate::stats::Histogram;
use crate::store::Store;
use crate::store::format::names::REJECTED;
use crate::store::format::rows::{PixelStats, Rejected, SiteRow};
use crate::store::read::listing::read_rows;

use super::shape::Shape;

/// What a plate map shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapBy {
    /// Negative and positive controls, treatments.
    Population,
    /// The number of each well's class.
    Treatment,
    /// Which positive control each well has.
    Control,
    /// What was left out when the plate was packed, and what cannot be read now. Reads every site.
    Damage,
    /// A value of one channel.
    Channel(Value),
}

/// A value of a channel: the mean over a well's sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Mean grey level.
    Mean,
    /// Standard deviation of grey levels.
    Std,
    /// Median grey level.
    Median,
    /// How sharp it is ([`Measured::focus`]). Reads every site.
    Focus,
    /// Share of saturated pixels. Reads every site.
    Saturated,
}

impl Value {
    /// Name and unit.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Mean => "mean grey level",
            Self::Std => "standard deviation of grey levels",
            Self::Median => "median grey level",
            Self::Focus => "focus (Laplacian over spread)",
            Self::Saturated => "share of saturated pixels",
        }
    }
}

/// What there is to say of a well.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A category: its place in [`Key::Categories`].
    Category(usize),
    /// A value; NaN where there is none.
    Value(f64),
}

/// One plate.
#[derive(Debug, Clone, PartialEq)]
pub struct PlateMap {
    /// The plate.
    pub plate: PlateId,
    /// Its wells.
    pub cells: BTreeMap<Well, Cell>,
}

/// A category of wells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// What it is called.
    pub name: String,
    /// Its colour.
    pub colour: Rgb,
    /// What stands in its wells, where colour is not enough.
    pub mark: String,
}

/// What colours stand for.
#[derive(Debug, Clone, PartialEq)]
pub enum Key {
    /// Categories.
    Categories(Vec<Category>),
    /// Values from the darkest colour to the brightest. A well beyond them has the colour of the end, and a sign: one that
    /// is far from all others is seen, and does not take the colours from them.
    Values {
        /// The lower end.
        low: f64,
        /// The upper end.
        high: f64,
        /// Whether they are numbers of classes.
        are_classes: bool,
    },
}

/// Plates side by side, by the same colours.
#[derive(Debug, Clone, PartialEq)]
pub struct Maps {
    /// What is shown.
    pub title: String,
    /// Rows and columns that each has.
    pub shape: Shape,
    /// The plates.
    pub plates: Vec<PlateMap>,
    /// What colours stand for.
    pub key: Key,
    /// Whether a site was found that cannot be read.
    pub has_damage: bool,
}

impl Maps {
    /// The maps of some plates. `channel`, from 0, is that of [`MapBy::Channel`]. `progress` counts sites that are read.
    ///
    /// # Errors
    /// If a plate or a channel is not in the store, or what tells of it cannot be read.
    pub fn of(
        reader: &Reader,
        plates: &[PlateId],
        by: MapBy,
        channel: usize,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Self> {
        let store = reader.store();
        for plate in plates {
            if !store.plates().contains_key(plate) {
                let known: Vec<String> = store.plates().keys().map(PlateId::shown).collect();
                let found = plate.shown();
                return Err(crate::suggest::unknown(
                    "--plate",
                    "a plate of this store",
                    &found,
                    known.iter().map(String::as_str),
                ));
            }
        }
        let sites = |plate: &PlateId| -> Vec<(usize, &SiteRow)> {
            let all = store.sites().iter().enumerate();
            all.filter(|(_, site)| site.id.well.plate == *plate).collect()
        };
        let of_plates: Vec<Vec<(usize, &SiteRow)>> = plates.iter().map(sites).collect();
        let mut has_damage = false;
        let (title, key, cells) = match by {
            MapBy::Population => populations(&of_plates),
            MapBy::Treatment => treatments(&of_plates),
            MapBy::Control => controls(&of_plates),
            MapBy::Damage => {
                let (found, damaged) = damage(reader, plates, &of_plates, progress)?;
                has_damage = damaged;
                found
            }
            MapBy::Channel(value) => {
                let values = values(reader, plates, &of_plates, value, channel, progress)?;
                let name = &store.spec().channels[channel].name;
                (format!("{}, {name}", value.about()), scale(&values), values)
            }
        };
        let all = plates.iter().zip(cells);
        let plates = all.map(|(plate, cells)| PlateMap { plate: plate.clone(), cells });
        Ok(Self { title, shape: Shape::of_store(store)?, plates: plates.collect(), key, has_damage })
    }
}

type Cells = Vec<BTreeMap<Well, Cell>>;

fn each_well(of_plates: &[Vec<(usize, &SiteRow)>], cell: impl Fn(&SiteRow) -> Cell) -> Cells {
    let plates = of_plates.iter();
    plates.map(|sites| sites.iter().map(|(_, site)| (site.id.well.well, cell(site))).collect()).collect()
}

fn populations(of_plates: &[Vec<(usize, &SiteRow)>]) -> (String, Key, Cells) {
    let known: BTreeSet<Population> = of_plates.iter().flatten().map(|(_, site)| site.label.population).collect();
    let known: Vec<Population> = known.into_iter().collect();
    let category = |&population: &Population| {
        let (colour, letter) = palette::of_population(population);
        // Treatments are most wells, and are known by having none.
        let mark = if population == Population::Treatment { String::new() } else { letter.to_string() };
        Category { name: population.name().replace('_', " "), colour, mark }
    };
    let key = Key::Categories(known.iter().map(category).collect());
    let place = |site: &SiteRow| known.iter().position(|known| *known == site.label.population).unwrap_or(0);
    ("populations".to_owned(), key, each_well(of_plates, |site| Cell::Category(place(site))))
}

fn treatments(of_plates: &[Vec<(usize, &SiteRow)>]) -> (String, Key, Cells) {
    let class = |site: &SiteRow| Cell::Value(site.label.class.map_or(f64::NAN, f64::from));
    let cells = each_well(of_plates, class);
    let classes = of_plates.iter().flatten().filter_map(|(_, site)| site.label.class).map(f64::from);
    let (low, high) = classes.fold((f64::MAX, 0.0_f64), |(low, high), class| (low.min(class), high.max(class)));
    ("classes by number".to_owned(), Key::Values { low: low.min(high), high, are_classes: true }, cells)
}

fn controls(of_plates: &[Vec<(usize, &SiteRow)>]) -> (String, Key, Cells) {
    let is_control = |site: &SiteRow| site.label.population == Population::PositiveControl;
    let sites = of_plates.iter().flatten().filter(|(_, site)| is_control(site));
    let mut names: Vec<(Option<u32>, &str)> = sites.map(|(_, site)| (site.label.class, &*site.label.sirna)).collect();
    names.sort_unstable();
    names.dedup();
    let n = names.len();
    let mut categories: Vec<Category> = names
        .iter()
        .enumerate()
        .map(|(i, (_, name))| Category {
            name: (*name).to_owned(),
            colour: palette::of_place(i),
            mark: (i + 1).to_string(),
        })
        .collect();
    categories.push(Category { name: "no positive control".to_owned(), colour: palette::NOTHING, mark: String::new() });
    let place = |site: &SiteRow| {
        let name = (site.label.class, &*site.label.sirna);
        if is_control(site) { names.binary_search(&name).unwrap_or(n) } else { n }
    };
    let cells = each_well(of_plates, |site| Cell::Category(place(site)));
    ("positive controls".to_owned(), Key::Categories(categories), cells)
}

/// The ends of a scale: of all values, but for those that are further from the middle half than 1.5 times its width.
fn scale(cells: &Cells) -> Key {
    let values = cells.iter().flat_map(BTreeMap::values).filter_map(|cell| match cell {
        Cell::Value(value) if !value.is_nan() => Some(*value),
        _ => None,
    });
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let [Some(min), Some(max)] = [values.first(), values.last()] else {
        return Key::Values { low: 0.0, high: 0.0, are_classes: false };
    };
    let [lower, upper] = [values[values.len() / 4], values[values.len() * 3 / 4]];
    let fence = 1.5 * (upper - lower);
    Key::Values { low: min.max(lower - fence), high: max.min(upper + fence), are_classes: false }
}

fn values(
    reader: &Reader,
    plates: &[PlateId],
    of_plates: &[Vec<(usize, &SiteRow)>],
    value: Value,
    channel: usize,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Cells> {
    let (store, spec) = (reader.store(), reader.store().spec());
    let n_channels = spec.channels.len();
    if channel >= n_channels {
        return Err(Error::refused("--channel", format!("1 to {n_channels}"), channel + 1));
    }
    let of_sites = |plate: &PlateId, sites: &[(usize, &SiteRow)]| -> Result<Vec<f64>> {
        let counted = |of: fn(&PixelStats) -> f64| {
            let rows = read_pixel_stats(store.root(), plate, n_channels)?;
            let of_channel = rows.iter().filter(|(_, row)| row.channel == channel + 1);
            Ok(of_channel.map(|(_, row)| of(row)).collect())
        };
        let measured = |of: fn(Measured) -> f64| {
            let one = |&(site, _): &(usize, &SiteRow)| {
                let pixels = reader.site(site)?;
                let plane = pixels.chunks_exact(spec.plane_bytes()).nth(channel).expect("a channel of the store");
                progress(1);
                Ok(of(measure(plane, spec.size, spec.dtype, &Histogram::of(plane, spec.dtype))))
            };
            sites.par_iter().map(one).collect()
        };
        match value {
            Value::Mean => counted(|row| row.mean),
            Value::Std => counted(|row| row.std),
            Value::Median => counted(|row| row.median),
            Value::Focus => measured(|found| found.focus),
            Value::Saturated => measured(|found| found.saturated),
        }
    };
    let of_wells = |(plate, sites): (&PlateId, &Vec<(usize, &SiteRow)>)| {
        let mut wells: BTreeMap<Well, Vec<f64>> = BTreeMap::new();
        for ((_, site), value) in sites.iter().zip(of_sites(plate, sites)?) {
            wells.entry(site.id.well.well).or_default().push(value);
        }
        let mean = |values: Vec<f64>| Cell::Value(values.iter().sum::<f64>() / values.len() as f64);
        Ok(wells.into_iter().map(|(well, values)| (well, mean(values))).collect())
    };
    plates.iter().zip(of_plates).map(of_wells).collect()
}

fn damage(
    reader: &Reader,
    plates: &[PlateId],
    of_plates: &[Vec<(usize, &SiteRow)>],
    progress: &(dyn Fn(u64) + Sync),
) -> Result<((String, Key, Cells), bool)> {
    const WHOLE: usize = 0;
    const LEFT_OUT: usize = 1;
    const DAMAGED: usize = 2;
    let store: &Store = reader.store();
    let category = |name: &str, colour, mark: &str| Category { name: name.to_owned(), colour, mark: mark.to_owned() };
    let key = Key::Categories(vec![
        category("whole", [196, 205, 212], ""),
        category("left out when packed", [240, 228, 66], "–"),
        category("cannot be read", [213, 94, 0], "×"),
    ]);
    let of_plate = |(plate, sites): (&PlateId, &Vec<(usize, &SiteRow)>)| {
        let read = |&(site, row): &(usize, &SiteRow)| {
            let is_whole = reader.site_or_damage(site)?.is_ok();
            progress(1);
            Ok((row.id.well.well, is_whole))
        };
        let found: Vec<(Well, bool)> = sites.par_iter().map(read).collect::<Result<_>>()?;
        let mut cells: BTreeMap<Well, usize> = BTreeMap::new();
        for row in read_rows::<Rejected>(store.root(), plate, REJECTED)? {
            cells.insert(row.well, LEFT_OUT);
        }
        for (well, is_whole) in found {
            let cell = cells.entry(well).or_insert(WHOLE);
            *cell = (*cell).max(if is_whole { WHOLE } else { DAMAGED });
        }
        Ok(cells.into_iter().map(|(well, cell)| (well, Cell::Category(cell))).collect())
    };
    let cells: Cells = plates.iter().zip(of_plates).map(of_plate).collect::<Result<_>>()?;
    let has_damage = cells.iter().flat_map(BTreeMap::values).any(|cell| *cell == Cell::Category(DAMAGED));
    Ok((("what is whole".to_owned(), key, cells), has_damage))
}
