//! PNGs of 8 and 16 bits, grey and RGB: every CRC and the Adler-32 checked, whatever is in the chunks. A file is one image:
//! an animation is a fault, and so is what follows the end.
//!
//! libdeflate does the inflating and checks the Adler-32; `unfilter.rs` and `adam7.rs` undo the rest.

#[cfg(test)]
mod tests;

use libdeflater::Decompressor;

use crate::fault::FaultKind;
use crate::site::Dtype;

use super::adam7::{adam7_bytes, undo_adam7};
use super::fault::{ImageFault, hex};
use super::header::{Bands, Header, check_sides};
use super::inflate::{MOST_INFLATED, inflate};
use super::unfilter::unfilter;

pub(super) const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// What signature and IHDR say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Png {
    pub(super) header: Header,
    interlaced: bool,
}

impl Png {
    /// Reads signature and IHDR, of which `png` is to hold at least all.
    pub(super) fn open(png: &[u8]) -> Result<Self, ImageFault> {
        let common = png.len().min(SIGNATURE.len());
        if png[..common] != SIGNATURE[..common] {
            return Err(ImageFault::undecodable("the PNG signature", hex(&png[..common])));
        }
        let chunk = Chunks { png, at: common }.next_chunk()?;
        let ihdr: &[u8; 13] = match (&chunk.kind, chunk.data.try_into()) {
            (b"IHDR", Ok(ihdr)) => ihdr,
            (kind, _) => {
                let found = format_args!("{} of {}", kind.escape_ascii(), chunk.data.len());
                return Err(ImageFault::undecodable("IHDR of 13 bytes as first chunk", found));
            }
        };
        let &[w0, w1, w2, w3, h0, h1, h2, h3, bits, colour, compression, filter, interlace] = ihdr;
        let side = |bytes| u64::from(u32::from_be_bytes(bytes));
        let size = check_sides(side([w0, w1, w2, w3]), side([h0, h1, h2, h3]))?;
        if compression != 0 || filter != 0 || interlace > 1 {
            let found = format_args!("{compression}, {filter}, {interlace}");
            return Err(ImageFault::undecodable("PNG methods 0, 0, 0 or 1", found));
        }
        let (bands, n_bands, samples) = match colour {
            0 => (Bands::Grey, 1, "grey"),
            2 => (Bands::Rgb, 3, "RGB"),
            3 => (Bands::Other, 1, "palette"),
            4 => (Bands::Other, 2, "grey with alpha"),
            6 => (Bands::Rgba, 4, "RGB with alpha"),
            _ => return Err(ImageFault::undecodable("a colour type of PNG", colour)),
        };
        let dtype = match bits {
            8 => Some(Dtype::Uint8),
            16 => Some(Dtype::Uint16),
            _ => None,
        };
        let bits = u32::from(bits);
        let header = Header {
            size,
            dtype,
            bands,
            bits: (bits, bits * n_bands),
            samples,
            is_planar: false,
            most_of_a_byte: MOST_INFLATED,
        };
        Ok(Self { header, interlaced: interlace == 1 })
    }

    /// Bytes of a pixel, of an image of 8 or 16 bits.
    pub(super) fn pixel_bytes(&self) -> usize {
        self.header.bits.1 as usize / 8
    }

    /// Bytes of a row, without its filter type.
    pub(super) fn row_bytes(&self) -> usize {
        self.header.size.width as usize * self.pixel_bytes()
    }

    /// Checks and inflates the image into its filtered rows, each row led by its filter type.
    pub(super) fn inflate_rows(
        &self,
        png: &[u8],
        decompressor: &mut Decompressor,
        deflated: &mut Vec<u8>,
        rows: &mut [u8],
    ) -> Result<(), ImageFault> {
        let zlib = collect_idat(png, self.header.bands, deflated)?;
        if !self.interlaced {
            inflate(decompressor, zlib, rows, "rows")?;
            return check_filters(rows, self.row_bytes());
        }
        let size = self.header.size;
        let mut passes = vec![0; adam7_bytes(size, self.pixel_bytes())];
        inflate(decompressor, zlib, &mut passes, "rows")?;
        let undo = match self.pixel_bytes() {
            1 => undo_adam7::<1>,
            2 => undo_adam7::<2>,
            3 => undo_adam7::<3>,
            4 => undo_adam7::<4>,
            6 => undo_adam7::<6>,
            _ => undo_adam7::<8>,
        };
        undo(&passes, size, rows).map_err(|filter| wrong_filter(&"an Adam7 pass", filter))
    }

    /// Undoes the filters of an image of several samples; they stay big-endian.
    pub(super) fn undo_filters(&self, rows: &[u8], samples: &mut [u8]) {
        let (mut rows, mut samples) = (std::iter::once(rows), std::iter::once(samples));
        match self.pixel_bytes() {
            3 => unfilter::<1, 3>(&mut rows, &mut samples, self.row_bytes()),
            4 => unfilter::<1, 4>(&mut rows, &mut samples, self.row_bytes()),
            6 => unfilter::<1, 6>(&mut rows, &mut samples, self.row_bytes()),
            _ => unfilter::<1, 8>(&mut rows, &mut samples, self.row_bytes()),
        };
    }
}

fn check_filters(rows: &[u8], row_bytes: usize) -> Result<(), ImageFault> {
    let mut wrong = rows.chunks_exact(1 + row_bytes).enumerate().filter(|(_, row)| row[0] > 4);
    wrong.next().map_or(Ok(()), |(y, row)| Err(wrong_filter(&format_args!("row {y}"), row[0])))
}

fn wrong_filter(place: &dyn std::fmt::Display, filter: u8) -> ImageFault {
    ImageFault::undecodable(format_args!("a filter type of 0 to 4 in {place}"), filter)
}

struct Chunk<'a> {
    kind: [u8; 4],
    data: &'a [u8],
}

/// Walks the chunks of a PNG; checks length and CRC of each.
struct Chunks<'a> {
    png: &'a [u8],
    at: usize,
}

impl<'a> Chunks<'a> {
    fn next_chunk(&mut self) -> Result<Chunk<'a>, ImageFault> {
        let rest = &self.png[self.at..];
        let truncated = || ImageFault::truncated("more chunks up to IEND", self.png.len());
        let head: &[u8; 8] = rest.first_chunk().ok_or_else(truncated)?;
        let [l0, l1, l2, l3, kind @ ..] = *head;
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        let end = length.checked_add(12).filter(|&end| end <= rest.len()).ok_or_else(truncated)?;
        let (checked, crc) = rest[4..end].split_at(4 + length);
        let expected = u32::from_be_bytes([crc[0], crc[1], crc[2], crc[3]]);
        let found = crc32fast::hash(checked);
        if expected != found {
            let kind = kind.escape_ascii();
            let detail = format!("chunk {kind} at byte {}: expected CRC {expected:08x}, found {found:08x}", self.at);
            return Err(ImageFault { kind: FaultKind::WrongCrc, detail });
        }
        self.at += end;
        Ok(Chunk { kind, data: &checked[4..] })
    }
}

/// The zlib stream of a PNG: a slice of it where one IDAT holds it all, else gathered in `buffer`. Walks up to the end, so
/// every CRC is checked.
pub(super) fn collect_idat<'a>(png: &'a [u8], bands: Bands, buffer: &'a mut Vec<u8>) -> Result<&'a [u8], ImageFault> {
    let mut chunks = Chunks { png, at: SIGNATURE.len() };
    let mut single: Option<&[u8]> = None;
    buffer.clear();
    let mut n_idat = 0;
    loop {
        let is_first = chunks.at == SIGNATURE.len();
        let chunk = chunks.next_chunk()?;
        match &chunk.kind {
            b"IDAT" => {
                n_idat += 1;
                match single.replace(chunk.data) {
                    None => {}
                    Some(first) if n_idat == 2 => {
                        buffer.extend_from_slice(first);
                        buffer.extend_from_slice(chunk.data);
                    }
                    Some(_) => buffer.extend_from_slice(chunk.data),
                }
            }
            b"IEND" => break,
            b"IHDR" if is_first => {}
            b"acTL" | b"fcTL" | b"fdAT" => {
                let found = format_args!("an animation ({})", chunk.kind.escape_ascii());
                return Err(ImageFault::new(FaultKind::ManyPages, "one image", found));
            }
            b"tRNS" => {
                return Err(ImageFault::new(FaultKind::WrongColour, "opaque pixels", "a transparent colour (tRNS)"));
            }
            [first, ..] if first.is_ascii_lowercase() => {}
            // A palette to show it by, where there are few colours.
            b"PLTE" if bands != Bands::Grey => {}
            kind => {
                let expected = format_args!("chunks of {} PNG", if bands == Bands::Grey { "a grey" } else { "an RGB" });
                return Err(ImageFault::undecodable(expected, kind.escape_ascii()));
            }
        }
    }
    // What was sent in blocks may be filled up.
    let rest = &png[chunks.at..];
    if rest.starts_with(&SIGNATURE) {
        return Err(ImageFault::new(FaultKind::ManyPages, "one image", "another PNG behind it"));
    }
    if rest.iter().any(|byte| *byte != 0) {
        return Err(ImageFault::undecodable("the end behind IEND", format_args!("{} bytes", rest.len())));
    }
    match single {
        None => Err(ImageFault::undecodable("image data (IDAT)", "none")),
        Some(data) if n_idat == 1 => Ok(data),
        Some(_) => Ok(buffer),
    }
}
