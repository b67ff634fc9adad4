//! Opening a TIFF: its one page, and that nothing else of its size lies in the file.

use std::io::{Read, Seek};
use std::ops::Range;

use crate::fault::FaultKind;

use super::super::fault::ImageFault;
use super::account::Account;
use super::directory::{Directory, Tag, Tiff};
use super::page::{Compression, Page};
use super::pages::only_page;

/// Strips or tiles of an image at most: planes of 16384 x 16384 pixels in the smallest tiles that the standard has.
const MOST_SEGMENTS: u64 = 4 << 20;

/// What a packed image is at least taken for where something is held against it: metadata can be larger than a black image.
const METADATA: u64 = 64 << 10;

impl Page {
    /// Reads the directories of a file.
    pub(crate) fn open(file: &mut (impl Read + Seek)) -> Result<Self, ImageFault> {
        let (mut tiff, first) = Tiff::open(file)?;
        let (directory, beside) = only_page(&mut tiff, first)?;
        let page = Self::read(&mut tiff, &directory)?;
        page.check_account(&mut tiff, &directory, &beside)?;
        Ok(page)
    }

    /// Checks that nothing as large as the image lies in the file without a directory that names it: the planes of a stack
    /// of which no text tells, or that its writer did not end.
    fn check_account<R: Read + Seek>(
        &self,
        tiff: &mut Tiff<R>,
        directory: &Directory,
        beside: &[Directory],
    ) -> Result<(), ImageFault> {
        if self.header.dtype.is_none() {
            // Refused for it.
            return Ok(());
        }
        let is_raw = self.compression == Compression::None;
        // Of raw ones no more is taken than they need.
        let of_image = segments(tiff, directory, if is_raw { self.segment_bytes() } else { u64::MAX })?;
        let packed = of_image.iter().fold(0_u64, |sum, span| sum.saturating_add(span.end - span.start));
        let image_bytes = if is_raw { self.header.bytes() } else { packed.max(METADATA) };
        let mut account = Account::default();
        account.add(std::iter::once(0..tiff.head_bytes()).chain(of_image));
        account.add(directory.spans.iter().cloned());
        for directory in beside {
            account.add(segments(tiff, directory, u64::MAX)?);
            account.add(directory.spans.iter().cloned());
        }
        let gap = account.longest_gap(tiff.length);
        let n_bytes = gap.end - gap.start;
        if n_bytes < image_bytes {
            return Ok(());
        }
        let found = format_args!("{n_bytes} bytes more, as many as an image has, at byte {}", gap.start);
        Err(ImageFault::new(FaultKind::ManyPages, "one image", found))
    }
}

/// Where the strips or tiles of a directory are, each of at most `most` bytes.
fn segments<R: Read + Seek>(
    tiff: &mut Tiff<R>,
    directory: &Directory,
    most: u64,
) -> Result<Vec<Range<u64>>, ImageFault> {
    let mut spans = Vec::new();
    for (offsets, counts) in [(Tag::StripOffsets, Tag::StripByteCounts), (Tag::TileOffsets, Tag::TileByteCounts)] {
        let mut values = |tag| {
            let Some(entry) = directory.entry(tag) else { return Ok(Vec::new()) };
            if entry.count > MOST_SEGMENTS {
                let expected = format_args!("{tag:?} of at most {MOST_SEGMENTS} values");
                return Err(ImageFault::undecodable(expected, entry.count));
            }
            tiff.values(entry, entry.count)
        };
        let (offsets, counts) = (values(offsets)?, values(counts)?);
        let counts = counts.into_iter().chain(std::iter::repeat(most));
        spans.extend(offsets.into_iter().zip(counts).map(|(at, n)| at..at.saturating_add(n.min(most))));
    }
    Ok(spans)
}
