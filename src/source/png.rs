//! Decoding the PNGs of one site into one tensor, under limits: an 8-bit grey PNG of the expected size, every CRC and
//! the Adler-32 checked, or a fault that says what is wrong. Never panics and never allocates by what a file claims.
//!
//! libdeflate does the inflating and checks the Adler-32, `unfilter.rs` undoes the filters and Adam7.

#[cfg(test)]
mod tests;

use libdeflater::{DecompressionError, Decompressor};

use crate::fault::FaultKind;
use crate::site::ImageSize;

use super::unfilter::{adam7_bytes, undo_adam7, unfilter};

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
/// Deflate makes at most so many bytes of one: 258 of two bits.
const MOST_INFLATED: u64 = 1032;

/// What is wrong with one PNG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PngFault {
    /// The kind.
    pub kind: FaultKind,
    /// Expected and found.
    pub detail: String,
}

impl PngFault {
    fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { kind, detail }
    }
}

/// What the header of a PNG says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The size.
    pub size: ImageSize,
    bit_depth: u8,
    colour_type: u8,
    interlaced: bool,
}

impl Header {
    /// Checks that it is the header of an 8-bit grey image of a size.
    ///
    /// # Errors
    /// A fault if it is another.
    pub(super) fn check(self, size: ImageSize) -> Result<(), PngFault> {
        if self.bit_depth != 8 || self.colour_type != 0 {
            let detail = format!("expected 8-bit grey, found {}", describe(self.bit_depth, self.colour_type));
            return Err(PngFault::new(FaultKind::NotGrey8, detail));
        }
        if self.size != size {
            let (ImageSize { height, width }, found) = (size, self.size);
            let detail = format!("expected {width} x {height}, found {} x {}", found.width, found.height);
            return Err(PngFault::new(FaultKind::WrongSize, detail));
        }
        Ok(())
    }

    /// Whether a file of so many bytes can hold the pixels that its header claims, so that no memory is asked for by
    /// the word of a header alone.
    #[must_use]
    pub fn can_be_true(&self, file_bytes: u64) -> bool {
        file_bytes.saturating_mul(MOST_INFLATED) >= self.size.pixels() as u64
    }
}

/// Reads signature and IHDR of a PNG: what is needed to learn the size of the images of a tree.
///
/// # Errors
/// A fault if the file is no PNG or ends before its header does.
pub fn read_header(png: &[u8]) -> Result<Header, PngFault> {
    if png.is_empty() {
        return Err(PngFault::new(FaultKind::Empty, "expected a PNG, found 0 bytes"));
    }
    let common = png.len().min(SIGNATURE.len());
    if png[..common] != SIGNATURE[..common] {
        let detail = format!("expected the PNG signature, found {}", hex(&png[..common]));
        return Err(PngFault::new(FaultKind::Undecodable, detail));
    }
    let mut chunks = Chunks { png, at: SIGNATURE.len().min(png.len()) };
    let chunk = chunks.next_chunk()?;
    let ihdr: &[u8; 13] = match (&chunk.kind, chunk.data.try_into()) {
        (b"IHDR", Ok(ihdr)) => ihdr,
        _ => {
            return Err(PngFault::new(FaultKind::Undecodable, "expected IHDR of 13 bytes as first chunk"));
        }
    };
    let side = |at: usize| u32::from_be_bytes([ihdr[at], ihdr[at + 1], ihdr[at + 2], ihdr[at + 3]]);
    let size = ImageSize { width: side(0), height: side(4) };
    let sides = 1..=ImageSize::MAX_SIDE;
    if !sides.contains(&size.width) || !sides.contains(&size.height) {
        let detail = format!("expected sides of 1 to {}, found {} x {}", ImageSize::MAX_SIDE, size.width, size.height);
        return Err(PngFault::new(FaultKind::WrongSize, detail));
    }
    let &[bit_depth, colour_type, compression, filter, interlace] = &ihdr[8..] else {
        unreachable!("IHDR has 13 bytes")
    };
    if compression != 0 || filter != 0 || interlace > 1 {
        let detail = format!("expected PNG methods 0, 0, 0 or 1, found {compression}, {filter}, {interlace}");
        return Err(PngFault::new(FaultKind::Undecodable, detail));
    }
    Ok(Header { size, bit_depth, colour_type, interlaced: interlace == 1 })
}

/// Decodes sites; keeps its buffers from one site to the next.
pub struct SiteDecoder {
    size: ImageSize,
    inflate: Decompressor,
    /// Deflated bytes of a PNG with several IDAT chunks.
    deflated: Vec<u8>,
    /// Filtered rows of every channel: `[C, H, 1 + W]`.
    filtered: Vec<u8>,
}

impl SiteDecoder {
    /// A decoder for images of this size.
    #[must_use]
    pub fn new(size: ImageSize) -> Self {
        Self { size, inflate: Decompressor::new(), deflated: Vec::new(), filtered: Vec::new() }
    }

    /// Decodes `pngs`, one a channel, into `pixels`: `[C, H, W] u8`. Returns the faults as (channel index, fault), each
    /// channel's first; where there are any, the content of `pixels` means nothing.
    ///
    /// # Panics
    /// If `pixels` has not C x H x W bytes.
    pub fn decode(&mut self, pngs: &[&[u8]], pixels: &mut [u8]) -> Vec<(usize, PngFault)> {
        assert_eq!(pixels.len(), pngs.len() * self.size.pixels(), "[C, H, W] bytes");
        let plane = self.size.height as usize * (1 + self.size.width as usize);
        let headers: Vec<Result<Header, PngFault>> = pngs.iter().map(|png| self.check_header(png)).collect();
        if !pngs.is_empty() && headers.iter().all(Result::is_err) {
            return headers.into_iter().map(Result::err).enumerate().filter_map(|(c, e)| Some((c, e?))).collect();
        }
        self.filtered.resize(plane * pngs.len(), 0);
        let mut filtered = std::mem::take(&mut self.filtered);
        let mut faults = Vec::new();
        for (channel, (header, rows)) in headers.into_iter().zip(filtered.chunks_exact_mut(plane)).enumerate() {
            if let Err(fault) = header.and_then(|header| self.inflate_rows(header, pngs[channel], rows)) {
                faults.push((channel, fault));
            }
        }
        if faults.is_empty() {
            let width = self.size.width as usize;
            let mut inputs = filtered.chunks_exact(plane);
            let mut outputs = pixels.chunks_exact_mut(self.size.pixels());
            let mut left = pngs.len();
            while left > 0 {
                left -= match left {
                    1 => unfilter::<1>(&mut inputs, &mut outputs, width),
                    2 | 4 => unfilter::<2>(&mut inputs, &mut outputs, width),
                    _ => unfilter::<3>(&mut inputs, &mut outputs, width),
                };
            }
        }
        self.filtered = filtered;
        faults
    }

    /// Whether a PNG is an image of the kind and size that is expected, by what its header says.
    fn check_header(&self, png: &[u8]) -> Result<Header, PngFault> {
        let header = read_header(png)?;
        header.check(self.size)?;
        if !header.can_be_true(png.len() as u64) {
            // Told as what it is, where it is cut short or altered; a short file is looked through in no time.
            collect_idat(png, &mut Vec::new())?;
            let ImageSize { height, width } = self.size;
            let detail = format!("expected {width} x {height} pixels, found {} bytes, too few for them", png.len());
            return Err(PngFault::new(FaultKind::Undecodable, detail));
        }
        Ok(header)
    }

    /// Checks and inflates one PNG into its filtered rows, each row led by its filter type.
    fn inflate_rows(&mut self, header: Header, png: &[u8], rows: &mut [u8]) -> Result<(), PngFault> {
        let zlib = collect_idat(png, &mut self.deflated)?;
        if !header.interlaced {
            inflate(&mut self.inflate, zlib, rows)?;
            return check_filters(rows, self.size.width as usize);
        }
        let mut passes = vec![0; adam7_bytes(self.size)];
        inflate(&mut self.inflate, zlib, &mut passes)?;
        undo_adam7(&passes, self.size, rows).map_err(|filter| wrong_filter(&"an Adam7 pass", filter))
    }
}

/// Inflates a zlib stream, which must be as long as `rows` and have the Adler-32 that it names.
fn inflate(inflate: &mut Decompressor, zlib: &[u8], rows: &mut [u8]) -> Result<(), PngFault> {
    let n_bytes = rows.len();
    let undecodable = |found: &str| {
        let detail = format!("expected {n_bytes} bytes of rows, found {found}");
        Err(PngFault::new(FaultKind::Undecodable, detail))
    };
    match inflate.zlib_decompress(zlib, rows) {
        Ok(n) if n == rows.len() => Ok(()),
        Ok(n) => undecodable(&n.to_string()),
        Err(DecompressionError::BadData) => undecodable("zlib data that is damaged"),
        Err(DecompressionError::InsufficientSpace) => undecodable("more"),
    }
}

fn check_filters(rows: &[u8], width: usize) -> Result<(), PngFault> {
    let mut wrong = rows.chunks_exact(1 + width).enumerate().filter(|(_, row)| row[0] > 4);
    wrong.next().map_or(Ok(()), |(y, row)| Err(wrong_filter(&format_args!("row {y}"), row[0])))
}

fn wrong_filter(place: &dyn std::fmt::Display, filter: u8) -> PngFault {
    let detail = format!("expected a filter type of 0 to 4 in {place}, found {filter}");
    PngFault::new(FaultKind::Undecodable, detail)
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
    fn next_chunk(&mut self) -> Result<Chunk<'a>, PngFault> {
        let rest = &self.png[self.at..];
        let truncated = || {
            let detail = format!("expected more chunks up to IEND, found the end after {} bytes", self.png.len());
            PngFault::new(FaultKind::Truncated, detail)
        };
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
            return Err(PngFault::new(FaultKind::WrongCrc, detail));
        }
        self.at += end;
        Ok(Chunk { kind, data: &checked[4..] })
    }
}

/// The zlib stream of a PNG: a slice of it where one IDAT holds it all, else gathered in `buffer`. Walks up to IEND, so
/// every CRC is checked.
fn collect_idat<'a>(png: &'a [u8], buffer: &'a mut Vec<u8>) -> Result<&'a [u8], PngFault> {
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
            [first, ..] if first.is_ascii_lowercase() => {}
            kind => {
                let detail = format!("expected chunks of a grey PNG, found {}", kind.escape_ascii());
                return Err(PngFault::new(FaultKind::Undecodable, detail));
            }
        }
    }
    match single {
        None => Err(PngFault::new(FaultKind::Undecodable, "expected image data (IDAT), found none")),
        Some(data) if n_idat == 1 => Ok(data),
        Some(_) => Ok(buffer),
    }
}

fn describe(bit_depth: u8, colour_type: u8) -> String {
    let colour = match colour_type {
        0 => "grey",
        2 => "RGB",
        3 => "palette",
        4 => "grey with alpha",
        6 => "RGB with alpha",
        _ => return format!("colour type {colour_type}"),
    };
    format!("{bit_depth}-bit {colour}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
