//! Verifying a store: files against lists, sites against their checksums, the root's files against the listings.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use rayon::prelude::*;
use serde_json::json;

use crate::error::{Error, Result, read_file, read_text};
use crate::plate_statistics;
use crate::site::PlateId;
use crate::source::tree::all_files;
use crate::store::checksum::Sha;
use crate::store::listing::{listed_plates, read_rows};
use crate::store::manifest::Entry;
use crate::store::merge::{METADATA, merged_files};
use crate::store::rows::{SiteRow, from_csv};
use crate::store::spec::{PIXELS, PLATES, ZARR_JSON, array_path, group_document, listing_path};
use crate::store::{SHA256SUMS, Store, StoreSpec, read_spec};

use super::expected::{IsWhole, add_names, read_lists};
use super::trace::{trace, trace_whole_plates};
use super::{Finding, Kind, Report};

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Names and sizes; the content only of small files whose size no list tells.
    Quick,
    /// The SHA-256 of every file, and whether the files agree with each other.
    Full,
    /// Also every site decoded and compared with its own checksum.
    Deep,
}

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

/// The sites of each plate, as far as they are known.
pub(super) type Rows = BTreeMap<PlateId, Vec<SiteRow>>;

/// Verifies a store. `progress` counts bytes.
///
/// # Errors
/// If the folder cannot be listed, or `--manifest` is not a list. What is wrong with the store is in the report.
pub fn verify_store(config: &StoreConfig, progress: &(dyn Fn(u64) + Sync)) -> Result<Report> {
    let start = Instant::now();
    let root = config.root.as_path();
    let all = all_files(root)?;
    let mut report = Report { files: all.files.len() as u64, ..Report::default() };
    let findings = &mut report.findings;
    let read = AtomicU64::new(0);
    let count = |n: u64| {
        read.fetch_add(n, Ordering::Relaxed);
        progress(n);
    };

    let (mut expected, is_whole) = read_lists(config, findings)?;
    if is_whole == IsWhole::No {
        let rows = plate_rows(root, &[]);
        add_names(&mut expected, root, &rows, find_spec(root, &rows, &[]).as_ref())?;
    }
    let checked = check_files(root, expected.sums.values(), config.depth, &count);
    findings.extend(checked);
    let known: BTreeSet<String> = findings.iter().map(|finding| finding.path.clone()).collect();
    let gone = expected.names.iter().filter(|path| !root.join(path).exists() && !known.contains(*path));
    findings.extend(gone.map(|path| Finding::new(Kind::Missing, path, "part of every store, not found")));
    let extra = all.files.iter().filter(|path| *path != SHA256SUMS && !expected.has(path)).chain(&all.unlistable);
    findings.extend(extra.map(|path| Finding::new(Kind::Extra, path, "no list of this store names it")));

    let rows = plate_rows(root, findings);
    report.sites = rows.values().map(|rows| rows.len() as u64).sum();
    match find_spec(root, &rows, findings) {
        None => trace_whole_plates(&rows, findings),
        Some(spec) => {
            trace(root, &spec, &rows, config.depth, findings, &count);
            if config.depth > Depth::Quick {
                let new = contradictions(root, &spec, &rows, findings);
                findings.extend(new);
            }
        }
    }
    findings.sort();
    report.bytes = read.into_inner();
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// What holds for the whole store: from its own document if that is whole, else from that of a plate.
fn find_spec(root: &Path, rows: &Rows, findings: &[Finding]) -> Option<StoreSpec> {
    let own = format!("{PIXELS}/{ZARR_JSON}");
    let is_bad = findings.iter().any(|finding| finding.path == own);
    let guess = || {
        rows.iter().find_map(|(plate, rows)| {
            let document = read_file(&root.join(array_path(plate)).join(ZARR_JSON)).ok()?;
            let (spec, n_sites) = StoreSpec::guess_from_plate(&document)?;
            (n_sites == rows.len()).then_some(spec)
        })
    };
    if is_bad { None } else { read_spec(root).ok() }.or_else(guess)
}

pub(super) fn describe(error: &Error) -> String {
    match error {
        Error::Malformed { expected, found, .. } => format!("expected {expected}, found {found}"),
        Error::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// Compares files with what a list says of them, the large ones first and one by one, so that no thread is left with a
/// long one while the others are done.
pub(super) fn check_files<'a>(
    root: &Path,
    entries: impl Iterator<Item = &'a Entry>,
    depth: Depth,
    count: &(dyn Fn(u64) + Sync),
) -> Vec<Finding> {
    let mut entries: Vec<&Entry> = entries.collect();
    entries.sort_by_key(|entry| Reverse(entry.size));
    let next = AtomicUsize::new(0);
    let check = |_: rayon::BroadcastContext<'_>| {
        let mine = std::iter::from_fn(|| entries.get(next.fetch_add(1, Ordering::Relaxed)));
        mine.filter_map(|entry| check_file(root, entry, depth, count)).collect::<Vec<_>>()
    };
    rayon::broadcast(check).into_iter().flatten().collect()
}

/// Compares one file with what a list says of it.
fn check_file(root: &Path, entry: &Entry, depth: Depth, count: &(dyn Fn(u64) + Sync)) -> Option<Finding> {
    let path = entry.path.as_str();
    let full = root.join(path);
    let metadata = match fs::metadata(&full) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Some(Finding::new(Kind::Missing, path, "named by the list, not found"));
        }
        Err(e) => return Some(Finding::new(Kind::Unreadable, path, e.to_string())),
        Ok(metadata) if !metadata.is_file() => {
            return Some(Finding::new(Kind::Unreadable, path, "expected a regular file, found something else"));
        }
        Ok(metadata) => metadata,
    };
    if let Some(size) = entry.size.filter(|&size| size != metadata.len()) {
        return Some(Finding::size(path, size, metadata.len()));
    }
    if depth == Depth::Quick && entry.size.is_some() {
        return None;
    }
    match Sha::of_file(&full, count) {
        Err(e) => Some(Finding::new(Kind::Unreadable, path, describe(&e))),
        Ok((sha, _)) if sha != entry.sha => {
            let detail = format!("expected SHA-256 {}, found {}", entry.sha.short(), sha.short());
            Some(Finding::new(Kind::Altered, path, detail))
        }
        Ok(_) => None,
    }
}

/// The sites of each plate: from its own listing where that is whole, else from the root's metadata.
fn plate_rows(root: &Path, findings: &[Finding]) -> Rows {
    let bad: BTreeSet<&str> = findings.iter().map(|finding| finding.path.as_str()).collect();
    let mut rows = Rows::new();
    if !bad.contains(METADATA)
        && let Ok(all) = read_text(&root.join(METADATA)).and_then(|text| from_csv::<SiteRow>(&text, METADATA))
    {
        for row in all {
            rows.entry(row.id.well.plate.clone()).or_default().push(row);
        }
    }
    for plate in listed_plates(root).unwrap_or_default() {
        let name = format!("{}/sites.csv", listing_path(&plate));
        if !bad.contains(name.as_str())
            && let Ok(sites) = read_rows::<SiteRow>(root, &plate, "sites.csv")
        {
            rows.insert(plate, sites);
        }
    }
    rows
}

/// Files that are whole one by one but do not belong together: the root's files against the listings, the arrays'
/// documents against the rows, the classes of the rows against `classes.csv`.
fn contradictions(root: &Path, spec: &StoreSpec, rows: &Rows, findings: &[Finding]) -> Vec<Finding> {
    let bad: BTreeSet<&str> = findings.iter().map(|finding| finding.path.as_str()).collect();
    let mut new = Vec::new();
    let mut compare = |path: &str, expected: &[u8], source: &str| {
        if bad.contains(path) {
            return;
        }
        match fs::read(root.join(path)) {
            Ok(found) if found == expected => {}
            Ok(_) => {
                let detail = format!("expected what follows from {source}, found another content");
                new.push(Finding::new(Kind::Contradiction, path, detail));
            }
            Err(e) => new.push(Finding::new(Kind::Missing, path, e.to_string())),
        }
    };
    for (plate, rows) in rows.iter().filter(|(_, rows)| !rows.is_empty()) {
        compare(&format!("{}/{ZARR_JSON}", array_path(plate)), &spec.plate_document(rows.len()), "sites.csv");
        let group = format!("{PIXELS}/{}/{ZARR_JSON}", plate.experiment);
        compare(&group, &group_document(&json!({})), "the format");
    }
    let unfinished = bad.contains(SHA256SUMS) && !root.join(METADATA).exists();
    let listings_are_whole = !bad.iter().any(|path| path.starts_with(&format!("{PLATES}/")));
    if !unfinished && listings_are_whole {
        match listed_plates(root).and_then(|plates| merged_files(root, spec, &plates)) {
            Ok(files) => files.iter().for_each(|(path, bytes)| compare(path, bytes, "the listings of the plates")),
            Err(e) => new.push(Finding::new(Kind::Contradiction, METADATA, describe(&e))),
        }
    }
    let counts: Vec<Finding> = rows
        .par_iter()
        .filter(|(plate, _)| !bad.iter().any(|path| path.starts_with(&format!("{}/", listing_path(plate)))))
        .filter_map(|(plate, _)| {
            let counts = plate_statistics::read(root, plate, spec).map(drop);
            let rows = || plate_statistics::read_pixel_stats(root, plate, spec.channels.len()).map(drop);
            let fault = counts.and_then(|()| rows()).err()?;
            Some(Finding::new(Kind::Contradiction, &listing_path(plate), fault.to_string()))
        })
        .collect();
    new.extend(counts);
    if bad.is_empty()
        && new.is_empty()
        && let Err(e) = Store::open(root)
    {
        new.push(Finding::new(Kind::Contradiction, METADATA, describe(&e)));
    }
    new
}
