use proptest::prelude::*;

use super::*;
use crate::source::unfilter;

const SIZE: ImageSize = ImageSize { height: 7, width: 9 };

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
    match SiteDecoder::new(SIZE).decode(&[png], &mut pixels).pop() {
        None => Ok(pixels),
        Some((_, fault)) => Err(fault.kind),
    }
}

#[test]
fn every_filter_and_any_number_of_channels_decodes_to_the_pixels_encoded() {
    use png::Filter::{Adaptive, Avg, NoFilter, Paeth, Sub, Up};
    let filters = [Paeth, Paeth, Paeth, NoFilter, Sub, Up, Avg, Adaptive];
    for n_channels in 1..=filters.len() {
        for rotate in 0..filters.len() {
            let images: Vec<Vec<u8>> = (0..n_channels).map(|c| ramp(SIZE.pixels(), c + 3)).collect();
            let filter = |c: usize| filters[(c + rotate) % filters.len()];
            let pngs: Vec<Vec<u8>> =
                images.iter().enumerate().map(|(c, image)| encode(SIZE, image, |e| e.set_filter(filter(c)))).collect();
            let slices: Vec<&[u8]> = pngs.iter().map(Vec::as_slice).collect();
            let mut pixels = vec![0; n_channels * SIZE.pixels()];
            assert_eq!(SiteDecoder::new(SIZE).decode(&slices, &mut pixels), []);
            assert_eq!(pixels, images.concat());
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
    let header = [&size.width.to_be_bytes()[..], &size.height.to_be_bytes(), &[8, 0, 0, 0, interlaced.into()]].concat();
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
        let faults = SiteDecoder::new(size).decode(&[&made(size, true, &zlib(passes))], &mut pixels);
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
        let rows = if interlaced { unfilter::tests::interlace(&ramp(63, 3), SIZE) } else { [&[0; 10][..]; 7].concat() };
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

#[test]
fn a_header_that_claims_more_than_the_file_can_hold_asks_for_no_memory() {
    let size = ImageSize { height: ImageSize::MAX_SIDE, width: ImageSize::MAX_SIDE };
    let png = made(size, false, &zlib(&[0; 1000]));
    assert!(!read_header(&png).unwrap().can_be_true(png.len() as u64));
    let mut decoder = SiteDecoder::new(size);
    let fault = decoder.check_header(&png).unwrap_err();
    assert!(fault.kind == FaultKind::Undecodable && fault.detail.ends_with("too few for them"), "{}", fault.detail);
    assert_eq!(decoder.check_header(&png[..png.len() - 1]).unwrap_err().kind, FaultKind::Truncated);
    let mut pixels = vec![0; size.pixels()];
    assert_eq!(decoder.decode(&[&png], &mut pixels).len(), 1);
    assert_eq!(decoder.filtered.capacity(), 0);
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
    assert_eq!(decode_one(&deep), Err(FaultKind::NotGrey8));
    let rgb = encode(SIZE, &ramp(3 * SIZE.pixels(), 1), |e| e.set_color(png::ColorType::Rgb));
    assert_eq!(decode_one(&rgb), Err(FaultKind::NotGrey8));
    let palette = encode(SIZE, &vec![0; SIZE.pixels()], |e| {
        e.set_color(png::ColorType::Indexed);
        e.set_palette(vec![1, 2, 3]);
    });
    assert_eq!(decode_one(&palette), Err(FaultKind::NotGrey8));
}

#[test]
fn every_flipped_bit_is_a_fault() {
    let good = encode(SIZE, &ramp(SIZE.pixels(), 3), |_| {});
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_one(&bad).is_err(), "bit {bit}");
    }
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
        let faults = SiteDecoder::new(size).decode(&[&png], &mut pixels);
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
    fn an_interlaced_image_of_any_size_is_what_the_image_crate_decodes(width in 1_u32..40, height in 1_u32..40) {
        let size = ImageSize { height, width };
        let image = ramp(size.pixels(), 5);
        let png = made(size, true, &zlib(&unfilter::tests::interlace(&image, size)));
        prop_assert_eq!(image::load_from_memory(&png).unwrap().into_luma8().into_raw(), image.clone());
        let mut pixels = vec![0; size.pixels()];
        prop_assert_eq!(SiteDecoder::new(size).decode(&[&png], &mut pixels), []);
        prop_assert_eq!(pixels, image);
    }

    #[test]
    fn no_bytes_make_it_panic(mut png in proptest::collection::vec(any::<u8>(), 0..200), keep in 0usize..60) {
        let good = encode(SIZE, &[7; 63], |_| {});
        let keep = keep.min(good.len()).min(png.len());
        png[..keep].copy_from_slice(&good[..keep]);
        let _ = decode_one(&png);
    }
}
