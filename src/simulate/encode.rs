//! Levels of a camera as files: PNGs of 8 and 16 bits, grey or RGB, and TIFF.

use std::io::Cursor;
use std::path::Path;

use tiff::encoder::{Compression, Predictor, TiffEncoder, colortype};

use crate::error::{Error, Result};

use super::layout::Format;
use super::optics;

/// The level that packs a real site to within 5 % of RxRx1's own files; higher ones take longer and gain little. The
/// `png` crate's own settings are either much slower or leave the files larger.
const DEFLATE_LEVEL: i32 = 5;

/// Bits of a pixel of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bits {
    /// As RxRx1's.
    Eight,
    /// As cameras give them.
    Sixteen,
}

impl Bits {
    /// Bytes of a pixel.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Eight => 1,
            Self::Sixteen => 2,
        }
    }
}

/// The file of one image: a plane, or three of an RGB image, `[C, H, W]` levels. `place` is named in errors.
///
/// # Errors
/// If it cannot be encoded.
pub(super) fn image(format: Format, levels: &[f32], size: u16, bits: Bits, place: &Path) -> Result<Vec<u8>> {
    match format {
        Format::Tiff => tiff(levels, size, bits, place),
        Format::Png => png(levels, size, bits).map_err(Error::io(place, "encode")),
        Format::RgbPng => rgb_png(levels, size).map_err(Error::io(place, "encode")),
    }
}

/// A grey TIFF, packed by LZW with the horizontal predictor.
///
/// # Errors
/// If it cannot be encoded.
pub(super) fn tiff(levels: &[f32], size: u16, bits: Bits, place: &Path) -> Result<Vec<u8>> {
    let mut file = Cursor::new(Vec::new());
    let side = u32::from(size);
    let written = TiffEncoder::new(&mut file).and_then(|encoder| {
        let mut encoder = encoder.with_compression(Compression::Lzw).with_predictor(Predictor::Horizontal);
        match bits {
            Bits::Eight => {
                let pixels: Vec<u8> = levels.iter().map(|&level| optics::level_8(level)).collect();
                encoder.write_image::<colortype::Gray8>(side, side, &pixels)
            }
            Bits::Sixteen => {
                let pixels: Vec<u16> = levels.iter().map(|&level| optics::level_16(level)).collect();
                encoder.write_image::<colortype::Gray16>(side, side, &pixels)
            }
        }
    });
    written.map_err(|e| Error::io(place, "encode")(std::io::Error::other(e)))?;
    Ok(file.into_inner())
}

fn png(levels: &[f32], size: u16, bits: Bits) -> std::io::Result<Vec<u8>> {
    match bits {
        Bits::Eight => {
            let pixels: Vec<u8> = levels.iter().map(|&level| optics::level_8(level)).collect();
            write_png(&paeth::<1>(&pixels, size.into()), size, png::ColorType::Grayscale, png::BitDepth::Eight)
        }
        Bits::Sixteen => {
            let pixels: Vec<u8> = levels.iter().flat_map(|&level| optics::level_16(level).to_be_bytes()).collect();
            write_png(&paeth::<2>(&pixels, size.into()), size, png::ColorType::Grayscale, png::BitDepth::Sixteen)
        }
    }
}

fn rgb_png(levels: &[f32], size: u16) -> std::io::Result<Vec<u8>> {
    let n = usize::from(size).pow(2);
    let pixel = |i: usize| [levels[i], levels[n + i], levels[2 * n + i]].map(optics::level_8);
    let pixels: Vec<u8> = (0..n).flat_map(pixel).collect();
    write_png(&paeth::<3>(&pixels, size.into()), size, png::ColorType::Rgb, png::BitDepth::Eight)
}

/// A PNG of rows that are filtered.
fn write_png(filtered: &[u8], size: u16, colour: png::ColorType, depth: png::BitDepth) -> std::io::Result<Vec<u8>> {
    let level = libdeflater::CompressionLvl::new(DEFLATE_LEVEL).expect("a level that libdeflate has");
    let mut compressor = libdeflater::Compressor::new(level);
    let mut packed = vec![0; compressor.zlib_compress_bound(filtered.len())];
    let n = compressor.zlib_compress(filtered, &mut packed).expect("the buffer is as large as the bound");
    let mut png = Vec::with_capacity(n + 100);
    let mut encoder = png::Encoder::new(&mut png, size.into(), size.into());
    encoder.set_color(colour);
    encoder.set_depth(depth);
    let mut writer = encoder.write_header()?;
    writer.write_chunk(png::chunk::IDAT, &packed[..n])?;
    writer.finish()?;
    Ok(png)
}

/// Rows of pixels of `BYTES` each as PNG stores them: the filter's number, then each byte less what its neighbours
/// foretell (PNG specification, 9.4). Every row uses the Paeth filter, as nearly all of RxRx1's rows do.
fn paeth<const BYTES: usize>(pixels: &[u8], width: usize) -> Vec<u8> {
    let mut filtered = Vec::with_capacity(pixels.len() + pixels.len() / width);
    let none = vec![0; width * BYTES];
    let mut above: &[u8] = &none;
    for row in pixels.chunks_exact(width * BYTES) {
        filtered.push(4);
        filtered.extend(row[..BYTES].iter().zip(above).map(|(here, above)| here.wrapping_sub(*above)));
        let left = row.iter().zip(above);
        let neighbours = row[BYTES..].iter().zip(&above[BYTES..]).zip(left);
        filtered.extend(neighbours.map(|((&here, &above), (&left, &corner))| {
            let (a, b, c) = (i16::from(left), i16::from(above), i16::from(corner));
            let (pa, pb, pc) = ((b - c).abs(), (a - c).abs(), (a + b - 2 * c).abs());
            let foretold = match () {
                () if pa <= pb && pa <= pc => a,
                () if pb <= pc => b,
                () => c,
            };
            here.wrapping_sub(foretold as u8)
        }));
        above = row;
    }
    filtered
}
