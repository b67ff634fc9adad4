//! The merged statistics against the listings they follow from, count by count, a plate at a time. Which plates a chunk
//! holds is what its array's document says: stores of version 0.1.0 have one chunk for all.

use std::io::{self, Read};
use std::ops::Range;

use rustix::fs::OFlags;

use crate::error::{Error, Result};
use crate::files;
use crate::store::StoreSpec;
use crate::store::format::checksum::Crc32c;
use crate::store::format::names::{PIXELS, STATISTICS, ZARR_JSON, statistics_chunk_path, statistics_path};
use crate::store::format::statistics::{Chunks, Counts};
use crate::store::write::merged::{Merged, MergedFile};

use super::compared::{Comparison, LISTINGS};
use super::report::{Finding, Kind, describe};

/// Compares the files of the group of statistics with the listings.
pub(super) fn compare(compared: &mut Comparison<'_>, merged: &Merged<'_>, spec: &StoreSpec) {
    let group = format!("{PIXELS}/{STATISTICS}/{ZARR_JSON}");
    let mut document = Vec::new();
    let made = merged.content(MergedFile::Group, &mut |bytes| {
        document.extend_from_slice(bytes);
        Ok(())
    });
    match made {
        Ok(()) => drop(check_document(compared, &group, &[(document, ())])),
        Err(e) => compared.new.push(Finding::new(Kind::Contradiction, &group, describe(&e))),
    }
    for counts in Counts::ALL {
        let path = format!("{}/{ZARR_JSON}", statistics_path(counts.name()));
        let known = [Chunks::OnePlate, Chunks::AllPlates].map(|chunks| (merged.array_document(counts, chunks), chunks));
        let Some(chunks) = check_document(compared, &path, &known) else { continue };
        let (n_plates, n_chunks) = (merged.n_plates(), chunks.count(merged.n_plates()));
        for chunk in 0..n_chunks {
            let plates = match chunks {
                Chunks::OnePlate => chunk..chunk + 1,
                Chunks::AllPlates => 0..n_plates,
            };
            let path = statistics_chunk_path(counts.name(), chunk);
            if compared.bad.contains_key(&path) {
                continue;
            }
            let bytes = counts.plate_bytes(spec.channels.len(), spec.dtype);
            match is_of(compared, &path, plates, bytes, &|plate| merged.counts(counts, plate)) {
                Ok(Some(true)) => {}
                Ok(Some(false)) => compared.contradicts(&path, LISTINGS),
                Ok(None) => compared.missing(&path, LISTINGS),
                Err(e) => compared.new.push(Finding::new(Kind::Contradiction, &path, describe(&e))),
            }
        }
    }
}

/// What goes with the one of the `known` documents that is there; `None`, told unless it was before, where it is another.
fn check_document<T: Copy>(compared: &mut Comparison<'_>, path: &str, known: &[(Vec<u8>, T)]) -> Option<T> {
    if compared.bad.contains_key(path) {
        return None;
    }
    match files::read_if_there(&compared.root.join(path)) {
        Ok(Some(found)) => {
            let found = known.iter().find(|(document, _)| *document == found).map(|&(_, which)| which);
            if found.is_none() {
                compared.contradicts(path, LISTINGS);
            }
            return found;
        }
        Ok(None) => compared.missing(path, LISTINGS),
        Err(e) => compared.new.push(Finding::new(Kind::Unreadable, path, describe(&e))),
    }
    None
}

/// Whether a chunk holds the counts of `plates` and nothing more; `None` if it is not there.
fn is_of(
    compared: &Comparison<'_>,
    path: &str,
    plates: Range<usize>,
    plate_bytes: usize,
    counts: &dyn Fn(usize) -> Result<Vec<u8>>,
) -> Result<Option<bool>> {
    let full = compared.root.join(path);
    let Some(file) = files::open_if_there(&full, OFlags::empty())? else { return Ok(None) };
    let length = file.metadata().map_err(Error::io(&full, "look at"))?.len();
    let malformed = |e: io::Error| Error::malformed(path, "counts as zstd and a crc32c", e);
    let frame = Summed { inner: file.take(length.saturating_sub(4)), crc: Crc32c::new() };
    let mut decoded = zstd::stream::read::Decoder::new(frame).map_err(malformed)?;
    let mut found = vec![0; plate_bytes];
    for plate in plates {
        decoded.read_exact(&mut found).map_err(malformed)?;
        if found != counts(plate)? {
            return Ok(Some(false));
        }
    }
    let is_over = decoded.read(&mut [0]).map_err(malformed)? == 0;
    let Summed { inner, crc } = decoded.finish().into_inner();
    let mut own = [0; 4];
    inner.into_inner().read_exact(&mut own).map_err(malformed)?;
    Ok(Some(is_over && u32::from_le_bytes(own) == crc.finish()))
}

/// What is read, with its crc32c.
struct Summed<R> {
    inner: R,
    crc: Crc32c,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.crc.update(&buffer[..n]);
        Ok(n)
    }
}
