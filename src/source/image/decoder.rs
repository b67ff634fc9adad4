//! Decoding the images of one site into one tensor.

use std::io::Cursor;

use libdeflater::Decompressor;

use crate::site::{Dtype, ImageSize};

use super::bands::{Samples, swap_bytes};
use super::bmp;
use super::fault::ImageFault;
use super::format::Format;
use super::header::{Bands, Colour, Header};
use super::netpbm;
use super::png::{Png, collect_idat};
use super::tiff::{Page, Unpacker};
use super::unfilter::unfilter;

/// Decodes sites; keeps its buffers from one site to the next.
pub struct SiteDecoder {
    size: ImageSize,
    dtype: Dtype,
    colour: Colour,
    inflater: Decompressor,
    /// Deflated bytes of a PNG with several IDAT chunks.
    deflated: Vec<u8>,
    /// Filtered rows of every grey PNG, each led by its filter type: `[C, H, 1 + W x bytes of a pixel]`.
    filtered: Vec<u8>,
    /// The same of one PNG of RGB, and the samples of one image of RGB.
    rows: Vec<u8>,
    samples: Vec<u8>,
    tiffs: Unpacker,
}

/// An image whose header is that of what is expected.
enum Opened {
    Png(Png),
    Tiff(Page),
    /// One of raw pixels, which the crate `image` reads.
    Raw(Format, Header),
}

impl Opened {
    fn header(&self) -> &Header {
        match self {
            Self::Png(png) => &png.header,
            Self::Tiff(page) => &page.header,
            Self::Raw(_, header) => header,
        }
    }
}

impl SiteDecoder {
    /// A decoder for images of this size and type.
    #[must_use]
    pub fn new(size: ImageSize, dtype: Dtype, colour: Colour) -> Self {
        Self {
            size,
            dtype,
            colour,
            inflater: Decompressor::new(),
            deflated: Vec::new(),
            filtered: Vec::new(),
            rows: Vec::new(),
            samples: Vec::new(),
            tiffs: Unpacker::default(),
        }
    }

    /// Decodes `images` into `pixels`: `[C, H, W]` of the type, little-endian, where C is [`Colour::channels`] of each
    /// image in turn. Returns the faults as (image index, fault), each image's first; where there are any, the content
    /// of `pixels` means nothing.
    ///
    /// # Panics
    /// If `pixels` has not so many bytes.
    pub fn decode(&mut self, images: &[&[u8]], pixels: &mut [u8]) -> Vec<(usize, ImageFault)> {
        let image_bytes = self.size.pixels() * self.dtype.bytes() * self.colour.channels();
        assert_eq!(pixels.len(), images.len() * image_bytes, "[C, H, W] pixels");
        let opened: Vec<Result<Opened, ImageFault>> = images.iter().map(|image| self.open(image)).collect();
        if !images.is_empty() && opened.iter().all(Result::is_err) {
            return opened.into_iter().map(Result::err).enumerate().filter_map(|(i, e)| Some((i, e?))).collect();
        }
        let row_bytes = self.size.width as usize * self.dtype.bytes();
        let plane = self.size.height as usize * (1 + row_bytes);
        let is_grey_png = |image: &Opened| matches!(image, Opened::Png(png) if png.header.bands == Bands::Grey);
        let n_grey_pngs = opened.iter().flatten().filter(|image| is_grey_png(image)).count();
        let mut filtered = std::mem::take(&mut self.filtered);
        filtered.resize(plane * n_grey_pngs, 0);
        let mut planes = filtered.chunks_exact_mut(plane);
        let mut outputs = Vec::with_capacity(n_grey_pngs);
        let mut faults = Vec::new();
        for ((i, image), out) in opened.into_iter().enumerate().zip(pixels.chunks_exact_mut(image_bytes)) {
            let decoded = image.and_then(|image| match image {
                // Their filters are undone side by side, once all of them are inflated.
                Opened::Png(png) if png.header.bands == Bands::Grey => {
                    let rows = planes.next().expect("there is one for each");
                    outputs.push(out);
                    png.inflate_rows(images[i], &mut self.inflater, &mut self.deflated, rows)
                }
                Opened::Png(png) => self.decode_rgb_png(&png, images[i], out),
                Opened::Tiff(page) => self.decode_tiff(&page, images[i], out),
                Opened::Raw(format, header) => self.decode_raw(format, &header, images[i], out),
            });
            faults.extend(decoded.err().map(|fault| (i, fault)));
        }
        if faults.is_empty() {
            undo_filters(&filtered, plane, outputs, row_bytes, self.dtype);
        }
        self.filtered = filtered;
        faults
    }

    /// Whether an image is of the kind and size that is expected, by what its header says.
    fn open(&self, file: &[u8]) -> Result<Opened, ImageFault> {
        let length = file.len() as u64;
        let opened = match Format::of(file)? {
            Format::Png => Opened::Png(Png::open(file)?),
            Format::Tiff => Opened::Tiff(Page::open(&mut Cursor::new(file))?),
            format @ Format::Bmp => Opened::Raw(format, bmp::open(file, length)?),
            format @ Format::Netpbm => Opened::Raw(format, netpbm::open(file, length)?),
        };
        let header = opened.header();
        header.check(self.size, self.dtype, self.colour)?;
        if !header.can_be_true(length) {
            // Told as what it is, where it is cut short or altered; a short file is looked through in no time.
            if let Opened::Png(png) = &opened {
                collect_idat(file, png.header.bands, &mut Vec::new())?;
            }
            let ImageSize { height, width } = self.size;
            let found = format_args!("{} bytes, too few for them", file.len());
            return Err(ImageFault::undecodable(format_args!("{width} x {height} pixels"), found));
        }
        Ok(opened)
    }

    fn decode_rgb_png(&mut self, png: &Png, file: &[u8], out: &mut [u8]) -> Result<(), ImageFault> {
        self.rows.resize(self.size.height as usize * (1 + png.row_bytes()), 0);
        png.inflate_rows(file, &mut self.inflater, &mut self.deflated, &mut self.rows)?;
        self.samples.resize(self.size.height as usize * png.row_bytes(), 0);
        png.undo_filters(&self.rows, &mut self.samples);
        if self.dtype == Dtype::Uint16 {
            swap_bytes(&mut self.samples);
        }
        let samples = Samples { bytes: &self.samples, bands: png.header.bands, is_planar: false };
        samples.spread(self.size, self.dtype, self.colour, out)
    }

    fn decode_tiff(&mut self, page: &Page, file: &[u8], out: &mut [u8]) -> Result<(), ImageFault> {
        let bands = page.header.bands;
        if bands == Bands::Grey {
            return self.tiffs.unpack(page, file, &mut self.inflater, out);
        }
        self.samples.resize(self.size.pixels() * self.dtype.bytes() * bands.count(), 0);
        self.tiffs.unpack(page, file, &mut self.inflater, &mut self.samples)?;
        let samples = Samples { bytes: &self.samples, bands, is_planar: page.is_planar };
        samples.spread(self.size, self.dtype, self.colour, out)
    }

    fn decode_raw(&mut self, format: Format, header: &Header, file: &[u8], out: &mut [u8]) -> Result<(), ImageFault> {
        let read = if format == Format::Bmp { bmp::read } else { netpbm::read };
        if header.bands == Bands::Grey {
            return read(file, header.bands, out);
        }
        self.samples.resize(self.size.pixels() * self.dtype.bytes() * header.bands.count(), 0);
        read(file, header.bands, &mut self.samples)?;
        let samples = Samples { bytes: &self.samples, bands: header.bands, is_planar: false };
        samples.spread(self.size, self.dtype, self.colour, out)
    }
}

/// Undoes the filters of grey PNGs side by side.
fn undo_filters(filtered: &[u8], plane: usize, mut outputs: Vec<&mut [u8]>, row_bytes: usize, dtype: Dtype) {
    let mut inputs = filtered.chunks_exact(plane);
    let mut left = outputs.len();
    let mut next = outputs.iter_mut().map(|out| &mut **out);
    while left > 0 {
        left -= match (dtype, left) {
            (Dtype::Uint8, 1) => unfilter::<1, 1>(&mut inputs, &mut next, row_bytes),
            (Dtype::Uint8, 2 | 4) => unfilter::<2, 1>(&mut inputs, &mut next, row_bytes),
            (Dtype::Uint8, _) => unfilter::<3, 1>(&mut inputs, &mut next, row_bytes),
            (Dtype::Uint16, 1) => unfilter::<1, 2>(&mut inputs, &mut next, row_bytes),
            (Dtype::Uint16, 2 | 4) => unfilter::<2, 2>(&mut inputs, &mut next, row_bytes),
            (Dtype::Uint16, _) => unfilter::<3, 2>(&mut inputs, &mut next, row_bytes),
        };
    }
    if dtype == Dtype::Uint16 {
        outputs.into_iter().for_each(swap_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_memory_is_asked_for_an_image_that_its_file_has_no_bytes_for() {
        // IHDR of 16384 x 16384 pixels of 16 bits, and ten bytes of image data.
        let chunk = |body: &[u8]| {
            let length = (body.len() as u32 - 4).to_be_bytes();
            [&length[..], body, &crc32fast::hash(body).to_be_bytes()].concat()
        };
        let png = |colour: u8| {
            let ihdr = [&b"IHDR\0\0\x40\0\0\0\x40\0\x10"[..], &[colour, 0, 0, 0]].concat();
            [&b"\x89PNG\r\n\x1a\n"[..], &chunk(&ihdr), &chunk(b"IDAT0123456789"), &chunk(b"IEND")].concat()
        };
        let size = ImageSize { height: ImageSize::MAX_SIDE, width: ImageSize::MAX_SIDE };
        for (colour, expected) in [(0, Colour::Grey), (2, Colour::EqualRgb)] {
            let mut decoder = SiteDecoder::new(size, Dtype::Uint16, expected);
            let mut pixels = vec![0; 2 * size.pixels()];
            let faults = decoder.decode(&[&png(colour)], &mut pixels);
            assert!(faults[0].1.detail.ends_with("too few for them"), "{faults:?}");
            assert_eq!([&decoder.filtered, &decoder.rows, &decoder.samples].map(Vec::capacity), [0; 3]);
        }
    }
}
