//! Plate maps as text for a terminal: a letter or a shade a well, in colours where they are wanted.

use std::fmt::Write;

use crate::inspect::drawing::palette::{ink_on, of_value};
use crate::inspect::drawing::picture::Rgb;
use crate::site::Well;

use super::maps::{Category, Cell, Key, Maps, PlateMap};
use super::picture::{number, shown};
use super::shape::Shape;

/// Shades of values, from the lowest.
const SHADES: [&str; 5] = ["··", "░░", "▒▒", "▓▓", "██"];

/// Writes them below each other, in blocks of columns that fit into `width` characters; with `colours` by the codes of
/// terminals that know 24 bits of them.
#[must_use]
pub fn maps_text(maps: &Maps, width: usize, colours: bool) -> String {
    let mut text = format!("{}\n", maps.title);
    let widest = |cells: usize| cells.max(1);
    let cell = match &maps.key {
        Key::Values { are_classes: true, high, .. } => widest(format!("{high:.0}").len()),
        Key::Values { .. } => 2,
        Key::Categories(categories) => {
            widest(categories.iter().map(|category| category.mark.chars().count()).max().unwrap_or(1))
        }
    };
    for plate in &maps.plates {
        let _ = writeln!(text, "\n{}", plate.plate.shown());
        write_plate(&mut text, (plate, maps.shape), &maps.key, cell, width, colours);
    }
    text.push('\n');
    write_key(&mut text, &maps.key, width, colours);
    text
}

fn write_plate(
    text: &mut String,
    (plate, shape): (&PlateMap, Shape),
    key: &Key,
    cell: usize,
    width: usize,
    colours: bool,
) {
    // Values are drawn without a gap, as an image is.
    let gap = usize::from(!matches!(key, Key::Values { are_classes: false, .. }));
    // The number of a column has two digits.
    let step = (cell + gap).max(3 - usize::from(gap == 0));
    let fit = ((width.saturating_sub(4)) / step).clamp(1, usize::from(shape.columns));
    // Blocks of one width, rather than one that is nearly empty.
    let n_blocks = usize::from(shape.columns).div_ceil(fit);
    let fit = usize::from(shape.columns).div_ceil(n_blocks);
    for block in 0..n_blocks {
        let columns = (block * fit + 1)..=((block + 1) * fit).min(usize::from(shape.columns));
        // Two digits leave no room between columns that are two wide: every second one is named.
        let named = |column: usize| if step > 2 || column % 2 == 1 { column.to_string() } else { String::new() };
        let header: String = columns.clone().map(|column| format!("{:>step$}", named(column))).collect();
        let _ = writeln!(text, "   {}", header.trim_end());
        for row in 0..shape.rows {
            let name = Well::new(row, 1).to_string();
            let _ = write!(text, "{:>3}", name.trim_end_matches("01"));
            let mut line = String::new();
            for column in columns.clone() {
                let found = plate.cells.get(&Well::new(row, column as u16));
                let (colour, mark) = found.map_or((None, " ".to_owned()), |found| {
                    let (colour, mark) = shown(found, key);
                    (Some(colour), shade(found, key, colours).map_or(mark, str::to_owned))
                });
                let mark = if found.is_some() && mark.is_empty() { "·".to_owned() } else { mark };
                line += &" ".repeat(step.saturating_sub(cell.max(mark.chars().count())));
                let padded = format!("{mark:>cell$}");
                match colour.filter(|_| colours) {
                    Some(colour) => line += &painted(&padded, colour),
                    None => line += &padded,
                }
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
}

/// The shade of a value that is no number of a class; where colours tell it, only what they do not.
fn shade(cell: &Cell, key: &Key, colours: bool) -> Option<&'static str> {
    match (cell, key) {
        (&Cell::Value(value), &Key::Values { low, high, are_classes: false }) => {
            if value.is_nan() {
                return Some("? ");
            }
            if value > high || value < low {
                return Some(if value > high { "++" } else { "--" });
            }
            if colours {
                return Some("  ");
            }
            let share = if high > low { (value - low) / (high - low) } else { 0.5 };
            Some(SHADES[((share * SHADES.len() as f64) as usize).min(SHADES.len() - 1)])
        }
        _ => None,
    }
}

fn write_key(text: &mut String, key: &Key, width: usize, colours: bool) {
    match key {
        &Key::Values { low, high, are_classes: false } => {
            let step = (high - low) / SHADES.len() as f64;
            let of = |(i, mark): (usize, &&str)| {
                let middle = (i as f64 + 0.5) / SHADES.len() as f64;
                let mark = if colours { painted("  ", of_value(middle)) } else { (*mark).to_owned() };
                format!("{mark} from {}", number(low + i as f64 * step))
            };
            let beyond = [format!("++ above {}", number(high)), format!("-- below {}", number(low))];
            write_items(text, SHADES.iter().enumerate().map(of).chain(beyond), width);
        }
        &Key::Values { low, high, .. } => {
            let _ = writeln!(text, "numbers of classes, from {low:.0} to {high:.0}; · has none");
        }
        Key::Categories(categories) => {
            let of = |Category { name, colour, mark }: &Category| {
                let mark = if mark.is_empty() { "·" } else { mark };
                if colours { format!("{} {name}", painted(mark, *colour)) } else { format!("{mark} {name}") }
            };
            write_items(text, categories.iter().map(of), width);
        }
    }
}

/// Writes what a key has, as much in a line as there is room for.
fn write_items(text: &mut String, items: impl Iterator<Item = String>, width: usize) {
    let mut line = String::new();
    for item in items {
        if !line.is_empty() && shown_width(&line) + 2 + shown_width(&item) > width {
            let _ = writeln!(text, "{line}");
            line.clear();
        }
        if !line.is_empty() {
            line += "  ";
        }
        line += &item;
    }
    let _ = writeln!(text, "{line}");
}

fn painted(text: &str, on: Rgb) -> String {
    let [r, g, b] = on;
    let [ink_r, ink_g, ink_b] = ink_on(on);
    format!("\x1b[48;2;{r};{g};{b}m\x1b[38;2;{ink_r};{ink_g};{ink_b}m{text}\x1b[0m")
}

/// Characters of a line that a terminal shows: codes of colours are none.
fn shown_width(line: &str) -> usize {
    let mut parts = line.split('\x1b');
    let first = parts.next().unwrap_or_default().chars().count();
    first + parts.map(|part| part.split_once('m').map_or(0, |(_, rest)| rest.chars().count())).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn maps(shape: Shape, cells: &[(&str, Cell)], key: Key) -> Maps {
        let cells: BTreeMap<Well, Cell> =
            cells.iter().map(|(well, cell)| (well.parse().unwrap(), cell.clone())).collect();
        let plate = PlateMap { plate: "A-1/1".parse().unwrap(), cells };
        Maps { title: "title".to_owned(), shape, plates: vec![plate], key, has_damage: false }
    }

    const SMALL: Shape = Shape { rows: 2, columns: 3 };
    const LARGE: Shape = Shape { rows: 16, columns: 24 };

    #[test]
    fn wells_have_the_marks_of_their_categories() {
        let category = |name: &str, mark: &str| Category { name: name.into(), colour: [0; 3], mark: mark.into() };
        let key = Key::Categories(vec![category("negative control", "n"), category("treatment", "")]);
        let cells = [("A01", Cell::Category(0)), ("B03", Cell::Category(1))];
        let text = maps_text(&maps(SMALL, &cells, key), 80, false);
        let expected = "title\n\nA-1/1\n     1  2  3\n  A  n\n  B        ·\n\nn negative control  · treatment\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn values_are_shades_and_classes_are_numbers() {
        let cells = [("A01", Cell::Value(0.0)), ("A02", Cell::Value(10.0)), ("B03", Cell::Value(f64::NAN))];
        let values = Key::Values { low: 0.0, high: 10.0, are_classes: false };
        let text = maps_text(&maps(SMALL, &cells, values), 80, false);
        assert!(text.contains("\n    1   3\n  A··██\n  B    ?\n"), "{text}");
        assert!(text.contains("·· from 0  ░░ from 2.00") && text.ends_with("++ above 10.00  -- below 0\n"), "{text}");
        let classes = Key::Values { low: 0.0, high: 1138.0, are_classes: true };
        let cells = [("A01", Cell::Value(7.0)), ("P24", Cell::Value(1138.0)), ("B01", Cell::Value(f64::NAN))];
        let text = maps_text(&maps(LARGE, &cells, classes), 80, false);
        let narrow: Vec<&str> = text.lines().collect();
        assert!(narrow.iter().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(narrow.iter().filter(|line| line.trim_start().starts_with('P')).count(), 2, "two blocks: {text}");
        assert!(text.contains("  P") && text.contains("1138") && text.contains('·'));
    }

    #[test]
    fn every_usual_plate_fits_eighty_columns_in_blocks_of_equal_width() {
        for (rows, columns) in [(8, 12), (16, 24), (32, 48)] {
            let key = Key::Values { low: 0.0, high: 1.0, are_classes: false };
            let cells = [("A01", Cell::Value(0.5)), ("B02", Cell::Value(1.0))];
            for width in [40, 80, 200] {
                let text = maps_text(&maps(Shape { rows, columns }, &cells, key.clone()), width, true);
                let widest = text.lines().map(shown_width).max();
                assert!(widest <= Some(width), "{width}: {text}");
            }
        }
    }
}
