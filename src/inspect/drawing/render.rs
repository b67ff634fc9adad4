//! Pixels of a site as pictures: one channel in greys, or all of them in their colours. Pure.

use crate::error::Result;
use crate::site::{Dtype, ImageSize};
use crate::stats::Histogram;
use crate::store::StoreSpec;

use super::picture::{Picture, Rgb};

/// The percentiles of grey levels that are shown black and white, where nothing else is asked for: few pixels are as
/// bright as the brightest.
pub const BLACK_PERCENTILE: f64 = 0.5;
/// The other one.
pub const WHITE_PERCENTILE: f64 = 99.7;
/// Colours of channels of which the store knows none, in turn.
const USUAL: [Rgb; 7] =
    [[0, 0, 255], [0, 255, 0], [255, 0, 0], [0, 255, 255], [255, 0, 255], [255, 255, 0], [255, 255, 255]];
/// How much of the light that all channels have together is shown white: they are seldom bright at one place.
const WHITE_SHARE: f32 = 0.65;

/// The grey levels of a channel that are shown black and white, black the lower one. Not only those that pixels have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Shown black.
    pub black: f64,
    /// Shown white.
    pub white: f64,
}

impl Window {
    /// That of the usual percentiles; at least one level wide.
    #[must_use]
    pub fn of(histogram: &Histogram) -> Self {
        let [black, white] = [BLACK_PERCENTILE, WHITE_PERCENTILE].map(|q| histogram.percentile(q));
        let black = if black.is_nan() { 0.0 } else { black };
        Self { black, white: white.max(black + 1.0) }
    }

    /// How bright each grey level of the type is shown, from 0 to 1.
    fn shares(self, dtype: Dtype) -> Vec<f32> {
        let width = self.white - self.black;
        (0..dtype.levels()).map(|level| ((level as f64 - self.black) / width).clamp(0.0, 1.0) as f32).collect()
    }
}

/// The colour that each channel is shown in: the store's, or a usual one. One alone is shown in greys.
#[must_use]
pub fn colours(spec: &StoreSpec) -> Vec<Rgb> {
    let parsed = |hex: &String| {
        let bits = u32::from_str_radix(hex, 16).ok()?;
        Some([(bits >> 16) as u8, (bits >> 8) as u8, bits as u8])
    };
    if spec.channels.len() == 1 {
        return vec![[255; 3]];
    }
    let told = spec.channels.iter().map(|channel| channel.colour.as_ref().and_then(parsed));
    told.zip(USUAL.iter().cycle()).map(|(colour, usual)| colour.unwrap_or(*usual)).collect()
}

/// One channel of a site, `[H, W]`, in greys.
///
/// # Errors
/// If there is no memory for it.
pub fn grey(plane: &[u8], size: ImageSize, dtype: Dtype, window: Window) -> Result<Picture> {
    let mut picture = Picture::new(size.width, size.height, [0; 3])?;
    let greys: Vec<u8> = window.shares(dtype).into_iter().map(|share| (255.0 * share).round() as u8).collect();
    each_level(plane, dtype, |i, level| picture.pixels_mut()[i] = [greys[level]; 3]);
    Ok(picture)
}

/// All channels of a site, `[C, H, W]`, in their colours on top of each other, which add up as lights do.
///
/// # Errors
/// If there is no memory for it.
pub fn composite(pixels: &[u8], spec: &StoreSpec, windows: &[Window]) -> Result<Picture> {
    let mut lights = vec![[0_f32; 3]; spec.size.pixels()];
    let colours = colours(spec);
    for ((plane, window), colour) in pixels.chunks_exact(spec.plane_bytes()).zip(windows).zip(&colours) {
        let shares = window.shares(spec.dtype);
        let colour = colour.map(f32::from);
        each_level(plane, spec.dtype, |i, level| {
            let share = shares[level];
            lights[i].iter_mut().zip(colour).for_each(|(light, part)| *light += share * part);
        });
    }
    let sums = colours.iter().fold([0_u32; 3], |sums, colour| [0, 1, 2].map(|i| sums[i] + u32::from(colour[i])));
    let most = sums.into_iter().max().unwrap_or(0) as f32 / 255.0;
    let scale = (WHITE_SHARE * most).max(1.0);
    let mut picture = Picture::new(spec.size.width, spec.size.height, [0; 3])?;
    for (pixel, light) in picture.pixels_mut().iter_mut().zip(lights) {
        *pixel = light.map(|part| (part / scale).round().min(255.0) as u8);
    }
    Ok(picture)
}

/// Calls `each` with the place and the grey level of each pixel.
fn each_level(plane: &[u8], dtype: Dtype, mut each: impl FnMut(usize, usize)) {
    match dtype {
        Dtype::Uint8 => plane.iter().enumerate().for_each(|(i, &level)| each(i, usize::from(level))),
        Dtype::Uint16 => {
            let words = plane.as_chunks::<2>().0.iter().enumerate();
            words.for_each(|(i, &word)| each(i, usize::from(u16::from_le_bytes(word))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::format::spec::{Channel, Codec, Format, channels};

    fn spec(dtype: Dtype, channels: Vec<Channel>) -> StoreSpec {
        let size = ImageSize { height: 1, width: 3 };
        let (format, codec) = (Format::LATEST, Codec::Raw);
        StoreSpec { present_only: false, format, channels, size, dtype, codec, sites_per_shard: 1 }
    }

    #[test]
    fn levels_between_black_and_white_are_shown_in_proportion() {
        let size = ImageSize { height: 1, width: 5 };
        let window = Window { black: 10.0, white: 110.0 };
        let shown = |plane: &[u8], dtype| grey(plane, size, dtype, window).unwrap().pixels().to_vec();
        let expected = [0, 0, 128, 255, 255].map(|level| [level; 3]);
        assert_eq!(shown(&[0, 10, 60, 110, 255], Dtype::Uint8), expected);
        let words: Vec<u8> = [0_u16, 10, 60, 110, 60_000].into_iter().flat_map(u16::to_le_bytes).collect();
        assert_eq!(shown(&words, Dtype::Uint16), expected);
    }

    #[test]
    fn a_composite_has_the_colours_of_its_channels() {
        let spec = spec(Dtype::Uint8, channels(6));
        let windows = [Window { black: 0.0, white: 255.0 }; 6];
        let mut pixels = [0; 18];
        pixels[0] = 255; // nucleus
        pixels[3 * 2 + 1] = 255; // actin
        (0..6).for_each(|c| pixels[3 * c + 2] = 255);
        let shown = composite(&pixels, &spec, &windows).unwrap();
        let [nucleus, actin, all] = [0, 1, 2].map(|i| shown.pixels()[i]);
        assert!(nucleus[2] > 90 && nucleus[..2] == [0, 0], "{nucleus:?}");
        assert!(actin[0] > 90 && actin[1..] == [0, 0], "{actin:?}");
        assert_eq!(all, [255; 3]);
    }

    #[test]
    fn channels_without_a_colour_get_one_each_and_one_alone_is_bright() {
        let spec = spec(Dtype::Uint8, vec![Channel::plain("DNA"), Channel::plain("AGP")]);
        assert_eq!(colours(&spec), [[0, 0, 255], [0, 255, 0]]);
        let windows = [Window { black: 0.0, white: 255.0 }; 2];
        let shown = composite(&[255, 0, 0, 255, 0, 0], &spec, &windows).unwrap();
        assert_eq!(shown.pixels(), [[0, 255, 255], [0; 3], [0; 3]]);
    }

    #[test]
    fn a_window_is_of_the_percentiles_and_never_empty() {
        let levels: Vec<u8> = (0..=200).collect();
        assert_eq!(Window::of(&Histogram::of(&levels, Dtype::Uint8)), Window { black: 1.0, white: 199.4 });
        assert_eq!(Window::of(&Histogram::of(&[7; 9], Dtype::Uint8)), Window { black: 7.0, white: 8.0 });
        assert_eq!(Window::of(&Histogram::default()), Window { black: 0.0, white: 1.0 });
    }
}
