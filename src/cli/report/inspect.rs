//! What `inspect` says of a store.

use std::io::Write;
use std::path::Path;

use crate::cli::{Align, Table, bytes, count, plural, screen};
use crate::error::{shown, shown_path};
use crate::inspect::run_page::{Run, runs_text};
use crate::inspect::summary::{Counts, Summary, WellsAndSites};

/// Characters of a line of a map: of the terminal, or 80.
#[must_use]
pub fn width() -> usize {
    crate::cli::screen::width().unwrap_or(80)
}

/// Prints a summary whose lines are `by`.
///
/// # Errors
/// If stdout is closed.
pub fn summary(found: &Summary, root: &Path, by: &str) -> anyhow::Result<()> {
    let mut out = screen();
    let [height, width] = found.size;
    let state = match (found.finished, found.n_missing) {
        (true, _) => "finished".to_owned(),
        (false, 0) => "not finished".to_owned(),
        (false, n) => format!("not whole: {} missing or damaged", plural(n as u64, "file")),
    };
    writeln!(out, "store      {}, {state}", shown_path(root))?;
    let names: Vec<&str> = found.channels.iter().map(|channel| channel.name.as_str()).collect();
    let n_channels = plural(names.len() as u64, "channel");
    writeln!(out, "images     {n_channels} of {height} x {width} pixels, {}", found.dtype)?;
    writeln!(out, "channels   {}", shown(&names.join(", ")))?;
    let share = found.bytes as f64 / found.raw_bytes.max(1) as f64;
    let [stored, raw, lists] = [found.bytes, found.raw_bytes, found.lists_bytes].map(bytes);
    writeln!(out, "size       {stored} as {}, {:.0} % of {raw} raw; lists {lists}", found.codec, 100.0 * share)?;
    let mut table = Table::new([
        (by, Align::Left),
        ("experiments", Align::Right),
        ("plates", Align::Right),
        ("wells", Align::Right),
        ("sites", Align::Right),
        ("negative", Align::Right),
        ("positive", Align::Right),
        ("treatments", Align::Right),
    ])
    .without(&["experiments", "plates", "positive", "negative"], "--json");
    let cells = |name: &str, counts: &Counts| {
        let Counts { experiments, plates, wells, sites, negative_controls, positive_controls, treatments } = *counts;
        let counts = [experiments, plates, wells, sites, negative_controls, positive_controls, treatments];
        std::iter::once(name.to_owned()).chain(counts.map(count)).collect::<Vec<_>>()
    };
    for group in &found.groups {
        table.row(cells(&group.group, &group.counts));
    }
    table.row(cells("all", &found.total));
    write!(out, "\n{table}\n")?;
    let listed = |all: &mut dyn Iterator<Item = (&str, &WellsAndSites)>| {
        let one = |(name, n): (&str, &WellsAndSites)| {
            let (wells, sites) = (plural(n.wells, "well"), plural(n.sites, "site"));
            format!("{} {wells} ({sites})", shown(name))
        };
        all.map(one).collect::<Vec<_>>().join(", ")
    };
    writeln!(out, "split      {}", listed(&mut found.datasets.iter().map(|(name, n)| (name.as_str(), n))))?;
    writeln!(out, "classes    {}", count(found.classes as u64))?;
    let left_out = found.rejected;
    if left_out.wells + left_out.sites > 0 {
        let (wells, sites) = (plural(left_out.wells, "well"), plural(left_out.sites, "site"));
        writeln!(out, "left out   {wells} and {sites} (rejected.csv says why)")?;
    }
    if found.present_only {
        writeln!(out, "present    only what was there of its source was packed (--present)")?;
    }
    for path in found.missing.iter().take(5) {
        writeln!(out, "missing    {}", shown(path))?;
    }
    if !found.finished {
        let root = shown_path(root);
        writeln!(out, "next       cellshard verify {root} tells all; pack, run again, finishes what was begun")?;
    }
    Ok(())
}

/// Runs that have a column each in the table of what differs.
const MOST_COLUMNS: usize = 4;

/// Prints runs side by side: what came of each, and what differs in their recipes.
///
/// # Errors
/// If stdout is closed.
pub fn runs(runs: &[Run]) -> anyhow::Result<()> {
    let mut out = screen();
    let (mut rows, mut differing) = runs_text(runs);
    for cell in rows.iter_mut().chain(&mut differing).flatten() {
        let text = shown(cell).to_string();
        *cell = text;
    }
    let head = ["run", "epochs", "least loss", "epoch", "right %", "epoch", "top 5 %", "chance %"];
    let column = |(i, name): (usize, &'static str)| (name, if i == 0 { Align::Left } else { Align::Right });
    let mut table =
        Table::new(head.into_iter().enumerate().map(column)).without(&["chance %", "top 5 %"], "--html DIR");
    for row in rows {
        table.row(row);
    }
    write!(out, "{table}")?;
    if runs.len() > 1 && !differing.is_empty() {
        let names = std::iter::once("recipe".to_owned()).chain(runs.iter().map(|run| shown(&run.name).to_string()));
        if runs.len() > MOST_COLUMNS {
            // A line a key, which breaks where the terminal ends.
            writeln!(out)?;
            let names: Vec<String> = names.skip(1).collect();
            for row in differing {
                let of = row[1..].iter().zip(&names).map(|(value, name)| format!("{name} {value}"));
                writeln!(out, "{:10} {}", row[0], of.collect::<Vec<_>>().join(", "))?;
            }
            return Ok(());
        }
        let mut table = Table::new(names.map(|name| (name, Align::Left)));
        for row in differing {
            table.row(row);
        }
        write!(out, "\n{table}")?;
    }
    Ok(())
}
