//! The CSV files of the store, row by row: sites, pixel statistics, histograms, co-moments, rejections. Pure. What is
//! derived in a row (ids, cell type, array) must agree with the rest.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};

use crate::classes::well_type;
use crate::csv_table::Figure;
use crate::site::{Experiment, Label, Names, Plate, PlateId, Population, SiteId, Well, WellId};

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
    /// The crc32c of its raw pixels in C order, `[C, H, W]`; those of 16 bits with the lower byte first.
    pub crc32c: u32,
}

impl SiteRow {
    /// Shares its names with those of other rows.
    pub fn share(&mut self, names: &mut Names) {
        self.id.well.plate.share(names);
        self.label.share(names);
    }
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
    plate: Cow<'a, Plate>,
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
            plate: Cow::Borrowed(&plate.plate),
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
        let experiment = experiment.into_owned().of_cell_type(cell_type).map_err(|e| e.expected)?;
        let well = WellId { plate: PlateId { experiment, plate: plate.into_owned() }, well };
        let id = SiteId { well, site };
        let plate = &id.well.plate;
        if *site_id != id.to_string() || *well_id != id.well.to_string() || record.array != plate.to_string() {
            return Err("site_id, well_id and array that agree with experiment, plate, well and site");
        }
        let label = Label {
            dataset: dataset.into(),
            population: record.well_type,
            sirna: record.sirna.into(),
            class: record.sirna_id,
        };
        Ok(Self { id, label, row: record.row, crc32c: record.crc32c })
    }
}

/// The statistics of one channel of one site: a row of `pixel_stats.csv`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "PixelStatsRecord<'_>")]
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
    pub min: u16,
    /// Largest level.
    pub max: u16,
    /// Sum of levels.
    pub sum: u64,
    /// Sum of squared levels.
    pub sum_of_squares: u64,
}

/// The columns of [`PixelStats`].
#[derive(Serialize, Deserialize)]
struct PixelStatsRecord<'a> {
    experiment: Cow<'a, Experiment>,
    plate: Cow<'a, Plate>,
    well: Well,
    site: u16,
    channel: usize,
    mean: Figure,
    std: Figure,
    median: Figure,
    min: u16,
    max: u16,
    sum: u64,
    sum_of_squares: u64,
}

impl Serialize for PixelStats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { id, channel, mean, std, median, min, max, sum, sum_of_squares } = self;
        let WellId { plate, well } = &id.well;
        let record = PixelStatsRecord {
            experiment: Cow::Borrowed(&plate.experiment),
            plate: Cow::Borrowed(&plate.plate),
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

impl TryFrom<PixelStatsRecord<'_>> for PixelStats {
    type Error = &'static str;

    fn try_from(record: PixelStatsRecord<'_>) -> Result<Self, Self::Error> {
        let PixelStatsRecord { experiment, plate, well, site, channel, .. } = record;
        let well = WellId { plate: PlateId { experiment: experiment.into_owned(), plate: plate.into_owned() }, well };
        let PixelStatsRecord { mean, std, median, min, max, sum, sum_of_squares, .. } = record;
        let [mean, std, median] = [mean, std, median].map(|figure| figure.0);
        let levels = f64::from(min)..=f64::from(max);
        // No spread is larger than half of the way between the ends.
        let widest = (f64::from(max) - f64::from(min)) / 2.0;
        if !levels.contains(&mean) || !levels.contains(&median) || !(0.0..=widest + 1e-9).contains(&std) {
            return Err("mean and median from min to max, and std of at most half of what lies between");
        }
        Ok(Self { id: SiteId { well, site }, channel, mean, std, median, min, max, sum, sum_of_squares })
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
    pub level: u16,
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
    plate: Cow<'a, Plate>,
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
        RejectedRecord {
            experiment,
            plate: Cow::Borrowed(&plate.plate),
            well: *well,
            site: *site,
            reason,
            file,
            detail,
        }
        .serialize(serializer)
    }
}

impl From<RejectedRecord<'_>> for Rejected {
    fn from(record: RejectedRecord<'_>) -> Self {
        let RejectedRecord { experiment, plate, well, site, .. } = record;
        let plate = PlateId { experiment: experiment.into_owned(), plate: plate.into_owned() };
        let [reason, file, detail] = [record.reason, record.file, record.detail].map(str::to_owned);
        Self { plate, well, site, reason, file, detail }
    }
}

#[cfg(test)]
mod tests;
