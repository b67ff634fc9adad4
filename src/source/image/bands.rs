//! From pixels of several samples to channels: all of them equal as one, or each of them by itself. Pure.

use crate::fault::FaultKind;
use crate::site::{Dtype, ImageSize};

use super::fault::ImageFault;
use super::header::{Bands, Colour};

/// Samples of an image of RGB or RGBA, little-endian.
pub(super) struct Samples<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) bands: Bands,
    /// Whether all reds come first, then all greens, and so on: `[C, H, W]`, not `[H, W, C]`.
    pub(super) is_planar: bool,
}

impl Samples<'_> {
    /// Puts the samples into `out`, as many channels as `colour` says. An alpha must be opaque, and says nothing more.
    pub(super) fn spread(
        &self,
        size: ImageSize,
        dtype: Dtype,
        colour: Colour,
        out: &mut [u8],
    ) -> Result<(), ImageFault> {
        match dtype {
            Dtype::Uint8 => self.spread_of::<1>(size, colour, out),
            Dtype::Uint16 => self.spread_of::<2>(size, colour, out),
        }
    }

    fn spread_of<const BYTES: usize>(&self, size: ImageSize, colour: Colour, out: &mut [u8]) -> Result<(), ImageFault> {
        let (n_pixels, n_bands) = (size.pixels(), self.bands.count());
        let (samples, _) = self.bytes.as_chunks::<BYTES>();
        let (to_next, to_band) = if self.is_planar { (1, n_pixels) } else { (n_bands, 1) };
        let band = |band: usize| samples[band * to_band..].iter().step_by(to_next).take(n_pixels);
        let place = |i: usize| format!("x = {}, y = {}", i % size.width as usize, i / size.width as usize);
        if self.bands == Bands::Rgba
            && let Some(i) = band(3).position(|alpha| *alpha != [u8::MAX; BYTES])
        {
            let found = format_args!("another alpha at {}", place(i));
            return Err(ImageFault::new(FaultKind::WrongColour, "opaque pixels", found));
        }
        if colour != Colour::Rgb
            && let Some(i) = band(0).zip(band(1)).zip(band(2)).position(|((r, g), b)| r != g || g != b)
        {
            let value = |c: usize| {
                let sample = samples[c * to_band + i * to_next];
                sample.iter().rev().fold(0_u32, |value, byte| value << 8 | u32::from(*byte))
            };
            let found = format_args!("{}, {}, {} at {}", value(0), value(1), value(2), place(i));
            return Err(ImageFault::new(FaultKind::WrongColour, "red, green and blue that are equal", found));
        }
        for (c, plane) in out.chunks_exact_mut(n_pixels * BYTES).enumerate() {
            plane.as_chunks_mut::<BYTES>().0.iter_mut().zip(band(c)).for_each(|(out, sample)| *out = *sample);
        }
        Ok(())
    }
}

/// Turns samples of two bytes from the one byte order into the other.
pub(super) fn swap_bytes(samples: &mut [u8]) {
    for sample in samples.as_chunks_mut::<2>().0 {
        sample.reverse();
    }
}
