//! How large a plate is.

use crate::error::Result;
use crate::site::Well;
use crate::store::Store;
use crate::store::read::listing::rejected;

/// Rows and columns of a plate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// Rows, from A.
    pub rows: u16,
    /// Columns, from 1.
    pub columns: u16,
}

impl Shape {
    /// The usual plates (of ANSI SLAS 4), from 6 wells to 1536.
    const USUAL: [Self; 7] = [
        Self { rows: 2, columns: 3 },
        Self { rows: 3, columns: 4 },
        Self { rows: 4, columns: 6 },
        Self { rows: 6, columns: 8 },
        Self { rows: 8, columns: 12 },
        Self { rows: 16, columns: 24 },
        Self { rows: 32, columns: 48 },
    ];

    /// The least usual plate that has all of these wells, or as many rows and columns as they need.
    #[must_use]
    pub fn of<'a>(wells: impl IntoIterator<Item = &'a Well>) -> Self {
        let needed = wells.into_iter().fold(Self { rows: 1, columns: 1 }, |shape, well| Self {
            rows: shape.rows.max(well.row() + 1),
            columns: shape.columns.max(well.column()),
        });
        let fits = |usual: &&Self| usual.rows >= needed.rows && usual.columns >= needed.columns;
        Self::USUAL.iter().find(fits).copied().unwrap_or(needed)
    }

    /// That of all plates of a store: of their wells, those that were left out when they were packed among them.
    ///
    /// # Errors
    /// If the list of what was left out cannot be read.
    pub fn of_store(store: &Store) -> Result<Self> {
        let left_out = rejected(store.root())?;
        let wells = store.sites().iter().map(|site| &site.id.well.well);
        Ok(Self::of(wells.chain(left_out.iter().map(|row| &row.well))))
    }
}

#[cfg(test)]
mod tests {
    use super::Shape;
    use crate::site::Well;

    #[test]
    fn a_plate_is_as_large_as_its_wells_need() {
        let shape = |wells: &[&str]| {
            let wells: Vec<Well> = wells.iter().map(|well| well.parse().unwrap()).collect();
            let Shape { rows, columns } = Shape::of(&wells);
            (rows, columns)
        };
        assert_eq!(shape(&["B02", "O23"]), (16, 24));
        assert_eq!(shape(&["A01"]), (2, 3));
        assert_eq!(shape(&["H12"]), (8, 12));
        assert_eq!(shape(&["AF48"]), (32, 48));
        assert_eq!(shape(&["AG01", "A60"]), (33, 60));
    }
}
