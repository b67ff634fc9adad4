//! From a raw tree to a plan: folders, names and CSVs, and the headers of some images.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::classes::Classes;
use crate::error::{Error, Result};
use crate::files;
use crate::site::{ImageSize, PlateId, WellId};

use super::config::SourceConfig;
use super::layout::Layout;
use super::plan::{Planner, PlatePlan};
use super::tree::{self, PlateFiles};
use super::{labels, png};

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
    pub other_files: Vec<String>,
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
        if !files::is_dir(root)? {
            return Err(Error::refused(root.display(), "a folder with images", "none"));
        }
        if files::is_dir(&root.join(tree::STORE))? {
            return Err(Error::refused(root.display(), "a tree of PNGs", "a store"));
        }
        let metadata = config.metadata.as_deref().unwrap_or(root);
        let layout = match config.layout {
            Some(layout) => layout,
            None => recognise(root, metadata)?,
        };
        let fixed = config.classes.as_deref().map(read_classes).transpose()?;
        let labels = labels::read(layout, metadata, fixed)?;
        let mut known_partial = parse_wells(include_str!("known_partial.txt"), "known_partial.txt")?;
        if let Some(path) = &config.known_partial {
            known_partial.extend(parse_wells(&files::read_text(path)?, &path.display().to_string())?);
        }
        let found = tree::scan(root, layout)?;
        let ids: BTreeSet<&PlateId> = found.keys().chain(labels.plates.keys()).collect();
        let ids = config.select(&ids)?;
        let found_channels = common_channels(ids.iter().filter_map(|id| found.get(id)));
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
        let plan = |id: &PlateId| planner.plate(id, found.get(id).unwrap_or(&no_files));
        let plates: Vec<PlatePlan> = ids.iter().map(plan).collect();
        let size = common_size(root, &plates)?;
        let others = |id: &PlateId| {
            let plate = found.get(id).unwrap_or(&no_files);
            plate.other_files.iter().map(|name| format!("{}/{name}", plate.dir)).collect::<Vec<_>>()
        };
        let other_files = ids.iter().flat_map(others).collect();
        let mut unusual = uneven_plates(&plates);
        if layout == Layout::Kaggle && n_channels != 6 {
            let lost =
                format!("sites have {n_channels} channels, those of RxRx1 have 6 (--channels 6 finds what is lost)");
            unusual.insert(0, lost);
        }
        let root = root.clone();
        Ok(Self { root, layout, n_channels, size, classes: labels.classes, plates, other_files, unusual })
    }
}

/// Recognises the layout of the tree at `root`, whose CSVs lie in `metadata`.
fn recognise(root: &Path, metadata: &Path) -> Result<Layout> {
    Ok(if files::is_dir(&root.join("images"))? && files::is_file(&metadata.join("metadata.csv"))? {
        Layout::RxrxAi
    } else if labels::has_kaggle_csv(metadata)? {
        Layout::Kaggle
    } else {
        Layout::Bare
    })
}

fn read_classes(path: &Path) -> Result<Classes> {
    Classes::parse(&files::read_text(path)?, &path.display().to_string())
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
        let Ok(file) = files::open(&path) else { continue };
        let Ok(length) = file.metadata().map(|found| found.len()) else { continue };
        if file.take(64).read_to_end(&mut head).is_ok()
            && let Ok(header) = png::read_header(&head)
            && header.can_be_true(length)
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
