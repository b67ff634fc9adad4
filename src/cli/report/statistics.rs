//! Statistics as a table, as CSV, and as Kaggle's `pixel_stats.csv`.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cli::screen::{lines, width};
use crate::cli::table::{Align, Table};
use crate::csv_table::{Figure, to_csv, to_lines};
use crate::site::{Experiment, Plate, PlateId, Well, WellId};
use crate::stats::{ChannelSummary, PERCENTILES, Summary};
use crate::store::Store;
use crate::store::format::names::PIXEL_STATS;
use crate::store::format::rows::PixelStats;
use crate::store::format::spec::Channel;
use crate::store::read::listing::read_rows;
use crate::words::count;

use super::json::print_json;

/// Columns that a narrow terminal has no room for, the first to go first.
const LEAST: [&str; 8] = ["std/image", "p1", "MAD", "p99", "sites", "zero %", "saturated %", "median"];

/// How long a line of notes is where there is no terminal.
const NOTES: usize = 120;

/// Writes a table for people, and what its columns mean.
///
/// # Errors
/// If the writer fails.
pub fn table(out: &mut impl Write, summaries: &[Summary], channels: &[Channel]) -> io::Result<()> {
    let text = ["group", "wells"].map(|name| (name, Align::Left));
    let numbers = ["sites", "mean", "std", "std/image", "median", "MAD", "p1", "p99", "zero %", "saturated %"];
    let mut columns = text.to_vec();
    columns.push(("channel", Align::Left));
    columns.extend(numbers.map(|name| (name, Align::Right)));
    let mut table = Table::new(columns).without(&LEAST, "--csv, --json");
    let mut n_without_mad = 0;
    for Summary { group, population, n_sites, channels: figures } in summaries {
        for (figures, channel) in figures.iter().zip(channels) {
            n_without_mad += u64::from(figures.mad == 0.0);
            let cells = [group.clone(), population.name().into(), channel_label(figures.channel, &channel.name)];
            let [p1, .., p99] = figures.percentiles;
            let two = [figures.mean, figures.std_pixels, figures.std_mean_over_images].map(|x| format!("{x:.2}"));
            let one = [figures.median, figures.mad, p1, p99].map(|x| format!("{x:.1}"));
            let shares = [figures.zero_share, figures.saturated_share].map(|x| format!("{:.3}", 100.0 * x));
            table.row(cells.into_iter().chain([count(*n_sites)]).chain(two).chain(one).chain(shares));
        }
    }
    write!(out, "{table}")?;
    let mut notes =
        "Grey levels. std: of all pixels, ddof 0. std/image: mean over images of each image's own std. MAD: median \
                     absolute deviation from the median, unscaled. More figures: --csv, --json."
            .to_owned();
    if n_without_mad > 0 {
        let n = count(n_without_mad);
        notes += &format!(
            " MAD is 0 in {n} of these lines: more than half of the pixels share one level. Do not divide by it."
        );
    }
    writeln!(out)?;
    for line in lines(&notes, width().unwrap_or(NOTES), "") {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// A channel by its number, and by its name where that tells more.
fn channel_label(number: usize, name: &str) -> String {
    let is_numbered = name.ends_with(|c: char| c.is_ascii_digit());
    if is_numbered { name.to_owned() } else { format!("w{number} {name}") }
}

/// A row of `stats --csv`: the figures of a group, a population and a channel. Its percentiles are those of
/// [`crate::stats::PERCENTILES`].
#[derive(Serialize, Deserialize)]
struct FiguresRow<'a> {
    group: &'a str,
    population: &'a str,
    sites: u64,
    channel: usize,
    pixels: u64,
    mean: Figure,
    std_pixels: Figure,
    std_pixels_ddof1: Figure,
    std_mean_over_images: Figure,
    median: Figure,
    mad: Figure,
    p1: Figure,
    p5: Figure,
    p25: Figure,
    p75: Figure,
    p95: Figure,
    p99: Figure,
    min: u16,
    max: u16,
    zero_share: Figure,
    saturated_share: Figure,
}

impl<'a> FiguresRow<'a> {
    fn new(summary: &'a Summary, figures: &ChannelSummary) -> Self {
        let [p1, p5, p25, p75, p95, p99] = figures.percentiles.map(Figure);
        Self {
            group: &summary.group,
            population: summary.population.name(),
            sites: summary.n_sites,
            channel: figures.channel,
            pixels: figures.n_pixels,
            mean: Figure(figures.mean),
            std_pixels: Figure(figures.std_pixels),
            std_pixels_ddof1: Figure(figures.std_pixels_ddof1),
            std_mean_over_images: Figure(figures.std_mean_over_images),
            median: Figure(figures.median),
            mad: Figure(figures.mad),
            p1,
            p5,
            p25,
            p75,
            p95,
            p99,
            min: figures.min,
            max: figures.max,
            zero_share: Figure(figures.zero_share),
            saturated_share: Figure(figures.saturated_share),
        }
    }
}

/// Prints every figure as JSON, each channel with its name.
///
/// # Errors
/// If stdout is closed.
pub fn json(summaries: &[Summary], by: &str, channels: &[Channel]) -> anyhow::Result<()> {
    let mut groups = json!(summaries);
    for group in groups.as_array_mut().into_iter().flatten() {
        for (figures, channel) in group["channels"].as_array_mut().into_iter().flatten().zip(channels) {
            figures["name"] = channel.name.as_str().into();
        }
    }
    print_json("stats", &json!({ "by": by, "percentiles": PERCENTILES, "groups": groups }))
}

/// Writes every figure as CSV.
///
/// # Errors
/// If the writer fails.
pub fn csv(out: &mut impl Write, summaries: &[Summary]) -> io::Result<()> {
    let rows = summaries
        .iter()
        .flat_map(|summary| summary.channels.iter().map(move |figures| FiguresRow::new(summary, figures)));
    out.write_all(to_csv(&rows.collect::<Vec<_>>()).as_bytes())
}

/// A row in the columns of Kaggle's `pixel_stats.csv`.
#[derive(Serialize, Deserialize)]
struct KaggleRow {
    experiment: Experiment,
    plate: Plate,
    well: Well,
    site: u16,
    channel: usize,
    mean: Figure,
    std: Figure,
    median: Figure,
    min: u16,
    max: u16,
    id_code: WellId,
}

impl From<PixelStats> for KaggleRow {
    fn from(row: PixelStats) -> Self {
        let PixelStats { id, channel, mean, std, median, min, max, .. } = row;
        let WellId { plate, well } = id.well.clone();
        let [mean, std, median] = [mean, std, median].map(Figure);
        let PlateId { experiment, plate } = plate;
        Self { experiment, plate, well, site: id.site, channel, mean, std, median, min, max, id_code: id.well }
    }
}

/// Writes one line a site and channel, in the columns of Kaggle's `pixel_stats.csv`.
///
/// # Errors
/// If a listing cannot be read or the writer fails.
pub fn pixel_stats(out: &mut impl Write, store: &Store) -> anyhow::Result<()> {
    out.write_all(to_csv::<KaggleRow>(&[]).as_bytes())?;
    for plate in store.plates().keys() {
        let rows = read_rows::<PixelStats>(store.root(), plate, PIXEL_STATS)?;
        let rows: Vec<KaggleRow> = rows.into_iter().map(KaggleRow::from).collect();
        out.write_all(to_lines(&rows).as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv_table::columns;

    #[test]
    fn the_columns_of_percentiles_are_those_that_are_computed() {
        let first = columns::<FiguresRow>().iter().position(|name| *name == "p1").unwrap();
        assert_eq!(columns::<FiguresRow>()[first..first + PERCENTILES.len()], PERCENTILES.map(|q| format!("p{q}")));
    }
}
