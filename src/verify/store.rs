//! Verifying a store: files against lists, sites against their checksums, the root's files against the listings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rayon::prelude::*;
use serde_json::json;

use crate::error::{Error, Result, read_file, read_text};
use crate::site::{PlateId, SiteId};
use crate::source::tree::all_files;
use crate::store::checksum::Sha;
use crate::store::chunk::Decoder;
use crate::store::listing::{FILES, listed_plates, read_list, read_rows};
use crate::store::manifest::{self, Entry};
use crate::store::merge::{METADATA, merged_files};
use crate::store::rows::{SiteRow, from_csv};
use crate::store::spec::{PIXELS, PLATES, ZARR_JSON, array_path, group_document, listing_path, shard_path};
use crate::store::{SHA256SUMS, Shard, Store, StoreSpec, read_spec};

use super::{Finding, Kind, Report};

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Names and sizes.
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

/// Verifies a store. `progress` counts bytes.
///
/// # Errors
/// If the folder cannot be listed, or `--manifest` is not a list. What is wrong with the store is in the report.
pub fn verify_store(config: &StoreConfig, progress: &(dyn Fn(u64) + Sync)) -> Result<Report> {
    let start = Instant::now();
    let root = config.root.as_path();
    let all = all_files(root)?;
    let mut report = Report {
        files: all.files.len() as u64,
        ..Report::default()
    };
    let mut found: BTreeSet<&str> = all.files.iter().map(String::as_str).collect();
    let expected = expected_files(config, &mut report.findings)?;
    found.remove(SHA256SUMS);
    let extra = found.into_iter().filter(|path| !expected.contains_key(*path));
    let extra = extra.chain(all.unlistable.iter().map(String::as_str));
    report
        .findings
        .extend(extra.map(|path| Finding::new(Kind::Extra, path, "no list of this store names it")));

    let read = AtomicU64::new(0);
    let count = |n: u64| {
        read.fetch_add(n, Ordering::Relaxed);
        progress(n);
    };
    let checked: Vec<Option<Finding>> = expected
        .par_iter()
        .map(|(path, entry)| check_file(root, path, entry, config.depth, &count))
        .collect();
    report.findings.extend(checked.into_iter().flatten());

    let spec = read_spec(root).ok();
    let rows = plate_rows(root, &report.findings);
    report.sites = rows.values().map(|rows| rows.len() as u64).sum();
    if let Some(spec) = &spec {
        trace(root, spec, &rows, config.depth, &mut report.findings, &count);
        if config.depth > Depth::Quick {
            report
                .findings
                .extend(contradictions(root, spec, &rows, &report.findings));
        }
    }
    report.findings.sort();
    report.bytes = read.into_inner();
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// The files that must be there. Where the list of all is missing or damaged, the plates' own lists say what they can.
fn expected_files(config: &StoreConfig, findings: &mut Vec<Finding>) -> Result<BTreeMap<String, Entry>> {
    let root = config.root.as_path();
    let own = root.join(SHA256SUMS);
    let mut whole: Option<Vec<Entry>> = None;
    if let Some(path) = &config.manifest {
        let text = read_text(path)?;
        whole = Some(manifest::parse(&text, &path.display().to_string())?);
        match fs::read(&own) {
            Err(e) => findings.push(Finding::new(Kind::Missing, SHA256SUMS, e.to_string())),
            Ok(bytes) if bytes != text.as_bytes() => {
                let detail = format!("expected the content of {}, found another", path.display());
                findings.push(Finding::new(Kind::Altered, SHA256SUMS, detail));
            }
            Ok(_) => {}
        }
    } else if own.exists() {
        match read_text(&own).and_then(|text| manifest::parse(&text, SHA256SUMS)) {
            Ok(entries) => whole = Some(entries),
            Err(e) => findings.push(Finding::new(Kind::Altered, SHA256SUMS, describe(&e))),
        }
    } else {
        let detail = "the store is not finished, or did not arrive whole";
        findings.push(Finding::new(Kind::Missing, SHA256SUMS, detail));
    }
    let mut expected = BTreeMap::new();
    // The plates' lists know sizes, which tells a file cut short from one that was altered.
    for plate in listed_plates(root)? {
        let own = format!("{}/{FILES}", listing_path(&plate));
        match read_list(root, &plate, FILES) {
            Ok(files) => {
                expected.extend(files.into_iter().map(|file| (file.path.clone(), file)));
                if whole.is_none() {
                    let bytes = read_file(&root.join(&own))?;
                    expected.insert(
                        own.clone(),
                        Entry {
                            path: own,
                            sha: Sha::of(&bytes),
                            size: None,
                        },
                    );
                }
            }
            Err(e) if whole.is_none() => {
                let kind = if matches!(e, Error::Io { .. }) {
                    Kind::Missing
                } else {
                    Kind::Altered
                };
                findings.push(Finding::new(kind, &own, describe(&e)));
                // It is there and known to be bad; that it is in no list is not worth another line.
                expected.insert(
                    own.clone(),
                    Entry {
                        path: own,
                        sha: Sha([0; 32]),
                        size: None,
                    },
                );
            }
            Err(_) => {}
        }
    }
    match whole {
        Some(entries) => {
            let with_size = |entry: Entry| {
                // A size counts only if the list that says so agrees on the content.
                let size = expected
                    .get(&entry.path)
                    .filter(|known| known.sha == entry.sha)
                    .and_then(|known| known.size);
                (entry.path.clone(), Entry { size, ..entry })
            };
            Ok(entries.into_iter().map(with_size).collect())
        }
        None => {
            add_unlisted(root, &mut expected);
            Ok(expected)
        }
    }
}

/// Without the list of all, the root's files are expected as far as they are there.
fn add_unlisted(root: &Path, expected: &mut BTreeMap<String, Entry>) {
    let Ok(all) = all_files(root) else { return };
    for path in all.files {
        let is_header = path.starts_with(PIXELS) && path.ends_with(ZARR_JSON);
        let is_statistics = path.starts_with(&format!("{PIXELS}/statistics/"));
        let is_root = !path.contains('/') && path.ends_with(".csv");
        if (is_header || is_statistics || is_root) && !expected.contains_key(&path) {
            let Ok((sha, size)) = Sha::of_file(&root.join(&path), &|_| {}) else {
                continue;
            };
            expected.insert(
                path.clone(),
                Entry {
                    path,
                    sha,
                    size: Some(size),
                },
            );
        }
    }
}

fn describe(error: &Error) -> String {
    match error {
        Error::Malformed { expected, found, .. } => format!("expected {expected}, found {found}"),
        Error::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// Compares one file with what a list says of it.
pub(super) fn check_file(
    root: &Path,
    path: &str,
    entry: &Entry,
    depth: Depth,
    count: &(dyn Fn(u64) + Sync),
) -> Option<Finding> {
    let full = root.join(path);
    let metadata = match fs::metadata(&full) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Some(Finding::new(Kind::Missing, path, "named by the list, not found"));
        }
        Err(e) => return Some(Finding::new(Kind::Unreadable, path, e.to_string())),
        Ok(metadata) => metadata,
    };
    if let Some(size) = entry.size.filter(|&size| size != metadata.len()) {
        return Some(Finding::size(path, size, metadata.len()));
    }
    if depth == Depth::Quick {
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

type Rows = BTreeMap<PlateId, Vec<SiteRow>>;

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

/// Finds the sites behind every damaged shard; with `Deep` reads the whole ones too.
fn trace(
    root: &Path,
    spec: &StoreSpec,
    rows: &Rows,
    depth: Depth,
    findings: &mut Vec<Finding>,
    count: &(dyn Fn(u64) + Sync),
) {
    let known: BTreeMap<String, usize> = findings
        .iter()
        .enumerate()
        .map(|(i, finding)| (finding.path.clone(), i))
        .collect();
    let per_shard = spec.sites_per_shard as usize;
    let shards = rows.iter().flat_map(|(plate, rows)| {
        let shards = rows.chunks(per_shard).enumerate();
        shards.map(move |(shard, sites)| (plate, rows.len(), shard, sites))
    });
    let shards: Vec<_> = shards
        .map(|(plate, n, shard, sites)| (shard_path(plate, shard), plate, n, shard, sites))
        .collect();
    let wanted = shards
        .into_par_iter()
        .filter(|(path, ..)| depth == Depth::Deep || known.contains_key(path));
    let traced: Vec<(String, Vec<SiteId>, String)> = wanted
        .map_init(Decoder::default, |decoder, (path, plate, n_sites, shard, sites)| {
            let gone = known.get(&path).is_some_and(|&i| findings[i].kind == Kind::Missing);
            let opened = if gone {
                None
            } else {
                Some(Shard::open(root, spec, plate, shard, n_sites))
            };
            let all = || sites.iter().map(|row| row.id.clone()).collect();
            match opened {
                None => (path, all(), String::new()),
                Some(Err(e)) => (path, all(), describe(&e)),
                Some(Ok(shard)) => {
                    let count = if depth == Depth::Deep { Some(count) } else { None };
                    let (bad, detail) = bad_sites(&shard, spec, sites, decoder, count);
                    (path, bad, detail)
                }
            }
        })
        .collect();
    for (path, sites, detail) in traced {
        match known.get(&path) {
            // No list names it, but the rows of its plate do.
            Some(&i) if findings[i].kind == Kind::Extra => {
                if !sites.is_empty() {
                    findings[i] = Finding {
                        sites,
                        ..Finding::new(Kind::Altered, &path, detail)
                    };
                }
            }
            Some(&i) => {
                findings[i].sites = sites;
                if !detail.is_empty() {
                    findings[i].detail += &format!("; {detail}");
                }
            }
            None if sites.is_empty() => {}
            None => findings.push(Finding {
                sites,
                ..Finding::new(Kind::Altered, &path, detail)
            }),
        }
    }
}

/// The sites of a shard that cannot be read as they were packed, and what is wrong with the first.
fn bad_sites(
    shard: &Shard,
    spec: &StoreSpec,
    sites: &[SiteRow],
    decoder: &mut Decoder,
    count: Option<&(dyn Fn(u64) + Sync)>,
) -> (Vec<SiteId>, String) {
    let mut pixels = vec![0; spec.site_bytes()];
    let mut scratch = Vec::new();
    let (mut bad, mut detail) = (Vec::new(), String::new());
    for (slot, row) in sites.iter().enumerate() {
        let fault = match shard.read(slot, decoder, &mut scratch, &mut pixels) {
            Err(e) => Some(describe(&e)),
            Ok(()) => {
                let found = crc32c::crc32c(&pixels);
                let expected = row.crc32c;
                (found != expected).then(|| format!("expected site crc32c {expected:08x}, found {found:08x}"))
            }
        };
        if let Some(count) = count {
            count(scratch.len() as u64);
        }
        if let Some(fault) = fault {
            if bad.is_empty() {
                detail = fault;
            }
            bad.push(row.id.clone());
        }
    }
    if bad.is_empty() {
        "every site in it is whole; the damage lies between them".clone_into(&mut detail);
    }
    (bad, detail)
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
        compare(
            &format!("{}/{ZARR_JSON}", array_path(plate)),
            &spec.plate_document(rows.len()),
            "sites.csv",
        );
        let group = format!("{PIXELS}/{}/{ZARR_JSON}", plate.experiment);
        compare(&group, &group_document(&json!({})), "the format");
    }
    let unfinished = bad.contains(SHA256SUMS) && !root.join(METADATA).exists();
    let listings_are_whole = !bad.iter().any(|path| path.starts_with(&format!("{PLATES}/")));
    if !unfinished && listings_are_whole {
        match listed_plates(root).and_then(|plates| merged_files(root, spec, &plates)) {
            Ok(files) => files
                .iter()
                .for_each(|(path, bytes)| compare(path, bytes, "the listings of the plates")),
            Err(e) => new.push(Finding::new(Kind::Contradiction, METADATA, describe(&e))),
        }
    }
    if bad.is_empty()
        && new.is_empty()
        && let Err(e) = Store::open(root)
    {
        new.push(Finding::new(Kind::Contradiction, METADATA, describe(&e)));
    }
    new
}
