//! What `pack` prints.

use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use crate::cli::table::{bytes, count, plural};
use crate::fault::Fault;
use crate::pack::{HeldPlate, PackReport, Plan};
use crate::store::format::names::REJECTED;

use super::faults::{faults_json, write_faults_summary, write_notes};
use super::json::print_json;

/// Plates that are shown of those that are waited for.
const EXAMPLES: usize = 3;
/// Sites that JSON names of a plate of which the store holds more than the source.
const MANY: usize = 100;

/// Prints what a run would do.
///
/// # Errors
/// If stdout is closed.
pub fn plan(plan: &Plan, faults: &[Fault], prune: bool, as_json: bool) -> anyhow::Result<()> {
    let (kept, removed): (&[HeldPlate], &[HeldPlate]) = if prune { (&[], &plan.held) } else { (&plan.held, &[]) };
    if as_json {
        return print_json(&json!({
            "plan": plan,
            "kept": held_json(kept),
            "removed": held_json(removed),
            "faults": faults_json(faults),
        }));
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
    write_held(&mut out, kept, "kept", "it would lose", ": --prune removes them")?;
    write_held(&mut out, removed, "to remove", "the source no longer has", "")?;
    Ok(())
}

fn held_json(held: &[HeldPlate]) -> Vec<serde_json::Value> {
    let sites = |plate: &HeldPlate| plate.sites.iter().take(MANY).map(ToString::to_string).collect::<Vec<_>>();
    let json = |plate: &HeldPlate| {
        json!({
            "plate": plate.plate.to_string(),
            "n_sites": plate.sites.len(),
            "sites": sites(plate),
            "reason": plate.reason,
        })
    };
    held.iter().map(json).collect()
}

/// Names the plates of which the store holds more than the source.
fn write_held(out: &mut impl Write, held: &[HeldPlate], what: &str, why: &str, remedy: &str) -> io::Result<()> {
    for (n, HeldPlate { plate, sites, reason }) in held.iter().enumerate() {
        let what = if n == 0 { what } else { "" };
        let first = sites.iter().take(EXAMPLES).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let more = if sites.len() > EXAMPLES { ", ..." } else { "" };
        let n_sites = plural(sites.len() as u64, "site");
        writeln!(out, "{what:10} {plate}: {why} {n_sites} ({reason}): {first}{more}{remedy}")?;
    }
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
    write_notes(out, &plan.other_files, &plan.unusual)
}

/// Prints what a run did.
///
/// # Errors
/// If stdout is closed.
pub fn pack(report: &PackReport, dst: &Path, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return print_json(&json!({
            "plan": report.plan,
            "plates_packed": report.plates_packed,
            "sites_packed": report.sites_packed,
            "stored_bytes": report.stored_bytes,
            "rejected_before": report.rejected_before,
            "kept": held_json(&report.kept),
            "removed": held_json(&report.removed),
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
        writeln!(out, "left out   {n} by earlier runs: {}", dst.join(REJECTED).display())?;
    }
    write_held(&mut out, &report.removed, "removed", "the source no longer has", "")?;
    write_held(&mut out, &report.kept, "kept", "it would lose", ": --prune removes them")?;
    let refused = report.n_refused();
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
