//! From a raw tree to a plan: which sites there should be, what is known of each, and where its images lie. Knows
//! nothing of the store.

mod images;
pub mod labels;
pub mod png;
pub mod tree;
mod unfilter;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::classes::Classes;
use crate::error::{Error, Result, read_text};
use crate::site::{ImageSize, Label, PlateId, Well, WellId};

use crate::fault::{Fault, FaultKind};
pub use images::Image;
use labels::{Labels, WellLabel};
use tree::PlateFiles;

/// The ways in which RxRx data sets are laid out on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `{train,test}/EXPERIMENT/PlateN/WELL_sS_wC.png` and Kaggle's four CSVs.
    Kaggle,
    /// `images/EXPERIMENT/PlateN/WELL_sS_wC.png` and `metadata.csv`.
    RxrxAi,
    /// `EXPERIMENT/PlateN/WELL_sS_wC.png` anywhere, and no CSVs.
    Bare,
}

impl Layout {
    /// The name, as `--layout` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kaggle => "kaggle",
            Self::RxrxAi => "rxrx.ai",
            Self::Bare => "bare",
        }
    }

    /// Recognises the layout of the tree at `root`, whose CSVs lie in `metadata`.
    #[must_use]
    pub fn recognise(root: &Path, metadata: &Path) -> Self {
        if root.join("images").is_dir() && metadata.join("metadata.csv").is_file() {
            Self::RxrxAi
        } else if labels::has_kaggle_csv(metadata) {
            Self::Kaggle
        } else {
            Self::Bare
        }
    }
}

/// What to look for, and where.
#[derive(Debug, Clone, Default)]
pub struct SourceConfig {
    /// The root of the tree, or of the store.
    pub root: PathBuf,
    /// The layout; recognised by itself where `None`.
    pub layout: Option<Layout>,
    /// Where the CSVs lie, if not in the root.
    pub metadata: Option<PathBuf>,
    /// A `classes.csv` that fixes the classes.
    pub classes: Option<PathBuf>,
    /// A file with further wells that are known to have fewer sites than others.
    pub known_partial: Option<PathBuf>,
    /// Channels of a site, 1 to 64; as many as most sites have where `None`.
    pub channels: Option<usize>,
    /// Only these experiments; all where empty.
    pub experiments: Vec<String>,
    /// Only these plates; all where empty.
    pub plates: Vec<PlateId>,
}

impl SourceConfig {
    /// Of the plates that are there, those that were asked for.
    ///
    /// # Errors
    /// If an experiment or a plate that was asked for is not there: a filter that names nothing is a slip of the pen, and
    /// would pack too little without a word.
    pub fn select(&self, ids: &BTreeSet<&PlateId>) -> Result<Vec<PlateId>> {
        let unknown = |experiment: &&String| !ids.iter().any(|id| id.experiment.as_str() == experiment.as_str());
        if let Some(experiment) = self.experiments.iter().find(unknown) {
            let mut names: Vec<&str> = ids.iter().map(|id| id.experiment.as_str()).collect();
            names.dedup();
            return Err(Error::refused("--experiments", format!("some of {}", names.join(",")), experiment));
        }
        if let Some(plate) = self.plates.iter().find(|plate| !ids.contains(plate)) {
            return Err(Error::refused("--plates", "plates of the source, such as HEPG2-08/Plate1", plate));
        }
        let wanted = |id: &&PlateId| {
            let experiment = id.experiment.as_str();
            (self.experiments.is_empty() || self.experiments.iter().any(|e| e == experiment))
                && (self.plates.is_empty() || self.plates.contains(id))
        };
        Ok(ids.iter().copied().filter(wanted).cloned().collect())
    }
}

/// One site that there is something of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SitePlan {
    /// The well.
    pub well: Well,
    /// The site.
    pub site: u16,
    /// What the CSVs say.
    pub label: Label,
    /// Which channels have a file: bit 0 for channel 1.
    pub channels: u64,
}

/// One plate: its sites in the order of the store, and what its names and CSVs alone show to be wrong.
#[derive(Debug, Clone)]
pub struct PlatePlan {
    /// The plate.
    pub id: PlateId,
    /// Its folder, relative to the root, with `/`.
    pub dir: String,
    /// Sites, sorted by well row, column, site.
    pub sites: Vec<SitePlan>,
    /// Faults of whole sites and wells; a missing channel is found with the site.
    pub faults: Vec<Fault>,
    /// The sites that most of its wells have.
    pub usual_sites: BTreeSet<u16>,
}

impl PlatePlan {
    /// The file of one channel of a site, relative to the root.
    #[must_use]
    pub fn file(&self, site: &SitePlan, channel: usize) -> String {
        format!("{}/{}", self.dir, tree::image_name(site.well, site.site, channel))
    }

    /// The fault of `site` if it lacks channels.
    #[must_use]
    pub fn missing_channel(&self, site: &SitePlan, n_channels: usize) -> Option<Fault> {
        let missing: Vec<usize> = (0..n_channels).filter(|c| site.channels & (1 << c) == 0).collect();
        let first = *missing.first()?;
        let names: Vec<String> = missing.iter().map(|c| format!("w{}", c + 1)).collect();
        Some(Fault {
            plate: self.id.clone(),
            well: Some(site.well),
            site: Some(site.site),
            kind: FaultKind::MissingChannel,
            file: self.file(site, first),
            detail: format!("expected {n_channels} channels, found no {}", names.join(", ")),
        })
    }
}

/// A raw tree as it is planned to be packed.
#[derive(Debug, Clone)]
pub struct Source {
    /// The root.
    pub root: PathBuf,
    /// The layout.
    pub layout: Layout,
    /// Channels of a site.
    pub n_channels: usize,
    /// Size of every image.
    pub size: ImageSize,
    /// The classes.
    pub classes: Classes,
    /// The plates, by experiment (numbers in names count) and plate.
    pub plates: Vec<PlatePlan>,
    /// Files in plate folders that are not images of the layout, relative to the root.
    pub strangers: Vec<String>,
    /// What is no fault but worth a look, each as a phrase: plates whose wells have other sites than those of most
    /// plates, or fewer channels than RxRx1 has. An upload may have lost them.
    pub unusual: Vec<String>,
}

impl Source {
    /// Looks at a tree: folders, names and CSVs, and the headers of some images.
    ///
    /// # Errors
    /// If the tree or its CSVs cannot be read, or hold no plate that was asked for.
    pub fn open(config: &SourceConfig) -> Result<Self> {
        let root = &config.root;
        if !root.is_dir() {
            return Err(Error::refused(root.display(), "a folder with images", "none"));
        }
        if root.join("pixels.zarr").is_dir() {
            return Err(Error::refused(root.display(), "a tree of PNGs", "a store"));
        }
        let metadata = config.metadata.as_deref().unwrap_or(root);
        let layout = config.layout.unwrap_or_else(|| Layout::recognise(root, metadata));
        let fixed = config.classes.as_deref().map(read_classes).transpose()?;
        let labels = labels::read(layout, metadata, fixed)?;
        let mut known_partial = parse_wells(include_str!("known_partial.txt"), "known_partial.txt")?;
        if let Some(path) = &config.known_partial {
            known_partial.extend(parse_wells(&read_text(path)?, &path.display().to_string())?);
        }
        let files = tree::scan(root, layout)?;
        let ids: BTreeSet<&PlateId> = files.keys().chain(labels.plates.keys()).collect();
        let ids = config.select(&ids)?;
        let found_channels = common_channels(ids.iter().filter_map(|id| files.get(id)));
        if found_channels == 0 {
            let expected = format!("images named WELL_sS_wC.png in folders of the {} layout", layout.name());
            return Err(Error::refused(root.display(), expected, "none"));
        }
        let n_channels = config.channels.unwrap_or(found_channels);
        if !(1..=64).contains(&n_channels) {
            return Err(Error::refused("--channels", "1 to 64", n_channels));
        }
        let no_files = PlateFiles::default();
        let planner = Planner { labels: &labels, known_partial: &known_partial, n_channels, layout };
        let plan = |id: &PlateId| planner.plate(id, files.get(id).unwrap_or(&no_files));
        let plates: Vec<PlatePlan> = ids.iter().map(plan).collect();
        let size = common_size(root, &plates)?;
        let stranger = |id: &PlateId| {
            let plate = files.get(id).unwrap_or(&no_files);
            plate.strangers.iter().map(|name| format!("{}/{name}", plate.dir)).collect::<Vec<_>>()
        };
        let strangers = ids.iter().flat_map(stranger).collect();
        let mut unusual = uneven_plates(&plates);
        if layout == Layout::Kaggle && n_channels != 6 {
            let lost =
                format!("sites have {n_channels} channels, those of RxRx1 have 6 (--channels 6 finds what is lost)");
            unusual.insert(0, lost);
        }
        let root = root.clone();
        Ok(Self { root, layout, n_channels, size, classes: labels.classes, plates, strangers, unusual })
    }
}

fn read_classes(path: &Path) -> Result<Classes> {
    Classes::parse(&read_text(path)?, &path.display().to_string())
}

fn parse_wells(text: &str, place: &str) -> Result<BTreeSet<WellId>> {
    let lines = text.lines().map(str::trim).enumerate();
    let wells = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let parse = |(i, line): (usize, &str)| {
        let at = format!("{place}:{}", i + 1);
        line.parse().map_err(|e: crate::site::ParseError| Error::malformed(at, e.expected, format!("{:?}", e.found)))
    };
    wells.map(parse).collect()
}

/// The number of channels that most sites have (by their highest channel); the larger one of two equals.
fn common_channels<'a>(plates: impl Iterator<Item = &'a PlateFiles>) -> usize {
    let mut votes = [0_u64; 65];
    for channels in plates.flat_map(|plate| plate.sites.values()) {
        votes[64 - channels.leading_zeros() as usize] += 1;
    }
    (0..votes.len()).max_by_key(|&n| (votes[n], n)).filter(|&n| votes[n] > 0).unwrap_or(0)
}

/// The size that most of a sample of the images have.
fn common_size(root: &Path, plates: &[PlatePlan]) -> Result<ImageSize> {
    const SAMPLE: usize = 99;
    let n_sites: usize = plates.iter().map(|plate| plate.sites.len()).sum();
    let step = n_sites.div_ceil(SAMPLE).max(1);
    let sites = plates.iter().flat_map(|plate| plate.sites.iter().map(move |site| (plate, site)));
    let mut votes: HashMap<ImageSize, usize> = HashMap::new();
    for (plate, site) in sites.step_by(step) {
        let channel = site.channels.trailing_zeros() as usize;
        let mut head = Vec::new();
        let path = root.join(plate.file(site, channel));
        // A file that cannot be read or is no PNG does not vote; packing it reports what is wrong with it.
        if !path.is_file() {
            continue;
        }
        let Ok(file) = File::open(path) else { continue };
        if file.take(64).read_to_end(&mut head).is_ok()
            && let Ok(header) = png::read_header(&head)
        {
            *votes.entry(header.size).or_default() += 1;
        }
    }
    let most = votes.into_iter().max_by_key(|&(size, n)| (n, size)).map(|(size, _)| size);
    most.ok_or_else(|| Error::malformed(root.display(), "PNG images", "none among the first looked at"))
}

/// Says which plates have wells with other sites than those of most plates.
fn uneven_plates(plates: &[PlatePlan]) -> Vec<String> {
    let mut votes: BTreeMap<&BTreeSet<u16>, usize> = BTreeMap::new();
    for plate in plates.iter().filter(|plate| !plate.usual_sites.is_empty()) {
        *votes.entry(&plate.usual_sites).or_default() += 1;
    }
    let Some((most, _)) = votes.into_iter().max_by_key(|&(sites, n)| (n, sites.len())) else {
        return Vec::new();
    };
    let list = |sites: &BTreeSet<u16>| sites.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let uneven = plates.iter().filter(|plate| !plate.usual_sites.is_empty() && plate.usual_sites != *most);
    let say = |plate: &PlatePlan| {
        format!("{}: most wells have sites {}, on most plates {}", plate.id, list(&plate.usual_sites), list(most))
    };
    uneven.map(say).collect()
}

/// Joins labels and files, one plate at a time.
struct Planner<'a> {
    labels: &'a Labels,
    known_partial: &'a BTreeSet<WellId>,
    n_channels: usize,
    layout: Layout,
}

impl Planner<'_> {
    fn plate(&self, id: &PlateId, files: &PlateFiles) -> PlatePlan {
        let mut plan = PlatePlan {
            id: id.clone(),
            dir: files.dir.clone(),
            sites: Vec::new(),
            faults: Vec::new(),
            usual_sites: BTreeSet::new(),
        };
        let mut by_well: BTreeMap<Well, BTreeMap<u16, u64>> = BTreeMap::new();
        for (&(well, site), &channels) in &files.sites {
            by_well.entry(well).or_default().insert(site, channels);
        }
        let no_wells = BTreeMap::new();
        let labelled = self.labels.plates.get(id).unwrap_or(&no_wells);
        let counts = |well: Well| {
            let has_row = self.layout == Layout::Bare || labelled.contains_key(&well);
            has_row && !self.known_partial.contains(&WellId { plate: id.clone(), well })
        };
        let counted = by_well.iter().filter(|(well, _)| counts(**well));
        let usual = usual_sites(counted.map(|(_, sites)| sites));
        plan.usual_sites.clone_from(&usual);
        let wells: BTreeSet<Well> = by_well.keys().chain(labelled.keys()).copied().collect();
        for well in wells {
            let found = by_well.remove(&well).unwrap_or_default();
            match labelled.get(&well) {
                None if self.layout == Layout::Bare => {
                    self.well(&mut plan, well, found, &usual, &Label::unknown());
                }
                None => plan.faults.extend(found.keys().map(|&site| {
                    let detail = "expected a row in the CSVs, found none".to_owned();
                    fault(id, well, Some(site), FaultKind::NoRow, detail)
                })),
                Some(WellLabel { label, sites }) => {
                    if let Some(dataset) = files.dataset.filter(|&dataset| dataset != label.dataset) {
                        let detail = format!("expected images in {}/, found them in {dataset}/", label.dataset);
                        plan.faults.push(fault(id, well, None, FaultKind::NoImages, detail));
                    } else if found.is_empty() {
                        let detail = "expected images, found none".to_owned();
                        plan.faults.push(fault(id, well, None, FaultKind::NoImages, detail));
                    } else {
                        self.well(&mut plan, well, found, sites.as_ref().unwrap_or(&usual), label);
                    }
                }
            }
        }
        plan
    }

    /// Plans the sites of a well that has at least one.
    fn well(
        &self,
        plan: &mut PlatePlan,
        well: Well,
        found: BTreeMap<u16, u64>,
        expected: &BTreeSet<u16>,
        label: &Label,
    ) {
        let id = plan.id.clone();
        let names_sites = self.layout == Layout::RxrxAi;
        let known = !names_sites && self.known_partial.contains(&WellId { plate: id.clone(), well });
        for &site in expected.iter().filter(|site| !known && !found.contains_key(site)) {
            let kind = if names_sites { FaultKind::NoImages } else { FaultKind::MissingSite };
            let numbers: Vec<String> = expected.iter().map(u16::to_string).collect();
            let detail = format!("expected sites {}, found no site {site}", numbers.join(", "));
            plan.faults.push(fault(&id, well, Some(site), kind, detail));
        }
        for (site, channels) in found {
            if names_sites && !expected.contains(&site) {
                let detail = "expected a row in the CSVs, found none".to_owned();
                plan.faults.push(fault(&id, well, Some(site), FaultKind::NoRow, detail));
                continue;
            }
            let extra = channels & u64::MAX.checked_shl(self.n_channels as u32).unwrap_or(0);
            if extra != 0 {
                let file = format!("{}/{}", plan.dir, tree::image_name(well, site, extra.trailing_zeros() as usize));
                let detail = format!("expected channels up to w{}, found another", self.n_channels);
                plan.faults.push(Fault { file, ..fault(&id, well, Some(site), FaultKind::ExtraChannel, detail) });
                continue;
            }
            plan.sites.push(SitePlan { well, site, label: label.clone(), channels });
        }
    }
}

fn fault(plate: &PlateId, well: Well, site: Option<u16>, kind: FaultKind, detail: String) -> Fault {
    Fault { plate: plate.clone(), well: Some(well), site, kind, file: String::new(), detail }
}

/// The sites that more than half of the wells with images have.
fn usual_sites<'a>(wells: impl Iterator<Item = &'a BTreeMap<u16, u64>>) -> BTreeSet<u16> {
    let mut votes: BTreeMap<u16, usize> = BTreeMap::new();
    let mut n_wells = 0;
    for sites in wells {
        n_wells += 1;
        for &site in sites.keys() {
            *votes.entry(site).or_default() += 1;
        }
    }
    votes.into_iter().filter(|&(_, n)| 2 * n > n_wells).map(|(site, _)| site).collect()
}
