//! What the programs print: results to stdout, notes to stderr. Faults are summed up by kind, with a few examples, so
//! that a broken upload of 125,000 images does not scroll the reason off the screen.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use serde_json::{Value, json};

use crate::pack::{PackReport, Plan};
use crate::source::fault::{Fault, FaultKind};

use super::table::{bytes, count, plural};

/// Examples that are shown of each kind of fault.
const EXAMPLES: usize = 3;

/// Creates a file that a report will go to, before the long work starts.
///
/// # Errors
/// If it cannot be created.
pub fn create(path: &PathBuf) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("{}: cannot create", path.display()))
}

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
        "to pack    {}, {} from {} of PNGs, about {} in the store",
        plural(plan.plates_to_pack as u64, "plate"),
        plural(plan.sites_to_pack, "site"),
        bytes(plan.source_bytes),
        bytes(plan.estimated_bytes)
    )?;
    write_faults_summary(&mut out, faults)?;
    Ok(())
}

fn write_plan(out: &mut impl Write, plan: &Plan) -> io::Result<()> {
    let [height, width] = plan.size;
    let classes = plural(plan.classes as u64, "class");
    writeln!(
        out,
        "source     {} layout, {} x {height} x {width} pixels a site, {classes}",
        plan.layout, plan.channels
    )?;
    let done = if plan.plates_done > 0 {
        format!(", {} done before", plan.plates_done)
    } else {
        String::new()
    };
    writeln!(out, "plates     {}{done}", plan.plates)?;
    if !plan.strangers.is_empty() {
        let first = plan
            .strangers
            .iter()
            .take(EXAMPLES)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        let more = if plan.strangers.len() > EXAMPLES { ", ..." } else { "" };
        writeln!(
            out,
            "ignored    {} that are no images of this layout: {first}{more}",
            files(plan.strangers.len())
        )?;
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
        writeln!(
            out,
            "packed     nothing: all is done and unchanged ({:.2} s)",
            report.seconds
        )?;
    }
    write_faults_summary(&mut out, &report.faults)?;
    if report.rejected_before > 0 {
        let n = count(report.rejected_before);
        writeln!(
            out,
            "left out   {n} by earlier runs: {}",
            dst.join("rejected.csv").display()
        )?;
    }
    let refused = report.plan.plates_to_pack - report.plates_packed;
    if report.finished {
        writeln!(out, "store      {} is finished", dst.display())?;
    } else if refused > 0 {
        let plates = plural(refused as u64, "plate");
        writeln!(
            out,
            "store      not finished: {plates} left out because of these faults"
        )?;
        writeln!(
            out,
            "           mend the source and run again, or pack what is whole with --on-error skip"
        )?;
    } else {
        let n = report.waiting_for.len();
        let first = report
            .waiting_for
            .iter()
            .take(EXAMPLES)
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        let more = if n > EXAMPLES { ", ..." } else { "" };
        writeln!(
            out,
            "store      not finished: waiting for {} of other parts: {first}{more}",
            plural(n as u64, "plate")
        )?;
    }
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
            (FaultKind::NoImages | FaultKind::MissingSite | FaultKind::NoRow, _) => "site",
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
            "well": fault.well.to_string(),
            "site": fault.site,
            "kind": fault.kind.name(),
            "warning": fault.kind.is_warning(),
            "file": fault.file,
            "detail": fault.detail,
        })
    };
    faults.iter().map(fault).collect()
}

/// Writes every fault as CSV.
///
/// # Errors
/// If the file cannot be written.
pub fn write_faults(file: &mut File, faults: &[Fault]) -> io::Result<()> {
    let mut out = io::BufWriter::new(file);
    writeln!(out, "plate,well,site,kind,file,detail")?;
    for Fault {
        plate,
        well,
        site,
        kind,
        file,
        detail,
    } in faults
    {
        let site = site.map(|site| site.to_string()).unwrap_or_default();
        let (file, detail) = (crate::classes::csv_field(file), crate::classes::csv_field(detail));
        writeln!(out, "{plate},{well},{site},{},{file},{detail}", kind.name())?;
    }
    out.flush()
}
