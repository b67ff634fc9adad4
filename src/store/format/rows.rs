//! The CSV files of the store, row by row: sites, pixel statistics, histograms, co-moments, rejections. Pure. What is
//! derived in a row (ids, cell type, array) must agree with the rest.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};

use crate::classes::well_type;
use crate::csv_table::Figure;
use crate::site::{Experiment, Label, PlateId, Population, SiteId, Well, WellId};

use super::checksum::crc32c_hex;

/// One site of the store: a row of `metadata.csv`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SiteRecord<'_>")]
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

/// The columns of a [`SiteRow`].
#[derive(Serialize, Deserialize)]
struct SiteRecord<'a> {
    #[serde(borrow)]
    site_id: Cow<'a, str>,
    #[serde(borrow)]
    well_id: Cow<'a, str>,
    cell_type: &'a str,
    dataset: &'a str,
    experiment: Cow<'a, Experiment>,
    plate: u16,
    well: Well,
    site: u16,
    #[serde(with = "well_type")]
    well_type: Population,
    sirna: &'a str,
    sirna_id: Option<u32>,
    #[serde(borrow)]
    array: Cow<'a, str>,
    row: u32,
    #[serde(with = "crc32c_hex")]
    crc32c: u32,
}

impl Serialize for SiteRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { id, label, row, crc32c } = self;
        let WellId { plate, well } = &id.well;
        let record = SiteRecord {
            site_id: id.to_string().into(),
            well_id: id.well.to_string().into(),
            cell_type: plate.experiment.cell_type(),
            dataset: &label.dataset,
            experiment: Cow::Borrowed(&plate.experiment),
            plate: plate.plate,
            well: *well,
            site: id.site,
            well_type: label.population,
            sirna: &label.sirna,
            sirna_id: label.class,
            array: plate.to_string().into(),
            row: *row,
            crc32c: *crc32c,
        };
        record.serialize(serializer)
    }
}

impl TryFrom<SiteRecord<'_>> for SiteRow {
    type Error = &'static str;

    fn try_from(record: SiteRecord<'_>) -> Result<Self, Self::Error> {
        let SiteRecord { site_id, well_id, cell_type, dataset, experiment, plate, well, site, .. } = record;
        let well = WellId { plate: PlateId { experiment: experiment.into_owned(), plate }, well };
        let id = SiteId { well, site };
        let plate = &id.well.plate;
        if *site_id != id.to_string()
            || *well_id != id.well.to_string()
            || cell_type != plate.experiment.cell_type()
            || record.array != plate.to_string()
        {
            return Err("site_id, well_id, cell_type and array that agree with experiment, plate, well and site");
        }
        let label = Label {
            dataset: dataset.to_owned(),
            population: record.well_type,
            sirna: record.sirna.to_owned(),
            class: record.sirna_id,
        };
        Ok(Self { id, label, row: record.row, crc32c: record.crc32c })
    }
}

/// The statistics of one channel of one site: a row of `pixel_stats.csv`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "PixelStatsRecord<'_>")]
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

/// The columns of [`PixelStats`].
#[derive(Serialize, Deserialize)]
struct PixelStatsRecord<'a> {
    experiment: Cow<'a, Experiment>,
    plate: u16,
    well: Well,
    site: u16,
    channel: usize,
    mean: Figure,
    std: Figure,
    median: Figure,
    min: u8,
    max: u8,
    sum: u64,
    sum_of_squares: u64,
}

impl Serialize for PixelStats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { id, channel, mean, std, median, min, max, sum, sum_of_squares } = self;
        let WellId { plate, well } = &id.well;
        let record = PixelStatsRecord {
            experiment: Cow::Borrowed(&plate.experiment),
            plate: plate.plate,
            well: *well,
            site: id.site,
            channel: *channel,
            mean: Figure(*mean),
            std: Figure(*std),
            median: Figure(*median),
            min: *min,
            max: *max,
            sum: *sum,
            sum_of_squares: *sum_of_squares,
        };
        record.serialize(serializer)
    }
}

impl From<PixelStatsRecord<'_>> for PixelStats {
    fn from(record: PixelStatsRecord<'_>) -> Self {
        let PixelStatsRecord { experiment, plate, well, site, channel, .. } = record;
        let well = WellId { plate: PlateId { experiment: experiment.into_owned(), plate }, well };
        let PixelStatsRecord { mean, std, median, min, max, sum, sum_of_squares, .. } = record;
        let [mean, std, median] = [mean, std, median].map(|figure| figure.0);
        Self { id: SiteId { well, site }, channel, mean, std, median, min, max, sum, sum_of_squares }
    }
}

/// A row of `histogram.csv`: levels that no pixel has are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// A row of `comoments.csv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// Something that was left out: a row of `rejected.csv`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "RejectedRecord<'_>")]
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

/// The columns of [`Rejected`].
#[derive(Serialize, Deserialize)]
struct RejectedRecord<'a> {
    experiment: Cow<'a, Experiment>,
    plate: u16,
    well: Well,
    site: Option<u16>,
    reason: &'a str,
    file: &'a str,
    detail: &'a str,
}

impl Serialize for Rejected {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { plate, well, site, reason, file, detail } = self;
        let experiment = Cow::Borrowed(&plate.experiment);
        RejectedRecord { experiment, plate: plate.plate, well: *well, site: *site, reason, file, detail }
            .serialize(serializer)
    }
}

impl From<RejectedRecord<'_>> for Rejected {
    fn from(record: RejectedRecord<'_>) -> Self {
        let RejectedRecord { experiment, plate, well, site, .. } = record;
        let plate = PlateId { experiment: experiment.into_owned(), plate };
        let [reason, file, detail] = [record.reason, record.file, record.detail].map(str::to_owned);
        Self { plate, well, site, reason, file, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv_table::{from_csv, to_csv};
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
    fn the_other_rows_are_written_in_the_columns_of_the_format() {
        let SiteRow { id, .. } = site_row(Label::unknown(), 0, 0);
        let WellId { plate, well } = id.well.clone();
        let figures = |mean, std, median| PixelStats {
            id: id.clone(),
            channel: 6,
            mean,
            std,
            median,
            min: 0,
            max: 255,
            sum: u64::MAX,
            sum_of_squares: 7,
        };
        let text = "experiment,plate,well,site,channel,mean,std,median,min,max,sum,sum_of_squares\n\
                    HEPG2-08,1,B02,1,6,17,0.30000000000000004,0.5,0,255,18446744073709551615,7\n\
                    HEPG2-08,1,B02,1,6,0,0.0000001,-0,0,255,18446744073709551615,7\n";
        assert_eq!(to_csv(&[figures(17.0, 0.1 + 0.2, 0.5), figures(0.0, 1e-7, -0.0)]), text);
        let row = |site, reason: &str, file: &str, detail: &str| {
            let [reason, file, detail] = [reason, file, detail].map(str::to_owned);
            Rejected { plate: plate.clone(), well, site, reason, file, detail }
        };
        let text = "experiment,plate,well,site,reason,file,detail\n\
                    HEPG2-08,1,B02,,no-images,,\"expected an image, found \"\"none\"\"\"\n\
                    HEPG2-08,1,B02,2,empty-file,a b'c,\" \n\"\n";
        let rows = [
            row(None, "no-images", "", "expected an image, found \"none\""),
            row(Some(2), "empty-file", "a b'c", " \n"),
        ];
        assert_eq!(to_csv(&rows), text);
        let counted = HistogramRow { population: Population::Unknown, channel: 1, level: 255, count: 9 };
        assert_eq!(to_csv(&[counted]), "population,channel,level,count\nunknown,1,255,9\n");
        let comoment =
            ComomentRow { population: Population::Treatment, channel_a: 1, channel_b: 2, sum_of_products: 3 };
        assert_eq!(to_csv(&[comoment]), "population,channel_a,channel_b,sum_of_products\ntreatment,1,2,3\n");
        let unknown = to_csv(&[site_row(Label::unknown(), 1, u32::MAX)]);
        let line = "HEPG2-08_1_B02_1,HEPG2-08_1_B02,HEPG2,,HEPG2-08,1,B02,1,,,,HEPG2-08/Plate1,1,ffffffff";
        assert_eq!(unknown.lines().nth(1), Some(line));
        assert_eq!(to_csv::<Rejected>(&[]), text.lines().next().unwrap().to_owned() + "\n");
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
