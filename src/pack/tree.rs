//! From a raw tree to a store: joins source, statistics and store.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Instant, SystemTime};

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::files;
use crate::progress::Progress;
use crate::site::{ImageSize, PlateId};
use crate::source::{PlatePlan, Source, SourceConfig};
use crate::store::format::names::METADATA;
use crate::store::format::spec::{ALIGNMENT, Channel, DEFAULT_SITES_PER_SHARD, MAX_SITES_PER_SHARD, rxrx1_channels};
use crate::store::{
    Codec, Format, StoreSpec, StoreWriter, check_destination, in_its_format, refuse_other_classes, store_classes,
};

use super::cell_types::{self, Changing};
use super::config::{OnError, PackConfig};
use super::place::{check_counts, check_free_space, resolve};
use super::report::{FirstSite, HeldPlate, PackReport, Plan};
use super::thread_group::in_pool;
use super::{pipeline, resume};

/// Raw pixels that a shard holds at most where `--sites-per-shard` is not given: 77 sites of RxRx1.
const DEFAULT_SHARD_BYTES: usize = DEFAULT_SITES_PER_SHARD as usize * 6 * 512 * 512;

/// Source, settings and what is left to do.
struct Prepared {
    source: Source,
    spec: StoreSpec,
    plan: Plan,
    /// Indices of the plates to pack.
    to_pack: Vec<(usize, resume::Todo)>,
    /// What proves the sources of plates that are done.
    proofs: Vec<resume::Proof>,
    rejected_before: u64,
}

/// See [`super::plan`].
pub(super) fn plan(config: &PackConfig) -> Result<(Plan, Vec<Fault>)> {
    let Prepared { source, mut plan, to_pack, .. } = in_pool(config.threads, || prepare(config, SystemTime::now()))??;
    let mut faults = source.unplaced.clone();
    for plate in to_pack.iter().map(|&(i, _)| &source.plates[i]) {
        faults.extend(plate.faults.iter().cloned());
        faults.extend(plate.sites.iter().filter_map(|site| plate.missing_channel(site)));
        faults.extend(source.sample_headers(plate));
    }
    faults.sort();
    let ids = || to_pack.iter().map(|&(i, _)| &source.plates[i].id);
    plan.held.extend(Changing::of(&config.dst, &ids().collect())?.held(ids()));
    // Without the plates that faults keep out of the store, as `pack` does.
    let is_refused =
        |id: &PlateId| config.on_error == OnError::Fail && faults.iter().any(|fault| fault.plate.as_ref() == Some(id));
    for (i, todo) in to_pack {
        let id = &source.plates[i].id;
        if !is_refused(id) {
            plan.held.extend(HeldPlate::of(id, todo.lost, &faults, true));
        }
    }
    Ok((plan, faults))
}

/// See [`super::pack`].
pub(super) fn pack(config: &PackConfig, progress: &(dyn Fn(Progress) + Sync)) -> Result<PackReport> {
    pack_at(config, SystemTime::now(), Instant::now(), progress)
}

fn pack_at(
    config: &PackConfig,
    now: SystemTime,
    start: Instant,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<PackReport> {
    let Prepared { source, spec, plan, to_pack, proofs, rejected_before } =
        in_pool(config.threads, || prepare(config, now))??;
    check_free_space(&config.dst, plan.estimated_bytes)?;
    progress(Progress::Planned(plan.sites_to_pack));
    // Only a store that was finished once has it, and it stays while others change the store.
    let was_finished = files::exists(&config.dst.join(METADATA))?;
    let writer = StoreWriter::open(&config.dst, spec.clone(), source.classes.clone(), config.changes())?;
    proofs.iter().for_each(resume::Proof::note);
    let mut plates: Vec<(&PlatePlan, &resume::Todo)> =
        to_pack.iter().map(|(i, todo)| (&source.plates[*i], todo)).collect();
    writer.refuse_foreign(&plates.iter().map(|(plate, _)| &plate.id).collect())?;
    let held_back = in_pool(config.threads, || cell_types::hold_back(config, &source, &spec, &plates))??;
    plates.retain(|(plate, _)| !held_back.experiments.contains(&plate.id.experiment));
    let mut packed = pipeline::run(config, &source, &spec, &writer, &plates, progress)?;
    packed.faults.extend(source.unplaced.iter().cloned());
    packed.faults.extend(held_back.faults);
    packed.kept.extend(held_back.kept);
    let mut report = PackReport::of(plan, packed, rejected_before);
    let planned: Vec<PlateId> = source.plates.iter().map(|plate| plate.id.clone()).collect();
    report.finish(config, &writer, &planned, was_finished)?;
    writer.close()?;
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// `now` is the time at which the source is looked at.
fn prepare(config: &PackConfig, now: SystemTime) -> Result<Prepared> {
    let source = Source::open(&with_classes_of_the_store(config)?)?;
    if let Some(Fault { file, detail, .. }) = source.unreadable.first() {
        return Err(Error::refused(source.root.join(file).display(), "a folder or file that can be read", detail));
    }
    let spec = StoreSpec {
        format: Format::LATEST,
        present_only: config.source.present_only,
        channels: channel_names(config, &source)?,
        size: source.size,
        dtype: source.dtype,
        codec: config.codec_of(source.dtype)?,
        sites_per_shard: 1,
    };
    let spec = StoreSpec { sites_per_shard: sites_per_shard(config, spec.site_bytes())?, ..spec };
    let spec = in_its_format(&config.dst, &spec)?;
    check_counts(
        &spec,
        source.plates.iter().map(|plate| (&plate.id, plate.sites.len(), Some(plate.longest_folder()))),
    )?;
    check_destination(&config.dst, &spec, &source.classes, config.changes())?;
    if config.source.classes.is_some() {
        refuse_other_classes(&config.dst, &source.classes)?;
    }
    check_apart(&config.source.root, &config.dst)?;
    let mine: Vec<usize> = (0..source.plates.len()).filter(|&i| config.partition.has(i)).collect();
    let states: Vec<resume::State> = mine
        .par_iter()
        .map(|&i| resume::look_at(config, &source, &spec, &source.plates[i], now))
        .collect::<Result<_>>()?;
    let (mut to_pack, mut proofs) = (Vec::new(), Vec::new());
    let (mut plates_done, mut rejected_before, mut source_bytes) = (0, 0, 0);
    for (&i, state) in mine.iter().zip(states) {
        match state {
            resume::State::Done { n_rejected, proof } => {
                plates_done += 1;
                rejected_before += n_rejected;
                proofs.extend(proof);
            }
            resume::State::ToPack(todo) => {
                source_bytes += todo.source_bytes;
                to_pack.push((i, todo));
            }
        }
    }
    let sites_to_pack = to_pack.iter().map(|(i, _)| source.plates[*i].sites.len() as u64).sum();
    let ImageSize { height, width } = source.size;
    let plan = Plan {
        layout: source.layout.name(),
        source_codec: None,
        channels: source.n_channels,
        size: [height, width],
        dtype: source.dtype.name(),
        site_bytes: spec.site_bytes() as u64,
        first_site: to_pack.iter().find_map(|&(i, _)| FirstSite::of(&source.plates[i], &spec.channels, source.colour)),
        classes: source.classes.rows().len(),
        plates: source.plates.len(),
        plates_done,
        plates_to_pack: to_pack.len(),
        sites_to_pack,
        source_bytes,
        estimated_bytes: estimate(&spec, sites_to_pack, source_bytes),
        labelled_wells: Some(source.labelled_wells),
        labels: source.labels.clone(),
        absent: config.source.present_only.then_some(source.absent),
        other_files: source.other_files.clone(),
        unusual: source.unusual.clone(),
        held: Vec::new(),
    };
    Ok(Prepared { source, spec, plan, to_pack, proofs, rejected_before })
}

/// What is to be read where classes are to be added: by the classes that the store has, and then more.
fn with_classes_of_the_store(config: &PackConfig) -> Result<SourceConfig> {
    let mut source = config.source.clone();
    source.add_classes |= config.add_classes;
    if config.add_classes && source.classes.is_none() {
        source.known_classes = store_classes(&config.dst, config.changes())?;
    }
    Ok(source)
}

/// What the channels show: what the user says, or what the layout does; else their numbers in file names.
fn channel_names(config: &PackConfig, source: &Source) -> Result<Vec<Channel>> {
    let stains = rxrx1_channels();
    let names = &config.channel_names;
    if names.is_empty() {
        let are_stains = source.is_rxrx1() && source.n_channels == stains.len();
        let told = source.channel_names().into_iter().map(|name| Channel::plain(&name));
        return Ok(if are_stains { stains } else { told.collect() });
    }
    let distinct: BTreeSet<&String> = names.iter().collect();
    let are_plain = names.iter().all(|name| Channel::plain(name).is_plain());
    if names.len() != source.n_channels || distinct.len() != names.len() || !are_plain {
        let expected = format!("{} different names, one a channel", source.n_channels);
        return Err(Error::refused("--channel-names", expected, names.join(",")));
    }
    let named = |name: &String| {
        let stain = stains.iter().find(|stain| stain.name == *name);
        stain.cloned().unwrap_or_else(|| Channel::plain(name))
    };
    Ok(names.iter().map(named).collect())
}

fn sites_per_shard(config: &PackConfig, site_bytes: usize) -> Result<u32> {
    match config.sites_per_shard {
        None => Ok(((DEFAULT_SHARD_BYTES / site_bytes) as u32).clamp(1, DEFAULT_SITES_PER_SHARD)),
        Some(n) if (1..=MAX_SITES_PER_SHARD).contains(&n) => Ok(n),
        Some(n) => Err(Error::refused("--sites-per-shard", format!("1 to {MAX_SITES_PER_SHARD}"), n)),
    }
}

/// Bytes of the store. PNGs of real plates take 0.28 of raw, zstd 0.36 to 0.43 (level 9 to 1): at most 1.55 times as
/// much, and never more than raw. Wave takes less than they do, but for what small sites cost at least.
fn estimate(spec: &StoreSpec, n_sites: u64, source_bytes: u64) -> u64 {
    let raw = n_sites * (spec.site_bytes() as u64).next_multiple_of(ALIGNMENT);
    match spec.codec {
        Codec::Raw => raw,
        Codec::Zstd(_) => raw.min(source_bytes * 31 / 20),
        Codec::Wave(_) => raw.min(source_bytes + n_sites * spec.least_site_bytes()),
    }
}

/// Refuses a source that lies in the destination: a store has nothing in it that is not its own.
fn check_apart(src: &Path, dst: &Path) -> Result<()> {
    if resolve(src)?.starts_with(resolve(dst)?) {
        return Err(Error::refused("--dst", "a folder that does not hold the source", dst.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    use tempfile::TempDir;

    use crate::simulate::{self, simulate};

    const IMAGE: &str = "data/train/HUVEC-01/Plate1/B02_s1_w1.png";

    /// A tree of one plate, packed as if it was so many seconds from now.
    fn packed(later: u64) -> (TempDir, PackConfig) {
        let dir = tempfile::tempdir().unwrap();
        let cell_types = vec!["HUVEC:1".parse().unwrap()];
        let small =
            simulate::Config { cell_types, n_plates: 1, n_wells: 3, n_sirnas: 2, size: 16, ..Default::default() };
        let root = dir.path().join("data");
        simulate(&simulate::Config { n_channels: 2, n_test_experiments: 0, ..small }, &root, &|_| {}).unwrap();
        let config = PackConfig { codec: Some(Codec::Raw), ..PackConfig::new(&root, &dir.path().join("store")) };
        pack_at(&config, in_seconds(later), Instant::now(), &|_| {}).unwrap();
        (dir, config)
    }

    fn in_seconds(later: u64) -> SystemTime {
        SystemTime::now() + Duration::from_secs(later)
    }

    /// Whether the plate is done, and whether its images had to be hashed to know that: then the list's time was set.
    fn look(config: &PackConfig, now: SystemTime) -> (bool, bool) {
        let Prepared { plan, proofs, .. } = prepare(config, now).unwrap();
        proofs.iter().for_each(resume::Proof::note);
        (plan.plates_to_pack == 0, !proofs.is_empty())
    }

    /// Changes an image to another of the same size, and puts its old time back.
    fn change(dir: &TempDir) {
        let path = dir.path().join(IMAGE);
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
        files::set_modified(&path, time).unwrap();
    }

    /// Copies the store without its times, as `cp -r` does.
    fn copy(dir: &TempDir, config: &PackConfig) -> PackConfig {
        let dst = dir.path().join("copy");
        fs::create_dir_all(&dst).unwrap();
        for found in files::walk(&config.dst, 1..=9, files::Links::Keep) {
            let found: PathBuf = found.unwrap().path;
            let to = dst.join(found.strip_prefix(&config.dst).unwrap());
            if found.is_dir() {
                fs::create_dir_all(to).unwrap();
            } else {
                fs::copy(&found, to).unwrap();
            }
        }
        PackConfig { dst, ..config.clone() }
    }

    #[test]
    fn an_untouched_store_is_known_by_times_alone() {
        let (_dir, config) = packed(10);
        assert_eq!(look(&config, in_seconds(20)), (true, false));
        assert_eq!(look(&config, in_seconds(0)), (true, false), "whatever the clock says");
    }

    #[test]
    fn images_that_were_new_when_they_were_packed_are_hashed_once() {
        let (_dir, config) = packed(0);
        assert_eq!(look(&config, in_seconds(10)), (true, true));
        assert_eq!(look(&config, in_seconds(20)), (true, false));
    }

    #[test]
    fn a_change_after_a_store_was_packed_by_a_clock_that_was_ahead_is_seen() {
        let (dir, config) = packed(100_000);
        change(&dir);
        assert_eq!(look(&config, in_seconds(200_000)), (false, false));
    }

    #[test]
    fn a_store_that_was_copied_without_its_times_is_compared_by_content() {
        let (dir, config) = packed(10);
        let copied = copy(&dir, &config);
        assert_eq!(look(&copied, in_seconds(20)), (true, true));
        assert_eq!(look(&copied, in_seconds(30)), (true, false));
        change(&dir);
        let again = copy(&dir, &config);
        assert_eq!(look(&again, in_seconds(40)), (false, false), "the copy is newer than the change");
    }

    #[test]
    fn images_that_are_told_to_be_others_are_packed_again_though_no_file_changed() {
        let (_dir, mut config) = packed(10);
        config.source.layout = None;
        config.source.without_labels = true;
        config.dst = config.dst.join("../told");
        for (pattern, is_done) in [("s{site}_w{channel}", true), ("s{channel}_w{site}", false)] {
            let pattern = format!("{{experiment}}/{{plate}}/{{well}}_{pattern}.png");
            config.source.pattern = Some(pattern.parse().unwrap());
            if is_done {
                pack_at(&config, in_seconds(10), Instant::now(), &|_| {}).unwrap();
            }
            assert_eq!(look(&config, in_seconds(20)), (is_done, false), "{pattern}");
        }
    }

    #[test]
    fn an_image_from_the_future_is_hashed_every_time() {
        let (dir, config) = packed(10);
        files::set_modified(&dir.path().join(IMAGE), in_seconds(100_000)).unwrap();
        assert_eq!(look(&config, in_seconds(20)), (true, true));
        assert_eq!(look(&config, in_seconds(30)), (true, true));
    }
}
