//! What `pack` prints.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::numbers::{bytes, rate};
use crate::cli::screen::screen;
use crate::error::{shown, shown_path};
use crate::fault::Fault;
use crate::pack::{ChannelFile, FirstSite, Held, HeldPlate, OTHER_IMAGES, PackReport, Plan};
use crate::site::SiteId;
use crate::source::Absent;
use crate::store::format::names::REJECTED;
use crate::store::read::listing::{self, LeftOut};
use crate::store::read_spec;
use crate::words::{agree, count, plural};

use super::faults::{faults_json, layout, texts_json, write_faults_summary, write_notes};
use super::json::{listed, print_json};
use super::labels::{labels_json, write_labels};
use super::verify::left_out as phrase;

/// Plates that are shown of those that are waited for.
const EXAMPLES: usize = 3;

/// Prints what a run would do.
///
/// # Errors
/// If stdout is closed.
pub fn plan(plan: &Plan, faults: &[Fault], prune: bool, as_json: bool) -> anyhow::Result<()> {
    let (kept, removed): (&[HeldPlate], &[HeldPlate]) = if prune { (&[], &plan.held) } else { (&plan.held, &[]) };
    if as_json {
        let report = json!({
            "plan": plan_json(plan),
            "kept": held_json(kept),
            "removed": held_json(removed),
            "faults": faults_json(faults),
        });
        return print_json("pack", &report);
    }
    let mut out = screen();
    write_plan(&mut out, plan)?;
    if let Some(labels) = &plan.labels {
        write_labels(&mut out, labels)?;
    }
    if let Some(site) = &plan.first_site {
        write_first_site(&mut out, site)?;
    }
    writeln!(
        out,
        "to pack    {}, {} from {} of {}, about {} in the store",
        plural(plan.plates_to_pack as u64, "plate"),
        plural(plan.sites_to_pack, "site"),
        bytes(plan.source_bytes),
        if plan.source_codec.is_some() { "shards" } else { "images" },
        bytes(plan.estimated_bytes)
    )?;
    write_faults_summary(&mut out, faults)?;
    write_held(&mut out, kept, "kept", "it would lose", true)?;
    write_held(&mut out, removed, "to remove", "the source no longer has", false)?;
    Ok(())
}

fn held_json(held: &[HeldPlate]) -> Value {
    listed(held.iter().map(|HeldPlate { plate, what, sites, reason, can_be_pruned }| {
        let sites = listed(sites.iter().map(|site| site.to_string().into()));
        json!({
            "plate": plate.to_string(),
            "what": what.name(),
            "reason": reason,
            "can_be_pruned": can_be_pruned,
            "sites": sites,
        })
    }))
}

/// Names the plates of which the store holds more than the source.
fn write_held(out: &mut impl Write, held: &[HeldPlate], what: &str, why: &str, stay: bool) -> io::Result<()> {
    for (n, HeldPlate { plate, what: of, sites, reason, can_be_pruned }) in held.iter().enumerate() {
        let what = if n == 0 { what } else { "" };
        let first = sites.iter().take(EXAMPLES).map(SiteId::shown).collect::<Vec<_>>().join(", ");
        let more = if sites.len() > EXAMPLES { ", ..." } else { "" };
        let of_what = match of {
            Held::Sites if *reason == OTHER_IMAGES => {
                let n_sites = plural(sites.len() as u64, "site");
                let remedy = match (stay, can_be_pruned) {
                    (false, _) => "",
                    (true, true) => ": --experiment keeps this one apart, --prune replaces the other",
                    (true, false) => ": --experiment keeps this one apart",
                };
                let why = "another plate of this name, which has none of this one's images";
                writeln!(out, "{what:10} {plate}: {why}, of {n_sites}{remedy}")?;
                continue;
            }
            Held::Sites => "",
            Held::Labels => "labels of ",
            Held::Experiment => {
                writeln!(
                    out,
                    "{what:10} {plate}: it would get another cell type than plates of its experiment that stay"
                )?;
                continue;
            }
        };
        let n_sites = plural(sites.len() as u64, "site");
        let remedy = match (stay, can_be_pruned) {
            (false, _) => "",
            (true, true) => agree(sites.len() as u64, ": --prune removes it", ": --prune removes them"),
            (true, false) => ": send the damaged images again (--prune removes only what is gone)",
        };
        writeln!(out, "{what:10} {plate}: {why} {of_what}{n_sites} ({reason}): {first}{more}{remedy}")?;
    }
    Ok(())
}

/// The first site as it was understood: what names and tables tell, and the file of each channel.
fn write_first_site(out: &mut impl Write, site: &FirstSite) -> io::Result<()> {
    let FirstSite { experiment, plate, well, site, dataset, well_type, sirna, channels } = site;
    let label = [dataset.as_str(), well_type.name(), sirna].map(|text| shown(text).to_string()).into_iter();
    let label: Vec<_> = label.filter(|text| !text.is_empty() && text != "unknown").collect();
    let label = if label.is_empty() { "no label".to_owned() } else { label.join(", ") };
    writeln!(out, "first site {experiment}/{plate}/{well}/{site}: {label}")?;
    let width = channels.iter().map(|channel| channel.name.len()).max().unwrap_or(0);
    for ChannelFile { name, file } in channels {
        writeln!(out, "           {name:width$}  {}", shown(file))?;
    }
    Ok(())
}

fn write_plan(out: &mut impl Write, plan: &Plan) -> io::Result<()> {
    let [height, width] = plan.size;
    let classes = plural(plan.classes as u64, "class");
    let source = match &plan.source_codec {
        Some(codec) => format!("store of {codec}"),
        None => layout(plan.layout, plan.labelled_wells.unwrap_or(0)),
    };
    let bits = if plan.dtype == "uint8" { "" } else { " of 16 bits" };
    writeln!(out, "source     {source}, {} x {height} x {width} pixels{bits} a site, {classes}", plan.channels)?;
    let done = if plan.plates_done > 0 { format!(", {} done before", plan.plates_done) } else { String::new() };
    writeln!(out, "plates     {}{done}", count(plan.plates as u64))?;
    if let Some(Absent { plates, wells, sites }) = plan.absent {
        let [have, plates_have] = [wells, plates].map(|n| agree(n, "has", "have"));
        let [wells, plates] = [plural(wells, "well"), plural(plates, "plate")];
        let of_wells = if sites > 0 {
            format!(", and {} of wells that have others", plural(sites, "site"))
        } else {
            String::new()
        };
        writeln!(
            out,
            "beside     {wells} that the CSVs name {have} no image{of_wells}; {plates} {plates_have} none at all (--present)"
        )?;
    }
    write_notes(out, &plan.other_files, &plan.unusual)
}

fn plan_json(plan: &Plan) -> Value {
    let mut value = json!(plan);
    value["other_files"] = texts_json(&plan.other_files);
    value["unusual"] = texts_json(&plan.unusual);
    value["labels"] = plan.labels.as_ref().map_or(Value::Null, labels_json);
    value
}

/// Prints what a run did.
///
/// # Errors
/// If stdout is closed.
pub fn pack(report: &PackReport, dst: &Path, as_json: bool) -> anyhow::Result<()> {
    // What the store is now is read from it: other runs and processes have a part in it.
    let left_out = if report.finished { listing::left_out(dst)? } else { LeftOut::default() };
    if as_json {
        let spec = if report.finished { Some(read_spec(dst)?) } else { None };
        let channels = spec.map_or_else(Vec::new, |spec| spec.channels.into_iter().map(|c| c.name).collect());
        let waiting_for = report.waiting_for.iter().map(|plate| plate.to_string().into());
        return print_json(
            "pack",
            &json!({
                "path": dst.display().to_string(),
                "plan": plan_json(&report.plan),
                "plates_packed": report.plates_packed,
                "sites_packed": report.sites_packed,
                "stored_bytes": report.stored_bytes,
                "rejected_before": report.rejected_before,
                "kept": held_json(&report.kept),
                "removed": held_json(&report.removed),
                "left_out": left_out,
                "channels": channels,
                "finished": report.finished,
                "waiting_for": listed(waiting_for),
                "seconds": report.seconds,
                "faults": faults_json(&report.faults),
            }),
        );
    }
    let mut out = screen();
    write_plan(&mut out, &report.plan)?;
    let raw = report.sites_packed * report.plan.site_bytes;
    if report.sites_packed > 0 {
        writeln!(
            out,
            "packed     {}, {}: {} of pixels in {} ({:.0} %), {:.1} s, {}",
            plural(report.plates_packed as u64, "plate"),
            plural(report.sites_packed, "site"),
            bytes(raw),
            bytes(report.stored_bytes),
            100.0 * report.stored_bytes as f64 / raw as f64,
            report.seconds,
            rate(report.sites_packed as f64 / report.seconds, "sites"),
        )?;
    } else if report.plan.plates_to_pack == 0 {
        writeln!(out, "packed     nothing: all is done and unchanged ({:.2} s)", report.seconds)?;
    }
    write_faults_summary(&mut out, &report.faults)?;
    if report.rejected_before > 0 {
        let n = count(report.rejected_before);
        writeln!(out, "left out   {n} by earlier runs: {}", shown_path(&dst.join(REJECTED)))?;
    }
    write_held(&mut out, &report.removed, "removed", "the source no longer has", false)?;
    write_held(&mut out, &report.kept, "kept", "it would lose", true)?;
    let refused = report.n_refused();
    if refused > 0 {
        let (plates, dst) = (plural(refused as u64, "plate"), shown_path(dst));
        if report.finished {
            writeln!(out, "store      {dst} is finished, with {plates} as before because of these faults")?;
        } else {
            writeln!(out, "store      {dst} is not finished: {plates} left out because of these faults")?;
        }
        let remedy = match report.plan.source_codec {
            Some(_) => "send what is damaged again (verify of the source lists it) and run again",
            None => "mend the source and run again, or pack what is whole with --on-error skip",
        };
        writeln!(out, "           {remedy}")?;
    } else if report.waiting_for.is_empty() && !report.finished {
        writeln!(out, "store      {} is not finished: there are images that no plate takes", dst.display())?;
        writeln!(out, "           rename or remove them and run again, or leave them out with --on-error skip")?;
    } else if report.waiting_for.is_empty() {
        writeln!(out, "store      {} is finished{}", shown_path(dst), phrase(left_out))?;
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
