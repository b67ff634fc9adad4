//! The structure of a TIFF: its byte order, its directories, and the values of the tags that are of use. Works on
//! anything that can be sought in, as a directory may be anywhere in a file.

use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;

use crate::fault::FaultKind;

use super::super::fault::{ImageFault, hex};

/// How TIFFs and `BigTIFF`s of either byte order begin.
pub(crate) const SIGNATURES: [[u8; 4]; 4] = [*b"II*\0", *b"MM\0*", *b"II+\0", *b"MM\0+"];

/// The tags that are of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Tag {
    NewSubfileType = 254,
    SubfileType = 255,
    ImageWidth = 256,
    ImageLength = 257,
    BitsPerSample = 258,
    Compression = 259,
    Photometric = 262,
    FillOrder = 266,
    ImageDescription = 270,
    StripOffsets = 273,
    Orientation = 274,
    SamplesPerPixel = 277,
    RowsPerStrip = 278,
    StripByteCounts = 279,
    PlanarConfiguration = 284,
    Predictor = 317,
    TileWidth = 322,
    TileLength = 323,
    TileOffsets = 324,
    TileByteCounts = 325,
    /// Where directories below this one are.
    SubIfds = 330,
    ExtraSamples = 338,
    SampleFormat = 339,
    ImageDepth = 32_997,
    TileDepth = 32_998,
    /// What `MetaMorph` says of each plane of a stack.
    Uic2 = 33_629,
    Uic3 = 33_630,
    Uic4 = 33_631,
}

impl Tag {
    const ALL: [Self; 28] = [
        Self::NewSubfileType,
        Self::SubfileType,
        Self::ImageWidth,
        Self::ImageLength,
        Self::BitsPerSample,
        Self::Compression,
        Self::Photometric,
        Self::FillOrder,
        Self::ImageDescription,
        Self::StripOffsets,
        Self::Orientation,
        Self::SamplesPerPixel,
        Self::RowsPerStrip,
        Self::StripByteCounts,
        Self::PlanarConfiguration,
        Self::Predictor,
        Self::TileWidth,
        Self::TileLength,
        Self::TileOffsets,
        Self::TileByteCounts,
        Self::SubIfds,
        Self::ExtraSamples,
        Self::SampleFormat,
        Self::ImageDepth,
        Self::TileDepth,
        Self::Uic2,
        Self::Uic3,
        Self::Uic4,
    ];

    fn of(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|tag| *tag as u16 == number)
    }
}

/// An entry of a directory: where the values of a tag are, or they themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) tag: Tag,
    kind: u16,
    pub(super) count: u64,
    field: [u8; 8],
}

/// The entries of a directory that are of use.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    entries: Vec<Entry>,
    /// Where the directory and the values of all of its tags are in the file.
    pub(super) spans: Vec<Range<u64>>,
}

impl Directory {
    pub(super) fn entry(&self, tag: Tag) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    /// Its descriptions: tifffile writes one of its own beside that of its user.
    pub(super) fn descriptions(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.tag == Tag::ImageDescription)
    }
}

/// A TIFF.
pub(super) struct Tiff<R> {
    reader: R,
    pub(super) length: u64,
    pub(super) little_endian: bool,
    big: bool,
    /// Bytes that further directories may have. They do not overlap, so all of them are no longer than the file.
    pub(super) left: u64,
}

impl<R: Read + Seek> Tiff<R> {
    /// The structure of a file, and where its first directory is.
    pub(super) fn open(mut reader: R) -> Result<(Self, u64), ImageFault> {
        let length = reader.seek(SeekFrom::End(0)).map_err(|error| unreadable(&error))?;
        let mut tiff = Self { reader, length, little_endian: true, big: false, left: length };
        let signature = tiff.array::<4>(0)?;
        if !SIGNATURES.contains(&signature) {
            return Err(ImageFault::undecodable("the signature of a TIFF", hex(&signature)));
        }
        tiff.little_endian = signature[0] == b'I';
        tiff.big = signature.contains(&b'+');
        let first = if tiff.big {
            let sizes = tiff.array::<4>(4)?;
            if [tiff.number(&sizes[..2]), tiff.number(&sizes[2..])] != [8, 0] {
                return Err(ImageFault::undecodable("a BigTIFF with offsets of 8 bytes", hex(&sizes)));
            }
            tiff.array::<8>(8).map(|bytes| tiff.number(&bytes))?
        } else {
            tiff.array::<4>(4).map(|bytes| tiff.number(&bytes))?
        };
        Ok((tiff, first))
    }

    /// Bytes before anything else may lie in a file.
    pub(super) fn head_bytes(&self) -> u64 {
        if self.big { 16 } else { 8 }
    }

    /// A number in the byte order of the file.
    fn number(&self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.little_endian { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }

    fn array<const N: usize>(&mut self, at: u64) -> Result<[u8; N], ImageFault> {
        let mut bytes = [0; N];
        self.fill(at, &mut bytes)?;
        Ok(bytes)
    }

    /// Bytes that are there: memory is asked for only once that is known.
    pub(super) fn bytes(&mut self, at: u64, n: u64) -> Result<Vec<u8>, ImageFault> {
        self.check_room(at, n)?;
        let mut bytes = vec![0; n as usize];
        self.fill(at, &mut bytes)?;
        Ok(bytes)
    }

    fn check_room(&self, at: u64, n: u64) -> Result<(), ImageFault> {
        if at.checked_add(n).is_some_and(|end| end <= self.length) {
            return Ok(());
        }
        Err(ImageFault::truncated(format_args!("{n} bytes at byte {at}"), self.length))
    }

    fn fill(&mut self, at: u64, bytes: &mut [u8]) -> Result<(), ImageFault> {
        self.check_room(at, bytes.len() as u64)?;
        let read = self.reader.seek(SeekFrom::Start(at)).and_then(|_| self.reader.read_exact(bytes));
        read.map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => {
                ImageFault::truncated(format_args!("{} bytes at byte {at}", bytes.len()), "fewer")
            }
            _ => unreadable(&error),
        })
    }

    /// Reads a directory; also where the next one is, 0 if there is none.
    pub(super) fn directory(&mut self, at: u64) -> Result<(Directory, u64), ImageFault> {
        let (of_count, of_offset) = if self.big { (8, 8) } else { (2, 4) };
        let count = self.bytes(at, of_count).map(|bytes| self.number(&bytes))?;
        let of_entry = 4 + 2 * of_offset;
        if count > u64::from(u16::MAX) {
            return Err(ImageFault::undecodable("a directory of at most 65535 tags", count));
        }
        let n_bytes = count * of_entry + of_offset;
        self.check_room(at + of_count, n_bytes)?;
        self.left = self.left.checked_sub(of_count + n_bytes).ok_or_else(|| {
            ImageFault::undecodable("directories of their own bytes", "some that overlap or lie in a circle")
        })?;
        let bytes = self.bytes(at + of_count, n_bytes)?;
        let (entries, next) = bytes.split_at((count * of_entry) as usize);
        let mut directory = Directory::default();
        directory.spans.push(at..at + of_count + n_bytes);
        for entry in entries.chunks_exact(of_entry as usize) {
            let number = |range: Range<usize>| self.number(&entry[range]);
            let (offset, kind) = (of_offset as usize, number(2..4) as u16);
            let (count, field) = (number(4..4 + offset), &entry[4 + offset..]);
            let n_bytes = count.saturating_mul(bytes_of(kind));
            if n_bytes > of_offset {
                let at = self.number(field);
                directory.spans.push(at..at.saturating_add(n_bytes));
            }
            let Some(tag) = Tag::of(number(0..2) as u16) else { continue };
            let mut entry = Entry { tag, kind, count, field: [0; 8] };
            entry.field[..offset].copy_from_slice(field);
            match directory.entry(tag) {
                Some(first) if tag != Tag::ImageDescription => {
                    if *first != entry {
                        return Err(ImageFault::undecodable(format_args!("one {tag:?}"), "two that differ"));
                    }
                }
                _ => directory.entries.push(entry),
            }
        }
        Ok((directory, self.number(next)))
    }

    /// The bytes of an entry's values, of so many bytes each: at most `most` values.
    fn value_bytes(&mut self, entry: &Entry, of_value: u64, most: u64) -> Result<Vec<u8>, ImageFault> {
        let n_bytes = entry.count.min(most).saturating_mul(of_value);
        let of_offset = if self.big { 8 } else { 4 };
        if entry.count.saturating_mul(of_value) <= of_offset as u64 {
            return Ok(entry.field[..n_bytes as usize].to_vec());
        }
        self.bytes(self.number(&entry.field[..of_offset]), n_bytes)
    }

    /// The values of an entry, at most `most`, which are to be whole numbers.
    pub(super) fn values(&mut self, entry: &Entry, most: u64) -> Result<Vec<u64>, ImageFault> {
        if !matches!(entry.kind, 1 | 3 | 4 | 13 | 16 | 18) {
            let expected = format_args!("whole numbers as {:?}", entry.tag);
            return Err(ImageFault::undecodable(expected, format_args!("type {}", entry.kind)));
        }
        let of_value = bytes_of(entry.kind);
        let bytes = self.value_bytes(entry, of_value, most)?;
        Ok(bytes.chunks_exact(of_value as usize).map(|bytes| self.number(bytes)).collect())
    }

    /// The one value of a tag, if it is there.
    pub(super) fn value(&mut self, directory: &Directory, tag: Tag) -> Result<Option<u64>, ImageFault> {
        let Some(entry) = directory.entry(tag) else { return Ok(None) };
        let first = self.values(entry, 1)?.first().copied();
        first.map(Some).ok_or_else(|| ImageFault::undecodable(format_args!("a value of {tag:?}"), "none"))
    }

    /// A text.
    pub(super) fn text(&mut self, entry: &Entry) -> Result<String, ImageFault> {
        let bytes = self.value_bytes(entry, 1, entry.count)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Bytes of a value of a type; 0 of a type that there is not.
fn bytes_of(kind: u16) -> u64 {
    match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16..=18 => 8,
        _ => 0,
    }
}

fn unreadable(error: &std::io::Error) -> ImageFault {
    ImageFault { kind: FaultKind::Unreadable, detail: error.to_string() }
}
