//! Plate maps as a picture: plates side by side, with one key for all.

use crate::error::Result;
use crate::inspect::drawing::palette::{GREY, INK, NOTHING, PAPER, ink_on, of_value};
use crate::inspect::drawing::picture::{Anchor, Picture, Rgb, shortened, text_width};
use crate::site::Well;

use super::maps::{Category, Cell, Key, Maps, PlateMap};
use super::shape::Shape;

const MARGIN: u32 = 14;
const TITLE: u32 = 36;
const NAME: u32 = 26;
const HEADER: u32 = 20;
const GAP: u32 = 28;
const KEY_ROW: u32 = 22;
/// Steps of the bar of a key.
const BAR: u32 = 256;
/// Plates in a row.
const MOST_IN_A_ROW: usize = 4;

/// Draws them.
///
/// # Errors
/// If it would be too large a picture.
pub fn maps_picture(maps: &Maps) -> Result<Picture> {
    let most = maps.shape;
    let cell = match (most.columns, maps.plates.len()) {
        (..=12, _) => 44,
        (..=24, 1) => 32,
        (..=24, _) => 26,
        _ => 16,
    };
    let label = 26;
    let (width, height) = (label + u32::from(most.columns) * cell, NAME + HEADER + u32::from(most.rows) * cell);
    let n = maps.plates.len().max(1);
    let columns = n.min(if n == MOST_IN_A_ROW && most.columns > 12 { 2 } else { MOST_IN_A_ROW }) as u32;
    let rows = (n as u32).div_ceil(columns);
    let all_width = (columns * (width + GAP) - GAP).max(420);
    let key = key_layout(&maps.key, all_width);
    let maps_height = rows * (height + GAP) - GAP;
    let mut picture = Picture::new(all_width + 2 * MARGIN, TITLE + maps_height + GAP + key.height + MARGIN, PAPER)?;
    picture.text(MARGIN, TITLE / 2, 17, INK, Anchor::Left, &shortened(17, &maps.title, all_width));
    for (i, plate) in (0..).zip(&maps.plates) {
        let (x, y) = (MARGIN + i % columns * (width + GAP), TITLE + i / columns * (height + GAP));
        draw_plate(&mut picture, (x, y), (plate, most), &maps.key, cell, label);
    }
    draw_key(&mut picture, (MARGIN, TITLE + maps_height + GAP), &maps.key, &key);
    Ok(picture)
}

fn draw_plate(
    picture: &mut Picture,
    (x, y): (u32, u32),
    (plate, shape): (&PlateMap, Shape),
    key: &Key,
    cell: u32,
    label: u32,
) {
    let Shape { rows, columns } = shape;
    let name = shortened(14, &plate.plate.shown(), u32::from(columns) * cell);
    picture.text(x + label, y + NAME / 2, 14, INK, Anchor::Left, &name);
    let (left, top) = (x + label, y + NAME + HEADER);
    for column in 1..=columns {
        if cell > 20 || column % 4 == 0 || column == 1 {
            let middle = left + u32::from(column - 1) * cell + cell / 2;
            picture.text(middle, y + NAME + HEADER / 2, 11, GREY, Anchor::Centre, &column.to_string());
        }
    }
    for row in 0..rows {
        let well = Well::new(row, 1).to_string();
        let middle = top + u32::from(row) * cell + cell / 2;
        picture.text(x + label - 6, middle, 11, GREY, Anchor::Right, well.trim_end_matches("01"));
        for column in 1..=columns {
            let (x, y) = (left + u32::from(column - 1) * cell, top + u32::from(row) * cell);
            let Some(found) = plate.cells.get(&Well::new(row, column)) else {
                // No well: paper, with a dot where it would be.
                picture.fill(x + cell / 2, y + cell / 2, 2, 2, [210; 3]);
                continue;
            };
            let (colour, mark) = shown(found, key);
            picture.fill(x, y, cell - 1, cell - 1, colour);
            let size = if mark.len() > 3 { cell * 3 / 8 } else { (cell * 7 / 16).max(10) };
            if size >= 9 && text_width(size, &mark) < cell {
                picture.text(x + cell / 2, y + cell / 2, size, ink_on(colour), Anchor::Centre, &mark);
            }
        }
    }
}

/// The colour of a well, and what stands in it.
#[must_use]
pub(super) fn shown(cell: &Cell, key: &Key) -> (Rgb, String) {
    match (cell, key) {
        (&Cell::Category(i), Key::Categories(categories)) => (categories[i].colour, categories[i].mark.clone()),
        (&Cell::Value(value), &Key::Values { low, high, are_classes }) if !value.is_nan() => {
            let share = if high > low { (value - low) / (high - low) } else { 0.5 };
            let mark = match (value > high, value < low) {
                _ if are_classes => format!("{value:.0}"),
                (true, _) => "+".to_owned(),
                (_, true) => "–".to_owned(),
                _ => String::new(),
            };
            (of_value(share), mark)
        }
        _ => (NOTHING, String::new()),
    }
}

struct KeyLayout {
    /// Of each category.
    columns: u32,
    column_width: u32,
    height: u32,
}

fn key_layout(key: &Key, width: u32) -> KeyLayout {
    match key {
        Key::Values { .. } => KeyLayout { columns: 1, column_width: BAR + 120, height: 2 * KEY_ROW },
        Key::Categories(categories) => {
            let widest = categories.iter().map(|category| text_width(12, &category.name)).max().unwrap_or(0);
            let column_width = (widest + 40).min(width);
            let columns = (width / column_width).max(1);
            let height = (categories.len() as u32).div_ceil(columns) * KEY_ROW;
            KeyLayout { columns, column_width, height }
        }
    }
}

fn draw_key(picture: &mut Picture, (x, y): (u32, u32), key: &Key, layout: &KeyLayout) {
    match key {
        Key::Categories(categories) => {
            // Down the columns, as lists are read.
            let rows = (categories.len() as u32).div_ceil(layout.columns);
            for (i, Category { name, colour, mark }) in (0..).zip(categories) {
                let (x, y) = (x + i / rows * layout.column_width, y + i % rows * KEY_ROW);
                picture.fill(x, y, 20, KEY_ROW - 4, *colour);
                picture.text(x + 10, y + KEY_ROW / 2 - 2, 10, ink_on(*colour), Anchor::Centre, mark);
                let room = layout.column_width - 32;
                picture.text(x + 26, y + KEY_ROW / 2 - 2, 12, INK, Anchor::Left, &shortened(12, name, room));
            }
        }
        &Key::Values { low, high, are_classes } => {
            for step in 0..BAR {
                picture.fill(x + step, y, 1, KEY_ROW - 6, of_value(f64::from(step) / f64::from(BAR - 1)));
            }
            let text = |value: f64| if are_classes { format!("{value:.0}") } else { number(value) };
            picture.text(x, y + KEY_ROW + 4, 12, INK, Anchor::Left, &text(low));
            picture.text(x + BAR, y + KEY_ROW + 4, 12, INK, Anchor::Right, &text(high));
            if !are_classes {
                picture.text(x + BAR + 12, y + KEY_ROW / 2 - 3, 12, GREY, Anchor::Left, "+ above, – below");
            }
        }
    }
}

/// A value with three digits that tell.
#[must_use]
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if size < 0.001 {
        format!("{value:.1e}")
    } else if size < 1.0 {
        format!("{value:.4}")
    } else if size < 100.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}
