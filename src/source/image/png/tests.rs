use proptest::prelude::*;

use super::*;
use crate::site::ImageSize;
use crate::source::image::adam7::tests::interlace;
use crate::source::image::{Colour, SiteDecoder, format};

const SIZE: ImageSize = ImageSize { height: 7, width: 9 };

fn decoder(size: ImageSize, dtype: Dtype) -> SiteDecoder {
    SiteDecoder::new(size, dtype, Colour::Grey)
}

fn read_header(png: &[u8]) -> Result<Header, ImageFault> {
    format::read_header(&mut std::io::Cursor::new(png))
}

/// What a PNG may be: its samples, their type, and how many a pixel has.
type Shape = (png::ColorType, Dtype, usize);

const SHAPES: [Shape; 6] = [
    (png::ColorType::Grayscale, Dtype::Uint8, 1),
    (png::ColorType::Grayscale, Dtype::Uint16, 1),
    (png::ColorType::Rgb, Dtype::Uint8, 3),
    (png::ColorType::Rgb, Dtype::Uint16, 3),
    (png::ColorType::Rgba, Dtype::Uint8, 4),
    (png::ColorType::Rgba, Dtype::Uint16, 4),
];

/// Samples of a pixel each, little-endian, the alpha opaque.
fn samples((_, dtype, n): Shape, size: ImageSize, step: usize) -> Vec<u8> {
    let mut samples = ramp(size.pixels() * n * dtype.bytes(), step);
    for pixel in samples.chunks_exact_mut(n * dtype.bytes()).filter(|_| n == 4) {
        pixel[3 * dtype.bytes()..].fill(255);
    }
    samples
}

/// The channels that come of samples: the alpha says nothing.
fn channels((_, dtype, n): Shape, samples: &[u8]) -> Vec<u8> {
    let of = |band: usize| samples.chunks_exact(dtype.bytes()).skip(band).step_by(n).flatten().copied();
    (0..n.min(3)).flat_map(of).collect()
}

fn to_png((_, dtype, _): Shape, samples: &[u8]) -> Vec<u8> {
    samples.chunks_exact(dtype.bytes()).flat_map(|sample| sample.iter().rev()).copied().collect()
}

fn encode_shape(shape: Shape, samples: &[u8], filter: png::Filter) -> Vec<u8> {
    encode(SIZE, &to_png(shape, samples), |e| {
        e.set_color(shape.0);
        e.set_depth(if shape.1 == Dtype::Uint8 { png::BitDepth::Eight } else { png::BitDepth::Sixteen });
        e.set_filter(filter);
    })
}

fn decode_shape((_, dtype, n): Shape, size: ImageSize, pngs: &[&[u8]]) -> Result<Vec<u8>, ImageFault> {
    let colour = if n == 1 { Colour::Grey } else { Colour::Rgb };
    let mut pixels = vec![0; pngs.len() * colour.channels() * size.pixels() * dtype.bytes()];
    match SiteDecoder::new(size, dtype, colour).decode(pngs, &mut pixels).pop() {
        None => Ok(pixels),
        Some((_, fault)) => Err(fault),
    }
}

fn encode(size: ImageSize, pixels: &[u8], change: impl Fn(&mut png::Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, size.width, size.height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    change(&mut encoder);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    out
}

fn ramp(n: usize, step: usize) -> Vec<u8> {
    (0..n).map(|i| (i * i * step / 7) as u8).collect()
}

fn decode_one(png: &[u8]) -> Result<Vec<u8>, FaultKind> {
    let mut pixels = vec![0; SIZE.pixels()];
    match decoder(SIZE, Dtype::Uint8).decode(&[png], &mut pixels).pop() {
        None => Ok(pixels),
        Some((_, fault)) => Err(fault.kind),
    }
}

#[test]
fn every_filter_and_any_number_of_images_decodes_to_the_pixels_encoded() {
    use png::Filter::{Adaptive, Avg, NoFilter, Paeth, Sub, Up};
    let filters = [Paeth, Paeth, Paeth, NoFilter, Sub, Up, Avg, Adaptive];
    for shape in SHAPES {
        for n_images in 1..=filters.len() {
            for rotate in 0..filters.len() {
                let images: Vec<Vec<u8>> = (0..n_images).map(|i| samples(shape, SIZE, i + 3)).collect();
                let filter = |i: usize| filters[(i + rotate) % filters.len()];
                let encode = |(i, image): (usize, &Vec<u8>)| encode_shape(shape, image, filter(i));
                let pngs: Vec<Vec<u8>> = images.iter().enumerate().map(encode).collect();
                let slices: Vec<&[u8]> = pngs.iter().map(Vec::as_slice).collect();
                let expected: Vec<u8> = images.iter().flat_map(|image| channels(shape, image)).collect();
                assert_eq!(decode_shape(shape, SIZE, &slices), Ok(expected), "{shape:?}");
            }
        }
    }
}

#[test]
fn image_data_in_many_chunks_is_one_stream() {
    let pixels = ramp(SIZE.pixels(), 3);
    let png = encode(SIZE, &pixels, |_| {});
    let at = png.windows(4).position(|w| w == b"IDAT").unwrap() - 4;
    let length = u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
    let mut split = png[..at].to_vec();
    for part in png[at + 8..at + 8 + length].chunks(5) {
        split.extend((part.len() as u32).to_be_bytes());
        let body = [b"IDAT", part].concat();
        split.extend(&body);
        split.extend(crc32fast::hash(&body).to_be_bytes());
    }
    split.extend(&png[at + 12 + length..]);
    assert_eq!(decode_one(&split).unwrap(), pixels);
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut zlib = vec![0; 100 + 2 * bytes.len()];
    let n = libdeflater::Compressor::default().zlib_compress(bytes, &mut zlib).unwrap();
    zlib.truncate(n);
    zlib
}

/// A grey PNG of any bytes under good CRCs.
fn made(size: ImageSize, interlaced: bool, zlib: &[u8]) -> Vec<u8> {
    made_of(SHAPES[0], size, interlaced, zlib)
}

fn made_of(shape: Shape, size: ImageSize, interlaced: bool, zlib: &[u8]) -> Vec<u8> {
    let last = [8 * shape.1.bytes() as u8, shape.0 as u8, 0, 0, interlaced.into()];
    let header = [&size.width.to_be_bytes()[..], &size.height.to_be_bytes(), &last].concat();
    let mut png = SIGNATURE.to_vec();
    for (kind, data) in [(b"IHDR", &header[..]), (b"IDAT", zlib), (b"IEND", &[])] {
        let body = [&kind[..], data].concat();
        png.extend((data.len() as u32).to_be_bytes());
        png.extend(&body);
        png.extend(crc32fast::hash(&body).to_be_bytes());
    }
    png
}

#[test]
fn an_interlaced_image_is_decoded() {
    // Adam7 sends a 2 x 2 image in three passes: top left, top right, bottom row; each row led by its filter type.
    let size = ImageSize { height: 2, width: 2 };
    let decode = |passes: &[u8]| {
        let mut pixels = vec![0; 4];
        let faults = decoder(size, Dtype::Uint8).decode(&[&made(size, true, &zlib(passes))], &mut pixels);
        if faults.is_empty() { Ok(pixels) } else { Err(faults[0].1.detail.clone()) }
    };
    assert_eq!(decode(&[0, 10, 0, 20, 0, 30, 40]).unwrap(), [10, 20, 30, 40]);
    assert_eq!(decode(&[1, 10, 2, 20, 1, 30, 10]).unwrap(), [10, 20, 30, 40], "filters");
    assert!(decode(&[0, 10, 5, 20, 0, 30, 40]).unwrap_err().contains("filter type of 0 to 4"));
    assert!(
        decode(&[0, 10, 0, 20, 0, 30]).is_err() && decode(&[0, 10, 0, 20, 0, 30, 40, 0]).is_err(),
        "another length"
    );
}

#[test]
fn a_wrong_adler_32_is_a_fault_in_a_plain_and_in_an_interlaced_image() {
    for interlaced in [false, true] {
        let rows = if interlaced { interlace(&ramp(63, 3), SIZE, 1) } else { [&[0; 10][..]; 7].concat() };
        let good = zlib(&rows);
        assert!(decode_one(&made(SIZE, interlaced, &good)).is_ok(), "{interlaced}");
        for bit in 0..32 {
            let mut bad = good.clone();
            let at = bad.len() - 1 - bit / 8;
            bad[at] ^= 1 << (bit % 8);
            let found = decode_one(&made(SIZE, interlaced, &bad));
            assert_eq!(found, Err(FaultKind::Undecodable), "{interlaced}: bit {bit} of the Adler-32");
        }
    }
}

fn only_fault(decoder: &mut SiteDecoder, png: &[u8]) -> ImageFault {
    let mut pixels = vec![0; ImageSize { height: ImageSize::MAX_SIDE, width: ImageSize::MAX_SIDE }.pixels()];
    decoder.decode(&[png], &mut pixels).pop().unwrap().1
}

#[test]
fn a_header_that_claims_more_than_the_file_can_hold_asks_for_no_memory() {
    let size = ImageSize { height: ImageSize::MAX_SIDE, width: ImageSize::MAX_SIDE };
    let png = made(size, false, &zlib(&[0; 1000]));
    assert!(!read_header(&png).unwrap().can_be_true(png.len() as u64));
    let mut decoder = decoder(size, Dtype::Uint8);
    let fault = only_fault(&mut decoder, &png);
    assert!(fault.kind == FaultKind::Undecodable && fault.detail.ends_with("too few for them"), "{}", fault.detail);
    assert_eq!(only_fault(&mut decoder, &png[..png.len() - 1]).kind, FaultKind::Truncated);
}

#[test]
fn each_fault_has_its_kind() {
    let good = encode(SIZE, &ramp(SIZE.pixels(), 3), |_| {});
    assert_eq!(decode_one(b""), Err(FaultKind::Empty));
    assert_eq!(decode_one(b"GIF89a......"), Err(FaultKind::Undecodable));
    for cut in 1..good.len() {
        assert_eq!(decode_one(&good[..cut]), Err(FaultKind::Truncated), "cut at {cut}");
    }
    let wide = ImageSize { width: 10, ..SIZE };
    assert_eq!(decode_one(&encode(wide, &ramp(wide.pixels(), 1), |_| {})), Err(FaultKind::WrongSize));
    let deep = encode(SIZE, &ramp(2 * SIZE.pixels(), 1), |e| {
        e.set_depth(png::BitDepth::Sixteen);
    });
    assert_eq!(decode_one(&deep), Err(FaultKind::WrongDtype));
    let bits = encode(SIZE, &[0; 14], |e| e.set_depth(png::BitDepth::One));
    assert_eq!(decode_one(&bits), Err(FaultKind::WrongDtype));
    let alpha = encode(SIZE, &ramp(2 * SIZE.pixels(), 1), |e| e.set_color(png::ColorType::GrayscaleAlpha));
    assert_eq!(decode_one(&alpha), Err(FaultKind::WrongColour));
    let rgb = encode(SIZE, &ramp(3 * SIZE.pixels(), 1), |e| e.set_color(png::ColorType::Rgb));
    assert_eq!(decode_one(&rgb), Err(FaultKind::WrongColour));
    let palette = encode(SIZE, &vec![0; SIZE.pixels()], |e| {
        e.set_color(png::ColorType::Indexed);
        e.set_palette(vec![1, 2, 3]);
    });
    assert_eq!(decode_one(&palette), Err(FaultKind::WrongColour));
}

#[test]
fn every_flipped_bit_and_every_cut_is_a_fault() {
    for shape in SHAPES {
        let good = encode_shape(shape, &samples(shape, SIZE, 3), png::Filter::Adaptive);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_shape(shape, SIZE, &[&bad]).is_err(), "{shape:?}: bit {bit}");
        }
        for cut in 1..good.len() {
            let fault = decode_shape(shape, SIZE, &[&good[..cut]]).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Truncated, "{shape:?}: cut at {cut}");
        }
    }
}

#[test]
fn a_palette_to_show_an_image_by_is_passed_over_where_it_is_rgb() {
    for (shape, is_taken) in [(SHAPES[0], false), (SHAPES[2], true)] {
        let image = samples(shape, SIZE, 3);
        let mut png = encode_shape(shape, &image, png::Filter::Up);
        let body = b"PLTE\x01\x02\x03";
        let chunk = [&3_u32.to_be_bytes()[..], body, &crc32fast::hash(body).to_be_bytes()].concat();
        png.splice(33..33, chunk);
        assert_eq!(decode_shape(shape, SIZE, &[&png]).is_ok(), is_taken);
    }
}

#[test]
fn an_animation_a_transparent_colour_and_what_follows_the_end_are_faults_and_other_chunks_are_not() {
    let good = encode(SIZE, &ramp(SIZE.pixels(), 3), |_| {});
    let with = |kind: &[u8; 4], data: &[u8]| {
        let body = [kind, data].concat();
        let chunk = [&(data.len() as u32).to_be_bytes()[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat();
        let mut png = good.clone();
        png.splice(33..33, chunk);
        decode_one(&png)
    };
    let pixels = decode_one(&good).unwrap();
    for (kind, data) in [(b"sBIT", &[8][..]), (b"gAMA", &[0, 0, 177, 143]), (b"tEXt", b"a\0b"), (b"pHYs", &[0; 9])] {
        assert_eq!(with(kind, data), Ok(pixels.clone()), "{}", kind.escape_ascii());
    }
    for kind in [b"acTL", b"fcTL", b"fdAT"] {
        assert_eq!(with(kind, &[0; 8]), Err(FaultKind::ManyPages), "{}", kind.escape_ascii());
    }
    assert_eq!(with(b"tRNS", &[0, 7]), Err(FaultKind::WrongColour));
    let and = |rest: &[u8]| decode_one(&[&good, rest].concat());
    assert_eq!(and(&[0; 700]), Ok(pixels), "a block that was filled up");
    assert_eq!(and(b"x"), Err(FaultKind::Undecodable));
    assert_eq!(and(&good), Err(FaultKind::ManyPages));
}

#[test]
fn an_image_that_inflates_to_more_or_less_than_its_size_is_refused() {
    let small = ImageSize { height: 6, ..SIZE };
    let mut png = encode(small, &ramp(small.pixels(), 3), |_| {});
    for height in [5_u8, 7] {
        png[23] = height;
        let crc = crc32fast::hash(&png[12..29]);
        png[29..33].copy_from_slice(&crc.to_be_bytes());
        let size = ImageSize { height: height.into(), ..SIZE };
        let mut pixels = vec![0; size.pixels()];
        let faults = decoder(size, Dtype::Uint8).decode(&[&png], &mut pixels);
        assert_eq!(faults[0].1.kind, FaultKind::Undecodable);
    }
}

proptest! {
    #[test]
    fn decodes_what_the_image_crate_decodes(pixels in proptest::collection::vec(any::<u8>(), SIZE.pixels())) {
        let png = encode(SIZE, &pixels, |e| e.set_filter(png::Filter::Adaptive));
        let reference = image::load_from_memory(&png).unwrap().into_luma8().into_raw();
        prop_assert_eq!(&reference, &pixels);
        prop_assert_eq!(decode_one(&png).unwrap(), pixels);
    }

    #[test]
    fn an_image_of_any_size_and_shape_is_what_the_image_crate_decodes(
        width in 1_u32..40,
        height in 1_u32..40,
        shape in 0..SHAPES.len(),
        interlaced: bool,
    ) {
        let (size, shape) = (ImageSize { height, width }, SHAPES[shape]);
        let image = samples(shape, size, 5);
        let pixel_bytes = shape.1.bytes() * shape.2;
        let as_png = to_png(shape, &image);
        let rows = if interlaced {
            interlace(&as_png, size, pixel_bytes)
        } else {
            as_png.chunks(width as usize * pixel_bytes).flat_map(|row| [&[0], row].concat()).collect()
        };
        let png = made_of(shape, size, interlaced, &zlib(&rows));
        let reference = image::load_from_memory(&png).unwrap();
        // It has samples of 16 bits in the machine's byte order.
        let reference = if shape.1 == Dtype::Uint8 { reference.as_bytes().to_vec() } else {
            reference.as_bytes().as_chunks().0.iter().flat_map(|s| u16::from_ne_bytes(*s).to_le_bytes()).collect()
        };
        prop_assert_eq!(&reference, &image);
        prop_assert_eq!(decode_shape(shape, size, &[&png]), Ok(channels(shape, &image)));
    }

    #[test]
    fn no_bytes_make_it_panic(mut png in proptest::collection::vec(any::<u8>(), 0..200), keep in 0usize..60) {
        let good = encode(SIZE, &[7; 63], |_| {});
        let keep = keep.min(good.len()).min(png.len());
        png[..keep].copy_from_slice(&good[..keep]);
        let _ = decode_one(&png);
    }
}
