//! A store's tables and sites.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use cellshard::classes::population_field;
use cellshard::feed::{Io, Reader, Verify};
use cellshard::plate_statistics::summarise_store;
use cellshard::site::{PlateId, SiteId};
use cellshard::stats::Grouping;
use cellshard::store::format::rows::SiteRow;
use cellshard::store::{self, shard_path};
use cellshard::training::data::{ClassMap, PlateTable, Split, groups, trained};
use cellshard::training::recipe::{BatchBy, Normalize, Recipe};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::errors::{OrRaise, RefusedError};
use crate::memory::Memory;

/// A finished store.
#[pyclass(frozen, module = "cellshard._cellshard")]
pub(crate) struct Store {
    pub(crate) reader: Reader,
}

/// Sites that are trained on and that validate, the class of each output, how many outputs are treatments, and warnings.
type Divided = (Vec<usize>, Vec<usize>, Vec<u32>, usize, Vec<String>);

/// `[plate][channel]`.
type Figures = Vec<Vec<f32>>;

#[pymethods]
impl Store {
    #[new]
    fn new(py: Python<'_>, path: PathBuf, proven: bool) -> PyResult<Self> {
        let open = if proven { store::Store::open_proven } else { store::Store::open };
        let store = py.detach(|| open(&path)).or_raise()?;
        Ok(Self { reader: Reader::new(store, Io::Mmap, Verify::First) })
    }

    #[getter]
    fn path(&self) -> PathBuf {
        self.store().root().to_owned()
    }

    /// Channels, height, width.
    #[getter]
    fn shape(&self) -> (usize, u32, u32) {
        let spec = self.store().spec();
        (spec.channels.len(), spec.size.height, spec.size.width)
    }

    #[getter]
    fn dtype(&self) -> String {
        self.store().spec().dtype.to_string()
    }

    #[getter]
    fn codec(&self) -> String {
        self.store().spec().codec.to_string()
    }

    /// Name and colour of each channel.
    #[getter]
    fn channels(&self) -> Vec<(String, String)> {
        let channels = &self.store().spec().channels;
        channels.iter().map(|channel| (channel.name.clone(), channel.colour.clone().unwrap_or_default())).collect()
    }

    fn __len__(&self) -> usize {
        self.store().sites().len()
    }

    /// The columns of the table of sites.
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let sites = self.store().sites();
        let columns = PyDict::new(py);
        // Texts that come again and again are one object each.
        let text = |of: fn(&SiteRow) -> String| -> PyResult<Bound<'py, PyList>> {
            let mut known: BTreeMap<String, Bound<'py, PyString>> = BTreeMap::new();
            let list = PyList::empty(py);
            for site in sites {
                let value = of(site);
                let object = match known.get(&value) {
                    Some(object) => object.clone(),
                    None => {
                        let object = PyString::new(py, &value);
                        known.insert(value, object.clone());
                        object
                    }
                };
                list.append(object)?;
            }
            Ok(list)
        };
        columns.set_item("site_id", sites.iter().map(|site| site.id.to_string()).collect::<Vec<_>>())?;
        columns.set_item("well_id", text(|site| site.id.well.to_string())?)?;
        columns.set_item("cell_type", text(|site| site.id.well.plate.experiment.cell_type().to_owned())?)?;
        columns.set_item("dataset", text(|site| site.label.dataset.to_string())?)?;
        columns.set_item("experiment", text(|site| site.id.well.plate.experiment.to_string())?)?;
        columns.set_item("plate", text(|site| site.id.well.plate.plate.to_string())?)?;
        columns.set_item("well", text(|site| site.id.well.well.to_string())?)?;
        columns.set_item("well_row", sites.iter().map(|site| site.id.well.well.row() + 1).collect::<Vec<_>>())?;
        columns.set_item("well_column", sites.iter().map(|site| site.id.well.well.column()).collect::<Vec<_>>())?;
        columns.set_item("site", sites.iter().map(|site| site.id.site).collect::<Vec<_>>())?;
        columns.set_item("well_type", text(|site| population_field(site.label.population).to_owned())?)?;
        columns.set_item("sirna", text(|site| site.label.sirna.to_string())?)?;
        let class = |site: &SiteRow| site.label.class.map_or(-1, i64::from);
        columns.set_item("sirna_id", sites.iter().map(class).collect::<Vec<_>>())?;
        columns.set_item("crc32c", sites.iter().map(|site| site.crc32c).collect::<Vec<_>>())?;
        Ok(columns)
    }

    /// Experiment and name of each plate.
    fn plates(&self) -> Vec<(String, String)> {
        self.store().plates().keys().map(|id| (id.experiment.to_string(), id.plate.to_string())).collect()
    }

    /// What the folder of each plate is called in the store.
    fn folders(&self) -> Vec<String> {
        self.store().plates().keys().map(|id| id.plate.folder()).collect()
    }

    /// Of each site the position of its plate.
    fn plate_of_sites(&self) -> Vec<usize> {
        let plates: BTreeMap<&PlateId, usize> = self.store().plates().keys().zip(0..).collect();
        self.store().sites().iter().map(|site| plates[&site.id.well.plate]).collect()
    }

    /// Number, siRNA and well type of each class.
    fn classes(&self) -> Vec<(u32, String, &'static str)> {
        let rows = self.store().classes().rows().iter();
        rows.map(|row| (row.class, row.sirna.clone(), population_field(row.population))).collect()
    }

    /// Where a site is that is named as in `HEPG2-08/1/B02/1` or `HEPG2-08_1_B02_1`.
    fn index_of(&self, name: &str) -> Option<usize> {
        self.store().index_of(&SiteId::as_written(name).ok()?)
    }

    /// A site's name, and the path of its shard in the store.
    fn place_of(&self, index: usize) -> PyResult<(String, String)> {
        self.check(&[index])?;
        let (site, spec) = (&self.store().sites()[index], self.store().spec());
        let shard = shard_path(&site.id.well.plate, (site.row / spec.sites_per_shard) as usize);
        Ok((site.id.shown(), shard))
    }

    /// Reads a site into memory of its size.
    fn read(&self, py: Python<'_>, index: usize, memory: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut memory = Memory::of(memory)?;
        let (n, found) = (self.reader.site_bytes(), memory.place().1);
        if found != n || index >= self.store().sites().len() {
            return Err(RefusedError::new_err(format!("site {index}: expected one of the store and {n} bytes")));
        }
        py.detach(|| self.reader.read(index, memory.as_mut())).or_raise()
    }

    /// Statistics by `plate`, `experiment`, `cell-type` or `store`, as JSON.
    fn statistics(&self, py: Python<'_>, by: &str) -> PyResult<String> {
        let grouping = match by {
            "plate" => Grouping::Plate,
            "experiment" => Grouping::Experiment,
            "cell-type" => Grouping::CellType,
            "store" => Grouping::Store,
            _ => {
                let message = format!("by: expected plate, experiment, cell-type or store, found {by:?}");
                return Err(RefusedError::new_err(message));
            }
        };
        let summaries = py.detach(|| summarise_store(self.store(), grouping)).or_raise()?;
        Ok(serde_json::to_string(&summaries).unwrap_or_default())
    }

    /// Centre and spread, each `[plate][channel]`, by keys of a recipe; `sites` are what is trained on, by which `global`
    /// goes, and whose plates are looked at.
    fn normalization(&self, py: Python<'_>, by: &str, robust: bool, sites: Vec<usize>) -> PyResult<(Figures, Figures)> {
        let recipe = recipe(&[("normalize".to_owned(), by.to_owned())])?;
        self.check(&sites)?;
        let table = py.detach(|| {
            let plates: BTreeSet<&PlateId> = match recipe.normalize {
                Normalize::Global | Normalize::Site | Normalize::None => self.store().plates().keys().collect(),
                _ => sites.iter().map(|&site| &self.store().sites()[site].id.well.plate).collect(),
            };
            // As a run keeps them: in float32.
            let mut of_all = trained(self.store(), &sites, robust)?;
            for figure in &mut of_all {
                (figure.centre, figure.spread) = (f64::from(figure.centre as f32), f64::from(figure.spread as f32));
            }
            PlateTable::read(self.store(), &plates, recipe.normalize, robust, &of_all)
        });
        let figures = table.or_raise()?.figures;
        let centres = figures.iter().map(|plate| plate.iter().map(|figure| figure.centre as f32).collect()).collect();
        let spreads = figures.iter().map(|plate| plate.iter().map(|figure| figure.spread as f32).collect()).collect();
        Ok((centres, spreads))
    }

    /// The split that `train` draws by these keys of a recipe.
    fn split(&self, py: Python<'_>, changes: Vec<(String, String)>) -> PyResult<Divided> {
        let recipe = recipe(&changes)?;
        py.detach(|| {
            let split = Split::new(self.store(), &recipe)?;
            let classes = ClassMap::new(self.store(), &recipe)?;
            classes.check(self.store(), &split)?;
            let n_treatments = classes.n_treatments();
            Ok((split.train, split.validation, classes.classes().to_vec(), n_treatments, split.warnings))
        })
        .or_raise()
    }

    /// Of each of some sites the number of its plate or experiment.
    fn groups(&self, sites: Vec<usize>, by: &str) -> PyResult<Option<Vec<usize>>> {
        self.check(&sites)?;
        let by: BatchBy = recipe(&[("batch-by".to_owned(), by.to_owned())])?.batch_by;
        Ok(groups(self.store(), &sites, by))
    }
}

impl Store {
    fn store(&self) -> &store::Store {
        self.reader.store()
    }

    fn check(&self, sites: &[usize]) -> PyResult<()> {
        let n = self.store().sites().len();
        match sites.iter().find(|&&site| site >= n) {
            Some(site) => Err(RefusedError::new_err(format!("sites: expected 0 to {}, found {site}", n - 1))),
            None => Ok(()),
        }
    }
}

/// The recipe of nothing but some keys.
fn recipe(changes: &[(String, String)]) -> PyResult<Recipe> {
    Recipe::default().with(changes).or_raise()
}
