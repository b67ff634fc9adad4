//! From a raw tree to a plan: folders, names and CSVs, and the headers of some images.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::classes::Classes;
use crate::error::{Error, Result};
use crate::fault::{Fault, FaultKind};
use crate::files;
use crate::site::{Dtype, ImageSize, PlateId, WellId};

use super::config::SourceConfig;
use super::image::{Colour, Header, ImageFault, read_header};
use super::labels::{self, Fixed, Labels};
use super::layout::Layout;
use super::names;
use super::plan::{Planner, PlatePlan, SitePlan};
use super::recognise;
use super::tree::{self, PlateFiles, Scan, Unplaced};

/// A raw tree as it is planned to be packed.
#[derive(Debug, Clone)]
pub struct Source {
    /// The root.
    pub root: PathBuf,
    /// The layout.
    pub layout: Layout,
    /// Channels of a site.
    pub n_channels: usize,
    /// The number of each channel in file names: 1, 2, 4 where no image is of a third.
    pub channel_numbers: Arc<[usize]>,
    /// Size of every image.
    pub size: ImageSize,
    /// The classes.
    pub classes: Classes,
    /// The plates, by experiment (numbers in names count) and plate.
    pub plates: Vec<PlatePlan>,
    /// Wells that the CSVs name; 0 where there are none.
    pub labelled_wells: u64,
    /// Images that no plate takes.
    pub unplaced: Vec<Fault>,
    /// Folders and files that cannot be looked at. What is in them is not known, so that nothing can be packed.
    pub unreadable: Vec<Fault>,
    /// Files in plate folders that are no images, relative to the root.
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
        if files::is_dir(&root.join(names::STORE))? {
            return Err(Error::refused(root.display(), "a tree of PNGs", "a store"));
        }
        let layout = recognise::layout(config)?;
        let labels = labels_of(config, layout)?;
        let mut known_partial = parse_wells(include_str!("known_partial.txt"), "known_partial.txt")?;
        if let Some(path) = &config.known_partial {
            known_partial.extend(parse_wells(&files::read_text(path)?, &path.display().to_string())?);
        }
        let Scan { plates: found, unplaced, unreadable, unseen } = tree::scan(root, layout)?;
        let ids: BTreeSet<&PlateId> = found.keys().chain(labels.plates.keys()).collect();
        if ids.is_empty()
            && let Some(Unplaced { path, expected, found, .. }) = unplaced.first()
        {
            return Err(Error::malformed(root.join(path).display(), expected, found));
        }
        let ids = config.select(&ids)?;
        let ids: Vec<PlateId> = ids.into_iter().map(|id| labels.with_cell_type(id)).collect();
        let numbers = channel_numbers(config, layout, ids.iter().filter_map(|id| found.get(id)))?;
        let n_channels = numbers.len();
        let no_files = PlateFiles::default();
        let planner = Planner {
            labels: &labels,
            known_partial: &known_partial,
            numbers: Arc::clone(&numbers),
            n_sites: config.sites,
            layout,
        };
        let plan = |id: &PlateId| planner.plate(id, found.get(id).unwrap_or(&no_files));
        let plates: Vec<PlatePlan> = ids.iter().map(plan).collect();
        let size = common_size(root, &plates)?;
        let others = |id: &PlateId| {
            let plate = found.get(id).unwrap_or(&no_files);
            plate.other_files.iter().map(|name| format!("{}/{name}", plate.dir)).collect::<Vec<_>>()
        };
        let other_files = ids.iter().flat_map(others).collect();
        let mut unusual: Vec<String> = unusual_channels(layout, &numbers).into_iter().collect();
        unusual.extend(uneven_plates(&plates));
        unusual.extend(unseen);
        Ok(Self {
            root: root.clone(),
            layout,
            n_channels,
            channel_numbers: numbers,
            size,
            labelled_wells: labels.plates.values().map(|wells| wells.len() as u64).sum(),
            classes: labels.classes,
            plates,
            unreadable: unreadable.into_iter().map(unreadable_fault).collect(),
            unplaced: unplaced.into_iter().filter(|image| config.is_of_interest(image)).map(Fault::from).collect(),
            other_files,
            unusual,
        })
    }

    /// The faults that the headers of a few images show: of one image of each channel of a plate.
    #[must_use]
    pub fn sample_headers(&self, plate: &PlatePlan) -> Vec<Fault> {
        let of_channel = |channel: usize| plate.sites.iter().find(|site| site.channels & (1 << channel) != 0);
        let sampled = (0..self.n_channels).filter_map(|channel| Some((channel, of_channel(channel)?)));
        let fault = |(channel, site): (usize, &SitePlan)| {
            let file = plate.file(site, channel);
            let (kind, detail) = match read_head(&self.root.join(&file)) {
                Err(error) => (FaultKind::Unreadable, error.to_string()),
                Ok((header, _)) => match header.and_then(|h| h.check(self.size, Dtype::Uint8, Colour::Grey)) {
                    Ok(()) => return None,
                    Err(found) => (found.kind, found.detail),
                },
            };
            Some(Fault {
                plate: Some(plate.id.clone()),
                well: Some(site.well),
                site: Some(site.site),
                kind,
                file,
                detail,
            })
        };
        sampled.filter_map(fault).collect()
    }
}

impl From<Unplaced> for Fault {
    fn from(Unplaced { path, expected, found, .. }: Unplaced) -> Self {
        let detail = format!("expected {expected}, found {found}");
        Self { plate: None, well: None, site: None, kind: FaultKind::NoPlate, file: path, detail }
    }
}

fn unreadable_fault((path, why): (String, String)) -> Fault {
    Fault { plate: None, well: None, site: None, kind: FaultKind::Unreadable, file: path, detail: why }
}

/// What the header of a file says, and its length.
fn read_head(path: &Path) -> std::io::Result<(std::result::Result<Header, ImageFault>, u64)> {
    let mut file = files::open(path).map_err(std::io::Error::other)?;
    let length = file.metadata()?.len();
    Ok((read_header(&mut file), length))
}

/// Reads what the CSVs of a tree say, and looks at no image.
///
/// # Errors
/// If the layout cannot be told, or the CSVs cannot be read.
pub fn read_labels(config: &SourceConfig) -> Result<Labels> {
    labels_of(config, recognise::layout(config)?)
}

fn labels_of(config: &SourceConfig, layout: Layout) -> Result<Labels> {
    let given = config.classes.as_deref().map(read_classes).transpose()?.or_else(|| config.known_classes.clone());
    let fixed = match given {
        None => Fixed::Nothing,
        Some(classes) if config.add_classes => Fixed::AndMore(classes),
        Some(classes) => Fixed::Classes(classes),
    };
    labels::read(layout, config.metadata.as_deref().unwrap_or(&config.root), fixed)
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

/// The number of each channel in file names: as many as most sites have (by their highest one; the larger one of two
/// equals). RxRx1's are numbered without a gap, so that one that is missing everywhere was lost; of other trees, the
/// numbers that no image has are none of theirs.
fn channel_numbers<'a>(
    config: &SourceConfig,
    layout: Layout,
    plates: impl Iterator<Item = &'a PlateFiles>,
) -> Result<Arc<[usize]>> {
    let mut votes = [0_u64; 65];
    let mut present = 0;
    for channels in plates.flat_map(|plate| plate.sites.values()) {
        votes[64 - channels.leading_zeros() as usize] += 1;
        present |= channels;
    }
    let most = (0..votes.len()).max_by_key(|&n| (votes[n], n)).filter(|&n| votes[n] > 0).unwrap_or(0);
    if most == 0 {
        let expected = format!("images named WELL_sS_wC.png in folders of the {} layout", layout.name());
        return Err(Error::refused(config.root.display(), expected, "none"));
    }
    let numbered =
        |numbers: &mut dyn Iterator<Item = usize>| numbers.filter(|n| present & (1 << (n - 1)) != 0).collect();
    Ok(match config.channels {
        None if layout == Layout::Bare => numbered(&mut (1..=most)),
        None => (1..=most).collect(),
        Some(n) if !(1..=64).contains(&n) => return Err(Error::refused("--channels", "1 to 64", n)),
        Some(n) if layout == Layout::Bare && present.count_ones() as usize == n => numbered(&mut (1..=64)),
        Some(n) => (1..=n).collect(),
    })
}

/// Says which channels may have been lost everywhere.
fn unusual_channels(layout: Layout, numbers: &[usize]) -> Option<String> {
    let n = numbers.len();
    if layout != Layout::Bare && n != 6 {
        return Some(format!("sites have {n} channels, those of RxRx1 have 6 (--channels 6 finds what is lost)"));
    }
    let last = *numbers.last()?;
    let names: Vec<String> = numbers.iter().map(|number| format!("w{number}")).collect();
    let gap = || format!("channels are {} (--channels {last} finds what is lost)", names.join(", "));
    (last != n).then(gap)
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
        // A file that cannot be read or is no image does not vote; packing it reports what is wrong with it.
        let Ok((header, length)) = read_head(&root.join(plate.file(site, channel))) else { continue };
        if let Ok(header) = header
            && header.can_be_true(length)
        {
            *votes.entry(header.size).or_default() += 1;
        }
    }
    let most = votes.into_iter().max_by_key(|&(size, n)| (n, size)).map(|(size, _)| size);
    most.ok_or_else(|| Error::malformed(root.display(), "images", "none among the first looked at"))
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
        format!("{}: wells have sites {}, on most plates {}", plate.id, list(&plate.usual_sites), list(most))
    };
    uneven.map(say).collect()
}
