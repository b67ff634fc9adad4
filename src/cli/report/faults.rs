//! Faults of a source, summed up by kind with a few examples, so that a broken upload of 125,000 images does not scroll
//! the reason off the screen.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::csv_table::to_csv;
use crate::error::shown;
use crate::fault::{Fault, FaultKind};
use crate::site::{PlateId, Well};
use crate::words::{agree, count, plural};

use super::json::{MOST_LISTED, listed};

/// Examples that are shown of each kind of fault.
const EXAMPLES: usize = 3;

/// What is no fault, but what a user would want to know.
pub(super) fn write_notes(out: &mut impl Write, other_files: &[String], unusual: &[String]) -> io::Result<()> {
    if !other_files.is_empty() {
        let first =
            other_files.iter().take(EXAMPLES).map(|name| shown(name).to_string()).collect::<Vec<_>>().join(", ");
        let more = if other_files.len() > EXAMPLES { ", ..." } else { "" };
        let n = other_files.len();
        let are = agree(n as u64, "is no image", "are no images");
        writeln!(out, "ignored    {} that {are} of this layout: {first}{more}", files(n))?;
    }
    for note in unusual.iter().take(EXAMPLES) {
        writeln!(out, "warning    {}", shown(note))?;
    }
    if unusual.len() > EXAMPLES {
        writeln!(out, "           and {} more like these", count((unusual.len() - EXAMPLES) as u64))?;
    }
    Ok(())
}

/// The layout of a tree, and how many wells have a label.
pub(super) fn layout(name: &str, labelled_wells: u64) -> String {
    match labelled_wells {
        0 => format!("{name} layout without labels"),
        n => format!("{name} layout, {}", plural(n, "labelled well")),
    }
}

pub(super) fn files(n: usize) -> String {
    plural(n as u64, "file")
}

/// Sums faults up by kind, with examples.
///
/// # Errors
/// If the writer fails.
pub(super) fn write_faults_summary(out: &mut impl Write, faults: &[Fault]) -> io::Result<()> {
    for kind in FaultKind::ALL {
        let of_kind: Vec<&Fault> = faults.iter().filter(|fault| fault.kind == kind).collect();
        let Some(first) = of_kind.first() else { continue };
        let mut plates: Vec<_> = of_kind.iter().filter_map(|fault| fault.plate.as_ref()).collect();
        plates.dedup();
        let what = match (kind, first.site) {
            (FaultKind::NoImages, None) => "well",
            (
                FaultKind::NoImages
                | FaultKind::MissingSite
                | FaultKind::ExtraSite
                | FaultKind::NoRow
                | FaultKind::DamagedSite,
                _,
            ) => "site",
            _ => "file",
        };
        let n = plural(of_kind.len() as u64, what);
        let on = match plates.len() as u64 {
            0 => String::new(),
            n => format!(" on {}", plural(n, "plate")),
        };
        writeln!(out, "fault      {}: {n}{on}: {}", kind.name(), kind.meaning())?;
        for fault in of_kind.iter().take(EXAMPLES) {
            writeln!(out, "           {fault}")?;
        }
        if of_kind.len() > EXAMPLES {
            writeln!(out, "           and {} more", count((of_kind.len() - EXAMPLES) as u64))?;
        }
        if kind == FaultKind::NoImages {
            let of_sites = of_kind.iter().any(|fault| fault.site.is_some());
            let sites = if of_sites { "; --on plate,well,site= is for rows that do not number sites" } else { "" };
            writeln!(out, "           --present counts what nobody imaged instead{sites}")?;
        }
    }
    Ok(())
}

/// Faults as JSON, summed up by kind.
#[must_use]
pub(super) fn faults_json(faults: &[Fault]) -> Value {
    let fault = |fault: &&Fault| {
        json!({
            "plate": fault.plate.as_ref().map(ToString::to_string),
            "well": fault.well.map(|well| well.to_string()),
            "site": fault.site,
            "file": fault.file,
            "detail": fault.detail,
        })
    };
    let kinds = FaultKind::ALL.into_iter().filter_map(|kind| {
        let of_kind: Vec<&Fault> = faults.iter().filter(|fault| fault.kind == kind).collect();
        let mut plates: Vec<_> = of_kind.iter().map(|fault| &fault.plate).collect();
        plates.dedup();
        (!of_kind.is_empty()).then(|| {
            json!({
                "kind": kind.name(),
                "meaning": kind.meaning(),
                "n": of_kind.len(),
                "n_plates": plates.len(),
                "listed": of_kind.iter().take(MOST_LISTED).map(fault).collect::<Vec<_>>(),
            })
        })
    });
    kinds.collect()
}

/// Names or notes as JSON.
pub(super) fn texts_json(texts: &[String]) -> Value {
    listed(texts.iter().map(|text| text.as_str().into()))
}

/// A fault as a row of CSV.
#[derive(Serialize, Deserialize)]
struct FaultRow<'a> {
    plate: Option<Cow<'a, PlateId>>,
    well: Option<Well>,
    site: Option<u16>,
    kind: &'a str,
    file: &'a str,
    detail: &'a str,
}

/// Every fault as CSV.
#[must_use]
pub fn faults_csv(faults: &[Fault]) -> String {
    let rows = faults.iter().map(|Fault { plate, well, site, kind, file, detail }| FaultRow {
        plate: plate.as_ref().map(Cow::Borrowed),
        well: *well,
        site: *site,
        kind: kind.name(),
        file,
        detail,
    });
    to_csv(&rows.collect::<Vec<_>>())
}
