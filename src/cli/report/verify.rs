//! What `verify` prints.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::table::{bytes, count, plural};
use crate::verify::{Finding, Kind, Report, TreeReport};

use super::faults::{faults_json, files, write_faults_summary, write_notes};
use super::json::print_json;
use super::pack::layout;

/// Files that are shown of each kind of finding.
const FINDINGS: usize = 20;
/// Sites that are shown of each file.
const SITES: usize = 8;

/// Prints what was found in a store, or in a tree that was compared with a list.
///
/// # Errors
/// If stdout is closed.
pub fn verify(path: &Path, report: &Report, is_store: bool, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return print_json(&json!({
            "path": path.display().to_string(),
            "whole": report.findings.is_empty(),
            "files": report.files,
            "sites": report.sites,
            "bytes_read": report.bytes,
            "seconds": report.seconds,
            "findings": report.findings.iter().map(finding_json).collect::<Vec<_>>(),
        }));
    }
    let mut out = io::stdout().lock();
    let what = if is_store { "store" } else { "tree" };
    let sites = if is_store { format!(", {}", plural(report.sites, "site")) } else { String::new() };
    writeln!(out, "{what:<10} {}: {}{sites}", path.display(), plural(report.files, "file"))?;
    let rate = bytes((report.bytes as f64 / report.seconds.max(1e-3)) as u64);
    writeln!(out, "read       {} in {:.2} s ({rate}/s)", bytes(report.bytes), report.seconds)?;
    for kind in Kind::ALL {
        let of_kind: Vec<&Finding> = report.findings.iter().filter(|finding| finding.kind == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        writeln!(out, "{:<10} {}", kind.name(), files(of_kind.len()))?;
        for finding in of_kind.iter().take(FINDINGS) {
            writeln!(out, "           {}: {}", finding.path, finding.detail)?;
            for site in finding.sites.iter().take(SITES) {
                let (well, plate) = (site.well.well, &site.well.plate);
                writeln!(out, "             site {} {} {well} {}", plate.experiment, plate.plate, site.site)?;
            }
            if finding.sites.len() > SITES {
                writeln!(out, "             and {} more sites", count((finding.sites.len() - SITES) as u64))?;
            }
        }
        if of_kind.len() > FINDINGS {
            writeln!(out, "           and {} more", count((of_kind.len() - FINDINGS) as u64))?;
        }
    }
    let damaged = report.damaged().count() as u64;
    let sites: usize = report.findings.iter().map(|finding| finding.sites.len()).sum();
    let remedy = "send them again, or mend them from the source with pack --rehash";
    match (report.findings.is_empty(), damaged) {
        (true, _) => writeln!(out, "result     whole")?,
        (false, 0) => writeln!(out, "result     not whole")?,
        (false, n) if !is_store => writeln!(out, "result     not whole: {} to send again", plural(n, "file"))?,
        (false, n) => {
            let sites = plural(sites as u64, "site");
            writeln!(out, "result     not whole: {} to send again, {sites} unreadable until then", plural(n, "file"))?;
            writeln!(out, "           {remedy}")?;
        }
    }
    Ok(())
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "kind": finding.kind.name(),
        "path": finding.path,
        "detail": finding.detail,
        "sites": finding.sites.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// Prints what was found in a raw tree.
///
/// # Errors
/// If stdout is closed.
pub fn tree(path: &Path, report: &TreeReport, list: Option<&Path>, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return print_json(&json!({
            "path": path.display().to_string(),
            "whole": report.faults.is_empty(),
            "layout": report.layout,
            "classes": report.classes,
            "labelled_wells": report.labelled_wells,
            "plates": report.plates,
            "sites": report.sites,
            "bytes_read": report.bytes,
            "seconds": report.seconds,
            "strangers": report.other_files,
            "unusual": report.unusual,
            "faults": faults_json(&report.faults),
        }));
    }
    let mut out = io::stdout().lock();
    let [height, width] = report.size;
    let (plates, sites) = (plural(report.plates, "plate"), plural(report.sites, "site"));
    writeln!(out, "tree       {}: {plates}, {sites} of {} x {height} x {width}", path.display(), report.channels)?;
    let classes = plural(report.classes as u64, "class");
    writeln!(out, "labels     {}, {classes}", layout(report.layout, report.labelled_wells))?;
    writeln!(out, "decoded    {} of PNGs in {:.2} s", bytes(report.bytes), report.seconds)?;
    write_notes(&mut out, &report.other_files, &report.unusual)?;
    write_faults_summary(&mut out, &report.faults)?;
    if let Some(list) = list {
        writeln!(out, "written    {}: {}", list.display(), files(report.list.len()))?;
    }
    let whole = report.faults.is_empty();
    writeln!(out, "result     {}", if whole { "whole" } else { "not whole" })?;
    Ok(())
}
