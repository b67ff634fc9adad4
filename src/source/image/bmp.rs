//! BMPs of 8 bits: grey (a palette in which each number is its own grey) and RGB of 24 bits, both raw. The crate `image`
//! reads them; it believes the place of the pixels, has colours that are not in the palette be black, and takes packed and
//! masked ones, so all of that is looked at before.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;

use crate::fault::FaultKind;
use crate::site::Dtype;

use super::by_crate::read_samples;
use super::fault::ImageFault;
use super::header::{Bands, Header, check_sides};

/// Bytes before the header that tells its own length.
const FILE_HEADER: usize = 14;

/// Reads the header of a file of so many bytes, of which `head` holds the beginning.
///
/// # Errors
/// A fault unless the file holds the pixels of one image, and no room for another.
pub(super) fn open(head: &[u8], length: u64) -> Result<Header, ImageFault> {
    let truncated = |n: usize| ImageFault::truncated(format_args!("{n} bytes of a header"), length);
    let word = |at: usize| match head.get(at..at + 4) {
        Some(bytes) => Ok(bytes.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte))),
        None => Err(truncated(at + 4)),
    };
    let (pixels_at, header_bytes) = (word(10)?, word(FILE_HEADER)?);
    // Those of Windows; that of OS/2 has other sides.
    if ![40, 52, 56, 108, 124].contains(&header_bytes) {
        return Err(ImageFault::undecodable("a header of BMP of 40, 52, 56, 108 or 124 bytes", header_bytes));
    }
    let (width, height) = (word(18)? as i32, word(22)? as i32);
    let size = check_sides(u64::try_from(width).unwrap_or(0), height.unsigned_abs().into())?;
    let (planes, bits) = (word(26)? & 0xffff, word(26)? >> 16);
    let (packing, n_colours) = (word(30)?, word(46)?);
    if planes != 1 || packing != 0 {
        return Err(ImageFault::undecodable("a raw BMP of one plane", format_args!("{planes}, packed by {packing}")));
    }
    let palette_at = FILE_HEADER + header_bytes as usize;
    let n_colours = match (bits, n_colours) {
        (8, 0) => 256,
        (8, n) => n as usize,
        _ => 0,
    };
    if n_colours > 256 {
        return Err(ImageFault::undecodable("at most 256 colours", n_colours));
    }
    let palette_end = palette_at + 4 * n_colours;
    let palette = head.get(palette_at..palette_end).ok_or_else(|| truncated(palette_end))?;
    let is_own_grey = |(i, colour): (usize, &[u8; 4])| colour[..3] == [i as u8; 3];
    let is_grey = n_colours == 256 && palette.as_chunks().0.iter().enumerate().all(is_own_grey);
    let (bands, samples) = match bits {
        8 if is_grey => (Bands::Grey, "grey"),
        24 => (Bands::Rgb, "RGB"),
        1 | 2 | 4 | 8 => (Bands::Other, "palette"),
        _ => (Bands::Other, "RGB of a BMP"),
    };
    let dtype = matches!(bands, Bands::Grey | Bands::Rgb).then_some(Dtype::Uint8);
    let of_sample = if dtype.is_some() { 8 } else { bits };
    let header = Header { size, dtype, bands, bits: (of_sample, bits), samples, is_planar: false, most_of_a_byte: 1 };
    if dtype.is_none() {
        // Refused for it.
        return Ok(header);
    }
    if (pixels_at as usize) < palette_end {
        let expected = format_args!("pixels behind the {palette_end} bytes of a header");
        return Err(ImageFault::undecodable(expected, format_args!("some at byte {pixels_at}")));
    }
    let row_bytes = (u64::from(size.width) * u64::from(bits)).div_ceil(32) * 4;
    let image_bytes = row_bytes * u64::from(size.height);
    let (end, told) = (u64::from(pixels_at) + image_bytes, u64::from(word(2)?));
    if length < end.max(told) {
        return Err(ImageFault::truncated(format_args!("{} bytes", end.max(told)), length));
    }
    let spare = (length - end).max(u64::from(pixels_at) - palette_end as u64);
    if spare >= image_bytes {
        let found = format_args!("{spare} bytes more, as many as an image has");
        return Err(ImageFault::new(FaultKind::ManyPages, "one image", found));
    }
    Ok(header)
}

/// Reads the samples of a file that was opened.
pub(super) fn read(file: &[u8], bands: Bands, samples: &mut [u8]) -> Result<(), ImageFault> {
    let decoder = BmpDecoder::new(Cursor::new(file)).map(|mut decoder| {
        decoder.set_indexed_color(bands == Bands::Grey);
        decoder
    });
    read_samples(decoder, samples)
}
