//! Statistics as a table, as CSV, and as Kaggle's `pixel_stats.csv`.

use std::io::{self, Write};

use crate::cli::table::{Align, Table, count};
use crate::stats::{ChannelSummary, PERCENTILES, Summary};
use crate::store::Store;
use crate::store::format::rows::PixelStats;
use crate::store::format::spec::Channel;
use crate::store::read::listing::read_rows;

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
    let mut table = Table::new(columns);
    let mut n_without_mad = 0;
    for Summary { group, population, n_sites, channels: figures } in summaries {
        for (figures, channel) in figures.iter().zip(channels) {
            n_without_mad += usize::from(figures.mad == 0.0);
            let cells = [group.clone(), population.name().into(), format!("w{} {}", figures.channel, channel.name)];
            let [p1, .., p99] = figures.percentiles;
            let two = [figures.mean, figures.std_pixels, figures.std_mean_over_images].map(|x| format!("{x:.2}"));
            let one = [figures.median, figures.mad, p1, p99].map(|x| format!("{x:.1}"));
            let shares = [figures.zero_share, figures.saturated_share].map(|x| format!("{:.3}", 100.0 * x));
            table.row(cells.into_iter().chain([count(*n_sites)]).chain(two).chain(one).chain(shares));
        }
    }
    write!(out, "{table}")?;
    writeln!(
        out,
        "\nGrey levels, 0 to 255. std: of all pixels, ddof 0. std/image: mean over images of each image's own std."
    )?;
    writeln!(out, "MAD: median absolute deviation from the median, unscaled. More figures: --csv, --json.")?;
    if n_without_mad > 0 {
        writeln!(
            out,
            "MAD is 0 in {n_without_mad} of these lines: more than half of the pixels share one level. \
             Do not divide by it."
        )?;
    }
    Ok(())
}

/// Writes every figure as CSV.
///
/// # Errors
/// If the writer fails.
pub fn csv(out: &mut impl Write, summaries: &[Summary]) -> io::Result<()> {
    let percentiles = PERCENTILES.map(|q| format!("p{q}")).join(",");
    writeln!(
        out,
        "group,population,sites,channel,pixels,mean,std_pixels,std_pixels_ddof1,std_mean_over_images,median,mad,\
         {percentiles},min,max,zero_share,saturated_share"
    )?;
    for Summary { group, population, n_sites, channels } in summaries {
        for figures in channels {
            let ChannelSummary { channel, n_pixels, mean, std_pixels, std_pixels_ddof1, .. } = figures;
            let ChannelSummary { std_mean_over_images, median, mad, min, max, zero_share, .. } = figures;
            let percentiles = figures.percentiles.map(|p| p.to_string()).join(",");
            writeln!(
                out,
                "{group},{},{n_sites},{channel},{n_pixels},{mean},{std_pixels},{std_pixels_ddof1},\
                 {std_mean_over_images},{median},{mad},{percentiles},{min},{max},{zero_share},{}",
                population.name(),
                figures.saturated_share,
            )?;
        }
    }
    Ok(())
}

/// Writes one line a site and channel, in the columns of Kaggle's `pixel_stats.csv`.
///
/// # Errors
/// If a listing cannot be read or the writer fails.
pub fn pixel_stats(out: &mut impl Write, store: &Store) -> anyhow::Result<()> {
    writeln!(out, "experiment,plate,well,site,channel,mean,std,median,min,max,id_code")?;
    for plate in store.plates().keys() {
        for row in read_rows::<PixelStats>(store.root(), plate, "pixel_stats.csv")? {
            let PixelStats { id, channel, mean, std, median, min, max, .. } = row;
            let (well, experiment, number) = (id.well.well, &plate.experiment, plate.plate);
            let figures = format!("{mean},{std},{median},{min},{max}");
            writeln!(out, "{experiment},{number},{well},{},{channel},{figures},{}", id.site, id.well)?;
        }
    }
    Ok(())
}
