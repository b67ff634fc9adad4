//! The strips and tiles of a TIFF, unpacked into its image.

use std::fmt::Display;
use std::io::Cursor;

use libdeflater::Decompressor;

use super::super::bands::swap_bytes;
use super::super::fault::ImageFault;
use super::super::inflate::inflate;
use super::directory::{Entry, Tiff};
use super::lzw::{Lzw, LzwFault};
use super::packbits;
use super::page::{Compression, Page};

/// Pixels that a tile may have, whatever the size of the image: a megapixel.
const LARGE_TILE: usize = 1 << 20;

/// Unpacks TIFFs; keeps its buffers from one image to the next.
#[derive(Default)]
pub(crate) struct Unpacker {
    lzw: Lzw,
    tile: Vec<u8>,
}

impl Unpacker {
    /// Unpacks the image of a file into `out`, its samples little-endian, in the order in which the file has them:
    /// `[H, W, C]`, or `[C, H, W]` where it is planar.
    pub(crate) fn unpack(
        &mut self,
        page: &Page,
        file: &[u8],
        inflater: &mut Decompressor,
        out: &mut [u8],
    ) -> Result<(), ImageFault> {
        let (width, height) = (page.header.size.width as usize, page.header.size.height as usize);
        let grid = &page.grid;
        let tile_pixels = grid.width.saturating_mul(grid.height);
        if grid.is_tiled && tile_pixels > LARGE_TILE.max(4 * width * height) {
            let found = format_args!("{} x {}", grid.width, grid.height);
            return Err(ImageFault::undecodable("tiles that are not much larger than the image", found));
        }
        let n_planes = if page.is_planar { page.header.bands.count() } else { 1 };
        let (across, down) = (width.div_ceil(grid.width), height.div_ceil(grid.height));
        let plane_bytes = out.len() / n_planes;
        let row_bytes = plane_bytes / height;
        let tile_row_bytes = row_bytes / width * grid.width;
        let tile_bytes = tile_row_bytes * grid.height;
        let segments = Segments::of(page, file, n_planes * across * down, tile_bytes)?;
        let mut numbered = segments.slices.iter().enumerate();
        let mut next = |samples: &mut [u8], lzw: &mut Lzw| {
            let (number, segment) = numbered.next().expect("there are as many as the grid has");
            let what = format_args!("{} {number}", if grid.is_tiled { "tile" } else { "strip" });
            unpack_segment(page.compression, segment, samples, lzw, inflater, &what)?;
            if !segments.little_endian && page.sample_bytes() == 2 {
                swap_bytes(samples);
            }
            if page.is_differences {
                let row_bytes = if grid.is_tiled { tile_row_bytes } else { row_bytes };
                samples.chunks_exact_mut(row_bytes).for_each(|row| undo_differences(row, page, row_bytes / grid.width));
            }
            Ok(())
        };
        for plane in out.chunks_exact_mut(plane_bytes) {
            for rows in plane.chunks_mut(grid.height * row_bytes) {
                if !grid.is_tiled {
                    next(rows, &mut self.lzw)?;
                    continue;
                }
                self.tile.resize(tile_bytes, 0);
                for column in 0..across {
                    next(&mut self.tile, &mut self.lzw)?;
                    let start = column * tile_row_bytes;
                    let n = tile_row_bytes.min(row_bytes - start);
                    for (row, tile) in rows.chunks_exact_mut(row_bytes).zip(self.tile.chunks_exact(tile_row_bytes)) {
                        row[start..start + n].copy_from_slice(&tile[..n]);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Where the segments of an image are in its file.
struct Segments<'a> {
    slices: Vec<&'a [u8]>,
    little_endian: bool,
}

impl<'a> Segments<'a> {
    /// Finds `n` segments, which are of at most `most_bytes` bytes once they are unpacked.
    fn of(page: &Page, file: &'a [u8], n: usize, most_bytes: usize) -> Result<Self, ImageFault> {
        let (mut tiff, _) = Tiff::open(Cursor::new(file))?;
        let mut values = |entry: &Entry| {
            if entry.count == n as u64 {
                return tiff.values(entry, entry.count);
            }
            Err(ImageFault::undecodable(format_args!("{n} of {:?}", entry.tag), entry.count))
        };
        let offsets = values(&page.grid.offsets)?;
        let byte_counts = match (&page.grid.byte_counts, page.compression) {
            (Some(entry), _) => Some(values(entry)?),
            // How long they are follows from the image.
            (None, Compression::None) => None,
            (None, _) => return Err(ImageFault::undecodable("the bytes of each segment", "none")),
        };
        let length = file.len() as u64;
        if let Some(byte_counts) = &byte_counts {
            // Segments may be the same where they are blank; but what is read is no more than what is made of it.
            let sum = byte_counts.iter().fold(0_u64, |sum, n| sum.saturating_add(*n));
            if sum > length.saturating_add(n as u64 * most_bytes as u64) {
                return Err(ImageFault::truncated(format_args!("segments of {sum} bytes"), length));
            }
        }
        let slice = |(i, &offset): (usize, &u64)| {
            let n_bytes = byte_counts.as_ref().map_or(length.saturating_sub(offset), |counts| counts[i]);
            let end = offset.checked_add(n_bytes).filter(|&end| end <= length);
            end.map(|end| &file[offset as usize..end as usize]).ok_or_else(|| {
                ImageFault::truncated(format_args!("{n_bytes} bytes of segment {i} at byte {offset}"), length)
            })
        };
        let slices = offsets.iter().enumerate().map(slice).collect::<Result<_, _>>()?;
        Ok(Self { slices, little_endian: tiff.little_endian })
    }
}

/// Unpacks one segment, which must be as long as `samples`.
fn unpack_segment(
    compression: Compression,
    segment: &[u8],
    samples: &mut [u8],
    lzw: &mut Lzw,
    inflater: &mut Decompressor,
    what: &dyn Display,
) -> Result<(), ImageFault> {
    let n_bytes = samples.len();
    let wrong = |found: &dyn Display| Err(ImageFault::undecodable(format_args!("{n_bytes} bytes of {what}"), found));
    let unpacked = match compression {
        Compression::None => {
            // Some writers make the last strip as long as any other.
            let n = segment.len().min(n_bytes);
            samples[..n].copy_from_slice(&segment[..n]);
            n
        }
        Compression::Lzw => match lzw.unpack(segment, samples) {
            Ok(n) => n,
            Err(LzwFault::NoClear) => return wrong(&"LZW that does not begin by clearing its table"),
            Err(LzwFault::UnknownCode) => return wrong(&"a code of LZW that is none yet"),
            Err(LzwFault::TooLong) => return wrong(&"more"),
        },
        Compression::Deflate => return inflate(inflater, segment, samples, what),
        Compression::PackBits => match packbits::unpack(segment, samples) {
            Some(n) => n,
            None => return wrong(&"more"),
        },
    };
    if unpacked == n_bytes { Ok(()) } else { wrong(&unpacked) }
}

/// Turns differences to the pixel before into samples, which are little-endian.
fn undo_differences(row: &mut [u8], page: &Page, pixel_bytes: usize) {
    match page.sample_bytes() {
        1 => undo_differences_of::<1>(row, pixel_bytes),
        _ => undo_differences_of::<2>(row, pixel_bytes / 2),
    }
}

fn undo_differences_of<const BYTES: usize>(row: &mut [u8], n_bands: usize) {
    let (samples, _) = row.as_chunks_mut::<BYTES>();
    for band in 0..n_bands {
        let mut value = 0_u16;
        for sample in samples.iter_mut().skip(band).step_by(n_bands) {
            let mut difference = [0; 2];
            difference[..BYTES].copy_from_slice(sample);
            value = value.wrapping_add(u16::from_le_bytes(difference));
            sample.copy_from_slice(&value.to_le_bytes()[..BYTES]);
        }
    }
}
