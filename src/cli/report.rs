//! What the programs print: results to stdout, notes to stderr. Faults are summed up by kind, with a few examples, so
//! that a broken upload of 125,000 images does not scroll the reason off the screen.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::pack::{PackReport, Plan};
use crate::source::fault::{Fault, FaultKind};
use crate::verify::{Finding, Kind, Report, TreeReport};

use super::table::{bytes, count, plural};

/// Examples that are shown of each kind of fault.
const EXAMPLES: usize = 3;
/// Files that are shown of each kind of finding.
const FINDINGS: usize = 20;
/// Sites that are shown of each file.
const SITES: usize = 8;

/// Prints JSON to stdout.
///
/// # Errors
/// If stdout is closed.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Prints what a run would do.
///
/// # Errors
/// If stdout is closed.
pub fn plan(plan: &Plan, faults: &[Fault], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return json(&json!({ "plan": plan, "faults": faults_json(faults) }));
    }
    let mut out = io::stdout().lock();
    write_plan(&mut out, plan)?;
    writeln!(
        out,
        "to pack    {}, {} from {} of {}, about {} in the store",
        plural(plan.plates_to_pack as u64, "plate"),
        plural(plan.sites_to_pack, "site"),
        bytes(plan.source_bytes),
        if plan.source_codec.is_some() { "shards" } else { "PNGs" },
        bytes(plan.estimated_bytes)
    )?;
    write_faults_summary(&mut out, faults)?;
    Ok(())
}

fn write_plan(out: &mut impl Write, plan: &Plan) -> io::Result<()> {
    let [height, width] = plan.size;
    let classes = plural(plan.classes as u64, "class");
    let source = match &plan.source_codec {
        Some(codec) => format!("store of {codec}"),
        None => format!("{} layout", plan.layout),
    };
    writeln!(out, "source     {source}, {} x {height} x {width} pixels a site, {classes}", plan.channels)?;
    let done = if plan.plates_done > 0 { format!(", {} done before", plan.plates_done) } else { String::new() };
    writeln!(out, "plates     {}{done}", plan.plates)?;
    write_notes(out, &plan.strangers, &plan.unusual)
}

/// What is no fault, but what a user would want to know.
fn write_notes(out: &mut impl Write, strangers: &[String], unusual: &[String]) -> io::Result<()> {
    if !strangers.is_empty() {
        let first = strangers.iter().take(EXAMPLES).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if strangers.len() > EXAMPLES { ", ..." } else { "" };
        writeln!(out, "ignored    {} that are no images of this layout: {first}{more}", files(strangers.len()))?;
    }
    for note in unusual.iter().take(EXAMPLES) {
        writeln!(out, "warning    {note}")?;
    }
    if unusual.len() > EXAMPLES {
        writeln!(out, "           and {} more like these", count((unusual.len() - EXAMPLES) as u64))?;
    }
    Ok(())
}

fn files(n: usize) -> String {
    plural(n as u64, "file")
}

/// Prints what a run did.
///
/// # Errors
/// If stdout is closed.
pub fn pack(report: &PackReport, dst: &Path, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return json(&json!({
            "plan": report.plan,
            "plates_packed": report.plates_packed,
            "sites_packed": report.sites_packed,
            "stored_bytes": report.stored_bytes,
            "rejected_before": report.rejected_before,
            "finished": report.finished,
            "waiting_for": report.waiting_for.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "seconds": report.seconds,
            "faults": faults_json(&report.faults),
        }));
    }
    let mut out = io::stdout().lock();
    write_plan(&mut out, &report.plan)?;
    let raw =
        report.sites_packed * report.plan.channels as u64 * report.plan.size.map(u64::from).iter().product::<u64>();
    if report.sites_packed > 0 {
        let rate = report.sites_packed as f64 / report.seconds;
        writeln!(
            out,
            "packed     {}, {}: {} of pixels in {} ({:.0} %), {:.1} s, {rate:.0} sites/s",
            plural(report.plates_packed as u64, "plate"),
            plural(report.sites_packed, "site"),
            bytes(raw),
            bytes(report.stored_bytes),
            100.0 * report.stored_bytes as f64 / raw as f64,
            report.seconds,
        )?;
    } else if report.plan.plates_to_pack == 0 {
        writeln!(out, "packed     nothing: all is done and unchanged ({:.2} s)", report.seconds)?;
    }
    write_faults_summary(&mut out, &report.faults)?;
    if report.rejected_before > 0 {
        let n = count(report.rejected_before);
        writeln!(out, "left out   {n} by earlier runs: {}", dst.join("rejected.csv").display())?;
    }
    let refused = report.plan.plates_to_pack - report.plates_packed;
    if refused > 0 {
        let (plates, dst) = (plural(refused as u64, "plate"), dst.display());
        if report.finished {
            writeln!(out, "store      {dst} is finished, but {plates} stayed as they were because of these faults")?;
        } else {
            writeln!(out, "store      {dst} is not finished: {plates} left out because of these faults")?;
        }
        let remedy = match report.plan.source_codec {
            Some(_) => "send what is damaged again (verify of the source lists it) and run again",
            None => "mend the source and run again, or pack what is whole with --on-error skip",
        };
        writeln!(out, "           {remedy}")?;
    } else if report.waiting_for.is_empty() {
        writeln!(out, "store      {} is finished", dst.display())?;
    } else {
        let n = report.waiting_for.len();
        let first = report.waiting_for.iter().take(EXAMPLES).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let more = if n > EXAMPLES { ", ..." } else { "" };
        let state = if report.finished { "finished as far as it was before, but" } else { "not finished:" };
        let plates = plural(n as u64, "plate");
        writeln!(out, "store      {state} {plates} still to be packed, or lost since: {first}{more}")?;
    }
    Ok(())
}

/// Prints what was found in a store, or in a tree that was compared with a list.
///
/// # Errors
/// If stdout is closed.
pub fn verify(path: &Path, report: &Report, is_store: bool, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return json(&json!({
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
        return json(&json!({
            "path": path.display().to_string(),
            "whole": report.faults.iter().all(|fault| fault.kind.is_warning()),
            "plates": report.plates,
            "sites": report.sites,
            "bytes_read": report.bytes,
            "seconds": report.seconds,
            "strangers": report.strangers,
            "unusual": report.unusual,
            "faults": faults_json(&report.faults),
        }));
    }
    let mut out = io::stdout().lock();
    let [height, width] = report.size;
    let (plates, sites) = (plural(report.plates, "plate"), plural(report.sites, "site"));
    writeln!(out, "tree       {}: {plates}, {sites} of {} x {height} x {width}", path.display(), report.channels)?;
    writeln!(out, "decoded    {} of PNGs in {:.2} s", bytes(report.bytes), report.seconds)?;
    write_notes(&mut out, &report.strangers, &report.unusual)?;
    write_faults_summary(&mut out, &report.faults)?;
    if let Some(list) = list {
        writeln!(out, "written    {}: {}", list.display(), files(report.list.len()))?;
    }
    let whole = report.faults.iter().all(|fault| fault.kind.is_warning());
    writeln!(out, "result     {}", if whole { "whole" } else { "not whole" })?;
    Ok(())
}

/// Sums faults up by kind, with examples.
///
/// # Errors
/// If the writer fails.
pub fn write_faults_summary(out: &mut impl Write, faults: &[Fault]) -> io::Result<()> {
    for kind in FaultKind::ALL {
        let of_kind: Vec<&Fault> = faults.iter().filter(|fault| fault.kind == kind).collect();
        let Some(first) = of_kind.first() else { continue };
        let mut plates: Vec<_> = of_kind.iter().map(|fault| &fault.plate).collect();
        plates.dedup();
        let what = match (kind, first.site) {
            (FaultKind::NoImages, None) => "well",
            (FaultKind::NoImages | FaultKind::MissingSite | FaultKind::NoRow | FaultKind::DamagedSite, _) => "site",
            _ => "file",
        };
        let word = if kind.is_warning() { "warning" } else { "fault" };
        let (n, on) = (plural(of_kind.len() as u64, what), plural(plates.len() as u64, "plate"));
        writeln!(out, "{word:<10} {}: {n} on {on}: {}", kind.name(), kind.meaning())?;
        for fault in of_kind.iter().take(EXAMPLES) {
            writeln!(out, "           {fault}")?;
        }
        if of_kind.len() > EXAMPLES {
            writeln!(out, "           and {} more", count((of_kind.len() - EXAMPLES) as u64))?;
        }
    }
    Ok(())
}

/// Faults as JSON.
#[must_use]
pub fn faults_json(faults: &[Fault]) -> Value {
    let fault = |fault: &Fault| {
        json!({
            "plate": fault.plate.to_string(),
            "well": fault.well.map(|well| well.to_string()),
            "site": fault.site,
            "kind": fault.kind.name(),
            "warning": fault.kind.is_warning(),
            "file": fault.file,
            "detail": fault.detail,
        })
    };
    faults.iter().map(fault).collect()
}

/// Every fault as CSV.
#[must_use]
pub fn faults_csv(faults: &[Fault]) -> String {
    let mut out = "plate,well,site,kind,file,detail\n".to_owned();
    for Fault { plate, well, site, kind, file, detail } in faults {
        let well = well.map(|well| well.to_string()).unwrap_or_default();
        let site = site.map(|site| site.to_string()).unwrap_or_default();
        let (file, detail) = (crate::classes::csv_field(file), crate::classes::csv_field(detail));
        out += &format!("{plate},{well},{site},{},{file},{detail}\n", kind.name());
    }
    out
}
