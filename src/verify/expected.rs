//! Which files a store must have: from its list of all, or, where that is missing or damaged, from whatever else is
//! left.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::error::{Error, Result, shown_path};
use crate::files;
use crate::store::StoreSpec;
use crate::store::format::manifest::{self, Entry};
use crate::store::format::names::{
    CLASSES, CSVS, FILES, METADATA, PIXELS, REJECTED, SHA256SUMS, SOURCES, STATISTICS, ZARR_JSON, array_document_path,
    group_path, listing_file, shard_path, statistics_chunk_path, statistics_path,
};
use crate::store::format::statistics::{Chunks, Counts};
use crate::store::read::listing::{listed_plates_or, read_list};
use crate::store::write::merge::known_plates;

use super::report::{Finding, Kind};
use super::rows::Rows;

/// The files that a store must have.
#[derive(Default)]
pub(super) struct Expected {
    /// Those whose content is known.
    pub(super) sums: BTreeMap<String, Entry>,
    /// Those of which only the name is known.
    pub(super) names: BTreeSet<String>,
}

impl Expected {
    pub(super) fn has(&self, path: &str) -> bool {
        self.sums.contains_key(path) || self.names.contains(path)
    }
}

/// Reads the lists of a store, and notes what is wrong with them; `kept` is a list of all that was kept elsewhere.
pub(super) fn read_lists(root: &Path, kept: Option<&Path>, findings: &mut Vec<Finding>) -> Result<(Expected, IsWhole)> {
    let mut expected = Expected::default();
    let whole = list_of_all(root, kept, findings)?;
    let is_whole = whole.is_some();
    // The plates' lists know sizes, which tells a file cut short from one that was altered.
    for plate in listed_plates_or(root, &mut |error| note_unreadable(error, root, findings))? {
        match read_list(root, &plate, FILES) {
            Ok(files) => expected.sums.extend(files.into_iter().map(|file| (file.path.clone(), file))),
            Err(e) if !is_whole => {
                let own = listing_file(&plate, FILES);
                findings.push(Finding::of_error(Kind::Altered, &own, &e));
            }
            Err(_) => {}
        }
    }
    if let Some(entries) = whole {
        let with_size = |entry: Entry| {
            // A size counts only if the list that says so agrees on the content.
            let same = expected.sums.get(&entry.path).filter(|known| known.sha == entry.sha);
            let size = same.and_then(|known| known.size);
            (entry.path.clone(), Entry { size, ..entry })
        };
        expected.sums = entries.into_iter().map(with_size).collect();
    }
    Ok((expected, if is_whole { IsWhole::Yes } else { IsWhole::No }))
}

/// Makes a folder or file that the system cannot read one finding, unless it is one already; the rest is looked at all
/// the same.
fn note_unreadable(error: Error, root: &Path, findings: &mut Vec<Finding>) -> Result<()> {
    let Error::Io { path, .. } = &error else { return Err(error) };
    let path = shown_path(path.strip_prefix(root).unwrap_or(path));
    if findings.iter().all(|finding| finding.path != path) {
        findings.push(Finding::of_error(Kind::Unreadable, &path, &error));
    }
    Ok(())
}

/// Whether the list of all files could be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IsWhole {
    Yes,
    No,
}

fn list_of_all(root: &Path, kept: Option<&Path>, findings: &mut Vec<Finding>) -> Result<Option<Vec<Entry>>> {
    let own = root.join(SHA256SUMS);
    if let Some(path) = kept {
        let text = files::read_text(path)?;
        let entries = manifest::parse(&text, &path.display().to_string())?;
        if files::exists(&own).is_ok_and(|is_there| !is_there) {
            findings.push(Finding::new(Kind::Missing, SHA256SUMS, "not found"));
        } else if !files::read(&own).is_ok_and(|found| found == text.as_bytes()) {
            let detail = format!("expected the content of {}, found another", shown_path(path));
            findings.push(Finding::new(Kind::Altered, SHA256SUMS, detail));
        }
        return Ok(Some(entries));
    }
    if files::exists(&own).is_ok_and(|is_there| !is_there) {
        let detail = "not found: the store is not finished, or did not arrive whole";
        findings.push(Finding::new(Kind::Missing, SHA256SUMS, detail));
        return Ok(None);
    }
    match files::read_text(&own).and_then(|text| manifest::parse(&text, SHA256SUMS)) {
        Ok(entries) => Ok(Some(entries)),
        Err(e) => {
            findings.push(Finding::of_error(Kind::Altered, SHA256SUMS, &e));
            Ok(None)
        }
    }
}

/// Without a list of all: the names that follow from the sites that are known, and those of files that every store has.
/// A file of them that the system cannot read is a finding, unless it is one already.
pub(super) fn add_names(
    expected: &mut Expected,
    root: &Path,
    rows: &Rows,
    spec: Option<&StoreSpec>,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let names = &mut expected.names;
    names.extend([METADATA, CLASSES].map(str::to_owned));
    // It is there only where something was left out; where that cannot be told, it is found to be unreadable.
    names.extend(files::exists(&root.join(REJECTED)).unwrap_or(true).then(|| REJECTED.to_owned()));
    names.insert(format!("{PIXELS}/{ZARR_JSON}"));
    let statistics = format!("{PIXELS}/{STATISTICS}");
    names.insert(format!("{statistics}/{ZARR_JSON}"));
    let known = known_plates(root, &mut |error| note_unreadable(error, root, findings))?;
    for counts in Counts::ALL {
        let document = format!("{}/{ZARR_JSON}", statistics_path(counts.name()));
        let second = root.join(statistics_chunk_path(counts.name(), 1));
        // Where the document is lost, too, a second chunk tells that there is one a plate.
        let chunks = files::read(&root.join(&document)).ok().and_then(|document| Chunks::of(&document));
        let guess = || if files::exists(&second).unwrap_or(false) { Chunks::OnePlate } else { Chunks::AllPlates };
        let n_chunks = chunks.unwrap_or_else(guess).count(known.len().max(1));
        names.extend((0..n_chunks).map(|chunk| statistics_chunk_path(counts.name(), chunk)));
        names.insert(document);
    }
    for plate in known.iter().chain(rows.keys()) {
        names.extend(CSVS.into_iter().chain([FILES, SOURCES]).map(|name| listing_file(plate, name)));
    }
    for (plate, rows) in rows.iter().filter(|(_, rows)| !rows.is_empty()) {
        names.insert(group_path(plate));
        names.insert(array_document_path(plate));
        let n_shards = spec.map_or(0, |spec| spec.n_shards(rows.len()));
        names.extend((0..n_shards).map(|shard| shard_path(plate, shard)));
    }
    names.retain(|name| !expected.sums.contains_key(name));
    Ok(())
}
