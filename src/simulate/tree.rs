//! Writing the tree: folders, one PNG a channel, CSVs last. Owns paths and the PNG encoding; decides nothing about
//! what is in an image.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::files;
use crate::site::{Experiment, Plate, PlateId, Population, WellId};

use super::batch::{Batch, batches};
use super::biology::{Biology, Effect, Strength};
use super::cells::{Scene, Scratch, render};
use super::config::{Config, Layout, Report};
use super::dice::{self, Dice};
use super::labels::{self, LabelledWell};
use super::plates::{Content, maps};
use super::textures::Textures;

/// One well to render: its label, its cells, its plate.
struct Job {
    label: LabelledWell,
    biology: Biology,
    batch: Batch,
    folder: PathBuf,
}

pub(super) fn write(config: &Config, dst: &Path, progress: &(dyn Fn(u64) + Sync)) -> Result<Report> {
    create_empty(dst)?;
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
    let png_bytes = AtomicU64::new(0);
    // One set of buffers a thread for the whole run; no lock is ever waited for.
    let scratches: Vec<Mutex<Scratch>> = (0..pool.current_num_threads()).map(|_| Mutex::default()).collect();
    pool.install(|| {
        jobs.par_iter().with_max_len(1).try_for_each(|job| {
            let thread = rayon::current_thread_index().expect("the pool runs this");
            let mut scratch = scratches[thread].lock().unwrap_or_else(PoisonError::into_inner);
            let bytes = write_well(config, job, &textures, &mut scratch)?;
            png_bytes.fetch_add(bytes, Ordering::Relaxed);
            progress(config.n_sites.into());
            Ok(())
        })
    })?;
    let labels: Vec<LabelledWell> = jobs.into_iter().map(|job| job.label).collect();
    labels::write(config, dst, &labels)?;
    let (wells, sites) = (labels.len() as u64, config.total_sites());
    let images = sites * u64::from(config.n_channels);
    let plates = wells / u64::from(config.n_wells);
    Ok(Report {
        experiments: plates / u64::from(config.n_plates),
        plates,
        wells,
        sites,
        images,
        raw_bytes: images * u64::from(config.size).pow(2),
        png_bytes: png_bytes.into_inner(),
    })
}

/// Creates the folder, or accepts an empty one.
fn create_empty(dst: &Path) -> Result<()> {
    files::create_dirs(dst)?;
    match files::walk(dst, 1..=1, files::Links::Keep).next().transpose()? {
        None => Ok(()),
        Some(found) => {
            let found = found.path.file_name().unwrap_or_default().display().to_string();
            Err(Error::refused(dst.display(), "a folder that is new or empty", found))
        }
    }
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
    for cell_type in &cell_types {
        let untreated = Biology::of_cell_type(&cell_type.name);
        let n_test = if cell_type.n_experiments > 1 { config.n_test_experiments } else { 0 };
        for number in 1..=cell_type.n_experiments {
            let name = format!("{}-{number:02}", cell_type.name);
            let experiment: Experiment = name.parse().expect("a checked name and two digits make an experiment");
            let dataset = if number + n_test > cell_type.n_experiments { "test" } else { "train" };
            let plates = maps.next().expect("a map for every experiment");
            let batches = batches.next().expect("a batch for every experiment");
            for (plate, (map, batch)) in (1..).zip(plates.into_iter().zip(batches)) {
                let plate = PlateId { experiment: experiment.clone(), plate: Plate::from(plate) };
                let folder = folder(config.layout, dst, dataset, &plate);
                jobs.extend(map.into_iter().map(|content| Job {
                    biology: untreated.under(&effect(config.seed, content, &cell_type.name)),
                    batch: batch.clone(),
                    folder: folder.clone(),
                    label: LabelledWell { id: WellId { plate: plate.clone(), well: content.well }, content, dataset },
                }));
            }
        }
    }
    jobs
}

fn effect(seed: u64, content: Content, cell_type: &str) -> Effect {
    let strength = match content.population {
        Population::Treatment => Strength::Treatment,
        Population::PositiveControl => Strength::PositiveControl,
        Population::NegativeControl | Population::Unknown => return Effect::NONE,
    };
    Effect::of_class(seed, content.class, cell_type, strength)
}

fn folder(layout: Layout, dst: &Path, dataset: &str, plate: &PlateId) -> PathBuf {
    let root = match layout {
        Layout::Kaggle2019 | Layout::Kaggle2023 => dst.join(dataset),
        Layout::RxrxAi => dst.join("images"),
        Layout::Bare => dst.to_owned(),
    };
    root.join(plate.experiment.as_str()).join(plate.plate.folder())
}

/// Renders and writes all sites of a well; returns the bytes written.
fn write_well(config: &Config, job: &Job, textures: &Textures, scratch: &mut Scratch) -> Result<u64> {
    let scene = Scene {
        biology: &job.biology,
        batch: &job.batch,
        size: config.size.into(),
        channels: config.n_channels.into(),
    };
    let id = &job.label.id;
    let mut bytes = 0;
    for site in 1..=config.n_sites {
        let well = u64::from(id.well.row()) << 16 | u64::from(id.well.column());
        let plate = id.plate.plate.number().map_or_else(|| dice::key(id.plate.plate.as_str()), u64::from);
        let keys = [dice::key(id.plate.experiment.as_str()), plate, well, site.into()];
        let pixels = render(&scene, textures, &mut Dice::new(config.seed, &keys), scratch);
        for (channel, plane) in (1..).zip(pixels.chunks_exact(scene.size * scene.size)) {
            let path = job.folder.join(format!("{}_s{site}_w{channel}.png", id.well));
            let png = encode(plane, config.size).map_err(Error::io(&path, "encode"))?;
            files::write(&path, &png)?;
            bytes += png.len() as u64;
        }
    }
    Ok(bytes)
}

/// The level that packs a real site to within 5 % of RxRx1's own files; higher ones take longer and gain little. The
/// `png` crate's own settings are either much slower or leave the files larger.
const DEFLATE_LEVEL: i32 = 5;

/// A grey 8-bit PNG. Every row uses the Paeth filter, as nearly all of RxRx1's rows do.
fn encode(pixels: &[u8], size: u16) -> std::io::Result<Vec<u8>> {
    let filtered = paeth(pixels, size.into());
    let level = libdeflater::CompressionLvl::new(DEFLATE_LEVEL).expect("a level that libdeflate has");
    let mut compressor = libdeflater::Compressor::new(level);
    let mut packed = vec![0; compressor.zlib_compress_bound(filtered.len())];
    let n = compressor.zlib_compress(&filtered, &mut packed).expect("the buffer is as large as the bound");
    let mut png = Vec::with_capacity(n + 100);
    let mut encoder = png::Encoder::new(&mut png, size.into(), size.into());
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_chunk(png::chunk::IDAT, &packed[..n])?;
    writer.finish()?;
    Ok(png)
}

/// Rows as PNG stores them: the filter's number, then each pixel less what its neighbours foretell (PNG
/// specification, 9.4).
fn paeth(pixels: &[u8], width: usize) -> Vec<u8> {
    let mut filtered = Vec::with_capacity(pixels.len() + pixels.len() / width);
    let none = vec![0; width];
    let mut above: &[u8] = &none;
    for row in pixels.chunks_exact(width) {
        filtered.extend([4, row[0].wrapping_sub(above[0])]);
        let neighbours = row.windows(2).zip(above.windows(2));
        filtered.extend(neighbours.map(|(here, above)| {
            let (a, b, c) = (i16::from(here[0]), i16::from(above[1]), i16::from(above[0]));
            let (pa, pb, pc) = ((b - c).abs(), (a - c).abs(), (a + b - 2 * c).abs());
            let foretold = match () {
                () if pa <= pb && pa <= pc => a,
                () if pb <= pc => b,
                () => c,
            };
            here[1].wrapping_sub(foretold as u8)
        }));
        above = row;
    }
    filtered
}
