//! What `verify` prints.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::numbers::{BYTES, bytes, rate};
use crate::cli::screen::screen;
use crate::error::{shown, shown_path};
use crate::store::format::names::REJECTED;
use crate::store::read::listing::LeftOut;
use crate::verify::{Compared, Finding, Kind, Report, TreeReport};
use crate::words::{count, plural};

use super::faults::{faults_json, files, layout, texts_json, write_faults_summary, write_notes};
use super::json::{MOST_LISTED, listed, print_json};

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
        let what = if is_store { "store" } else { "tree" };
        return print_json(
            "verify",
            &json!({
                "what": what,
                "path": path.display().to_string(),
                "whole": report.findings.is_empty(),
                "finished": report.is_finished,
                "files": report.files,
                "sites": report.sites,
                "channels": report.channels,
                "left_out": report.left_out,
                "present_only": report.present_only,
                "bytes_read": report.bytes,
                "seconds": report.seconds,
                "findings": findings_json(&report.findings),
            }),
        );
    }
    let mut out = screen();
    let what = if is_store { "store" } else { "tree" };
    let path = shown_path(path);
    let sites = if is_store { format!(", {}", plural(report.sites, "site")) } else { String::new() };
    writeln!(out, "{what:<10} {path}: {}{sites}", plural(report.files, "file"))?;
    if report.present_only {
        writeln!(out, "part       holds what was present of its source when it was packed (pack --present)")?;
    }
    let rate = rate(report.bytes as f64 / report.seconds.max(1e-3), BYTES);
    writeln!(out, "read       {} in {:.2} s ({rate})", bytes(report.bytes), report.seconds)?;
    for kind in Kind::ALL {
        let of_kind: Vec<&Finding> = report.findings.iter().filter(|finding| finding.kind == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        writeln!(out, "{:<10} {}", kind.name(), files(of_kind.len()))?;
        for finding in of_kind.iter().take(FINDINGS) {
            writeln!(out, "           {}: {}", shown(&finding.path), shown(&finding.detail))?;
            for site in finding.sites.iter().take(SITES) {
                writeln!(out, "             site {}", site.shown())?;
            }
            if finding.sites.len() > SITES {
                writeln!(out, "             and {}", plural((finding.sites.len() - SITES) as u64, "more site"))?;
            }
        }
        if of_kind.len() > FINDINGS {
            writeln!(out, "           and {} more", count((of_kind.len() - FINDINGS) as u64))?;
        }
    }
    write_result(&mut out, report, is_store)?;
    Ok(())
}

/// What it comes to, and what mends it.
fn write_result(out: &mut impl Write, report: &Report, is_store: bool) -> io::Result<()> {
    let damaged = report.damaged().count() as u64;
    let sites: usize = report.findings.iter().map(|finding| finding.sites.len()).sum();
    let again = plural(damaged, "file");
    if report.findings.is_empty() {
        return writeln!(out, "result     whole{}", left_out(report.left_out));
    }
    if is_store && !report.is_finished {
        writeln!(out, "result     not finished: run pack again, with the flags that it was begun with")?;
        return writeln!(out, "           if it is finished where it came from, send it again, SHA256SUMS last");
    }
    if damaged == 0 {
        return writeln!(out, "result     not whole");
    }
    if !is_store {
        return writeln!(out, "result     not whole: {again} to send again");
    }
    let sites = plural(sites as u64, "site");
    writeln!(out, "result     not whole: {again} to send again, {sites} unreadable until then")?;
    writeln!(out, "           send them again, or mend them from the source with pack --rehash")
}

/// `, 3 sites and 1 well left out (rejected.csv)`; nothing where nothing is.
#[must_use]
pub(super) fn left_out(left_out: LeftOut) -> String {
    let LeftOut { sites, wells } = left_out;
    let what = match (sites, wells) {
        (0, 0) => return String::new(),
        (_, 0) => plural(sites, "site"),
        (0, _) => plural(wells, "well"),
        _ => format!("{} and {}", plural(sites, "site"), plural(wells, "well")),
    };
    format!(", {what} left out ({REJECTED})")
}

/// Findings as JSON, summed up by kind.
fn findings_json(findings: &[Finding]) -> Value {
    let kinds = Kind::ALL.into_iter().filter_map(|kind| {
        let of_kind: Vec<&Finding> = findings.iter().filter(|finding| finding.kind == kind).collect();
        (!of_kind.is_empty()).then(|| {
            json!({
                "kind": kind.name(),
                "send_again": kind.is_damage(),
                "n": of_kind.len(),
                "n_sites": of_kind.iter().map(|finding| finding.sites.len()).sum::<usize>(),
                "listed": of_kind.iter().take(MOST_LISTED).map(|finding| finding_json(finding)).collect::<Vec<_>>(),
            })
        })
    });
    kinds.collect()
}

fn finding_json(finding: &Finding) -> Value {
    let (compared, expected, found): (_, Value, Value) = match &finding.compared {
        Some(Compared::Bytes { expected, found }) => (Some("bytes"), (*expected).into(), (*found).into()),
        Some(Compared::Sha256 { expected, found }) => {
            (Some("sha256"), expected.to_string().into(), found.to_string().into())
        }
        Some(Compared::Text { expected, found }) => (Some("text"), expected.as_str().into(), found.as_str().into()),
        None => (None, Value::Null, Value::Null),
    };
    json!({
        "path": finding.path,
        "detail": finding.detail,
        "compared": compared,
        "expected": expected,
        "found": found,
        "sites": listed(finding.sites.iter().map(|site| site.to_string().into())),
    })
}

/// Prints what was found in a raw tree.
///
/// # Errors
/// If stdout is closed.
pub fn tree(path: &Path, report: &TreeReport, list: Option<&Path>, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let written = list.zip(report.list.as_ref());
        let written = written.map(|(list, of)| json!({ "path": list.display().to_string(), "files": of.len() }));
        return print_json(
            "verify",
            &json!({
                "what": "tree",
                "path": path.display().to_string(),
                "whole": report.faults.is_empty(),
                "channels": report.channels,
                "size": report.size,
                "layout": report.layout,
                "classes": report.classes,
                "labelled_wells": report.labelled_wells,
                "plates": report.plates,
                "sites": report.sites,
                "bytes_read": report.bytes,
                "seconds": report.seconds,
                "other_files": texts_json(&report.other_files),
                "unusual": texts_json(&report.unusual),
                "faults": faults_json(&report.faults),
                "written": written,
            }),
        );
    }
    let mut out = screen();
    let [height, width] = report.size;
    let (plates, sites) = (plural(report.plates, "plate"), plural(report.sites, "site"));
    let path = shown_path(path);
    writeln!(out, "tree       {path}: {plates}, {sites} of {} x {height} x {width}", report.channels)?;
    let classes = plural(report.classes as u64, "class");
    writeln!(out, "labels     {}, {classes}", layout(report.layout, report.labelled_wells))?;
    writeln!(out, "decoded    {} of images in {:.2} s", bytes(report.bytes), report.seconds)?;
    write_notes(&mut out, &report.other_files, &report.unusual)?;
    write_faults_summary(&mut out, &report.faults)?;
    match (list, &report.list) {
        (Some(list), Some(of)) => writeln!(out, "written    {}: {}", shown_path(list), files(of.len()))?,
        (Some(list), None) => writeln!(out, "written    {}: nothing, as not all can be read", shown_path(list))?,
        (None, _) => {}
    }
    let whole = report.faults.is_empty();
    writeln!(out, "result     {}", if whole { "whole" } else { "not whole" })?;
    Ok(())
}
