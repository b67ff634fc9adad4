//! From a raw tree to a plan: folders, names and CSVs, and the headers of some images.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::classes::Classes;
use crate::error::{Error, Result};
use crate::fault::{Fault, FaultKind};
use crate::files;
use crate::site::{Dtype, ImageSize, PlateId, WellId};
use crate::words::{agree, plural};

use super::channels::{ChannelNames, ToldChannels, channel_numbers, told_channels, unusual_channels};
use super::config::SourceConfig;
use super::described::{self, Description};
use super::image::Colour;
use super::image_table::{self, TableScan};
use super::kind::{Kind, common_kind, read_head};
use super::labels::{self, DataSet, Fixed, Labels, LabelsSummary, Tables};
use super::layout::Layout;
use super::listed::{self, Channels, Placed};
use super::names;
use super::plan::{Absent, Planner, PlatePlan, SitePlan};
use super::recognise;
use super::tree::{self, Scan, Unplaced};
use super::zarr::{self, ZarrScan};

/// A raw tree as it is planned to be packed.
#[derive(Debug, Clone)]
pub struct Source {
    /// The root.
    pub root: PathBuf,
    /// The layout.
    pub layout: Layout,
    /// Channels of a site.
    pub n_channels: usize,
    /// What its images are called, of which each is a channel, or three.
    pub channels: Arc<ChannelNames>,
    /// Size of every image.
    pub size: ImageSize,
    /// The type of pixels of every image.
    pub dtype: Dtype,
    /// What becomes of colours.
    pub colour: Colour,
    /// The classes.
    pub classes: Classes,
    /// The plates, by experiment (numbers in names count) and plate.
    pub plates: Vec<PlatePlan>,
    /// Wells that the CSVs name; 0 where there are none.
    pub labelled_wells: u64,
    /// What was understood of a table by columns, where there is one.
    pub labels: Option<LabelsSummary>,
    /// What tables name and is not there, where that is only counted.
    pub absent: Absent,
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
        let mut labels = labels_of(config, layout)?;
        let mut known_partial = parse_wells(include_str!("known_partial.txt"), "known_partial.txt")?;
        if let Some(path) = &config.known_partial {
            known_partial.extend(parse_wells(&files::read_text(path)?, &path.display().to_string())?);
        }
        let Found { scan, channels: told, mut unusual } = find(config, layout)?;
        let Scan { plates: mut found, unplaced, unreadable, unseen, other_files } = scan;
        labels.join(found.keys())?;
        let has_tables = layout.has_tables() || labels.is_told();
        if has_tables {
            unusual.extend(labels.meet(&found.keys().collect::<Vec<_>>(), root)?);
        }
        let ids: BTreeSet<&PlateId> = found.keys().chain(labels.plates.keys()).collect();
        let ids = config.select(&ids)?;
        let ids: Vec<PlateId> = ids.into_iter().map(|id| labels.with_cell_type(id)).collect();
        let channels = match told {
            Some(names) => told_channels(config, names)?,
            None => channel_numbers(config, layout, ids.iter().filter_map(|id| found.get(id)))?,
        };
        let channels = Arc::new(channels);
        let others = |id: &PlateId| {
            let plate = found.get(id)?;
            Some(plate.other_files.iter().map(|name| format!("{}/{name}", plate.dir)).collect::<Vec<_>>())
        };
        let other_files = other_files.into_iter().chain(ids.iter().filter_map(others).flatten()).collect();
        let planner = Planner {
            labels: &labels,
            known_partial: &known_partial,
            channels: Arc::clone(&channels),
            n_sites: config.sites,
            has_tables,
            present_only: config.present_only,
        };
        let plan = |id: &PlateId| planner.plate(id, found.remove(id).unwrap_or_default());
        let mut plates: Vec<PlatePlan> = ids.iter().map(plan).collect();
        let absent = take_absent(config, &mut plates)?;
        let Kind { size, dtype, colour } = common_kind(config, &channels, &plates, &mut unusual)?;
        let n_channels = channels.numbers.len() * colour.channels();
        if n_channels > 64 {
            return Err(Error::refused(root.display(), "at most 64 channels", n_channels));
        }
        unusual.extend(unusual_channels(layout, &labels, &channels));
        unusual.extend(labels.unusual());
        unusual.extend(uneven_plates(&plates));
        unusual.extend(unseen);
        Ok(Self {
            root: root.clone(),
            layout,
            n_channels,
            channels,
            size,
            dtype,
            colour,
            labelled_wells: labels.plates.values().map(|wells| wells.len() as u64).sum(),
            classes: labels.classes,
            labels: labels.summary,
            plates,
            absent,
            unreadable: unreadable.into_iter().map(unreadable_fault).collect(),
            unplaced: unplaced.into_iter().filter(|image| config.is_of_interest(image)).map(Fault::from).collect(),
            other_files,
            unusual,
        })
    }

    /// Whether its channels are those of RxRx1, with its stains, where there are as many.
    #[must_use]
    pub fn is_rxrx1(&self) -> bool {
        match &self.labels {
            Some(labels) => labels.data_set.is_some_and(DataSet::is_rxrx1),
            None => matches!(self.layout, Layout::Kaggle | Layout::RxRx1Zarr),
        }
    }

    /// What the channels of a store of it are called.
    #[must_use]
    pub fn channel_names(&self) -> Vec<String> {
        let names = &self.channels.names;
        if self.colour != Colour::Rgb {
            return names.clone();
        }
        let of_image = |name: &String| {
            let before = if names.len() == 1 { String::new() } else { format!("{name} ") };
            ["red", "green", "blue"].map(|colour| format!("{before}{colour}"))
        };
        names.iter().flat_map(of_image).collect()
    }

    /// The faults that the headers of a few images show: of one image of each channel of a plate.
    #[must_use]
    pub fn sample_headers(&self, plate: &PlatePlan) -> Vec<Fault> {
        let of_channel = |channel: usize| plate.sites.iter().find(|site| site.channels & (1 << channel) != 0);
        let sampled = (0..self.n_images()).filter_map(|channel| Some((channel, of_channel(channel)?)));
        let fault = |(channel, site): (usize, &SitePlan)| {
            let file = plate.file(site, channel);
            let (kind, detail) = match read_head(&self.root, plate, site, channel) {
                Err(error) => (FaultKind::Unreadable, error.to_string()),
                Ok((header, _)) => match header.and_then(|h| h.check(self.size, self.dtype, self.colour)) {
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

/// Reads what the CSVs of a tree say, and looks at no image.
///
/// # Errors
/// If the layout cannot be told, or the CSVs cannot be read.
pub fn read_labels(config: &SourceConfig) -> Result<Labels> {
    let layout = recognise::layout(config)?;
    let mut labels = labels_of(config, layout)?;
    if labels.names_no_experiment {
        labels.join(find(config, layout)?.scan.plates.keys())?;
    }
    Ok(labels)
}

fn labels_of(config: &SourceConfig, layout: Layout) -> Result<Labels> {
    let layout = if config.without_labels { Layout::Bare } else { layout };
    let given = config.classes.as_deref().map(read_classes).transpose()?.or_else(|| config.known_classes.clone());
    let fixed = match given {
        None => Fixed::Nothing,
        Some(classes) if config.add_classes => Fixed::AndMore(classes),
        Some(classes) => Fixed::Classes(classes),
    };
    let experiment = config.experiment();
    let table = config.table.as_deref().filter(|_| config.labels.tell_labels());
    let metadata = config.metadata.as_deref().or(table);
    let tables = Tables {
        layout,
        root: &config.root,
        metadata,
        experiment: &experiment,
        options: &config.labels,
        counts_sites: config.metadata.is_none() && table.is_some(),
    };
    labels::read(&tables, fixed)
}

fn read_classes(path: &Path) -> Result<Classes> {
    Classes::parse(&files::read_text(path)?, &path.display().to_string())
}

fn parse_wells(text: &str, place: &str) -> Result<BTreeSet<WellId>> {
    let lines = text.lines().map(str::trim).enumerate();
    let wells = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let parse = |(i, line): (usize, &str)| {
        let at = format!("{place}:{}", i + 1);
        WellId::as_written(line).map_err(|e| Error::malformed(at, e.expected, format!("{:?}", e.found)))
    };
    wells.map(parse).collect()
}

/// Leaves the plates of which there is something, where only that is wanted, and counts what is not there.
fn take_absent(config: &SourceConfig, plates: &mut Vec<PlatePlan>) -> Result<Absent> {
    let mut absent = Absent::default();
    if !config.present_only {
        return Ok(absent);
    }
    plates.retain(|plate| {
        let is_there = !plate.sites.is_empty() || !plate.faults.is_empty();
        absent.plates += u64::from(!is_there);
        absent.wells += plate.absent.wells;
        absent.sites += plate.absent.sites;
        is_there
    });
    if plates.is_empty() {
        return Err(Error::refused(config.root.display(), "images of some well that the CSVs name", "none"));
    }
    Ok(absent)
}

/// What is found in a tree.
struct Found {
    scan: Scan,
    /// The names of channels, where images tell them.
    channels: Option<ToldChannels>,
    unusual: Vec<String>,
}

/// Finds the images of a tree as its layout has them.
fn find(config: &SourceConfig, layout: Layout) -> Result<Found> {
    let root = &config.root;
    let mut unusual = Vec::new();
    if let Some(level) = config.level.filter(|_| layout != Layout::OmeZarr) {
        let expected = format!("no level, as images of the {} layout have none", layout.name());
        return Err(Error::refused("--level", expected, level));
    }
    if layout.is_zarr() {
        return find_in_zarr(config, layout);
    }
    if let (Layout::Table, Some(table)) = (layout, &config.table) {
        return find_by_table(config, table);
    }
    let Some(description) = Description::of(layout, config.pattern.as_ref()) else {
        let scan = tree::scan(root, layout)?;
        if layout == Layout::Bare && scan.plates.is_empty() {
            let expected = "a folder EXPERIMENT/PlateN (letters, digits, '-', '_', '.'; at most 64) of images WELL_sSITE_wCHANNEL.png";
            return Err(described::nothing_found(root, &scan, expected));
        }
        return Ok(Found { scan, channels: None, unusual });
    };
    let (images, of_images, mut scan) = described::scan(root, description, &config.experiment())?;
    if images.is_empty() {
        return Err(described::nothing_found(root, &scan, &description.expected()));
    }
    let Placed { plates, channels, unplaced, n_of_other_planes } =
        listed::place(images, config.plane, Channels::Found(of_images))?;
    if n_of_other_planes > 0 {
        let plane = config.plane;
        let (n, are) = (n_of_other_planes as u64, agree(n_of_other_planes as u64, "is", "are"));
        let (images, planes) = (plural(n, "image"), agree(n, "another plane", "other planes"));
        unusual.push(format!("{images} of {planes} than --plane {plane} {are} left out"));
    }
    scan.unplaced.extend(unplaced);
    scan.unplaced.sort_unstable();
    let is_told = channels != [""];
    let names: Vec<String> = channels.iter().map(|channel| description.channel_name(channel)).collect();
    let distinct: BTreeSet<&String> = names.iter().collect();
    if distinct.len() < names.len() {
        let found = format!("{} as {}", channels.join(", "), names.join(", "));
        return Err(Error::refused("channels of the images", "different names", found));
    }
    Ok(Found { scan: Scan { plates, ..scan }, channels: Some(ToldChannels { names, is_told }), unusual })
}

/// Finds the images that are planes of arrays.
fn find_in_zarr(config: &SourceConfig, layout: Layout) -> Result<Found> {
    let ZarrScan { scan, channels, unusual } = zarr::scan(config, layout)?;
    match scan.unplaced.first() {
        Some(Unplaced { path, expected, found, .. }) if scan.plates.is_empty() => {
            Err(Error::malformed(config.root.join(path).display(), expected, found))
        }
        _ if scan.plates.is_empty() => {
            let expected = format!("images as the {} layout has them", layout.name());
            Err(Error::malformed(config.root.display(), expected, "none"))
        }
        _ => Ok(Found { scan, channels: Some(ToldChannels { names: channels, is_told: true }), unusual }),
    }
}

/// Finds the images that a table names.
fn find_by_table(config: &SourceConfig, table: &Path) -> Result<Found> {
    let on = config.labels.on.as_ref().filter(|_| config.metadata.is_none());
    let TableScan { images, channels, mut scan, unusual } =
        image_table::scan(&config.root, table, on, &config.experiment())?;
    if images.is_empty() {
        let found = scan.unplaced.first().map_or("none".to_owned(), |image| format!("no {}", image.path));
        let expected = format!("images that {} names", table.display());
        return Err(Error::malformed(config.root.display(), expected, found));
    }
    let Placed { plates, channels, unplaced, .. } = listed::place(images, config.plane, Channels::Told(channels))?;
    scan.unplaced.extend(unplaced);
    scan.unplaced.sort_unstable();
    let channels = ToldChannels { names: channels, is_told: true };
    Ok(Found { scan: Scan { plates, ..scan }, channels: Some(channels), unusual })
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
