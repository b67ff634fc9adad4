//! A picture in colours: tiles, rectangles and letters put together, written as PNG or JPEG. Knows nothing of stores.

use std::sync::Once;

use dejavu::sans;
use jpeg_encoder::{ColorType, Encoder};
use plotters::backend::{BitMapBackend, DrawingBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoTextStyle, RGBColor, register_font};

use crate::error::{Error, Result};
use crate::memory;

/// Red, green and blue.
pub type Rgb = [u8; 3];

/// Pixels of a side at most: more than any screen, and less than what PNG or JPEG end at.
const MAX_SIDE: u32 = 65_500;
/// The name that the letters go by.
const FONT: &str = "sans-serif";

/// Where a text stands from the place that is given for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// To the right of it.
    Left,
    /// On both sides of it.
    Centre,
    /// To the left of it.
    Right,
}

/// `[H, W, 3]` of 8 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Picture {
    /// A picture of one colour.
    ///
    /// # Errors
    /// If a side is 0 or beyond 65,500 pixels, or there is no memory for it.
    pub fn new(width: u32, height: u32, colour: Rgb) -> Result<Self> {
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            let expected = format!("sides of 1 to {MAX_SIDE} pixels (fewer tiles, or smaller ones)");
            return Err(Error::refused("picture", expected, format!("{width} x {height}")));
        }
        let mut rgb = memory::zeroed(3 * width as usize * height as usize, "picture")?;
        rgb.as_chunks_mut::<3>().0.fill(colour);
        Ok(Self { width, height, rgb })
    }

    /// Columns of pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows of pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// All pixels, row by row.
    #[must_use]
    pub fn pixels(&self) -> &[Rgb] {
        self.rgb.as_chunks().0
    }

    /// All pixels, row by row.
    pub fn pixels_mut(&mut self) -> &mut [Rgb] {
        self.rgb.as_chunks_mut().0
    }

    /// Puts another picture into this one, its upper left corner at column `x` and row `y`; what would be outside is left
    /// out.
    pub fn put(&mut self, x: u32, y: u32, tile: &Self) {
        let columns = tile.width.min(self.width.saturating_sub(x)) as usize;
        let rows = tile.height.min(self.height.saturating_sub(y));
        for row in 0..rows {
            let to = ((y + row) * self.width + x) as usize;
            let from = (row * tile.width) as usize;
            self.pixels_mut()[to..to + columns].copy_from_slice(&tile.pixels()[from..from + columns]);
        }
    }

    /// Fills a rectangle; what would be outside is left out.
    pub fn fill(&mut self, x: u32, y: u32, width: u32, height: u32, colour: Rgb) {
        let columns = width.min(self.width.saturating_sub(x)) as usize;
        for row in y..y.saturating_add(height).min(self.height) {
            let from = (row * self.width + x) as usize;
            self.pixels_mut()[from..from + columns].fill(colour);
        }
    }

    /// Writes a text, its middle line at row `y`.
    ///
    /// # Panics
    /// Never: the letters are part of the program.
    pub fn text(&mut self, x: u32, y: u32, size: u32, colour: Rgb, anchor: Anchor, text: &str) {
        let horizontal = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Centre => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let colour = RGBColor(colour[0], colour[1], colour[2]).to_rgba();
        let style = font(size).into_text_style(&(self.width, self.height)).color(&colour);
        let style = style.pos(Pos::new(horizontal, VPos::Center));
        let mut backend = BitMapBackend::with_buffer(&mut self.rgb, (self.width, self.height));
        // Letters that would be outside are left out; nothing else can be refused.
        let _ = backend.draw_text(text, &style, (x as i32, y as i32));
    }

    /// The same picture, smaller or as it is: no side longer than `most`, each pixel the mean of those it stands for.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn fitted(&self, most: u32) -> Result<Self> {
        let longest = self.width.max(self.height);
        if longest <= most {
            return Ok(self.clone());
        }
        let side =
            |side: u32| ((u64::from(side) * u64::from(most) + u64::from(longest) / 2) / u64::from(longest)).max(1);
        let (width, height) = (side(self.width) as u32, side(self.height) as u32);
        let mut small = Self::new(width, height, [0; 3])?;
        let end = |i: u32, of: u32, all: u32| (u64::from(i) * u64::from(all) / u64::from(of)) as usize;
        let source = self.pixels();
        for (i, pixel) in small.pixels_mut().iter_mut().enumerate() {
            let (x, y) = (i as u32 % width, i as u32 / width);
            let columns = end(x, width, self.width)..end(x + 1, width, self.width);
            let rows = end(y, height, self.height)..end(y + 1, height, self.height);
            let n = (columns.len() * rows.len()) as u32;
            let mut sums = [n / 2; 3];
            for row in rows {
                for colours in &source[row * self.width as usize..][columns.clone()] {
                    sums.iter_mut().zip(colours).for_each(|(sum, &colour)| *sum += u32::from(colour));
                }
            }
            *pixel = sums.map(|sum| (sum / n) as u8);
        }
        Ok(small)
    }

    /// The file as PNG.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn png(&self) -> Result<Vec<u8>> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&self.rgb));
        written.map_err(|e| Error::refused("picture", "a PNG that can be made", e))?;
        Ok(file)
    }

    /// The file as JPEG, for a page with many small ones; `quality` is 1 to 100.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn jpeg(&self, quality: u8) -> Result<Vec<u8>> {
        let mut file = Vec::new();
        let encoded =
            Encoder::new(&mut file, quality).encode(&self.rgb, self.width as u16, self.height as u16, ColorType::Rgb);
        encoded.map_err(|e| Error::refused("picture", "a JPEG that can be made", e))?;
        Ok(file)
    }
}

/// How wide a text is, in pixels.
///
/// # Panics
/// Never: the letters are part of the program.
#[must_use]
pub fn text_width(size: u32, text: &str) -> u32 {
    font(size).into_text_style(&(1, 1)).font.box_size(text).expect("the letters are registered").0
}

/// A text that is cut short, with an ellipsis, where it is wider than `most` pixels.
#[must_use]
pub fn shortened(size: u32, text: &str, most: u32) -> String {
    let mut short = text.to_owned();
    while text_width(size, &short) > most && short.chars().count() > 1 {
        let keep = short.trim_end_matches('…').chars().count() - 1;
        short = short.chars().take(keep).collect::<String>() + "…";
    }
    short
}

fn font(size: u32) -> (&'static str, u32) {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let registered = register_font(FONT, FontStyle::Normal, sans::regular());
        registered.map_err(|_| "the font of the program cannot be read").expect("a font of its own");
    });
    (FONT, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: Rgb = [255; 3];

    #[test]
    fn a_smaller_picture_has_the_means_of_the_larger() {
        let mut picture = Picture::new(4, 2, [0; 3]).unwrap();
        picture.fill(0, 0, 2, 1, [200, 100, 0]);
        let small = picture.fitted(2).unwrap();
        assert_eq!((small.width(), small.height()), (2, 1));
        assert_eq!(small.pixels(), [[100, 50, 0], [0; 3]]);
        assert_eq!(picture.fitted(4).unwrap(), picture);
        // Sides that do not divide: each pixel is counted, and none twice.
        let mut odd = Picture::new(5, 3, [90; 3]).unwrap();
        assert!(odd.fitted(2).unwrap().pixels().iter().all(|pixel| *pixel == [90; 3]));
        odd.put(4, 2, &picture);
        assert_eq!(odd.pixels()[14], [200, 100, 0], "the corner that is inside");
        odd.fill(3, 0, 9, 9, WHITE);
        assert_eq!(odd.pixels()[..5], [[90; 3], [90; 3], [90; 3], WHITE, WHITE]);
    }

    #[test]
    fn letters_are_drawn_where_they_are_told() {
        let inked = |anchor| {
            let mut picture = Picture::new(200, 40, WHITE).unwrap();
            picture.text(100, 20, 16, [0; 3], anchor, "B02 é");
            let dark: Vec<u32> =
                (0..8000).filter(|&i| picture.pixels()[i as usize][0] < 128).map(|i| i % 200).collect();
            assert!(dark.len() > 50, "{}", dark.len());
            (dark.iter().min().copied().unwrap(), dark.iter().max().copied().unwrap())
        };
        assert!(inked(Anchor::Left).0 >= 100 && inked(Anchor::Right).1 <= 100);
        let (left, right) = inked(Anchor::Centre);
        assert!(left < 100 && right > 100 && (100 - left).abs_diff(right - 100) < 6);
        let mut small = Picture::new(4, 4, WHITE).unwrap();
        small.text(3, 3, 30, [0; 3], Anchor::Centre, "outside of it");
    }

    #[test]
    fn long_texts_are_cut_short() {
        assert_eq!(shortened(12, "actin", 1000), "actin");
        let short = shortened(12, "endoplasmic reticulum", 60);
        assert!(short.ends_with('…') && text_width(12, &short) <= 60 && short.len() > 5, "{short}");
    }

    #[test]
    fn files_are_what_they_say() {
        let mut picture = Picture::new(9, 5, WHITE).unwrap();
        picture.fill(0, 0, 4, 5, [250, 10, 60]);
        let mut reader = png::Decoder::new(std::io::Cursor::new(picture.png().unwrap())).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels.as_chunks::<3>().0, picture.pixels());
        assert!(picture.jpeg(85).unwrap().starts_with(&[0xff, 0xd8]));
        let error = Picture::new(70_000, 1, WHITE).unwrap_err().to_string();
        assert!(error.contains("70000 x 1"), "{error}");
    }
}
