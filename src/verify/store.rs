//! Verifying a store: files against lists, sites against their checksums, the root's files against the listings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::error::Result;
use crate::files;
use crate::progress::Progress;
use crate::store::format::names::{PIXELS, REJECTED, SHA256SUMS, ZARR_JSON};
use crate::store::read::listing::left_out;
use crate::store::read_spec;

use super::consistency::contradictions;
use super::expected::{IsWhole, add_names, read_lists};
use super::files::{check_files, size};
use super::report::{Depth, Finding, Kind, Report};
use super::rows::{find_spec, plate_rows};
use super::trace::{trace, trace_whole_plates};

/// What to verify.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The store.
    pub root: PathBuf,
    /// How closely.
    pub depth: Depth,
    /// A `SHA256SUMS` kept elsewhere.
    pub manifest: Option<PathBuf>,
}

/// Verifies a store.
///
/// # Errors
/// If the folder cannot be listed, or `--manifest` is not a list. What is wrong with the store is in the report.
pub fn verify_store(config: &StoreConfig, progress: &(dyn Fn(Progress) + Sync)) -> Result<Report> {
    let start = Instant::now();
    let root = config.root.as_path();
    let all = files::all_files(root)?;
    let mut report = Report { files: all.files.len() as u64, ..Report::default() };
    let findings = &mut report.findings;
    let read = AtomicU64::new(0);
    let count = |n: u64| {
        read.fetch_add(n, Ordering::Relaxed);
        progress(Progress::Done(n));
    };

    let (mut expected, is_whole) = read_lists(root, config.manifest.as_deref(), findings)?;
    if is_whole == IsWhole::No {
        let rows = plate_rows(root, &[]);
        add_names(&mut expected, root, &rows, find_spec(root, &rows, &[]).as_ref(), findings)?;
    }
    if config.depth > Depth::Quick {
        let is_read_twice = |path: &str| config.depth == Depth::Deep && path.contains("/c/");
        let entries = expected.sums.values();
        progress(Progress::Planned(
            entries.map(|entry| size(root, entry) << u8::from(is_read_twice(&entry.path))).sum(),
        ));
    }
    let checked = check_files(root, expected.sums.values(), config.depth, &count);
    findings.extend(checked);
    let mut known: BTreeSet<String> = findings.iter().map(|finding| finding.path.clone()).collect();
    for (path, why) in all.unreadable {
        if known.insert(path.clone()) {
            findings.push(Finding::new(Kind::Unreadable, &path, why));
        }
    }
    let look = |path: &String| match files::exists(&root.join(path)) {
        Ok(true) => None,
        Ok(false) => Some(Finding::new(Kind::Missing, path, "part of every store, not found")),
        Err(error) => Some(Finding::of_error(Kind::Unreadable, path, &error)),
    };
    findings.extend(expected.names.iter().filter(|path| !known.contains(*path)).filter_map(look));
    let extra = all.files.iter().filter(|path| *path != SHA256SUMS && !expected.has(path)).chain(&all.unlistable);
    findings.extend(extra.map(|path| Finding::new(Kind::Extra, path, "no list of this store names it")));

    // A document that agrees with its lists and is none: whoever wrote it made the lists anew.
    let document = format!("{PIXELS}/{ZARR_JSON}");
    if findings.iter().all(|finding| finding.path != document)
        && let Err(error) = read_spec(root)
    {
        findings.push(Finding::of_error(Kind::Contradiction, &document, &error));
    }
    let rows = plate_rows(root, findings);
    if findings.iter().all(|finding| finding.path != REJECTED) {
        report.left_out = left_out(root).unwrap_or_default();
    }
    report.is_finished = config.manifest.is_some()
        || !findings.iter().any(|finding| (finding.kind, finding.path.as_str()) == (Kind::Missing, SHA256SUMS));
    report.sites = rows.values().map(|rows| rows.len() as u64).sum();
    match find_spec(root, &rows, findings) {
        None => trace_whole_plates(&rows, findings),
        Some(spec) => {
            report.present_only = spec.present_only;
            report.channels = spec.channels.iter().map(|channel| channel.name.clone()).collect();
            trace(root, &spec, &rows, config.depth, findings, &count);
            if config.depth > Depth::Quick {
                // Without a list of all, the plates' own lists are all that there is.
                let sums = if is_whole == IsWhole::Yes { &expected.sums } else { &BTreeMap::new() };
                let new = contradictions(root, &spec, &rows, sums, findings);
                findings.extend(new);
            }
        }
    }
    findings.sort();
    report.bytes = read.into_inner();
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}
