//! Joins statistics and store: counts as the rows of a plate's listing, and back.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::site::{PlateId, Population, SiteId};
use crate::stats::{
    Grouping, Histogram, PlateStatistics, SiteDeviation, SiteStatistics, Summariser, Summary, pair_index, pairs,
};
use crate::store::format::listing::{channel_index, level_index};
use crate::store::format::names::{COMOMENTS, HISTOGRAM, PIXEL_STATS, SITES};
use crate::store::format::rows::{ComomentRow, HistogramRow, PixelStats, SiteRow};
use crate::store::read::listing::read_rows;
use crate::store::{Store, StoreSpec};

/// The rows of `pixel_stats.csv` of one site, a channel each.
#[must_use]
pub fn pixel_stats(id: &SiteId, site: &SiteStatistics) -> Vec<PixelStats> {
    let channels = (1..).zip(&site.histograms);
    let row = |(channel, histogram): (usize, &Histogram)| PixelStats {
        id: id.clone(),
        channel,
        mean: histogram.mean(),
        std: histogram.std(0),
        median: histogram.median(),
        min: histogram.min().unwrap_or(0),
        max: histogram.max().unwrap_or(0),
        sum: wide(histogram.sum()),
        sum_of_squares: wide(histogram.sum_of_squares()),
    };
    channels.map(row).collect()
}

/// A sum over one site, of at most 2^31 pixels of 32 bits when squared.
fn wide(sum: u128) -> u64 {
    sum.try_into().expect("at most 63 bits")
}

/// The rows of `histogram.csv`.
#[must_use]
pub fn histogram_rows(statistics: &PlateStatistics) -> Vec<HistogramRow> {
    let mut rows = Vec::new();
    for population in Population::ALL {
        for (channel, histogram) in (1..).zip(&statistics.population(population).histograms) {
            rows.extend(histogram.levels().map(|(level, count)| HistogramRow { population, channel, level, count }));
        }
    }
    rows
}

/// The rows of `comoments.csv`.
///
/// # Errors
/// If a sum does not fit 64 bits, as those of many pixels that are nearly all saturated at 16 bits may not.
pub fn comoment_rows(plate: &PlateId, statistics: &PlateStatistics) -> Result<Vec<ComomentRow>> {
    let mut rows = Vec::new();
    for population in Population::ALL {
        let counted = statistics.population(population);
        for ((a, b), &sum) in pairs(counted.histograms.len()).zip(&counted.products) {
            let (channel_a, channel_b) = (a + 1, b + 1);
            let sum_of_products = sum.try_into().map_err(|_| {
                let place = format!("{plate}: {population}, channels {channel_a} and {channel_b}");
                Error::refused(place, "pixels whose products add up to at most 64 bits", sum)
            })?;
            rows.push(ComomentRow { population, channel_a, channel_b, sum_of_products });
        }
    }
    Ok(rows)
}

/// Reads the counts of one plate from its listing in the store at `root`.
///
/// # Errors
/// If a file of the listing cannot be read, names a channel that the store does not have, or contradicts another.
pub fn read(root: &Path, plate: &PlateId, spec: &StoreSpec) -> Result<PlateStatistics> {
    let n_channels = spec.channels.len();
    let check = |channel| channel_index(channel, n_channels, plate);
    let mut statistics = PlateStatistics::default();
    for site in read_rows::<SiteRow>(root, plate, SITES)? {
        let population = statistics.population_mut(site.label.population);
        population.n_sites += 1;
        population.histograms.resize(n_channels, Histogram::default());
        population.products.resize(n_channels * (n_channels + 1) / 2, 0);
    }
    for row in read_rows::<HistogramRow>(root, plate, HISTOGRAM)? {
        let channel = check(row.channel)?;
        let histograms = &mut statistics.population_mut(row.population).histograms;
        let histogram = histograms.get_mut(channel).ok_or_else(|| no_sites(plate, row.population))?;
        level_index(row.level, spec.dtype, plate)?;
        histogram.set(row.level, row.count);
    }
    for row in read_rows::<ComomentRow>(root, plate, COMOMENTS)? {
        let (a, b) = (check(row.channel_a)?, check(row.channel_b)?);
        let index = pair_index(a.min(b), a.max(b), n_channels);
        let products = &mut statistics.population_mut(row.population).products;
        *products.get_mut(index).ok_or_else(|| no_sites(plate, row.population))? = row.sum_of_products.into();
    }
    check_totals(plate, &statistics, spec)?;
    Ok(statistics)
}

/// Every channel of a population counts each pixel of each site once, and its histogram and its co-moment with itself
/// tell the same sum of squares. So no sum of what is read here can overflow.
fn check_totals(plate: &PlateId, statistics: &PlateStatistics, spec: &StoreSpec) -> Result<()> {
    for population in Population::ALL {
        let counted = statistics.population(population);
        let expected = counted.n_sites * spec.size.pixels() as u64;
        for (channel, histogram) in counted.histograms.iter().enumerate() {
            let total = histogram.checked_n();
            if total != Some(expected) {
                let place = format!("{plate}: histogram.csv: {population}, channel {}", channel + 1);
                return Err(Error::malformed(place, format!("{expected} pixels"), total.unwrap_or(u64::MAX)));
            }
            let n_channels = counted.histograms.len();
            let own = counted.products[pair_index(channel, channel, n_channels)];
            if own != histogram.sum_of_squares() {
                let place = format!("{plate}: comoments.csv: {population}, channel {}", channel + 1);
                return Err(Error::malformed(place, histogram.sum_of_squares(), own));
            }
        }
    }
    Ok(())
}

/// The rows of `pixel_stats.csv`, each with the population of its site.
///
/// # Errors
/// If there is not one row for each site and channel, in the order of the sites.
pub fn read_pixel_stats(root: &Path, plate: &PlateId, n_channels: usize) -> Result<Vec<(Population, PixelStats)>> {
    let sites = read_rows::<SiteRow>(root, plate, SITES)?;
    let pixels = read_rows::<PixelStats>(root, plate, PIXEL_STATS)?;
    let expected = sites.iter().flat_map(|site| (1..=n_channels).map(move |channel| (site, channel)));
    let same = |((site, channel), row): ((&SiteRow, usize), &PixelStats)| site.id == row.id && channel == row.channel;
    if pixels.len() != sites.len() * n_channels || !expected.zip(&pixels).all(same) {
        let place = format!("{plate}: pixel_stats.csv");
        return Err(Error::malformed(place, "one row a site and channel, in order", "others"));
    }
    let with_population = |(i, row): (usize, PixelStats)| (sites[i / n_channels].label.population, row);
    Ok(pixels.into_iter().enumerate().map(with_population).collect())
}

/// Proves that the figures of `pixel_stats.csv` are those of the sums beside them, and that the sums and ends of all
/// sites together are those of `histogram.csv`: whoever changes one has to change all.
///
/// # Errors
/// If a file of the listing cannot be read or contradicts itself or another.
pub fn check_pixel_stats(root: &Path, plate: &PlateId, spec: &StoreSpec) -> Result<()> {
    let counts = read(root, plate, spec)?;
    let n_channels = spec.channels.len();
    let mut together: BTreeMap<(Population, usize), Together> = BTreeMap::new();
    for (population, row) in read_pixel_stats(root, plate, n_channels)? {
        let place = || format!("{plate}: pixel_stats.csv: {}, channel {}", row.id, row.channel);
        let (mean, std) = figures_of(&row, spec.size.pixels() as u64)
            .ok_or_else(|| Error::malformed(place(), "sums that an image can have", "others"))?;
        if (mean - row.mean).abs() > ROUNDING || (std - row.std).abs() > ROUNDING {
            let expected = format!("mean {mean} and std {std}, which follow from the sums");
            return Err(Error::malformed(place(), expected, format!("{} and {}", row.mean, row.std)));
        }
        together.entry((population, row.channel)).or_default().add(&row);
    }
    for ((population, channel), found) in together {
        let histogram = &counts.population(population).histograms[channel - 1];
        let expected = Together {
            sum: histogram.sum(),
            sum_of_squares: histogram.sum_of_squares(),
            ends: histogram.min().zip(histogram.max()),
        };
        if found != expected {
            let place = format!("{plate}: pixel_stats.csv: {population}, channel {channel}");
            return Err(Error::malformed(place, "sums and ends that are those of histogram.csv", "others"));
        }
    }
    Ok(())
}

/// What a figure may differ by from the sums that it follows from.
const ROUNDING: f64 = 1e-9;

/// What the sites of a population have together.
#[derive(Default, PartialEq, Eq)]
struct Together {
    sum: u128,
    sum_of_squares: u128,
    ends: Option<(u16, u16)>,
}

impl Together {
    fn add(&mut self, row: &PixelStats) {
        self.sum += u128::from(row.sum);
        self.sum_of_squares += u128::from(row.sum_of_squares);
        let (min, max) = self.ends.unwrap_or((row.min, row.max));
        self.ends = Some((min.min(row.min), max.max(row.max)));
    }
}

/// Mean and standard deviation of an image of `n` pixels, from its sums; `None` if no image has such sums.
fn figures_of(row: &PixelStats, n: u64) -> Option<(f64, f64)> {
    let (wide_n, sum, squares) = (u128::from(n), u128::from(row.sum), u128::from(row.sum_of_squares));
    let spread = (wide_n * squares).checked_sub(sum * sum)?;
    Some((row.sum as f64 / n as f64, (spread as f64 / (wide_n * wide_n) as f64).sqrt()))
}

/// Summarises the plates of a store by group and population; see [`Summariser`].
///
/// # Errors
/// If a listing cannot be read or contradicts itself.
pub fn summarise_store(store: &Store, grouping: Grouping) -> Result<Vec<Summary>> {
    let (spec, root) = (store.spec(), store.root());
    let mut summariser = Summariser::new(grouping, spec.dtype);
    let ids: Vec<&PlateId> = store.plates().keys().collect();
    // As many plates as there are threads are held, not all of them: at 16 bits one may take 12 MB.
    for ids in ids.chunks(rayon::current_num_threads()) {
        let read_plate = |plate: &&PlateId| {
            let rows = read_pixel_stats(root, plate, spec.channels.len())?;
            let deviation = |(population, row): (Population, PixelStats)| SiteDeviation {
                population,
                channel: row.channel - 1,
                std: row.std,
            };
            Ok((read(root, plate, spec)?, rows.into_iter().map(deviation).collect()))
        };
        let plates: Vec<(PlateStatistics, Vec<SiteDeviation>)> =
            ids.par_iter().map(read_plate).collect::<Result<_>>()?;
        for (plate, (statistics, deviations)) in ids.iter().zip(plates) {
            summariser.add(plate, &statistics, deviations);
        }
    }
    Ok(summariser.finish())
}

fn no_sites(plate: &PlateId, population: Population) -> Error {
    Error::malformed(plate, format!("no counts of {population}, of which there are no sites"), "some")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{Dtype, ImageSize, Label};
    use crate::store::format::listing::Listing;
    use crate::store::format::names::listing_path;
    use crate::store::format::spec::channels;
    use crate::store::write::commit::write_listing;
    use crate::store::{Codec, Format};

    /// The table with another cell in its first row.
    fn with_cell(table: &str, column: usize, value: &str) -> String {
        let mut lines: Vec<String> = table.lines().map(str::to_owned).collect();
        let mut cells: Vec<&str> = lines[1].split(',').collect();
        cells[column] = value;
        lines[1] = cells.join(",");
        lines.join("\n") + "\n"
    }

    #[test]
    fn counts_survive_the_listing() {
        let store = tempfile::tempdir().unwrap();
        let id = SiteId::new("HEPG2-08", 1, "B02", 1).unwrap();
        let plate = id.well.plate.clone();
        let pixels: Vec<u8> = (0..3 * 50_u32).map(|i| (i * i / 5) as u8).collect();
        let site = SiteStatistics::of(&pixels, 3, Dtype::Uint8);
        let mut statistics = PlateStatistics::default();
        let label = Label { population: Population::PositiveControl, ..Label::unknown() };
        statistics.population_mut(label.population).add(&site);
        let listing = Listing {
            plate: plate.clone(),
            pixel_stats: pixel_stats(&id, &site),
            sites: vec![SiteRow { id, label, row: 0, crc32c: 0 }],
            histogram: histogram_rows(&statistics),
            comoments: comoment_rows(&plate, &statistics).unwrap(),
            rejected: Vec::new(),
            sources: Vec::new(),
        };
        let dir = store.path().join(listing_path(&plate));
        std::fs::create_dir_all(&dir).unwrap();
        write_listing(&listing.to_files(), &dir, Vec::new(), std::time::SystemTime::UNIX_EPOCH).unwrap();
        let spec = |n: usize, height| StoreSpec {
            present_only: false,
            format: Format::LATEST,
            channels: channels(n),
            size: ImageSize { height, width: 5 },
            dtype: Dtype::Uint8,
            codec: Codec::Raw,
            sites_per_shard: 1,
        };
        assert_eq!(read(store.path(), &plate, &spec(3, 10)).unwrap(), statistics);
        assert!(read(store.path(), &plate, &spec(2, 10)).is_err(), "a channel too many");
        assert!(read(store.path(), &plate, &spec(3, 11)).is_err(), "too few pixels");
        assert_eq!(read_pixel_stats(store.path(), &plate, 3).unwrap().len(), 3);
        assert!(read_pixel_stats(store.path(), &plate, 2).is_err());
        check_pixel_stats(store.path(), &plate, &spec(3, 10)).unwrap();
        let file = dir.join("pixel_stats.csv");
        let text = std::fs::read_to_string(&file).unwrap();
        for (column, value) in [
            (5, "NaN"),
            (5, "inf"),
            (5, "1e300"),
            (5, "-1"),
            (6, "-1"),
            (6, "NaN"),
            (6, "9000"),
            (7, "256"),
            (7, "inf"),
        ] {
            std::fs::write(&file, with_cell(&text, column, value)).unwrap();
            let read = read_pixel_stats(store.path(), &plate, 3);
            assert!(read.is_err(), "column {column}: {value} is no figure of an image");
        }
        for (column, value) in [(5, "100"), (6, "1"), (8, "1"), (9, "254"), (10, "7"), (11, "99999999999999")] {
            std::fs::write(&file, with_cell(&text, column, value)).unwrap();
            let checked = check_pixel_stats(store.path(), &plate, &spec(3, 10));
            assert!(checked.is_err(), "column {column}: {value} contradicts the rest");
        }
        std::fs::write(&file, &text).unwrap();
        for (file, from, to) in [
            ("histogram.csv", "positive_control,1,", "positive_control,2,"),
            ("histogram.csv", ",1\n", ",18446744073709551615\n"),
            ("comoments.csv", "control,2,2,", "control,2,2,1"),
        ] {
            let text = std::fs::read_to_string(dir.join(file)).unwrap();
            assert!(text.contains(from), "{file}: {from}");
            std::fs::write(dir.join(file), text.replacen(from, to, 1)).unwrap();
            assert!(read(store.path(), &plate, &spec(3, 10)).is_err(), "{file}: {from} -> {to}");
            std::fs::write(dir.join(file), text).unwrap();
        }
    }
}
