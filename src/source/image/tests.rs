use std::fmt::Write;
use std::io::Cursor;

use sha2::{Digest, Sha256};

use super::*;
use crate::fault::FaultKind;
use crate::site::{Dtype, ImageSize};

/// The files of `fixtures/images`, by name.
fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/fixtures/images/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A line of `sha256.txt`: a file, what it is decoded as, and the hash of its pixels or the kind of its fault.
struct Golden {
    name: String,
    size: ImageSize,
    dtype: Dtype,
    colour: Colour,
    expected: String,
}

fn goldens() -> Vec<Golden> {
    let text = String::from_utf8(fixture("sha256.txt")).unwrap();
    let parse = |line: &str| {
        let [name, size, dtype, colour, expected] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let (width, height) = size.split_once('x').unwrap();
        let colour = match colour {
            "grey" => Colour::Grey,
            "equal-rgb" => Colour::EqualRgb,
            "rgb" => Colour::Rgb,
            other => panic!("{other}"),
        };
        let size = ImageSize { height: height.parse().unwrap(), width: width.parse().unwrap() };
        Golden { name: name.to_owned(), size, dtype: dtype.parse().unwrap(), colour, expected: expected.to_owned() }
    };
    text.lines().map(parse).collect()
}

impl Golden {
    fn decode(&self, file: &[u8]) -> Result<Vec<u8>, ImageFault> {
        let mut pixels = vec![7; self.size.pixels() * self.dtype.bytes() * self.colour.channels()];
        let mut decoder = SiteDecoder::new(self.size, self.dtype, self.colour);
        decoder.decode(&[file], &mut pixels).pop().map_or(Ok(pixels), |(_, fault)| Err(fault))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn every_fixture_is_decoded_to_what_numpy_has_or_is_the_fault_that_it_is_named_for() {
    let goldens = goldens();
    assert_eq!(goldens.len() + 1, std::fs::read_dir("fixtures/images").unwrap().count(), "every file has a line");
    let mut wrong = String::new();
    for golden in &goldens {
        let found = match golden.decode(&fixture(&golden.name)) {
            Ok(pixels) => hex(&Sha256::digest(pixels)),
            Err(fault) => fault.kind.name().to_owned(),
        };
        if found != golden.expected {
            writeln!(wrong, "{}: expected {}, found {found}", golden.name, golden.expected).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_header_says_what_decoding_will_find_without_looking_at_a_pixel() {
    for golden in goldens() {
        let file = fixture(&golden.name);
        let header = read_header(&mut Cursor::new(&file));
        let checked = header.and_then(|header| {
            assert!(header.can_be_true(file.len() as u64), "{}", golden.name);
            header.check(golden.size, golden.dtype, golden.colour)
        });
        // Pixels, and chunks that come after the header.
        let of_pixels = ["rgb-differs.tif", "rgba-glass.png", "animation.png", "transparent.png", "two.png"];
        let of_pixels = of_pixels.iter().any(|name| golden.name == format!("fault-{name}"));
        match golden.decode(&file) {
            Err(fault) if !of_pixels => assert_eq!(checked, Err(fault), "{}", golden.name),
            _ => assert_eq!(checked, Ok(()), "{}", golden.name),
        }
    }
}

#[test]
fn a_file_is_known_by_its_first_bytes_and_told_what_it_is_where_it_is_neither() {
    let check = |file: &[u8], kind: FaultKind, detail: &str| {
        let fault = read_header(&mut Cursor::new(file)).unwrap_err();
        assert_eq!((fault.kind, fault.detail.as_str()), (kind, detail));
        let mut pixels = [0];
        let mut decoder = SiteDecoder::new(ImageSize { height: 1, width: 1 }, Dtype::Uint8, Colour::Grey);
        assert_eq!(decoder.decode(&[file], &mut pixels), [(0, fault)]);
    };
    check(b"", FaultKind::Empty, "expected an image, found 0 bytes");
    let detail = "expected a PNG, a TIFF, a BMP, or a binary PGM or PPM, found GIF, which is not read";
    check(b"GIF89a.......", FaultKind::Undecodable, detail);
    let detail = "expected a PNG, a TIFF, a BMP, or a binary PGM or PPM, found 476966383961";
    check(b"Gif89a", FaultKind::Undecodable, detail);
    check(b"\x89PN", FaultKind::Truncated, "expected more chunks up to IEND, found the end after 3 bytes");
    check(b"MM\0", FaultKind::Truncated, "expected 4 bytes at byte 0, found the end after 3 bytes");
    check(b"II*\0", FaultKind::Truncated, "expected 4 bytes at byte 4, found the end after 4 bytes");
}

#[test]
fn raw_images_cut_anywhere_are_faults_and_none_has_room_for_another() {
    for golden in goldens().iter().filter(|golden| !golden.name.starts_with("fault")) {
        if ![".bmp", ".pgm", ".ppm"].iter().any(|end| golden.name.ends_with(end)) {
            continue;
        }
        let good = fixture(&golden.name);
        for cut in 1..good.len() {
            let fault = golden.decode(&good[..cut]).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Truncated, "{} cut at {cut}: {}", golden.name, fault.detail);
            assert_eq!(read_header(&mut Cursor::new(&good[..cut])).unwrap_err(), fault);
        }
        let mut twice = good.clone();
        twice.extend(&good);
        assert_eq!(golden.decode(&twice).unwrap_err().kind, FaultKind::ManyPages, "{}", golden.name);
    }
}

#[test]
fn each_lie_of_a_bmp_and_of_a_netpbm_is_a_fault_with_its_reason() {
    let golden = |name: &str| goldens().into_iter().find(|golden| golden.name == name).unwrap();
    let grey = golden("grey8.bmp");
    let with = |at: usize, word: u32| {
        let mut file = fixture("grey8.bmp");
        file[at..at + 4].copy_from_slice(&word.to_le_bytes());
        grey.decode(&file).unwrap_err().detail
    };
    let check = |found: String, part: &str| assert!(found.contains(part), "{found}");
    check(with(2, 9999), "9999 bytes, found the end after");
    check(with(10, 100), "pixels behind the 1078 bytes of a header, found some at byte 100");
    check(with(10, u32::MAX), "found the end after");
    check(with(14, 12), "a header of BMP of 40, 52, 56, 108 or 124 bytes, found 12");
    check(with(18, 41), "2530 bytes, found the end after");
    check(with(18, 39), "expected 40 x 33, found 39 x 33");
    check(with(18, u32::MAX), "sides of 1 to 16384, found 0 x 33");
    check(with(22, 32), "expected 40 x 33, found 40 x 32");
    check(with(26, 8 << 16 | 2), "a raw BMP of one plane, found 2, packed by 0");
    check(with(26, 4 << 16 | 1), "expected 8-bit grey, found 4-bit palette");
    check(with(26, 32 << 16 | 1), "RGB of a BMP");
    check(with(30, 1), "a raw BMP of one plane, found 1, packed by 1");
    check(with(46, 255), "found 8-bit palette");
    check(with(46, 257), "at most 256 colours, found 257");
    check(with(54 + 4 * 7, 8), "found 8-bit palette");
    // Rows from the top down, as a negative height says.
    let mut file = fixture("grey8.bmp");
    let upright = grey.decode(&file).unwrap();
    file[22..26].copy_from_slice(&(-33_i32).to_le_bytes());
    let turned: Vec<u8> = upright.chunks(40).rev().flatten().copied().collect();
    assert_eq!(grey.decode(&file).unwrap(), turned);

    let grey = Golden { size: ImageSize { height: 1, width: 2 }, ..golden("grey8.pgm") };
    let decode = |file: &[u8]| grey.decode(file).map_err(|fault| fault.detail);
    assert_eq!(decode(b"P5 2 1 255\n\x07\x08"), Ok(vec![7, 8]));
    assert_eq!(decode(b"P5\n# of a lab\n2 1\n255\n\x07\x08"), Ok(vec![7, 8]));
    let refused = |file: &[u8], part: &str| check(decode(file).unwrap_err(), part);
    refused(b"P5 2 1 255\r\n\x07\x08", "one image, found 1 bytes behind it");
    refused(b"P5 2 1 255\n\x07\x08\n", "one image, found 1 bytes behind it");
    refused(b"P5 2 1 254\n\x07\x08", "8-bit grey of another largest value");
    refused(b"P5 2 1 4095\n\x07\x08\0\0", "12-bit grey of another largest value");
    refused(b"P5 2 1 0\n\x07\x08", "found ");
    refused(b"P5 2 x 255\n\x07\x08", "the header of a PGM or PPM");
    refused(b"P5 99999 1 255\n\x07\x08", "sides of 1 to 16384, found 99999 x 1");
    refused(b"P6 2 1 255\n\x07\x08\x07\x08\x07\x08", "expected 8-bit grey, found 8-bit RGB");
    refused(b"P2 2 1 255\n7 8", "a Netpbm of text, which is not read");
    let long = [b"P5\n#", &[b'x'; 3000][..], b"\n2 1 255\n\x07\x08"].concat();
    refused(&long, "a header of fewer than 2048 bytes");
}

#[test]
fn a_site_may_have_images_of_both_formats_and_each_fault_has_its_place() {
    let names = ["grey16.png", "grey16-lzw.tif", "grey16.png", "grey16-big-endian.tif", "grey16.png"];
    let files: Vec<Vec<u8>> = names.iter().map(|name| fixture(name)).collect();
    let mut images: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let (size, goldens) = (ImageSize { height: 33, width: 40 }, goldens());
    let mut pixels = vec![0; 5 * 2 * size.pixels()];
    let mut decoder = SiteDecoder::new(size, Dtype::Uint16, Colour::Grey);
    assert_eq!(decoder.decode(&images, &mut pixels), []);
    for (name, plane) in names.iter().zip(pixels.chunks(2 * size.pixels())) {
        let golden = goldens.iter().find(|golden| golden.name == *name).unwrap();
        assert_eq!(hex(&Sha256::digest(plane)), golden.expected);
    }
    let stack = fixture("fault-stack.tif");
    images[1] = &stack;
    images[4] = &files[4][..100];
    let faults = decoder.decode(&images, &mut pixels);
    let found: Vec<_> = faults.iter().map(|(i, fault)| (*i, fault.kind)).collect();
    assert_eq!(found, [(1, FaultKind::ManyPages), (4, FaultKind::Truncated)]);
    assert_eq!(faults[0].1.detail, "expected one image, found 3 pages");
}

#[test]
fn what_is_grey_under_three_colours_is_one_channel_and_the_first_pixel_that_is_not_is_named() {
    let size = ImageSize { height: 7, width: 5 };
    let fault = |name: &str, dtype: Dtype, colour: Colour| {
        let golden = Golden { name: name.to_owned(), size, dtype, colour, expected: String::new() };
        golden.decode(&fixture(name)).unwrap_err().detail
    };
    let detail = fault("fault-rgb-differs.tif", Dtype::Uint8, Colour::EqualRgb);
    assert!(detail.starts_with("expected red, green and blue that are equal, found "), "{detail}");
    assert!(detail.ends_with(" at x = 2, y = 4"), "{detail}");
    let detail = fault("fault-rgb-differs.tif", Dtype::Uint8, Colour::Grey);
    assert_eq!(detail, "expected 8-bit grey, found 8-bit RGB");
    let detail = fault("grey16-one-strip.tif", Dtype::Uint16, Colour::Rgb);
    assert_eq!(detail, "expected 16-bit RGB, found 16-bit grey");
    let detail = fault("fault-float.tif", Dtype::Uint16, Colour::EqualRgb);
    assert_eq!(detail, "expected 16-bit grey or RGB, found 32-bit floating-point grey");
    // A grey image is taken among them.
    let size = ImageSize { height: 33, width: 40 };
    let mut pixels = vec![0; size.pixels()];
    let mut decoder = SiteDecoder::new(size, Dtype::Uint8, Colour::EqualRgb);
    assert_eq!(decoder.decode(&[&fixture("grey8.png")], &mut pixels), []);
    assert_eq!(decoder.decode(&[&fixture("grey8-lzw.tif")], &mut pixels), []);
    let size = ImageSize { height: 11, width: 13 };
    let golden =
        Golden { name: String::new(), size, dtype: Dtype::Uint8, colour: Colour::Rgb, expected: String::new() };
    let detail = golden.decode(&fixture("fault-rgba-glass.png")).unwrap_err().detail;
    assert_eq!(detail, "expected opaque pixels, found another alpha at x = 2, y = 3");
}

#[test]
fn one_bit_of_one_band_is_seen_in_either_order_of_samples_and_of_either_type() {
    let size = ImageSize { height: 2, width: 3 };
    for (dtype, is_planar) in [Dtype::Uint8, Dtype::Uint16].into_iter().flat_map(|d| [(d, false), (d, true)]) {
        let spread = |bytes: &[u8]| {
            let mut out = vec![0; 6 * dtype.bytes()];
            let samples = bands::Samples { bytes, bands: Bands::Rgba, is_planar };
            samples.spread(size, dtype, Colour::EqualRgb, &mut out).map(|()| out)
        };
        let good = vec![255; 4 * 6 * dtype.bytes()];
        assert_eq!(spread(&good), Ok(vec![255; 6 * dtype.bytes()]));
        for byte in 0..good.len() {
            let mut bad = good.clone();
            bad[byte] ^= 1;
            let sample = byte / dtype.bytes();
            let pixel = if is_planar { sample % 6 } else { sample / 4 };
            let detail = spread(&bad).unwrap_err().detail;
            assert!(detail.ends_with(&format!(" at x = {}, y = {}", pixel % 3, pixel / 3)), "{byte}: {detail}");
        }
    }
}

#[test]
fn a_file_may_be_larger_than_its_pixels_but_not_by_much() {
    let size = ImageSize { height: 512, width: 512 };
    assert_eq!(largest_file(size, Dtype::Uint8, Colour::Grey), 4 * 512 * 512 + (16 << 20));
    // RGBA without compression.
    assert!(largest_file(size, Dtype::Uint16, Colour::EqualRgb) > 8 * 512 * 512);
}
