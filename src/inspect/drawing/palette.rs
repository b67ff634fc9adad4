//! The colours of maps and charts, which people who tell few colours apart can read, too.

use colorous::VIRIDIS;

use crate::site::Population;

use super::picture::Rgb;

/// What is empty.
pub const PAPER: Rgb = [255; 3];
/// Letters.
pub const INK: Rgb = [34; 3];
/// Letters of less weight, and lines.
pub const GREY: Rgb = [120; 3];
/// A well of which there is nothing to show.
pub const NOTHING: Rgb = [236; 3];

/// The colours of populations (of the palette of Okabe and Ito), and the letter that says the same without any.
#[must_use]
pub fn of_population(population: Population) -> (Rgb, char) {
    match population {
        Population::NegativeControl => ([0, 114, 178], 'n'),
        Population::PositiveControl => ([230, 159, 0], 'p'),
        Population::Treatment => ([196, 205, 212], 't'),
        Population::Unknown => ([226, 226, 226], '?'),
    }
}

/// A colour from dark to bright for a value from 0 to 1 (viridis, of matplotlib).
#[must_use]
pub fn of_value(share: f64) -> Rgb {
    VIRIDIS.eval_continuous(share.clamp(0.0, 1.0)).as_array()
}

/// The colour of the place `i` in a list of any length: neighbours are far apart, by the golden ratio.
#[must_use]
pub fn of_place(i: usize) -> Rgb {
    of_value((i as f64 * 0.618_033_988_749_895).fract())
}

/// The colour of letters on a colour.
#[must_use]
pub fn ink_on(colour: Rgb) -> Rgb {
    let [red, green, blue] = colour.map(u32::from);
    if 299 * red + 587 * green + 114 * blue > 140_000 { INK } else { PAPER }
}
