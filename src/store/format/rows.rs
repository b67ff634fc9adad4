//! The CSV files of the store, row by row: sites, pixel statistics, histograms, co-moments, rejections. Pure: text in,
//! rows out, and back. Parsing is strict; what is derived in a row (ids, cell type, array) must agree with the rest.

use std::fmt::Write as _;

use crate::classes::{csv_field, population_field};
use crate::error::{Error, Result};
use crate::site::{Label, PlateId, Population, SiteId, Well, WellId, parse_number};

use super::checksum::parse_crc32c;

/// A kind of row: its header, how it is written, how it is parsed.
pub trait Row: Sized {
    /// The columns.
    const HEADER: &'static str;
    /// Appends the row as a line of CSV.
    fn write(&self, out: &mut String);
    /// Parses the cells, of which there are as many as columns; an error says what was expected.
    ///
    /// # Errors
    /// A phrase that names the cell that is not well formed.
    fn parse(cells: &csv::StringRecord) -> Result<Self, &'static str>;
}

/// Writes a file of rows, header first.
#[must_use]
pub fn to_csv<R: Row>(rows: &[R]) -> String {
    let mut out = format!("{}\n", R::HEADER);
    for row in rows {
        row.write(&mut out);
    }
    out
}

/// Parses a file of rows; `place` names it in errors.
///
/// # Errors
/// If the header or any row is not what [`to_csv`] would write.
pub fn from_csv<R: Row>(text: &str, place: &str) -> Result<Vec<R>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let mut rows = Vec::new();
    let mut has_header = false;
    for record in reader.records() {
        let record = record.map_err(|e| Error::malformed(place, "CSV", e))?;
        let found = || record.iter().collect::<Vec<_>>().join(",").chars().take(160).collect::<String>();
        if has_header {
            let line = record.position().map_or(0, csv::Position::line);
            let row = R::parse(&record);
            rows.push(row.map_err(|expected| Error::malformed(format!("{place}:{line}"), expected, found()))?);
        } else if found() == R::HEADER.chars().take(160).collect::<String>() {
            has_header = true;
        } else {
            return Err(Error::malformed(format!("{place}:1"), R::HEADER, found()));
        }
    }
    if !has_header {
        return Err(Error::malformed(place, R::HEADER, "an empty file"));
    }
    Ok(rows)
}

fn cell<T: std::str::FromStr>(cells: &csv::StringRecord, i: usize, expected: &'static str) -> Result<T, &'static str> {
    cells[i].parse().map_err(|_| expected)
}

fn number<T: std::str::FromStr>(
    cells: &csv::StringRecord,
    i: usize,
    expected: &'static str,
) -> Result<T, &'static str> {
    parse_number(&cells[i]).filter(|_| !cells[i].is_empty()).ok_or(expected)
}

fn plate_of(cells: &csv::StringRecord, experiment: usize) -> Result<PlateId, &'static str> {
    Ok(PlateId {
        experiment: cell(cells, experiment, "an experiment")?,
        plate: number(cells, experiment + 1, "a plate number")?,
    })
}

/// One site of the store: a row of `metadata.csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRow {
    /// The site.
    pub id: SiteId,
    /// What is known of it.
    pub label: Label,
    /// Its row in the plate's array.
    pub row: u32,
    /// The crc32c of its raw pixels in C order, `[C, H, W] u8`.
    pub crc32c: u32,
}

impl Row for SiteRow {
    const HEADER: &'static str =
        "site_id,well_id,cell_type,dataset,experiment,plate,well,site,well_type,sirna,sirna_id,array,row,crc32c";

    fn write(&self, out: &mut String) {
        let Self { id, label, row, crc32c } = self;
        let WellId { plate, well } = &id.well;
        let _ = writeln!(
            out,
            "{id},{},{},{},{},{},{well},{},{},{},{},{plate},{row},{crc32c:08x}",
            id.well,
            plate.experiment.cell_type(),
            csv_field(&label.dataset),
            plate.experiment,
            plate.plate,
            id.site,
            population_field(label.population),
            csv_field(&label.sirna),
            label.class.map(|class| class.to_string()).unwrap_or_default(),
        );
    }

    fn parse(cells: &csv::StringRecord) -> Result<Self, &'static str> {
        let well = WellId { plate: plate_of(cells, 4)?, well: cell(cells, 6, "a well")? };
        let id = SiteId { well, site: number(cells, 7, "a site number")? };
        let derived = [id.to_string(), id.well.to_string(), id.well.plate.experiment.cell_type().to_owned()];
        if !cells.iter().zip(&derived).all(|(a, b)| a == b) || cells[11] != id.well.plate.to_string() {
            return Err("site_id, well_id, cell_type and array that agree with experiment, plate, well and site");
        }
        let class = match &cells[10] {
            "" => None,
            _ => Some(number(cells, 10, "a sirna_id")?),
        };
        let population = cell(cells, 8, "a well_type")?;
        let label = Label { dataset: cells[3].to_owned(), population, sirna: cells[9].to_owned(), class };
        let crc32c = parse_crc32c(&cells[13]).ok_or("a crc32c of 8 hex digits")?;
        Ok(Self { id, label, row: number(cells, 12, "a row number")?, crc32c })
    }
}

/// The statistics of one channel of one site: a row of `pixel_stats.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelStats {
    /// The site.
    pub id: SiteId,
    /// The channel, from 1.
    pub channel: usize,
    /// Mean, in grey levels.
    pub mean: f64,
    /// Standard deviation (ddof 0), in grey levels.
    pub std: f64,
    /// Median, in grey levels.
    pub median: f64,
    /// Smallest level.
    pub min: u8,
    /// Largest level.
    pub max: u8,
    /// Sum of levels.
    pub sum: u64,
    /// Sum of squared levels.
    pub sum_of_squares: u64,
}

impl Row for PixelStats {
    const HEADER: &'static str = "experiment,plate,well,site,channel,mean,std,median,min,max,sum,sum_of_squares";

    fn write(&self, out: &mut String) {
        let Self { id, channel, mean, std, median, min, max, sum, sum_of_squares } = self;
        let WellId { plate, well } = &id.well;
        let _ = writeln!(
            out,
            "{},{},{well},{},{channel},{mean},{std},{median},{min},{max},{sum},{sum_of_squares}",
            plate.experiment, plate.plate, id.site,
        );
    }

    fn parse(cells: &csv::StringRecord) -> Result<Self, &'static str> {
        let well = WellId { plate: plate_of(cells, 0)?, well: cell(cells, 2, "a well")? };
        Ok(Self {
            id: SiteId { well, site: number(cells, 3, "a site number")? },
            channel: number(cells, 4, "a channel")?,
            mean: cell(cells, 5, "a mean")?,
            std: cell(cells, 6, "a standard deviation")?,
            median: cell(cells, 7, "a median")?,
            min: number(cells, 8, "a smallest level")?,
            max: number(cells, 9, "a largest level")?,
            sum: number(cells, 10, "a sum")?,
            sum_of_squares: number(cells, 11, "a sum of squares")?,
        })
    }
}

/// A row of `histogram.csv`: levels that no pixel has are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistogramRow {
    /// The population.
    pub population: Population,
    /// The channel, from 1.
    pub channel: usize,
    /// The grey level.
    pub level: u8,
    /// Pixels of this level.
    pub count: u64,
}

impl Row for HistogramRow {
    const HEADER: &'static str = "population,channel,level,count";

    fn write(&self, out: &mut String) {
        let Self { population, channel, level, count } = self;
        let _ = writeln!(out, "{population},{channel},{level},{count}");
    }

    fn parse(cells: &csv::StringRecord) -> Result<Self, &'static str> {
        Ok(Self {
            population: population(cells)?,
            channel: number(cells, 1, "a channel")?,
            level: number(cells, 2, "a grey level")?,
            count: number(cells, 3, "a count")?,
        })
    }
}

/// A row of `comoments.csv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComomentRow {
    /// The population.
    pub population: Population,
    /// The first channel, from 1.
    pub channel_a: usize,
    /// The second channel, not below the first.
    pub channel_b: usize,
    /// Sum over pixels of the product of both channels' levels.
    pub sum_of_products: u64,
}

impl Row for ComomentRow {
    const HEADER: &'static str = "population,channel_a,channel_b,sum_of_products";

    fn write(&self, out: &mut String) {
        let Self { population, channel_a, channel_b, sum_of_products } = self;
        let _ = writeln!(out, "{population},{channel_a},{channel_b},{sum_of_products}");
    }

    fn parse(cells: &csv::StringRecord) -> Result<Self, &'static str> {
        Ok(Self {
            population: population(cells)?,
            channel_a: number(cells, 1, "a channel")?,
            channel_b: number(cells, 2, "a channel")?,
            sum_of_products: number(cells, 3, "a sum of products")?,
        })
    }
}

fn population(cells: &csv::StringRecord) -> Result<Population, &'static str> {
    let found = Population::ALL.into_iter().find(|p| p.name() == &cells[0]);
    found.ok_or("a population")
}

/// Something that was left out: a row of `rejected.csv`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rejected {
    /// The plate.
    pub plate: PlateId,
    /// The well.
    pub well: Well,
    /// The site; `None` where it is the whole well.
    pub site: Option<u16>,
    /// The kind of fault, as in [`crate::fault::FaultKind::name`].
    pub reason: String,
    /// The file, relative to the source's root; empty where it is not a single one.
    pub file: String,
    /// Expected and found.
    pub detail: String,
}

impl Row for Rejected {
    const HEADER: &'static str = "experiment,plate,well,site,reason,file,detail";

    fn write(&self, out: &mut String) {
        let Self { plate, well, site, reason, file, detail } = self;
        let site = site.map(|site| site.to_string()).unwrap_or_default();
        let (experiment, plate) = (&plate.experiment, plate.plate);
        let (reason, file, detail) = (csv_field(reason), csv_field(file), csv_field(detail));
        let _ = writeln!(out, "{experiment},{plate},{well},{site},{reason},{file},{detail}");
    }

    fn parse(cells: &csv::StringRecord) -> Result<Self, &'static str> {
        let site = match &cells[3] {
            "" => None,
            _ => Some(number(cells, 3, "a site number")?),
        };
        let [reason, file, detail] = [4, 5, 6].map(|i| cells[i].to_owned());
        Ok(Self { plate: plate_of(cells, 0)?, well: cell(cells, 2, "a well")?, site, reason, file, detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn site_row(label: Label, row: u32, crc32c: u32) -> SiteRow {
        SiteRow { id: SiteId::new("HEPG2-08", 1, "B02", 1).unwrap(), label, row, crc32c }
    }

    #[test]
    fn a_site_is_written_in_the_columns_of_the_format() {
        let label = Label {
            dataset: "test".into(),
            population: Population::NegativeControl,
            sirna: "1138".into(),
            class: Some(1138),
        };
        let csv = to_csv(&[site_row(label, 0, 0xab)]);
        let line = "HEPG2-08_1_B02_1,HEPG2-08_1_B02,HEPG2,test,HEPG2-08,1,B02,1,negative_control,1138,1138,\
                    HEPG2-08/Plate1,0,000000ab";
        assert_eq!(csv.lines().nth(1), Some(line));
    }

    #[test]
    fn each_lie_in_a_site_is_refused() {
        let good = to_csv(&[site_row(Label::unknown(), 3, 1)]);
        assert_eq!(from_csv::<SiteRow>(&good, "x").unwrap()[0].row, 3);
        for (from, to) in [
            ("HEPG2-08_1_B02_1,", "HEPG2-08_1_B02_2,"),
            (",HEPG2,", ",HUVEC,"),
            (",B02,", ",B2,"),
            (",3,", ",-3,"),
            (",3,", ",,"),
            (",3,", ",99999999999,"),
            ("00000001", "1"),
            ("/Plate1", "/Plate2"),
            ("site_id,", "id,"),
            (",3,00000001\n", "\n"),
        ] {
            assert!(good.contains(from), "{from}");
            assert!(from_csv::<SiteRow>(&good.replacen(from, to, 1), "x").is_err(), "{from} -> {to}");
        }
        assert!(from_csv::<SiteRow>("", "x").is_err());
    }

    proptest! {
        #[test]
        fn any_text_in_a_row_survives(sirna in "[ -~\n]{0,12}", detail in "\\PC{0,12}", crc: u32) {
            let label = Label { sirna, class: Some(crc), ..Label::unknown() };
            let row = site_row(label, 0, crc);
            prop_assert_eq!(&from_csv::<SiteRow>(&to_csv(std::slice::from_ref(&row)), "x").unwrap()[0], &row);
            let WellId { plate, well } = row.id.well;
            let rejected = Rejected { plate, well, site: None, reason: "x".into(), file: String::new(), detail };
            prop_assert_eq!(from_csv::<Rejected>(&to_csv(std::slice::from_ref(&rejected)), "x").unwrap(), [rejected]);
        }
    }
}
