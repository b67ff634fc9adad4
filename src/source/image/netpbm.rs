//! PGM and PPM of 8 and 16 bits, binary (`P5` and `P6`). The crate `image` reads them; what it would make of a file that is
//! cut short, of several images or of another largest value is refused before.

use std::io;

use image::ImageDecoder;
use image::codecs::pnm::{PnmDecoder, PnmSubtype};
use image::error::ImageError;

use crate::fault::FaultKind;
use crate::site::Dtype;

use super::by_crate::read_samples;
use super::fault::ImageFault;
use super::header::{Bands, Header, check_sides};

/// Bytes that a header with its comments may have.
const LONGEST_HEADER: usize = 2048;

/// Reads the header of a file of so many bytes, of which `head` holds the beginning.
///
/// # Errors
/// A fault unless the file holds the pixels of one image, and nothing else.
pub(super) fn open(head: &[u8], length: u64) -> Result<Header, ImageFault> {
    let head = &head[..head.len().min(LONGEST_HEADER)];
    let ends_early = || {
        if head.len() as u64 == length {
            return ImageFault::truncated("pixels behind a header", length);
        }
        ImageFault::undecodable(format_args!("a header of fewer than {LONGEST_HEADER} bytes"), "a longer one")
    };
    let decoder = PnmDecoder::new(head).map_err(|error| match &error {
        ImageError::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => ends_early(),
        _ => ImageFault::undecodable("the header of a PGM or PPM", error),
    })?;
    let (rest, of_file) = decoder.into_inner();
    if rest.is_empty() {
        // Its last number may lack digits.
        return Err(ends_early());
    }
    let (bands, n_bands) = match of_file.subtype() {
        PnmSubtype::Graymap(_) => (Bands::Grey, 1),
        _ => (Bands::Rgb, 3),
    };
    let size = check_sides(of_file.width().into(), of_file.height().into())?;
    let most = of_file.maximal_sample();
    let bits = 32 - most.leading_zeros();
    // Of another largest value it is not known whether it is white: some readers stretch to it, others do not.
    let (dtype, samples) = match (most, bands) {
        (0xff, Bands::Grey) => (Some(Dtype::Uint8), "grey"),
        (0xff, _) => (Some(Dtype::Uint8), "RGB"),
        (0xffff, Bands::Grey) => (Some(Dtype::Uint16), "grey"),
        (0xffff, _) => (Some(Dtype::Uint16), "RGB"),
        (_, Bands::Grey) => (None, "grey of another largest value"),
        _ => (None, "RGB of another largest value"),
    };
    let header =
        Header { size, dtype, bands, bits: (bits, bits * n_bands), samples, is_planar: false, most_of_a_byte: 1 };
    let pixels_at = (head.len() - rest.len()) as u64;
    let expected = pixels_at + header.bytes();
    if dtype.is_some() && length < expected {
        return Err(ImageFault::truncated(format_args!("{expected} bytes"), length));
    }
    if dtype.is_some() && length > expected {
        let found = format_args!("{} bytes behind it", length - expected);
        return Err(ImageFault::new(FaultKind::ManyPages, "one image", found));
    }
    Ok(header)
}

/// Reads the samples, little-endian, of a file that was opened.
pub(super) fn read(file: &[u8], _: Bands, samples: &mut [u8]) -> Result<(), ImageFault> {
    let decoder = PnmDecoder::new(file);
    let is_deep = decoder.as_ref().is_ok_and(|decoder| {
        let colour = decoder.color_type();
        colour.bytes_per_pixel() / colour.channel_count() == 2
    });
    read_samples(decoder, samples)?;
    if is_deep {
        samples.as_chunks_mut::<2>().0.iter_mut().for_each(|s| *s = u16::from_ne_bytes(*s).to_le_bytes());
    }
    Ok(())
}
