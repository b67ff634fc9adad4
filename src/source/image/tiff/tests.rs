use std::io::Cursor;

use proptest::prelude::*;
use tiff::encoder::colortype::{Gray8, Gray16, RGB8, RGB16};
use tiff::encoder::{Compression as Packing, DeflateLevel, Predictor, TiffEncoder};

use super::*;
use crate::fault::FaultKind;
use crate::site::{Dtype, ImageSize};
use crate::source::image::{Colour, ImageFault, SiteDecoder};

pub(super) const SIZE: ImageSize = ImageSize { height: 5, width: 6 };

pub(super) fn decode(file: &[u8], size: ImageSize, dtype: Dtype, colour: Colour) -> Result<Vec<u8>, ImageFault> {
    let mut pixels = vec![7; size.pixels() * dtype.bytes() * colour.channels()];
    let faults = SiteDecoder::new(size, dtype, colour).decode(&[file], &mut pixels);
    faults.into_iter().next().map_or(Ok(pixels), |(_, fault)| Err(fault))
}

/// A TIFF written by hand: raw 8-bit grey of 2 strips, 3 rows and 2, that a test changes.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) big: bool,
    pub(super) little: bool,
    /// Tag, type and values.
    pub(super) tags: Vec<(u16, u16, Vec<u64>)>,
    pub(super) data: Vec<u8>,
}

/// Where the pixels of a file made by hand are.
pub(super) const DATA: u64 = 16;

impl Made {
    pub(super) fn new() -> Self {
        let tags = [
            (256, 3, vec![6]),
            (257, 3, vec![5]),
            (258, 3, vec![8]),
            (259, 3, vec![1]),
            (262, 3, vec![1]),
            (273, 4, vec![DATA, DATA + 18]),
            (277, 3, vec![1]),
            (278, 4, vec![3]),
            (279, 4, vec![18, 12]),
        ];
        Self { big: false, little: true, tags: tags.into(), data: (1..=30).collect() }
    }

    pub(super) fn with(mut self, tag: u16, kind: u16, values: &[u64]) -> Self {
        self.tags.retain(|(other, ..)| *other != tag);
        self.tags.push((tag, kind, values.to_vec()));
        self.tags.sort();
        self
    }

    pub(super) fn without(mut self, tag: u16) -> Self {
        self.tags.retain(|(other, ..)| *other != tag);
        self
    }

    fn number(&self, value: u64, bytes: usize) -> Vec<u8> {
        let mut number = value.to_le_bytes()[..bytes].to_vec();
        if !self.little {
            number.reverse();
        }
        number
    }

    /// The directory is at the end of the data; values that do not fit into it follow it.
    pub(super) fn file(&self) -> Vec<u8> {
        let of_offset = if self.big { 8 } else { 4 };
        let mut file = if self.little { b"II".to_vec() } else { b"MM".to_vec() };
        file.extend(self.number(if self.big { 43 } else { 42 }, 2));
        if self.big {
            file.extend([self.number(8, 2), self.number(0, 2)].concat());
        }
        let at = DATA + self.data.len() as u64;
        file.extend(self.number(at, of_offset));
        file.resize(DATA as usize, 0);
        file.extend(&self.data);
        file.extend(self.directory(at, 0));
        file
    }

    /// The directory as it is at a place of a file.
    pub(super) fn directory(&self, at: u64, next: u64) -> Vec<u8> {
        let (of_count, of_offset) = if self.big { (8, 8) } else { (2, 4) };
        let mut directory = self.number(self.tags.len() as u64, of_count);
        let mut values_at = at as usize + of_count + self.tags.len() * (4 + 2 * of_offset) + of_offset;
        let mut behind = Vec::new();
        for (tag, kind, values) in &self.tags {
            directory.extend(self.number((*tag).into(), 2));
            directory.extend(self.number((*kind).into(), 2));
            directory.extend(self.number(values.len() as u64, of_offset));
            let of_value = match kind {
                1 | 2 => 1,
                3 => 2,
                5 | 16 => 8,
                _ => 4,
            };
            let mut bytes: Vec<u8> = values.iter().flat_map(|value| self.number(*value, of_value)).collect();
            if bytes.len() > of_offset {
                directory.extend(self.number(values_at as u64, of_offset));
                values_at += bytes.len();
                behind.append(&mut bytes);
            } else {
                bytes.resize(of_offset, 0);
                directory.extend(bytes);
            }
        }
        directory.extend(self.number(next, of_offset));
        directory.extend(behind);
        directory
    }

    pub(super) fn decode(&self) -> Result<Vec<u8>, ImageFault> {
        decode(&self.file(), SIZE, Dtype::Uint8, Colour::Grey)
    }

    #[track_caller]
    pub(super) fn check(&self, kind: FaultKind, part: &str) {
        let fault = self.decode().unwrap_err();
        assert!(fault.kind == kind && fault.detail.contains(part), "{fault:?}");
    }
}

#[test]
fn both_byte_orders_and_both_sizes_of_offsets_are_read() {
    for (big, little) in [(false, false), (false, true), (true, false), (true, true)] {
        let made = Made { big, little, ..Made::new() };
        let expected: Vec<u8> = (1..=30).collect();
        assert_eq!(made.decode(), Ok(expected.clone()), "{big} {little}");
        let in_bytes = made.with(279, 1, &[18, 12]);
        assert_eq!(in_bytes.decode(), Ok(expected.clone()), "counts of one byte");
        if big {
            assert_eq!(in_bytes.with(273, 16, &[DATA, DATA + 18]).decode(), Ok(expected), "offsets of eight bytes");
        }
    }
}

#[test]
fn what_a_baseline_reader_may_leave_out_is_what_the_standard_says() {
    let expected: Vec<u8> = (1..=30).collect();
    let made = Made::new().without(259).without(277).without(279);
    assert_eq!(made.decode(), Ok(expected.clone()), "raw, of one sample, how long follows from the rows");
    let one_strip = Made::new().without(278).with(273, 4, &[DATA]).with(279, 4, &[30]);
    assert_eq!(one_strip.decode(), Ok(expected.clone()), "one strip");
    assert_eq!(one_strip.with(278, 4, &[u32::MAX.into()]).decode(), Ok(expected.clone()), "the most rows there are");
    let longer = Made { data: (1..=40).collect(), ..Made::new() }.with(279, 4, &[18, 18]);
    assert_eq!(longer.decode(), Ok(expected), "the last strip is as long as the first");
}

#[test]
fn each_lie_is_a_fault_with_its_reason() {
    use FaultKind::{Truncated, Undecodable, WrongColour, WrongDtype, WrongSize};
    let made = Made::new;
    made().without(256).check(Undecodable, "the tag ImageWidth, found none");
    made().without(257).check(Undecodable, "the tag ImageLength, found none");
    made().with(257, 3, &[]).check(Undecodable, "a value of ImageLength, found none");
    made().with(257, 2, &[5, 0, 0, 0, 0]).check(Undecodable, "whole numbers as ImageLength, found type 2");
    made().with(256, 4, &[0]).check(WrongSize, "sides of 1 to 16384, found 0 x 5");
    made().with(256, 4, &[16_385]).check(WrongSize, "found 16385 x 5");
    made().with(256, 4, &[7]).check(WrongSize, "expected 6 x 5, found 7 x 5");
    made().with(258, 3, &[12]).check(WrongDtype, "expected 8-bit grey, found 12-bit grey");
    made().with(258, 4, &[u32::MAX.into()]).check(WrongDtype, "found 65535-bit grey");
    made().with(258, 3, &[8, 16, 8]).check(Undecodable, "one BitsPerSample for all samples, found [8, 16, 8]");
    made().with(259, 3, &[7]).check(Undecodable, "found JPEG (7)");
    made().with(259, 3, &[99]).check(Undecodable, "found another (99)");
    made().without(262).check(WrongColour, "unnamed colour");
    made().with(262, 3, &[0]).check(WrongColour, "grey in which white is zero");
    made().with(262, 3, &[2]).check(WrongColour, "RGB of an unusual format");
    let four = || made().with(262, 3, &[2]).with(277, 3, &[4]);
    four().check(WrongColour, "RGB of an unusual format");
    four().with(338, 3, &[2]).check(WrongColour, "RGB with alpha");
    made().with(266, 3, &[2]).check(Undecodable, "the value 1 of FillOrder, found 2");
    made().with(274, 3, &[6]).check(Undecodable, "the value 1 of Orientation, found 6");
    made().with(277, 3, &[2]).check(WrongColour, "grey of several samples");
    made().with(284, 3, &[3]).check(Undecodable, "PlanarConfiguration");
    assert!(made().with(284, 3, &[2]).decode().is_ok(), "one sample is a plane by itself");
    made().with(317, 3, &[2]).check(Undecodable, "no predictor, or differences under LZW or deflate, found 2");
    made().with(339, 3, &[2]).check(WrongDtype, "8-bit signed grey");
    made().with(339, 3, &[4]).check(WrongDtype, "8-bit grey of an unknown format");
    made().with(278, 4, &[0]).check(Undecodable, "a RowsPerStrip of at least 1, found 0");
    made().with(278, 4, &[2]).check(Undecodable, "3 of StripOffsets, found 2");
    made().with(279, 4, &[18]).check(Undecodable, "2 of StripByteCounts, found 1");
    made().with(279, 4, &[18, 11]).check(Undecodable, "12 bytes of strip 1, found 11");
    made().with(279, 4, &[0, 12]).check(Undecodable, "18 bytes of strip 0, found 0");
    made().with(279, 4, &[18, 500]).check(Truncated, "segments of 518 bytes");
    made().with(273, 4, &[DATA, 1 << 30]).check(Truncated, "12 bytes of segment 1 at byte 1073741824");
    made().without(273).check(Undecodable, "strips or tiles, found none");
    let tiled = || made().without(273).without(279).with(324, 4, &[DATA]).with(325, 4, &[30]);
    tiled().check(Undecodable, "the tag TileWidth, found none");
    tiled().with(273, 4, &[8]).check(Undecodable, "strips or tiles, found both");
    let of = |width: u64, height: u64| tiled().with(322, 4, &[width]).with(323, 4, &[height]);
    of(0, 16).check(Undecodable, "a TileWidth of at least 1, found 0");
    of(16, 16).check(Undecodable, "256 bytes of tile 0, found 30");
    assert!(of(6, 5).decode().is_ok(), "no tile is of such a size by the standard, but it is clear what it means");
    for (width, height) in [(1 << 14, 1 << 14), (u32::MAX.into(), 1), (u32::MAX.into(), u32::MAX.into())] {
        of(width, height).check(Undecodable, "tiles that are not much larger than the image");
    }
}

#[test]
fn directories_that_lie_ahead_behind_or_in_a_circle_end() {
    let file = Made::new().file();
    let at = DATA as usize + 30;
    let next = at + 2 + 9 * 12;
    let with = |place: usize, number: u32| {
        let mut file = file.clone();
        file[place..place + 4].copy_from_slice(&number.to_le_bytes());
        decode(&file, SIZE, Dtype::Uint8, Colour::Grey).unwrap_err()
    };
    assert_eq!(with(4, 0).detail, "expected an image, found none among the directories");
    assert_eq!(with(4, u32::MAX).kind, FaultKind::Truncated);
    assert_eq!(with(4, 3).kind, FaultKind::Truncated, "it is read as a directory of many tags");
    assert!(with(next, at as u32).detail.contains("overlap or lie in a circle"), "{:?}", with(next, at as u32));
    let mut big = Made { big: true, ..Made::new() }.file();
    big[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    let fault = decode(&big, SIZE, Dtype::Uint8, Colour::Grey).unwrap_err();
    assert!(fault.detail.starts_with("expected a directory of at most 65535 tags"), "{fault:?}");
    big[4] = 16;
    assert!(decode(&big, SIZE, Dtype::Uint8, Colour::Grey).unwrap_err().detail.contains("offsets of 8 bytes"));
}

#[test]
fn a_small_file_cannot_claim_an_image_that_it_has_no_bytes_for() {
    let size = ImageSize { height: ImageSize::MAX_SIDE, width: ImageSize::MAX_SIDE };
    let claims = |compression: u64| {
        let of_strip = Made::new().with(256, 4, &[16_384]).with(257, 4, &[16_384]).with(259, 3, &[compression]);
        of_strip.with(278, 4, &[16_384]).with(273, 4, &[DATA]).with(279, 4, &[30]).file()
    };
    let mut pixels = vec![0; size.pixels()];
    for compression in [1, 5, 8, 32_773] {
        let file = claims(compression);
        assert!(!Page::open(&mut Cursor::new(&file)).unwrap().header.can_be_true(file.len() as u64));
        let faults = SiteDecoder::new(size, Dtype::Uint8, Colour::Grey).decode(&[&file], &mut pixels);
        assert!(faults[0].1.detail.ends_with("too few for them"), "{faults:?}");
    }
}

/// Samples as the crate `tiff` takes them: runs, ramps and noise.
fn ramp(n: usize, seed: u16) -> Vec<u16> {
    let of = |i: usize| match i / 50 % 3 {
        0 => seed,
        1 => (i * i * 7 + usize::from(seed)) as u16,
        _ => (i as u32).wrapping_mul(2_654_435_761).rotate_right(9) as u16,
    };
    (0..n).map(of).collect()
}

fn encode(size: ImageSize, dtype: Dtype, n_bands: usize, packing: Packing, rows: u32, differences: bool) -> Vec<u8> {
    let samples = ramp(size.pixels() * n_bands, 300);
    let bytes: Vec<u8> = samples.iter().map(|sample| *sample as u8).collect();
    let mut file = Cursor::new(Vec::new());
    let predictor = if differences { Predictor::Horizontal } else { Predictor::None };
    let mut encoder = TiffEncoder::new(&mut file).unwrap().with_compression(packing).with_predictor(predictor);
    macro_rules! write {
        ($colour:ty, $samples:expr) => {{
            let mut image = encoder.new_image::<$colour>(size.width, size.height).unwrap();
            image.rows_per_strip(rows).unwrap();
            image.write_data($samples).unwrap();
        }};
    }
    match (dtype, n_bands) {
        (Dtype::Uint8, 1) => write!(Gray8, &bytes),
        (Dtype::Uint16, 1) => write!(Gray16, &samples),
        (Dtype::Uint8, _) => write!(RGB8, &bytes),
        (Dtype::Uint16, _) => write!(RGB16, &samples),
    }
    file.into_inner()
}

/// The channels that come of those samples.
fn expected(size: ImageSize, dtype: Dtype, n_bands: usize) -> Vec<u8> {
    let samples = ramp(size.pixels() * n_bands, 300);
    let of = |band: usize| samples.iter().skip(band).step_by(n_bands);
    (0..n_bands)
        .flat_map(|band| of(band).flat_map(|sample| sample.to_le_bytes().into_iter().take(dtype.bytes())))
        .collect()
}

const PACKINGS: [Packing; 4] =
    [Packing::Uncompressed, Packing::Lzw, Packing::Deflate(DeflateLevel::Balanced), Packing::Packbits];

proptest! {
    #[test]
    fn an_image_of_any_size_and_shape_is_what_the_crate_wrote(
        width in 1_u32..70,
        height in 1_u32..70,
        rows in 1_u32..80,
        packing in 0..PACKINGS.len(),
        deep: bool,
        rgb: bool,
        differences: bool,
    ) {
        let size = ImageSize { height, width };
        let dtype = if deep { Dtype::Uint16 } else { Dtype::Uint8 };
        let (n_bands, colour) = if rgb { (3, Colour::Rgb) } else { (1, Colour::Grey) };
        let packing = PACKINGS[packing];
        let differences = differences && matches!(packing, Packing::Lzw | Packing::Deflate(_));
        let file = encode(size, dtype, n_bands, packing, rows.min(height), differences);
        prop_assert_eq!(decode(&file, size, dtype, colour), Ok(expected(size, dtype, n_bands)));
    }

    #[test]
    fn no_bytes_make_it_panic(mut tail in proptest::collection::vec(any::<u8>(), 0..300), keep in 0_usize..300) {
        let good = Made::new().file();
        let keep = keep.min(good.len()).min(tail.len());
        tail[..keep].copy_from_slice(&good[..keep]);
        let _ = decode(&tail, SIZE, Dtype::Uint8, Colour::Grey);
    }
}

#[test]
fn lzw_of_many_full_tables_and_of_the_longest_strings_is_unpacked() {
    let size = ImageSize { height: 300, width: 400 };
    for dtype in [Dtype::Uint8, Dtype::Uint16] {
        let file = encode(size, dtype, 1, Packing::Lzw, 300, false);
        assert_eq!(decode(&file, size, dtype, Colour::Grey), Ok(expected(size, dtype, 1)));
    }
    let mut file = Cursor::new(Vec::new());
    let flat = vec![0x0102_u16; 3000 * 3000];
    let mut encoder = TiffEncoder::new(&mut file).unwrap().with_compression(Packing::Lzw);
    let mut image = encoder.new_image::<Gray16>(3000, 3000).unwrap();
    image.rows_per_strip(3000).unwrap();
    image.write_data(&flat).unwrap();
    let found = decode(file.get_ref(), ImageSize { height: 3000, width: 3000 }, Dtype::Uint16, Colour::Grey).unwrap();
    assert!(found.as_chunks().0.iter().all(|sample| *sample == [2, 1]));
}

#[test]
fn cut_or_changed_anywhere_a_file_is_a_fault_or_an_image_and_a_cut_of_its_strips_is_always_a_fault() {
    for (dtype, number) in [Dtype::Uint8, Dtype::Uint16].into_iter().flat_map(|d| [0, 1, 2, 3].map(|n| (d, n))) {
        let packing = PACKINGS[number];
        let differences = matches!(packing, Packing::Lzw | Packing::Deflate(_));
        let good = encode(SIZE, dtype, 1, packing, 2, differences);
        for cut in 1..good.len() {
            let fault = decode(&good[..cut], SIZE, dtype, Colour::Grey);
            // What is behind the directory may be spare.
            assert!(fault.as_ref().is_err_and(|f| f.kind == FaultKind::Truncated), "{number} {cut}: {fault:?}");
        }
        let mut n_seen = 0;
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            n_seen += usize::from(decode(&bad, SIZE, dtype, Colour::Grey).is_err());
        }
        assert!(n_seen > good.len(), "{number}: {n_seen} of {} bits", good.len() * 8);
    }
}

#[test]
fn no_changed_bit_of_deflated_samples_changes_a_pixel_as_they_have_a_checksum() {
    let good = encode(SIZE, Dtype::Uint16, 1, Packing::Deflate(DeflateLevel::Balanced), 5, false);
    let pixels = decode(&good, SIZE, Dtype::Uint16, Colour::Grey).unwrap();
    let header = Page::open(&mut Cursor::new(&good)).unwrap().header;
    let directory = u32::from_le_bytes(*good[4..].first_chunk().unwrap()) as usize;
    let mut n_seen = 0;
    for bit in 8 * 8..8 * directory {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        match decode(&bad, SIZE, Dtype::Uint16, Colour::Grey) {
            Ok(found) => assert_eq!(found, pixels, "bit {bit}"),
            Err(fault) => n_seen += usize::from(fault.kind == FaultKind::Undecodable),
        }
        assert_eq!(
            Page::open(&mut Cursor::new(&bad)).map(|page| page.header),
            Ok(header),
            "bit {bit} is of the samples"
        );
    }
    assert!(n_seen > 8 * 20, "{n_seen}");
}

#[test]
fn lzw_that_does_not_begin_with_clear_or_has_codes_of_later_is_refused() {
    let check = |packed: &[u8], part: &str| {
        let made = Made { data: packed.to_vec(), ..Made::new() }.with(278, 4, &[5]).with(259, 3, &[5]);
        let made = made.with(273, 4, &[DATA]).with(279, 4, &[packed.len() as u64]);
        made.check(FaultKind::Undecodable, part);
    };
    // Codes of 9 bits, the first bit first.
    let pack = |codes: &[u16]| {
        let bits: Vec<bool> = codes.iter().flat_map(|code| (0..9).rev().map(move |bit| code >> bit & 1 == 1)).collect();
        bits.chunks(8)
            .map(|byte| (0..8).fold(0, |n, i| n << 1 | u8::from(*byte.get(i).unwrap_or(&false))))
            .collect::<Vec<u8>>()
    };
    check(&pack(&[7, 7, 257]), "LZW that does not begin by clearing its table");
    check(&[], "LZW that does not begin by clearing its table");
    check(&pack(&[256, 258, 257]), "a code of LZW that is none yet");
    check(&pack(&[256, 7, 259, 257]), "a code of LZW that is none yet");
    check(&pack(&[256, 7, 256, 258, 257]), "a code of LZW that is none yet");
    check(&pack(&[256, 7, 258, 257]), "30 bytes of strip 0, found 3");
    check(&pack(&[256, 257, 7]), "30 bytes of strip 0, found 0");
    check(&pack(&[256, 256, 256, 257]), "30 bytes of strip 0, found 0");
    check(&pack(&[256, 7, 258, 259, 260, 261, 262, 263, 264, 257]), "found more");
}
