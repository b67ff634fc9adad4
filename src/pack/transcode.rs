//! From a store to a store of another codec or shard size, with no PNG. What a plate's listing says is carried over as
//! it is, once its checksums prove it; pixels are decoded, proven site by site, and encoded anew. So the result is,
//! byte by byte, the store that packing the PNGs would have made. Never writes into the source.

mod origin;
mod work;

use std::collections::{BTreeSet, HashSet};
use std::time::Instant;

use origin::{Origin, Plate};
use rayon::prelude::*;

use crate::error::{Error, Result, unless_damaged};
use crate::fault::Fault;
use crate::files;
use crate::progress::Progress;
use crate::site::{ImageSize, PlateId};
use crate::source::Plane;
use crate::store::format::manifest::Entry;
use crate::store::format::names::{FILES, METADATA, PIXELS, PLATES, array_document_path};
use crate::store::format::spec::{ALIGNMENT, MAX_SITES_PER_SHARD};
use crate::store::read::listing::read_list;
use crate::store::read::proof::{Depth, are_whole};
use crate::store::write::held::{Lost, lost_by};
use crate::store::{Codec, StoreSpec, StoreWriter, check_destination, in_its_format, shard_path};
use crate::wave::Mode;

use super::cell_types::Changing;
use super::config::{OnError, PackConfig};
use super::place::{check_counts, check_free_space, resolve};
use super::report::{HeldPlate, PackReport, Plan};
use super::thread_group::in_pool;

/// Source, settings and what is left to do.
struct Prepared {
    origin: Origin,
    spec: StoreSpec,
    plan: Plan,
    /// All plates that were asked for.
    planned: Vec<PlateId>,
    /// Those of this partition that are not done, and whose listing is whole.
    to_pack: Vec<Plate>,
    /// What is wrong with the listings of others.
    faults: Vec<Fault>,
    /// Rows that the plates that are done left out when they were packed from PNGs.
    rejected_before: u64,
}

/// What is to be done for one plate.
enum State {
    Done(Plate),
    /// And what the destination holds of it and the source does not.
    ToPack(Plate, Lost),
    Damaged(Vec<Fault>),
}

/// See [`super::plan`].
pub(super) fn plan(config: &PackConfig) -> Result<(Plan, Vec<Fault>)> {
    let Prepared { plan, mut faults, .. } = in_pool(config.threads, || prepare(config))??;
    faults.sort();
    Ok((plan, faults))
}

/// See [`super::pack`].
pub(super) fn transcode(config: &PackConfig, progress: &(dyn Fn(Progress) + Sync)) -> Result<PackReport> {
    let start = Instant::now();
    let Prepared { origin, spec, plan, planned, to_pack, faults, rejected_before } =
        in_pool(config.threads, || prepare(config))??;
    check_free_space(&config.dst, plan.estimated_bytes)?;
    progress(Progress::Planned(plan.sites_to_pack));
    let was_finished = files::exists(&config.dst.join(METADATA))?;
    let writer = StoreWriter::open(&config.dst, spec.clone(), origin.classes.clone(), config.changes())?;
    writer.refuse_foreign(&to_pack.iter().map(|plate| &plate.id).collect())?;
    let mut packed = work::run(config, &origin, &spec, &writer, &to_pack, progress)?;
    let damaged: HashSet<&PlateId> = packed.faults.iter().filter_map(|fault| fault.plate.as_ref()).collect();
    let carried = to_pack.iter().filter(|plate| !damaged.contains(&plate.id));
    let n_rejected = rejected_before + carried.map(|plate| plate.n_rejected).sum::<u64>();
    packed.faults.extend(faults);
    let mut report = PackReport::of(plan, packed, n_rejected);
    report.finish(config, &writer, &planned, was_finished)?;
    writer.close()?;
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

fn prepare(config: &PackConfig) -> Result<Prepared> {
    refuse_flags_of_trees(config)?;
    check_apart(config)?;
    let origin = Origin::open(&config.source.root)?;
    let sites_per_shard = config.sites_per_shard.unwrap_or(origin.spec.sites_per_shard);
    if !(1..=MAX_SITES_PER_SHARD).contains(&sites_per_shard) {
        return Err(Error::refused("--sites-per-shard", format!("1 to {MAX_SITES_PER_SHARD}"), sites_per_shard));
    }
    let spec = StoreSpec { codec: config.codec_of(origin.spec.dtype)?, sites_per_shard, ..origin.spec.clone() };
    let spec = in_its_format(&config.dst, &spec)?;
    check_destination(&config.dst, &spec, &origin.classes, config.changes())?;
    let ids: BTreeSet<&PlateId> = origin.plates.keys().collect();
    let planned = config.source.select(&ids)?;
    let mine: Vec<&PlateId> = (0..).zip(&planned).filter(|&(i, _)| config.partition.has(i)).map(|(_, id)| id).collect();
    let states: Vec<State> = mine.par_iter().map(|id| look_at(config, &origin, &spec, id)).collect::<Result<_>>()?;
    let (mut to_pack, mut faults, mut held) = (Vec::new(), Vec::new(), Vec::new());
    let (mut plates_done, mut rejected_before) = (0, 0);
    for state in states {
        match state {
            State::Done(plate) => {
                plates_done += 1;
                rejected_before += plate.n_rejected;
            }
            State::ToPack(plate, lost) => {
                held.extend(HeldPlate::of(&plate.id, lost, &[], true));
                to_pack.push(plate);
            }
            State::Damaged(found) => faults.extend(found),
        }
    }
    check_counts(&spec, to_pack.iter().map(|plate| (&plate.id, plate.sites.len(), None)))?;
    Changing::of(&config.dst, &to_pack.iter().map(|plate| &plate.id).collect())?.refuse_parted(&config.dst)?;
    let sites_to_pack = to_pack.iter().map(|plate| plate.sites.len() as u64).sum();
    let source_bytes = to_pack.iter().map(|plate| plate.shard_bytes(&origin.spec)).sum();
    let ImageSize { height, width } = spec.size;
    let plan = Plan {
        layout: "store",
        source_codec: Some(origin.spec.codec.to_string()),
        channels: spec.channels.len(),
        size: [height, width],
        dtype: spec.dtype.name(),
        site_bytes: spec.site_bytes() as u64,
        first_site: None,
        classes: origin.classes.rows().len(),
        plates: planned.len(),
        plates_done,
        plates_to_pack: mine.len() - plates_done,
        sites_to_pack,
        source_bytes,
        estimated_bytes: estimate(&origin.spec, &spec, sites_to_pack, source_bytes),
        labelled_wells: None,
        labels: None,
        absent: None,
        other_files: Vec::new(),
        unusual: Vec::new(),
        held,
    };
    Ok(Prepared { origin, spec, plan, planned, to_pack, faults, rejected_before })
}

/// A store brings its channels, labels and classes along, and what was left out of it was decided when it was packed.
fn refuse_flags_of_trees(config: &PackConfig) -> Result<()> {
    let source = &config.source;
    let of_labels = source.labels.given();
    let given = [
        ("--layout", source.layout.is_some()),
        ("--pattern", source.pattern.is_some()),
        ("--table", source.table.is_some()),
        ("--plane", source.plane != Plane::default()),
        ("--level", source.level.is_some()),
        ("--experiment", source.experiment.is_some()),
        ("--grey", source.takes_equal_rgb),
        ("--no-labels", source.without_labels),
        ("--present", source.present_only),
        ("--metadata", source.metadata.is_some()),
        (of_labels.unwrap_or_default(), of_labels.is_some()),
        ("--classes", source.classes.is_some()),
        ("--known-partial", source.known_partial.is_some()),
        ("--channels", source.channels.is_some()),
        ("--sites", source.sites.is_some()),
        ("--channel-names", !config.channel_names.is_empty()),
        ("--add-classes", config.add_classes),
        ("--on-error skip", config.on_error == OnError::Skip),
    ];
    match given.into_iter().find(|&(_, given)| given) {
        Some((flag, _)) => {
            Err(Error::refused(flag, "a tree of PNGs as --src", format!("a store, {}", source.root.display())))
        }
        None => Ok(()),
    }
}

/// Refuses a destination that is the source, or in it, or around it, or that reaches into it by a link.
fn check_apart(config: &PackConfig) -> Result<()> {
    let src = resolve(&config.source.root)?;
    for dst in [config.dst.clone(), config.dst.join(PIXELS), config.dst.join(PLATES)] {
        let real = resolve(&dst)?;
        if real.starts_with(&src) || src.starts_with(&real) {
            return Err(Error::refused("--dst", "a folder apart from that of the source", dst.display()));
        }
    }
    Ok(())
}

fn look_at(config: &PackConfig, origin: &Origin, spec: &StoreSpec, id: &PlateId) -> Result<State> {
    Ok(match origin.plate(id) {
        Err(faults) => State::Damaged(faults),
        Ok((plate, _)) if is_done(config, spec, &plate)? => State::Done(plate),
        Ok((plate, listing)) => {
            let lost = lost_by(&config.dst, spec, &listing)?;
            State::ToPack(plate, lost)
        }
    })
}

/// Whether a plate is in the destination: its listing is that of the source, and the files of its array are there.
fn is_done(config: &PackConfig, spec: &StoreSpec, plate: &Plate) -> Result<bool> {
    let Some(files) = unless_damaged(read_list(&config.dst, &plate.id, FILES))? else { return Ok(false) };
    let n_sites = plate.sites.len();
    let document = (n_sites > 0).then(|| Entry::of(array_document_path(&plate.id), &spec.plate_document(n_sites)));
    let carried: Vec<&Entry> = plate.listing_files().chain(document.as_ref()).collect();
    let n_shards = spec.n_shards(n_sites);
    let names: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let depth = if config.rehash { Depth::Content } else { Depth::Size };
    Ok(files.len() == carried.len() + n_shards
        && (0..n_shards).all(|shard| names.contains(shard_path(&plate.id, shard).as_str()))
        && carried.iter().all(|file| files.contains(file))
        && are_whole(&config.dst, carried, Depth::Content)?
        && are_whole(&config.dst, &files, depth)?)
}

/// Bytes of the new shards. Of the raw pixels of real plates, zstd leaves 0.36 (level 9) to 0.43 (level 1).
fn estimate(from: &StoreSpec, to: &StoreSpec, n_sites: u64, source_bytes: u64) -> u64 {
    let raw = n_sites * (to.site_bytes() as u64).next_multiple_of(ALIGNMENT);
    match (from.codec, to.codec) {
        (_, Codec::Raw) => raw,
        (Codec::Raw, Codec::Zstd(_) | Codec::Wave(_)) => raw / 2,
        (Codec::Zstd(_), Codec::Zstd(_)) | (Codec::Wave(Mode::Small), Codec::Wave(_)) => raw.min(source_bytes * 5 / 4),
        (Codec::Wave(_), Codec::Zstd(_)) => raw.min(source_bytes * 5 / 2),
        (Codec::Zstd(_) | Codec::Wave(Mode::Fast), Codec::Wave(_)) => {
            raw.min(source_bytes + n_sites * to.least_site_bytes())
        }
    }
}
