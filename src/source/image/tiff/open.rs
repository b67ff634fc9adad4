//! Opening a TIFF: its one page, and that nothing else of its size lies in the file.

use std::io::{Read, Seek};
use std::ops::Range;

use crate::fault::FaultKind;

use super::super::fault::ImageFault;
use super::account::{Account, is_text};
use super::directory::{Directory, Tag, Tiff};
use super::page::{Compression, Page};
use super::pages::only_page;

/// Strips or tiles of an image at most: planes of 16384 x 16384 pixels in the smallest tiles that the standard has.
const MOST_SEGMENTS: u64 = 4 << 20;

/// What a packed image is at least taken for where something is held against it: a black one is smaller than what is
/// left of metadata.
const SMALLEST: u64 = 8 << 10;

/// The longest text that is looked through.
const LONGEST_TEXT: u64 = 16 << 20;

impl Page {
    /// Reads the directories of a file.
    pub(crate) fn open(file: &mut (impl Read + Seek)) -> Result<Self, ImageFault> {
        let (mut tiff, first) = Tiff::open(file)?;
        let (directory, beside) = only_page(&mut tiff, first)?;
        let page = Self::read(&mut tiff, &directory)?;
        page.check_account(&mut tiff, &directory, &beside)?;
        Ok(page)
    }

    /// Checks that the strips or tiles are bytes of their own, and that nothing as large as the image lies in the file
    /// without a directory that names it: the planes of a stack of which no text tells, or that its writer did not end. A
    /// text may lie there: tools that change a description leave the old one.
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
        let mut of_image = segments(tiff, directory, if is_raw { self.segment_bytes() } else { u64::MAX })?;
        let (rows, height) = (self.grid.height as u64, u64::from(self.header.size.height));
        if is_raw && !self.grid.is_tiled {
            // The last strip of a plane may be one of fewer rows.
            let (of_plane, rest) = (height.div_ceil(rows), height - (height - 1) / rows * rows);
            let n_bytes = self.segment_bytes() / rows * rest;
            for last in of_image.iter_mut().skip(of_plane as usize - 1).step_by(of_plane as usize) {
                last.end = last.end.min(last.start.saturating_add(n_bytes));
            }
        }
        let packed = of_image.iter().fold(0_u64, |sum, span| sum.saturating_add(span.end - span.start));
        let image_bytes = if is_raw { self.header.bytes() } else { packed.max(SMALLEST) };
        let mut account = Account::default();
        account.add(std::iter::once(0..tiff.head_bytes()).chain(of_image));
        account.add(directory.spans.first().cloned());
        if let Some(at) = account.overlap() {
            let expected = "strips or tiles that have bytes of their own";
            return Err(ImageFault::undecodable(
                expected,
                format_args!("one that begins in another part, at byte {at}"),
            ));
        }
        account.add(directory.spans.iter().cloned());
        for directory in beside {
            account.add(segments(tiff, directory, u64::MAX)?);
            account.add(directory.spans.iter().cloned());
        }
        for gap in account.gaps(tiff.length, image_bytes) {
            let n_bytes = gap.end - gap.start;
            if n_bytes > LONGEST_TEXT || !is_text(&tiff.bytes(gap.start, n_bytes)?, is_raw && self.sample_bytes() == 1)
            {
                let found = format_args!("{n_bytes} bytes more, as many as an image has, at byte {}", gap.start);
                return Err(ImageFault::new(FaultKind::ManyPages, "one image", found));
            }
        }
        Ok(())
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
