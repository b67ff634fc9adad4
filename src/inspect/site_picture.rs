//! One site as a picture: each channel side by side, and all of them in their colours.

use crate::error::Result;
use crate::inspect::drawing::palette::{GREY, INK, PAPER};
use crate::inspect::drawing::picture::{Anchor, Picture, shortened, text_width};
use crate::inspect::drawing::render::{Window, composite, grey};
use crate::plate_statistics;
use crate::site::Population;
use crate::stats::{Histogram, PopulationGroup};
use crate::store::Store;
use crate::store::format::rows::SiteRow;

const GAP: u32 = 8;
const TITLE: u32 = 34;
const LABEL: u32 = 24;
const MARGIN: u32 = 12;
/// Pixels that a tile has at least, so that its name can be read.
pub const LEAST_TILE: u32 = 32;
/// Tiles in a row.
const COLUMNS: u32 = 4;

/// Which grey levels are shown black and white.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Contrast {
    /// Those at the percentiles 0.5 and 99.7 of the site's own channel.
    Percentiles,
    /// The same of the controls of its plate, so that sites of a plate can be compared.
    Controls,
    /// The same two levels for every channel.
    Fixed(Window),
}

/// The rows and columns that so many tiles are put into.
fn grid(n: u32) -> (u32, u32) {
    let columns = if n <= COLUMNS { n } else { n.div_ceil(n.div_ceil(COLUMNS)) };
    (n.div_ceil(columns), columns)
}

/// Counts each channel of a site, `[C, H, W]`.
#[must_use]
pub fn histograms(store: &Store, pixels: &[u8]) -> Vec<Histogram> {
    let spec = store.spec();
    pixels.chunks_exact(spec.plane_bytes()).map(|plane| Histogram::of(plane, spec.dtype)).collect()
}

/// The grey levels of each channel that a site is shown by.
///
/// # Errors
/// If the counts of its plate cannot be read; or if it has no controls, and they are asked for.
pub fn windows(store: &Store, site: &SiteRow, pixels: &[u8], contrast: Contrast) -> Result<Vec<Window>> {
    match contrast {
        Contrast::Percentiles => Ok(histograms(store, pixels).iter().map(Window::of).collect()),
        Contrast::Fixed(window) => Ok(vec![window; store.spec().channels.len()]),
        Contrast::Controls => {
            let plate = &site.id.well.plate;
            let counts = plate_statistics::read(store.root(), plate, store.spec())?;
            let controls = PopulationGroup::Controls.of([&counts]);
            if controls.n_sites == 0 {
                let expected = format!("control wells on {plate} (or --contrast percentiles)");
                return Err(crate::Error::refused("--contrast controls", expected, "none"));
            }
            Ok(controls.histograms.iter().map(Window::of).collect())
        }
    }
}

/// What is known of a site, in a line.
#[must_use]
pub fn about(site: &SiteRow) -> String {
    let label = &site.label;
    let what = match label.population {
        Population::Unknown => "no label".to_owned(),
        known => known.name().replace('_', " "),
    };
    let given = if label.sirna.is_empty() { String::new() } else { format!(" {}", &*label.sirna) };
    format!("{what}{given}")
}

/// A site's channels side by side and their composite, each tile at most `tile` pixels wide, with the grey levels that it
/// shows black and white below it.
///
/// # Errors
/// If there is no memory for it.
pub fn site_picture(store: &Store, site: &SiteRow, pixels: &[u8], windows: &[Window], tile: u32) -> Result<Picture> {
    let spec = store.spec();
    let mut tiles = Vec::new();
    for ((plane, &window), channel) in pixels.chunks_exact(spec.plane_bytes()).zip(windows).zip(&spec.channels) {
        let label = format!("{:.0} to {:.0}", window.black, window.white);
        let picture = grey(plane, spec.size, spec.dtype, window)?.fitted(tile)?;
        tiles.push((picture, channel.name.clone(), label));
    }
    tiles.push((composite(pixels, spec, windows)?.fitted(tile)?, "composite".to_owned(), String::new()));
    let (width, height) = (tiles[0].0.width().max(LEAST_TILE), tiles[0].0.height());
    let (rows, columns) = grid(tiles.len() as u32);
    let left = |column: u32| MARGIN + column * (width + GAP);
    let top = |row: u32| TITLE + row * (height + LABEL + GAP);
    let mut picture = Picture::new(left(columns) - GAP + MARGIN, top(rows) - GAP + MARGIN, PAPER)?;
    let room = picture.width() - 2 * MARGIN;
    let title = format!("{}  ·  {}", site.id.shown(), about(site));
    picture.text(MARGIN, TITLE / 2, 16, INK, Anchor::Left, &shortened(16, &title, room));
    for (i, (tile, name, label)) in (0..).zip(tiles) {
        let (x, y) = (left(i % columns), top(i / columns));
        picture.put(x, y, &tile);
        let middle = y + height + LABEL / 2;
        let size = 13;
        let label_width = if width < 160 { 0 } else { text_width(12, &label) };
        if label_width > 0 {
            picture.text(x + width, middle, 12, GREY, Anchor::Right, &label);
        }
        picture.text(
            x,
            middle,
            size,
            INK,
            Anchor::Left,
            &shortened(size, &name, width - label_width.min(width / 2) - 4),
        );
    }
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::grid;

    #[test]
    fn tiles_fill_their_rows() {
        let found = [1, 2, 3, 4, 5, 6, 7, 9].map(grid);
        assert_eq!(found, [(1, 1), (1, 2), (1, 3), (1, 4), (2, 3), (2, 3), (2, 4), (3, 3)]);
    }
}
