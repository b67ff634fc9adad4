//! Where a site is: experiment, plate, well, site, each parsed once at the edge.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::plate::Plate;
use super::text::{Name, Names, ParseError, is_folder_name, natural_cmp};

/// An experiment: one batch of one cell type, such as `HEPG2-08`. It becomes a folder name, so it is limited to
/// letters, digits, `-`, `_` and `.` (not first), at most 64 bytes.
/// Two with the same name are the same experiment.
#[derive(Debug, Clone)]
pub struct Experiment {
    name: Name,
    /// Where it is not the one that the name tells.
    cell_type: Option<Name>,
}

impl Experiment {
    /// The name as it is in paths.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Its cell type: as a table says, or what stands before the last `-` of the name (`HEPG2` of `HEPG2-08`, the whole
    /// name where there is none).
    #[must_use]
    pub fn cell_type(&self) -> &str {
        let of_name = || self.name.rsplit_once('-').map_or(&*self.name, |(cell_type, _)| cell_type);
        self.cell_type.as_deref().unwrap_or_else(of_name)
    }

    /// Whether a table says its cell type, and another one than its name tells.
    #[must_use]
    pub fn has_told_cell_type(&self) -> bool {
        self.cell_type.is_some()
    }

    /// The same experiment with the cell type that a table says it has.
    ///
    /// # Errors
    /// If it cannot be the name of a folder, which it becomes, too.
    pub fn of_cell_type(self, cell_type: &str) -> Result<Self, ParseError> {
        let expected = "a cell type (at most 64 bytes, no '/', no control character, not begun by '.')";
        let is_folder = !cell_type.is_empty() && cell_type.len() <= 64 && !cell_type.starts_with('.');
        if !is_folder || cell_type.trim() != cell_type || cell_type.contains(|c: char| c == '/' || c.is_control()) {
            return Err(ParseError::new(expected, cell_type));
        }
        let by_name = Self { cell_type: None, ..self };
        let cell_type = (by_name.cell_type() != cell_type).then(|| cell_type.into());
        Ok(Self { cell_type, ..by_name })
    }

    /// Shares the name with equal ones.
    pub fn share(&mut self, names: &mut Names) {
        names.share(&mut self.name);
        if let Some(cell_type) = &mut self.cell_type {
            names.share(cell_type);
        }
    }
}

impl FromStr for Experiment {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let expected = "an experiment's name (letters, digits, '-', '_', '.'; at most 64; not 'statistics')";
        if !is_folder_name(text) || matches!(text, "statistics" | "zarr.json") {
            return Err(ParseError::new(expected, text));
        }
        Ok(Self { name: text.into(), cell_type: None })
    }
}

impl PartialEq for Experiment {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Experiment {}

impl Hash for Experiment {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Ord for Experiment {
    fn cmp(&self, other: &Self) -> Ordering {
        natural_cmp(&self.name, &other.name)
    }
}

impl PartialOrd for Experiment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Experiment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

/// One plate of one experiment; displayed as its folder, `HEPG2-08/Plate1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlateId {
    /// The experiment.
    pub experiment: Experiment,
    /// The plate's name within the experiment.
    pub plate: Plate,
}

impl PlateId {
    /// Shares its names with equal ones.
    pub fn share(&mut self, names: &mut Names) {
        self.experiment.share(names);
        self.plate.share(names);
    }

    /// The plate as it is shown beside its wells, `HEPG2-08/1`.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}/{}", self.experiment, self.plate)
    }

    /// A site of it as it is shown to people, `HEPG2-08/1/B02/1`.
    pub fn site(&self, well: impl fmt::Display, site: impl fmt::Display) -> String {
        format!("{}/{}/{well}/{site}", self.experiment, self.plate)
    }
}

impl fmt::Display for PlateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.experiment, self.plate.folder()))
    }
}

impl FromStr for PlateId {
    type Err = ParseError;

    /// Parses `HEPG2-08/Plate1` and, as people type it, `HEPG2-08/1`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let expected = "a plate such as HEPG2-08/Plate1";
        let (experiment, plate) = text.split_once('/').ok_or_else(|| ParseError::new(expected, text))?;
        Ok(Self { experiment: experiment.parse()?, plate: plate.parse().map_err(|_| ParseError::new(expected, text))? })
    }
}

/// A well by row and column, such as `B02` or `AA02`. Ordered by row (Z before AA), then column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Well {
    row: u16,
    column: u16,
}

impl Well {
    /// The well at `row` (0 is A) and `column` (from 1).
    ///
    /// # Panics
    /// If the row is past `ZZ` or the column is not in 1..=99.
    #[must_use]
    pub fn new(row: u16, column: u16) -> Self {
        assert!(row < 26 * 27 && (1..=99).contains(&column), "a well within ZZ99");
        Self { row, column }
    }

    /// Row, 0 for A, 26 for AA.
    #[must_use]
    pub fn row(self) -> u16 {
        self.row
    }

    /// Column, from 1.
    #[must_use]
    pub fn column(self) -> u16 {
        self.column
    }
}

impl FromStr for Well {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fail = || ParseError::new("a well such as B02 or AA02", text);
        let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
        let digits = &text.as_bytes()[letters..];
        if !(1..=2).contains(&letters) || digits.len() != 2 || !digits.iter().all(u8::is_ascii_digit) {
            return Err(fail());
        }
        let column = u16::from(digits[0] - b'0') * 10 + u16::from(digits[1] - b'0');
        if column == 0 {
            return Err(fail());
        }
        let row = text.bytes().take(letters).fold(0, |row, b| row * 26 + u16::from(b - b'A') + 1) - 1;
        Ok(Self { row, column })
    }
}

impl fmt::Display for Well {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |i: u16| char::from(b'A' + i as u8);
        if self.row >= 26 {
            write!(f, "{}", letter(self.row / 26 - 1))?;
        }
        write!(f, "{}{:02}", letter(self.row % 26), self.column)
    }
}

/// One well of one plate; displayed as Kaggle's `id_code`, `HEPG2-08_1_B02`, where the plate has a number, else as
/// `Week4/Week4_27481/G10`, as names may have underscores.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WellId {
    /// The plate.
    pub plate: PlateId,
    /// The well on it.
    pub well: Well,
}

impl WellId {
    /// The well as it is shown to people, `HEPG2-08/1/B02`.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}/{}/{}", self.plate.experiment, self.plate.plate, self.well)
    }

    /// The well that people write as it is shown to them, or by its id: `HEPG2-08/1/B02`, `HEPG2-08_1_B02`.
    ///
    /// # Errors
    /// If it is no well.
    pub fn as_written(text: &str) -> Result<Self, ParseError> {
        let Some((plate, well)) = text.rsplit_once('/') else { return text.parse() };
        let id = plate.parse().ok().zip(well.parse().ok());
        let (plate, well) =
            id.ok_or_else(|| ParseError::new("a well such as HEPG2-08/1/B02 or HEPG2-08_1_B02", text))?;
        Ok(Self { plate, well })
    }
}

impl fmt::Display for WellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PlateId { experiment, plate } = &self.plate;
        let between = if plate.number().is_some() { '_' } else { '/' };
        write!(f, "{experiment}{between}{plate}{between}{}", self.well)
    }
}

impl FromStr for WellId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fail = || ParseError::new("a well's id such as HEPG2-08_1_B02 or Week4/Week4_27481/G10", text);
        let between = if text.contains('/') { '/' } else { '_' };
        let (rest, well) = text.rsplit_once(between).ok_or_else(fail)?;
        let (experiment, plate) = rest.rsplit_once(between).ok_or_else(fail)?;
        let plate: Plate = plate.parse().map_err(|_| fail())?;
        let id = Self { plate: PlateId { experiment: experiment.parse()?, plate }, well: well.parse()? };
        if id.to_string() == text { Ok(id) } else { Err(fail()) }
    }
}

/// One field of view of one well; displayed as rxrx.ai's `site_id`, `HEPG2-08_1_B02_1`, as its well is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId {
    /// The well.
    pub well: WellId,
    /// The site's number within the well, from 1.
    pub site: u16,
}

impl SiteId {
    /// The site of `experiment`, `plate`, `well` and `site`, each as tables write it.
    ///
    /// # Errors
    /// If the experiment, the plate or the well is not well formed.
    pub fn new(experiment: &str, plate: impl fmt::Display, well: &str, site: u16) -> Result<Self, ParseError> {
        let plate = PlateId { experiment: experiment.parse()?, plate: plate.to_string().parse()? };
        let well = WellId { plate, well: well.parse()? };
        Ok(Self { well, site })
    }

    /// The site as it is shown to people, `HEPG2-08/1/B02/1`.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}/{}", self.well.shown(), self.site)
    }

    /// The site that people write as it is shown to them, or by its id: `HEPG2-08/1/B02/1`, `HEPG2-08_1_B02_1`.
    ///
    /// # Errors
    /// If it is no site.
    pub fn as_written(text: &str) -> Result<Self, ParseError> {
        let (well, site) = text.rsplit_once(['/', '_']).unwrap_or((text, ""));
        let id = WellId::as_written(well).ok().zip(super::text::parse_number(site).filter(|site| *site > 0));
        let (well, site) =
            id.ok_or_else(|| ParseError::new("a site such as HEPG2-08/1/B02/1 or HEPG2-08_1_B02_1", text))?;
        Ok(Self { well, site })
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.well, self.site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wells_are_ordered_by_row_then_column_and_z_comes_before_aa() {
        let well = |text: &str| text.parse::<Well>().unwrap();
        assert!(well("B23") < well("C02"));
        assert!(well("B02") < well("B03"));
        assert!(well("Z01") < well("AA01"));
        assert_eq!(well("AA02").row(), 26);
    }

    #[test]
    fn refuses_wells_that_are_not_written_as_rxrx1_writes_them() {
        for text in ["", "B", "02", "B2", "b02", "B002", "B00", "AAA01", "B0x", "B02 ", "É02"] {
            assert!(text.parse::<Well>().is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_experiments_that_would_leave_their_folder() {
        for text in ["", ".", "..", "a/b", "a\\b", "a b", "statistics", "zarr.json", "é"] {
            assert!(text.parse::<Experiment>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_site_is_shown_in_one_spelling() {
        let id = SiteId::as_written("HEPG2-08/Plate1/B02/2").unwrap();
        assert_eq!((id.shown(), id.to_string()), ("HEPG2-08/1/B02/2".to_owned(), "HEPG2-08_1_B02_2".to_owned()));
        assert_eq!(id.well.plate.site("B02", 2), id.shown());
        for text in ["", "HEPG2-08/1/B02", "HEPG2-08/1/B02/0", "HEPG2-08/1/B02/x", "HEPG2-08 1 B02 1", "B02_1"] {
            assert!(SiteId::as_written(text).is_err(), "{text}");
        }
    }

    #[test]
    fn natural_order_counts_numbers() {
        let mut names = ["sirna_10", "sirna_9", "UNTREATED", "sirna_009", "sirna_1"];
        names.sort_by(|a, b| natural_cmp(a, b));
        assert_eq!(names, ["UNTREATED", "sirna_1", "sirna_009", "sirna_9", "sirna_10"]);
    }

    proptest! {
        #[test]
        fn any_site_survives_being_written_and_parsed(row in 0u16..26 * 27, column in 1u16..=99, plate in 0u16..=999) {
            let well = Well::new(row, column);
            prop_assert_eq!(well.to_string().parse::<Well>().unwrap(), well);
            let id = WellId { plate: PlateId { experiment: "HEPG2-08".parse().unwrap(), plate: plate.into() }, well };
            prop_assert_eq!(id.to_string().parse::<WellId>().unwrap(), id.clone());
            prop_assert_eq!(id.plate.to_string().parse::<PlateId>().unwrap(), id.plate);
        }

        #[test]
        fn a_site_is_read_as_it_is_shown_and_by_its_id(
            plate in "[1-9][0-9]{0,3}|[A-Z]{2}[0-9_]{1,5}", row in 0u16..26 * 27, column in 1u16..=99, site in 1u16..=99,
        ) {
            let id = SiteId::new("HEPG2-08", &plate, &Well::new(row, column).to_string(), site).unwrap();
            prop_assert_eq!(SiteId::as_written(&id.shown()).unwrap(), id.clone());
            prop_assert_eq!(SiteId::as_written(&id.to_string()).unwrap(), id.clone());
            prop_assert_eq!(WellId::as_written(&id.well.shown()).unwrap(), id.well.clone());
            prop_assert_eq!(WellId::as_written(&id.well.to_string()).unwrap(), id.well);
        }

        #[test]
        fn wells_of_plates_with_names_are_told_apart(
            a in ("[a-c_]{1,3}", "[a-c_1]{1,3}"), b in ("[a-c_]{1,3}", "[a-c_1]{1,3}"),
        ) {
            let id = |(experiment, plate): &(String, String)| {
                let plate = PlateId { experiment: experiment.parse().unwrap(), plate: plate.parse().unwrap() };
                WellId { plate, well: Well::new(0, 1) }
            };
            prop_assert_eq!(id(&a).to_string() == id(&b).to_string(), a == b);
            prop_assert_eq!(id(&a).to_string().parse::<WellId>().unwrap(), id(&a));
        }

        #[test]
        fn natural_order_is_total(a in "[a-b0-1]{0,6}", b in "[a-b0-1]{0,6}", c in "[a-b0-1]{0,6}") {
            prop_assert_eq!(natural_cmp(&a, &b), natural_cmp(&b, &a).reverse());
            prop_assert_eq!(natural_cmp(&a, &b) == Ordering::Equal, a == b);
            if natural_cmp(&a, &b).is_lt() && natural_cmp(&b, &c).is_lt() {
                prop_assert!(natural_cmp(&a, &c).is_lt());
            }
        }
    }
}
