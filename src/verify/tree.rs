//! Verifying a raw tree: every image decoded under the rules of `pack`, or every file compared with a list made earlier.

use std::collections::BTreeSet;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::fault::{Fault, FaultKind};
use crate::files::{self, AnyFile};
use crate::progress::Progress;
use crate::site::PlateId;
use crate::source::{PlatePlan, SitePlan, Source, SourceConfig};
use crate::store::format::checksum::Sha;
use crate::store::format::manifest::{self, Entry};
use crate::store::format::names::{REJECTED, SOURCES};
use crate::store::format::rows::Rejected;
use crate::store::is_store;
use crate::store::read::listing::{listed_plates, read_list, read_rows};

use super::files::{check_files, size};
use super::images::{Found, changed_images};
use super::labels::changed_labels;
use super::report::{Depth, Finding, Kind, Report, describe};

/// What a raw tree holds, and what is wrong with it.
#[derive(Debug, Clone)]
pub struct TreeReport {
    /// The layout.
    pub layout: &'static str,
    /// Classes that the CSVs imply.
    pub classes: usize,
    /// Wells that the CSVs name.
    pub labelled_wells: u64,
    /// Channels of a site.
    pub channels: usize,
    /// Height and width of the images, in pixels.
    pub size: [u32; 2],
    /// Plates.
    pub plates: u64,
    /// Sites that there is something of.
    pub sites: u64,
    /// Bytes of PNGs read.
    pub bytes: u64,
    /// All faults.
    pub faults: Vec<Fault>,
    /// Files in plate folders that are no images of the layout.
    pub other_files: Vec<String>,
    /// What is no fault but worth a look.
    pub unusual: Vec<String>,
    /// Every file of the tree with its SHA-256, if a list was asked for and all of them can be read.
    pub list: Option<Vec<Entry>>,
    /// Seconds it took.
    pub seconds: f64,
}

/// Decodes every image of a tree; with `with_list`, also hashes every file of it but those, which are to hold the list.
/// `planned` is told how many sites there are, `progress` counts them.
///
/// # Errors
/// If the tree or its CSVs cannot be read, or a file's name cannot stand in a list.
pub fn verify_tree(
    config: &SourceConfig,
    with_list: Option<&[&Path]>,
    planned: &(dyn Fn(u64) + Sync),
    progress: &(dyn Fn(u64) + Sync),
) -> Result<TreeReport> {
    let start = Instant::now();
    let source = Source::open(config)?;
    let sites: Vec<(&PlatePlan, &SitePlan)> =
        source.plates.iter().flat_map(|plate| plate.sites.iter().map(move |site| (plate, site))).collect();
    planned(sites.len() as u64);
    let bytes = AtomicU64::new(0);
    let list = Mutex::new(Vec::new());
    let examined: Vec<Vec<Fault>> = sites
        .par_iter()
        .map_init(
            || source.reader(),
            |reader, (plate, site)| {
                let images = source.read_images(plate, site);
                let whole = || images.iter().filter_map(|image| Some((&image.path, image.content.as_ref().ok()?)));
                bytes.fetch_add(whole().map(|(_, content)| content.len() as u64).sum(), Ordering::Relaxed);
                if with_list.is_some() {
                    let entries: Vec<Entry> = whole().map(|(path, content)| Entry::of(path, content)).collect();
                    list.lock().unwrap_or_else(PoisonError::into_inner).extend(entries);
                }
                let (_, faults) = reader.decode(plate, site, &images)?;
                progress(1);
                Ok(faults)
            },
        )
        .collect::<Result<_>>()?;
    let mut faults = [source.unplaced.clone(), source.unreadable.clone()].concat();
    faults.extend(source.plates.iter().flat_map(|plate| plate.faults.iter().cloned()));
    faults.extend(examined.into_iter().flatten());
    let list = match with_list {
        Some(except) => {
            let known = list.into_inner().unwrap_or_else(PoisonError::into_inner);
            complete(&config.root, except, known, &mut faults)?
        }
        None => None,
    };
    faults.sort();
    Ok(TreeReport {
        layout: source.layout.name(),
        classes: source.classes.rows().len(),
        labelled_wells: source.labelled_wells,
        channels: source.n_channels,
        size: [source.size.height, source.size.width],
        plates: source.plates.len() as u64,
        sites: sites.len() as u64,
        bytes: bytes.into_inner(),
        faults,
        other_files: source.other_files.clone(),
        unusual: source.unusual.clone(),
        list,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Every file of the tree but `except`; those that are `known` are not hashed again. `None` where one cannot be read,
/// which is a fault then.
fn complete(
    root: &Path,
    except: &[&Path],
    mut known: Vec<Entry>,
    faults: &mut Vec<Fault>,
) -> Result<Option<Vec<Entry>>> {
    let mut lists: Vec<PathBuf> = Vec::new();
    for path in except {
        lists.extend(files::resolve(path)?);
    }
    known.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    // A file that several sites are in was read with each of them.
    known.dedup_by(|a, b| a.path == b.path);
    let is_known = |path: &String| known.binary_search_by(|entry| entry.path.cmp(path)).is_ok();
    let (mut unknown, mut unreadable) = (Vec::new(), Vec::new());
    for file in files::every_file(root) {
        match file? {
            AnyFile::Listable(path) if is_known(&path) => {}
            AnyFile::Listable(path) => {
                if !files::resolve(&root.join(&path))?.is_some_and(|path| lists.contains(&path)) {
                    unknown.push(path);
                }
            }
            AnyFile::Unlistable(name) => {
                let expected = "names in UTF-8 without line breaks and backslashes";
                return Err(Error::malformed(root.display(), expected, name));
            }
            AnyFile::Unreadable(path, why) => unreadable.push((path, why)),
        }
    }
    let entry = |path: String| match Sha::of_file(&root.join(&path), &|_| {}) {
        Ok((sha, size)) => Ok(Entry { path, sha, size: Some(size) }),
        Err(error) => Err((path, describe(&error))),
    };
    let hashed: Vec<Result<Entry, (String, String)>> = unknown.into_par_iter().map(entry).collect();
    for entry in hashed {
        match entry {
            Ok(entry) => known.push(entry),
            Err(error) => unreadable.push(error),
        }
    }
    let is_whole = unreadable.is_empty();
    for (file, detail) in unreadable {
        // Of a plate's image it is said already.
        if faults.iter().all(|fault| fault.file != file) {
            faults.push(Fault { plate: None, well: None, site: None, kind: FaultKind::Unreadable, file, detail });
        }
    }
    Ok(is_whole.then_some(known))
}

/// Compares a tree with a list that was written earlier, or with the sources of a store. Files that a list does not
/// name are extra; a store names only what it packed, so beside it only new images of its plates are, but it knows what
/// the CSVs said.
///
/// # Errors
/// If the list is not one, or the tree cannot be listed.
pub fn compare_tree(source: &SourceConfig, against: &Path, progress: &(dyn Fn(Progress) + Sync)) -> Result<Report> {
    let start = Instant::now();
    let root = source.root.as_path();
    let of_store = is_store(against)?;
    let plates = if of_store { Some(wanted_plates(source, against)?) } else { None };
    let (mut expected, left_out) = if let Some(plates) = &plates {
        sources_of(against, plates)?
    } else {
        let mut list = BufReader::new(files::open(against)?);
        (manifest::read(&mut list, &against.display().to_string())?, None)
    };
    expected.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    // Plates may lie in one file.
    expected.dedup();
    let is_known = |path: &String| expected.binary_search_by(|entry| entry.path.cmp(path)).is_ok();
    let mut report = Report { files: expected.len() as u64, is_finished: true, ..Report::default() };
    let own = files::resolve(against)?;
    let is_extra = |path: &String| {
        // What cannot be told apart from the list is named.
        let is_list = own.is_some() && files::resolve(&root.join(path)).is_ok_and(|path| path == own);
        !is_known(path) && !is_list && left_out.as_ref().is_none_or(|left_out| left_out.would_name(path))
    };
    let mut new = Vec::new();
    for file in files::every_file(root) {
        match file? {
            AnyFile::Listable(path) if !is_extra(&path) => {}
            AnyFile::Listable(path) => new.push(Finding::new(Kind::Extra, &path, "not named before")),
            AnyFile::Unlistable(path) => {
                report.findings.push(Finding::new(Kind::Extra, &path, "not named before"));
            }
            AnyFile::Unreadable(path, why) => report.findings.push(Finding::new(Kind::Unreadable, &path, why)),
        }
    }
    let read = AtomicU64::new(0);
    let count = |n| {
        read.fetch_add(n, Ordering::Relaxed);
        progress(Progress::Done(n));
    };
    progress(Progress::Planned(expected.iter().map(|entry| size(root, entry)).sum()));
    report.findings.extend(check_files(root, expected.iter(), Depth::Full, &count));
    drop(expected);
    if let Some(plates) = plates {
        let Found { findings, tells_new } = changed_images(source, against, &plates, &report.findings)?;
        if tells_new {
            new.clear();
        }
        report.findings.extend(findings);
        report.findings.extend(changed_labels(source, against, &plates)?);
    }
    report.findings.extend(new);
    report.findings.sort();
    report.bytes = read.into_inner();
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// What a store says of images that it did not pack.
#[derive(Default)]
struct LeftOut {
    /// Folders of its plates.
    dirs: BTreeSet<String>,
    /// Folder and well of what it left out.
    wells: BTreeSet<(String, String)>,
}

impl LeftOut {
    /// Whether the store would name this file, had it been there: an image of one of its plates.
    fn would_name(&self, path: &str) -> bool {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let well = name.split('_').next().unwrap_or_default();
        self.dirs.contains(dir) && path.ends_with(".png") && !self.wells.contains(&(dir.to_owned(), well.to_owned()))
    }
}

/// The plates of a store that are asked for: all of them, unless a part of the tree is meant.
fn wanted_plates(config: &SourceConfig, store: &Path) -> Result<Vec<PlateId>> {
    let plates = listed_plates(store)?;
    config.select(&plates.iter().collect())
}

/// The sources of these plates of a store: every image that they were packed from.
fn sources_of(store: &Path, plates: &[PlateId]) -> Result<(Vec<Entry>, Option<LeftOut>)> {
    let mut entries = Vec::new();
    let mut left_out = LeftOut::default();
    for plate in plates {
        let sources = read_list(store, plate, SOURCES)?;
        if let Some((dir, _)) = sources.first().and_then(|entry| entry.path.rsplit_once('/')) {
            for row in read_rows::<Rejected>(store, plate, REJECTED)? {
                left_out.wells.insert((dir.to_owned(), row.well.to_string()));
            }
            left_out.dirs.insert(dir.to_owned());
        }
        entries.extend(sources);
    }
    Ok((entries, Some(left_out)))
}
