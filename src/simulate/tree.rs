//! Writing the tree: folders, images, tables last. Decides nothing about what is in an image, nor what it is called.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::files;
use crate::site::{Population, WellId};

use super::batch::{Batch, batches};
use super::begun::Begun;
use super::biology::{Biology, Effect, Strength};
use super::cells::{Scene, Scratch, render};
use super::config::{Config, Report};
use super::dice::{self, Dice};
use super::encode::{self, Bits};
use super::layout::{Format, Layout};
use super::layouts::{self, LabelledWell, PlateNumbers};
use super::plates::{Content, maps};
use super::textures::Textures;

/// One well to render: its label, its cells, its plate.
struct Job {
    label: LabelledWell,
    biology: Biology,
    batch: Batch,
    folder: PathBuf,
    /// What its random numbers are drawn by, of the experiment and of the plate: the same cells whatever the layout.
    keys: [u64; 2],
}

pub(super) fn write(config: &Config, dst: &Path, progress: &(dyn Fn(u64) + Sync)) -> Result<Report> {
    let begun = Begun::in_folder(dst, config)?;
    let jobs = plan(config, dst);
    for job in &jobs {
        if job.label.id.well == jobs[0].label.id.well {
            files::create_dirs(&job.folder)?;
        }
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(config.n_threads)
        .thread_name(|i| format!("simulate-{i}"))
        .build()
        .map_err(|e| Error::refused("--threads", "a number of threads the system can start", e))?;
    let textures = Textures::new();
    let image_bytes = AtomicU64::new(0);
    // One set of buffers a thread for the whole run; no lock is ever waited for.
    let scratches: Vec<Mutex<Scratch>> = (0..pool.current_num_threads()).map(|_| Mutex::default()).collect();
    pool.install(|| {
        jobs.par_iter().with_max_len(1).try_for_each(|job| {
            let thread = rayon::current_thread_index().expect("the pool runs this");
            let mut scratch = scratches[thread].lock().unwrap_or_else(PoisonError::into_inner);
            let bytes = write_well(config, job, &textures, &mut scratch)?;
            image_bytes.fetch_add(bytes, Ordering::Relaxed);
            progress(config.n_sites.into());
            Ok(())
        })
    })?;
    let labels: Vec<LabelledWell> = jobs.into_iter().map(|job| job.label).collect();
    layouts::write_beside(config, dst, &labels)?;
    layouts::write_tables(config, dst, &labels)?;
    begun.complete()?;
    let (wells, sites) = (labels.len() as u64, config.total_sites());
    let planes = sites * u64::from(config.n_channels);
    let plates = wells / u64::from(config.n_wells);
    Ok(Report {
        experiments: plates / u64::from(config.n_plates),
        plates,
        wells,
        sites,
        images: if config.layout.format() == Format::RgbPng { sites } else { planes },
        raw_bytes: planes * u64::from(config.size).pow(2) * config.bits.bytes() as u64,
        image_bytes: image_bytes.into_inner(),
        pack: layouts::pack_command(config, dst),
    })
}

/// Every well of the tree: experiments by name, then plate, then well.
fn plan(config: &Config, dst: &Path) -> Vec<Job> {
    let mut cell_types = config.cell_types.clone();
    cell_types.sort_by(|a, b| a.name.cmp(&b.name));
    let n_experiments: usize = cell_types.iter().map(|t| usize::from(t.n_experiments)).sum();
    let (n_plates, n_wells) = (usize::from(config.n_plates), usize::from(config.n_wells));
    let mut maps = maps(config.seed, n_experiments, n_plates, n_wells, config.n_sirnas).into_iter();
    let mut batches = batches(config.seed, n_experiments, n_plates).into_iter();
    let mut jobs = Vec::new();
    let (mut experiment, mut of_all) = (0, 0);
    for cell_type in &cell_types {
        let untreated = Biology::of_cell_type(&cell_type.name);
        for of_type in 1..=cell_type.n_experiments {
            experiment += 1;
            let dataset = dataset(config, of_type, cell_type.n_experiments);
            let key = dice::key(&format!("{}-{of_type:02}", cell_type.name));
            let plates = maps.next().expect("a map for every experiment");
            let batches = batches.next().expect("a batch for every experiment");
            for (plate, (map, batch)) in (1..).zip(plates.into_iter().zip(batches)) {
                of_all += 1;
                let numbers = PlateNumbers { cell_type: &cell_type.name, of_type, experiment, plate, of_all };
                let id = layouts::plate(config.layout, &numbers);
                let folder = dst.join(layouts::folder(config.layout, &id, dataset));
                jobs.extend(map.into_iter().map(|content| {
                    let content = as_told(config, content);
                    Job {
                        biology: untreated.under(&effect(config.seed, content, &cell_type.name)),
                        batch: batch.clone(),
                        folder: folder.clone(),
                        keys: [key, plate.into()],
                        label: LabelledWell {
                            id: WellId { plate: id.clone(), well: content.well },
                            cell_type: cell_type.name.clone(),
                            content,
                            dataset,
                        },
                    }
                }));
            }
        }
    }
    jobs
}

/// The dataset of an experiment, by its number among those of its cell type: the last ones are the test set. WILDS has
/// a third one, of the last experiment before them.
fn dataset(config: &Config, number: u16, n_experiments: u16) -> &'static str {
    let n_test = if n_experiments > 1 { config.n_test_experiments } else { 0 };
    let n_other = n_experiments.saturating_sub(n_test);
    match number {
        _ if number > n_other => "test",
        _ if config.layout == Layout::Wilds && number == n_other && n_other > 1 => "val",
        _ => "train",
    }
}

/// What a well holds, where all positive controls of the layout are one class.
fn as_told(config: &Config, content: Content) -> Content {
    match content.population {
        Population::PositiveControl if config.layout.has_one_positive() => {
            Content { class: config.n_sirnas, ..content }
        }
        _ => content,
    }
}

fn effect(seed: u64, content: Content, cell_type: &str) -> Effect {
    let strength = match content.population {
        Population::Treatment => Strength::Treatment,
        Population::PositiveControl => Strength::PositiveControl,
        Population::NegativeControl | Population::Unknown => return Effect::NONE,
    };
    Effect::of_class(seed, content.class, cell_type, strength)
}

/// Renders and writes the sites of a well that are not there yet; returns the bytes of all its images.
fn write_well(config: &Config, job: &Job, textures: &Textures, scratch: &mut Scratch) -> Result<u64> {
    let scene = Scene {
        biology: &job.biology,
        batch: &job.batch,
        size: config.size.into(),
        channels: config.n_channels.into(),
    };
    let id = &job.label.id;
    let format = config.layout.format();
    let planes = if format == Format::RgbPng { scene.channels } else { 1 };
    let n_images = config.n_channels / planes as u8;
    let mut bytes = 0;
    for site in 1..=config.n_sites {
        let image = |channel| layouts::image(config.layout, &job.label, (site, config.n_sites), (channel, n_images));
        let names: Vec<String> = (1..=n_images).map(image).collect();
        if let Some(n) = bytes_of(config, &job.folder, &names)? {
            bytes += n;
            continue;
        }
        let well = u64::from(id.well.row()) << 16 | u64::from(id.well.column());
        let [experiment, plate] = job.keys;
        let keys = [experiment, plate, well, site.into()];
        let levels = render(&scene, textures, &mut Dice::new(config.seed, &keys), scratch);
        for (name, image) in names.iter().zip(levels.chunks_exact(planes * scene.size * scene.size)) {
            let path = job.folder.join(name);
            let file = encode::image(format, image, config.size, config.bits, &path)?;
            if let Some(name) = layouts::thumbnail(config.layout, name) {
                let (levels, size) = reduced(image, config.size);
                let path = job.folder.join(name);
                files::write_renamed(&path, &encode::image(format, &levels, size, Bits::Eight, &path)?)?;
            }
            files::write_renamed(&path, &file)?;
            bytes += file.len() as u64;
        }
    }
    Ok(bytes)
}

/// The bytes of a site's images where all of them are there, from a run that was interrupted; they were whole when they
/// got their names.
fn bytes_of(config: &Config, folder: &Path, names: &[String]) -> Result<Option<u64>> {
    let mut bytes = 0;
    for name in names {
        if let Some(thumbnail) = layouts::thumbnail(config.layout, name)
            && !files::exists(&folder.join(thumbnail))?
        {
            return Ok(None);
        }
        match files::look_at(&folder.join(name))? {
            Some(found) if found.len() > 0 => bytes += found.len(),
            _ => return Ok(None),
        }
    }
    Ok(Some(bytes))
}

/// A quarter of an image's width and height, by means of its pixels.
fn reduced(levels: &[f32], size: u16) -> (Vec<f32>, u16) {
    const STEP: usize = 4;
    let (width, small) = (usize::from(size), usize::from(size) / STEP);
    let mean = |(y, x): (usize, usize)| {
        let rows = (0..STEP).map(|dy| &levels[(y * STEP + dy) * width + x * STEP..][..STEP]);
        rows.flatten().sum::<f32>() / (STEP * STEP) as f32
    };
    let reduced = (0..small).flat_map(|y| (0..small).map(move |x| (y, x))).map(mean).collect();
    (reduced, small as u16)
}
