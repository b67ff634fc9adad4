//! From store to store: the same bytes as packing the PNGs would give, at any number of threads, in parts, after any
//! interruption; what is damaged is named to the site and left out, and the source is never touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Instant, SystemTime};

use crate::common::{Fixture, TreeSpec, assert_same, contents, small, stderr, stdout, tool, write_png};
use cellshard::Error;
use cellshard::fault::FaultKind;
use cellshard::pack::{OnError, PackConfig, PackReport, Progress, pack, plan};
use cellshard::source::{Layout, SourceConfig};
use cellshard::store::format::manifest::{self, Entry};
use cellshard::store::{Codec, Store};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const PLATE: &str = "RPE-02/Plate1";
const SHARD: &str = "pixels.zarr/RPE-02/Plate1/c/1/0/0/0";

/// Packs the PNGs into a folder of the fixture.
fn pack_pngs(fixture: &Fixture, dst: &str, codec: Codec, sites_per_shard: u32) -> PathBuf {
    let dst = fixture.path().join(dst);
    let sites_per_shard = Some(sites_per_shard);
    let config = PackConfig { dst: dst.clone(), codec, sites_per_shard, on_error: OnError::Skip, ..fixture.config() };
    assert!(pack(&config, &|_| {}).unwrap().finished);
    dst
}

/// From `fixture.store()` to another folder of the fixture, with the source's shard size.
fn config(fixture: &Fixture, dst: &str, codec: Codec) -> PackConfig {
    PackConfig {
        source: SourceConfig { root: fixture.store(), ..SourceConfig::default() },
        dst: fixture.path().join(dst),
        codec,
        sites_per_shard: None,
        ..fixture.config()
    }
}

fn run(config: &PackConfig) -> PackReport {
    pack(config, &|_| {}).unwrap()
}

fn times(root: &Path) -> BTreeMap<String, SystemTime> {
    let time = |name: String| {
        let modified = fs::metadata(root.join(&name)).unwrap().modified().unwrap();
        (name, modified)
    };
    contents(root).into_keys().map(time).collect()
}

#[test]
fn a_transcoded_store_is_the_one_that_packing_the_pngs_would_make() {
    let fixture = Fixture::kaggle(small());
    let (raw, zstd) = (Codec::Raw, Codec::Zstd);
    for (i, (from, to)) in [(raw, zstd(3)), (zstd(3), raw), (zstd(1), zstd(9)), (raw, raw)].into_iter().enumerate() {
        for (shard_size, new_size) in [(5, None), (5, Some(4)), (5, Some(77)), (12, Some(1))] {
            let src = pack_pngs(&fixture, &format!("from-{i}-{shard_size}"), from, shard_size);
            let direct = pack_pngs(&fixture, &format!("{i}-{shard_size}-{new_size:?}"), to, new_size.unwrap_or(5));
            for threads in [1, 8] {
                let mut config = PackConfig { threads, sites_per_shard: new_size, ..config(&fixture, "", to) };
                config.source.root.clone_from(&src);
                config.dst = fixture.path().join(format!("to-{i}-{shard_size}-{new_size:?}-{threads}"));
                let report = run(&config);
                assert!(report.finished && report.faults.is_empty());
                assert_eq!((report.plates_packed, report.sites_packed), (4, 48));
                assert_same(&direct, &config.dst);
            }
        }
    }
}

#[test]
fn what_was_left_out_and_plates_with_no_site_are_carried_over() {
    let fixture = Fixture::kaggle(small());
    for well in ["B02_s1", "B04_s2", "AA02_s2"] {
        fs::write(fixture.image(&format!("train/HEPG2-01/Plate1/{well}_w2.png")), b"broken").unwrap();
    }
    for well in &fixture.spec.wells {
        for site in [1, 2] {
            fs::write(fixture.image(&format!("test/RPE-02/Plate2/{well}_s{site}_w1.png")), b"broken").unwrap();
        }
    }
    let src = pack_pngs(&fixture, "store", Codec::Zstd(3), 5);
    assert!(!src.join("pixels.zarr/RPE-02/Plate2").exists());
    let direct = pack_pngs(&fixture, "direct", Codec::Raw, 5);
    let report = run(&config(&fixture, "raw", Codec::Raw));
    assert!(report.finished && report.faults.is_empty());
    assert_eq!((report.plates_packed, report.sites_packed, report.rejected_before), (4, 33, 15));
    assert_same(&direct, &fixture.path().join("raw"));
    let again = run(&config(&fixture, "raw", Codec::Raw));
    assert_eq!((again.plan.plates_done, again.plates_packed, again.rejected_before), (4, 0, 15));
}

#[test]
fn parts_complete_each_other() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let direct = pack_pngs(&fixture, "direct", Codec::Raw, 5);
    let part = |part: &str| PackConfig { partition: part.parse().unwrap(), ..config(&fixture, "raw", Codec::Raw) };
    let first = run(&part("1/2"));
    assert_eq!((first.plates_packed, first.finished, first.waiting_for.len()), (2, false, 2));
    let second = run(&part("2/2"));
    assert_eq!((second.plates_packed, second.finished), (2, true));
    assert_same(&direct, &fixture.path().join("raw"));
}

#[test]
fn a_part_of_the_plates_can_be_asked_for_and_others_added() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let direct = pack_pngs(&fixture, "direct", Codec::Raw, 5);
    let mut of = config(&fixture, "raw", Codec::Raw);
    of.source.experiments = vec!["RPE-02".into()];
    let report = run(&of);
    assert_eq!((report.plan.plates, report.plates_packed, report.finished), (2, 2, true));
    of.source.experiments.clear();
    of.source.plates = vec!["HEPG2-01/2".parse().unwrap()];
    assert_eq!(run(&of).plates_packed, 1);
    of.source.plates.clear();
    let report = run(&of);
    assert_eq!((report.plan.plates_done, report.plates_packed), (3, 1));
    assert_same(&direct, &of.dst);
    of.source.experiments = vec!["RPE-2".into()];
    let error = pack(&of, &|_| {}).unwrap_err().to_string();
    assert_eq!(error, "--experiments: expected some of HEPG2-01,RPE-02, found RPE-2");
}

#[test]
fn a_rerun_does_nothing_and_mends_what_was_lost_or_altered() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let direct = pack_pngs(&fixture, "direct", Codec::Raw, 5);
    let config = config(&fixture, "raw", Codec::Raw);
    run(&config);
    let before = times(&config.dst);
    let again = run(&config);
    assert_eq!((again.plan.plates_done, again.plates_packed, again.finished), (4, 0, true));
    assert_eq!(times(&config.dst), before, "nothing is written where nothing is to be done");

    let cut = |name: &str| {
        let path = config.dst.join(name);
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
    };
    let flip = |name: &str| {
        let path = config.dst.join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[30] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let remove = |name: &str| fs::remove_file(config.dst.join(name)).unwrap();
    let listing = |name: &str| format!("plates/{PLATE}/{name}");
    for harm in [
        &(|| cut(SHARD)) as &dyn Fn(),
        &|| remove(SHARD),
        &|| flip(&listing("sites.csv")),
        &|| flip(&listing("comoments.csv")),
        &|| remove(&listing("files.sha256")),
        &|| flip(&format!("pixels.zarr/{PLATE}/zarr.json")),
    ] {
        harm();
        assert_eq!(run(&config).plates_packed, 1);
        assert_same(&direct, &config.dst);
    }
    flip(SHARD);
    assert_eq!(run(&config).plates_packed, 0, "sizes are right");
    assert_eq!(run(&PackConfig { rehash: true, ..config.clone() }).plates_packed, 1);
    assert_same(&direct, &config.dst);
}

#[test]
fn a_plate_that_was_packed_anew_is_transcoded_anew() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let config = config(&fixture, "raw", Codec::Raw);
    run(&config);
    write_png(&fixture.image(&format!("test/{PLATE}/B03_s2_w1.png")), (12, 10), &[7; 120]);
    assert_eq!(fixture.pack().plates_packed, 1);
    assert_eq!(run(&config).plates_packed, 1);
    assert_same(&pack_pngs(&fixture, "direct", Codec::Raw, 5), &config.dst);
}

#[test]
fn the_pngs_find_all_done_in_a_transcoded_store() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let config = config(&fixture, "raw", Codec::Raw);
    // Changed after it was packed and before the store was transcoded: only the time that was carried over tells.
    write_png(&fixture.image(&format!("test/{PLATE}/B03_s2_w1.png")), (12, 10), &[1; 120]);
    let image = fixture.image(&format!("test/{PLATE}/B03_s2_w1.png"));
    let size = fs::metadata(&image).unwrap().len();
    fixture.pack();
    write_png(&image, (12, 10), &[2; 120]);
    assert_eq!(fs::metadata(&image).unwrap().len(), size, "the size does not tell");
    run(&config);
    for (name, time) in times(&fixture.store()).into_iter().filter(|(name, _)| name.ends_with("sources.sha256")) {
        assert_eq!(fs::metadata(config.dst.join(&name)).unwrap().modified().unwrap(), time, "{name}");
    }
    let pngs = PackConfig { dst: config.dst.clone(), codec: Codec::Raw, ..fixture.config() };
    let report = run(&pngs);
    assert_eq!((report.plan.layout, report.plan.plates_done, report.plates_packed), ("kaggle", 3, 1));
    let report = run(&pngs);
    assert_eq!((report.plan.plates_done, report.plates_packed, report.finished), (4, 0, true));
}

#[test]
fn a_dry_run_knows_what_a_run_would_do_and_writes_nothing() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let config = config(&fixture, "raw", Codec::Raw);
    let (plan_of, faults) = plan(&config).unwrap();
    assert_eq!((plan_of.layout, plan_of.source_codec.as_deref()), ("store", Some("zstd:3")));
    assert_eq!((plan_of.plates_to_pack, plan_of.sites_to_pack, plan_of.estimated_bytes), (4, 48, 48 * 4096));
    assert_eq!((plan_of.channels, plan_of.size, plan_of.classes), (2, [10, 12], 6));
    let shards =
        contents(&fixture.store()).into_iter().filter(|(name, _)| name.contains("Plate") && name.contains("/c/"));
    assert_eq!(plan_of.source_bytes, shards.map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
    assert!(faults.is_empty() && !config.dst.exists());
    fs::remove_file(fixture.store().join(format!("plates/{PLATE}/histogram.csv"))).unwrap();
    let (plan_of, faults) = plan(&config).unwrap();
    assert_eq!((plan_of.plates_to_pack, plan_of.sites_to_pack), (4, 36));
    assert_eq!(faults.len(), 1);
}

/// Harms `PLATE` of the source and expects these faults (kind, site, part of the message), the other three plates done,
/// the source as it was, and the rest done once the source is mended.
fn check_damage(codec: Codec, file: &str, harm: impl Fn(&Path), expected: &[(FaultKind, Option<&str>, &str)]) {
    let fixture = Fixture::kaggle(small());
    let src = pack_pngs(&fixture, "store", codec, 5);
    let direct = pack_pngs(&fixture, "direct", Codec::Zstd(9), 4);
    let whole = fs::read(src.join(file)).unwrap();
    harm(&src.join(file));
    let before = (contents(&src), times(&src));
    for threads in [1, 4] {
        let config = PackConfig {
            threads,
            sites_per_shard: Some(4),
            ..config(&fixture, &format!("to-{threads}"), Codec::Zstd(9))
        };
        let report = run(&config);
        let found: Vec<(FaultKind, Option<String>)> = report
            .faults
            .iter()
            .map(|fault| (fault.kind, fault.well.map(|well| format!("{well}_s{}", fault.site.unwrap()))))
            .collect();
        let wanted: Vec<(FaultKind, Option<String>)> =
            expected.iter().map(|&(kind, site, _)| (kind, site.map(str::to_owned))).collect();
        assert_eq!(found, wanted, "{file}");
        for (fault, (_, _, says)) in report.faults.iter().zip(expected) {
            assert_eq!((fault.plate.to_string().as_str(), fault.file.as_str()), (PLATE, file));
            assert!(fault.to_string().contains(says), "{says:?} not in {fault}");
            assert!(fault.detail.contains("expected ") && fault.detail.contains(", found "), "{fault}");
        }
        assert!(report.has_faults() && !report.finished, "{file}");
        assert_eq!((report.plates_packed, report.sites_packed), (3, 36), "{file}: whole plates are kept");
        assert!(matches!(Store::open(&config.dst), Err(Error::Unfinished { .. })), "{file}");
        for part in ["plates", "pixels.zarr"] {
            assert!(!config.dst.join(part).join(PLATE).exists(), "{file}");
        }
        assert!((contents(&src), times(&src)) == before, "{file}: the source is as it was");
    }
    fs::write(src.join(file), whole).unwrap();
    let config = PackConfig { sites_per_shard: Some(4), ..config(&fixture, "to-1", Codec::Zstd(9)) };
    let report = run(&config);
    assert_eq!((report.plan.plates_done, report.plates_packed, report.finished), (3, 1, true), "{file}");
    assert_same(&direct, &config.dst);
}

fn flip(at: usize) -> impl Fn(&Path) {
    move |path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    }
}

/// The sites of `SHARD`, the second of its plate.
const OF_SHARD: [&str; 5] = ["B04_s2", "C03_s1", "C03_s2", "C07_s1", "C07_s2"];

#[test]
fn a_flipped_bit_is_traced_to_its_site() {
    let site = |says| [(FaultKind::DamagedSite, Some("B04_s2"), says)];
    check_damage(Codec::Zstd(3), SHARD, flip(9), &site("site B04_s2: expected chunk crc32c "));
    check_damage(Codec::Raw, SHARD, flip(9), &site("site B04_s2: expected crc32c "));
    let two = |path: &Path| {
        flip(9)(path);
        flip(2 * 4096 + 5)(path);
    };
    let says = "expected crc32c ";
    let kind = FaultKind::DamagedSite;
    check_damage(Codec::Raw, SHARD, two, &[(kind, Some("B04_s2"), says), (kind, Some("C03_s2"), says)]);
}

#[test]
fn a_shard_cut_short_lost_or_without_its_index_names_all_of_its_sites() {
    let all = |says| OF_SHARD.map(|site| (FaultKind::DamagedSite, Some(site), says));
    for codec in [Codec::Raw, Codec::Zstd(3)] {
        let cut = |path: &Path| fs::File::options().write(true).open(path).unwrap().set_len(100).unwrap();
        check_damage(codec, SHARD, cut, &all("bytes, found 100"));
        check_damage(codec, SHARD, |path| fs::remove_file(path).unwrap(), &all("found none"));
        let folder = |path: &Path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        };
        check_damage_of_folder(codec, folder);
        let index = |path: &Path| flip(fs::metadata(path).unwrap().len() as usize - 20)(path);
        check_damage(codec, SHARD, index, &all("expected index crc32c "));
    }
}

/// A folder where a shard should be cannot be written over by the test's mending, so only the faults are looked at.
fn check_damage_of_folder(codec: Codec, harm: impl Fn(&Path)) {
    let fixture = Fixture::kaggle(small());
    let src = pack_pngs(&fixture, "store", codec, 5);
    harm(&src.join(SHARD));
    let report = run(&config(&fixture, "to", Codec::Zstd(9)));
    assert_eq!((report.faults.len(), report.plates_packed), (5, 3), "{:?}", report.faults);
}

#[test]
fn each_file_of_a_listing_is_proven() {
    let lists = ["sites.csv", "pixel_stats.csv", "histogram.csv", "comoments.csv", "rejected.csv", "sources.sha256"];
    for name in lists {
        let file = format!("plates/{PLATE}/{name}");
        let altered = [(FaultKind::DamagedListing, None, "expected SHA-256 ")];
        check_damage(Codec::Zstd(3), &file, flip(20), &altered);
    }
    let sites = format!("plates/{PLATE}/sites.csv");
    let lost = [(FaultKind::DamagedListing, None, "found none")];
    check_damage(Codec::Zstd(3), &sites, |path| fs::remove_file(path).unwrap(), &lost);
    let cut = |path: &Path| fs::write(path, "").unwrap();
    check_damage(Codec::Zstd(3), &sites, cut, &[(FaultKind::DamagedListing, None, "bytes, found 0")]);
    let own = format!("plates/{PLATE}/files.sha256");
    check_damage(Codec::Zstd(3), &own, flip(20), &[(FaultKind::DamagedListing, None, "expected SHA-256 ")]);
    check_damage(Codec::Zstd(3), &own, |path| fs::remove_file(path).unwrap(), &lost);
}

/// Edits a file of `PLATE`'s listing and seals all lists anew, as if it had been packed like this.
fn forge(root: &Path, name: &str, edit: impl Fn(&str) -> String) {
    let file = format!("plates/{PLATE}/{name}");
    let own = format!("plates/{PLATE}/files.sha256");
    let edited = edit(&fs::read_to_string(root.join(&file)).unwrap());
    fs::write(root.join(&file), &edited).unwrap();
    let reseal = |list: &str, changed: Entry| {
        let entries = manifest::parse(&fs::read_to_string(root.join(list)).unwrap(), list).unwrap();
        let with_size = |old: Entry| {
            if old.path == changed.path { Entry { size: old.size.and(changed.size), ..changed.clone() } } else { old }
        };
        let text = manifest::format(&entries.into_iter().map(with_size).collect::<Vec<_>>());
        fs::write(root.join(list), &text).unwrap();
        text
    };
    if name != "files.sha256" {
        reseal(&own, Entry::of(&file, edited.as_bytes()));
    }
    let list = fs::read(root.join(&own)).unwrap();
    let sums = reseal("SHA256SUMS", Entry::of(&own, &list));
    assert!(sums.contains(&Entry::of(&own, &list).sha.to_string()));
}

/// From the text of a file to another.
type Edit<'a> = &'a dyn Fn(&str) -> String;

#[test]
fn a_listing_that_lies_under_good_checksums_is_refused() {
    let replace = |from: &'static str, to: &'static str| {
        move |text: &str| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        }
    };
    let drop_line = |n: usize| {
        move |text: &str| {
            text.lines().enumerate().filter(|&(i, _)| i != n).map(|(_, line)| format!("{line}\n")).collect::<String>()
        }
    };
    let other_crc = |text: &str| {
        let line = text.lines().nth(1).unwrap();
        let crc = line.rsplit_once(',').unwrap().1;
        text.replacen(crc, "00c0ffee", 1)
    };
    let reseal = |text: &str| {
        let entries = manifest::parse(text, "x").unwrap();
        let kept: Vec<Entry> = entries.into_iter().filter(|file| file.path != SHARD).collect();
        manifest::format(&kept)
    };
    let lies: [(&str, Edit<'_>, &str); 10] = [
        ("sites.csv", &other_crc, "damaged-site: site B02_s1: expected crc32c 00c0ffee, found "),
        ("sites.csv", &replace("Plate1,1,", "Plate1,2,"), "expected row 1 of RPE-02/Plate1, found row 2"),
        ("sites.csv", &drop_line(3), "expected row 2 of RPE-02/Plate1, found row 3"),
        ("sites.csv", &replace(",1138,RPE", ",4711,RPE"), "expected a class of classes.csv, found 4711"),
        ("sites.csv", &drop_line(12), "c/2/0/0/0: damaged-site: site AA02_s1: expected 1 chunks, found a chunk 1"),
        ("sites.csv", &replace("negative_control", "positive_control"), "histogram.csv: negative_control, channel 1"),
        ("histogram.csv", &drop_line(1), "expected "),
        ("pixel_stats.csv", &drop_line(1), "expected one row a site and channel, in order, found others"),
        ("rejected.csv", &replace("plate", "plaid"), "rejected.csv: damaged-listing: expected "),
        ("files.sha256", &reseal, "files.sha256: damaged-listing: expected a line of pixels.zarr/RPE-02/Plate1/c/1"),
    ];
    for (name, lie, says) in lies {
        let fixture = Fixture::kaggle(small());
        fixture.pack();
        forge(&fixture.store(), name, lie);
        let report = run(&config(&fixture, "raw", Codec::Raw));
        assert_eq!((report.plates_packed, report.finished), (3, false), "{name}: {says}");
        let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
        assert!(faults.len() == 1 && faults[0].contains(says), "{name}: {says:?} not in {faults:?}");
    }
}

#[test]
fn nothing_is_taken_from_a_store_whose_own_documents_are_damaged_or_that_is_not_finished() {
    let check = |harm: &dyn Fn(&Path), says: &str| {
        let fixture = Fixture::kaggle(small());
        fixture.pack();
        harm(&fixture.store());
        let config = config(&fixture, "raw", Codec::Raw);
        let error = pack(&config, &|_| {}).unwrap_err();
        assert!(error.is_data_fault() && error.to_string().contains(says), "{says:?} not in {error}");
        assert!(!config.dst.exists());
    };
    check(&|store| flip(20)(&store.join("classes.csv")), "classes.csv: expected SHA-256");
    check(&|store| flip(20)(&store.join("pixels.zarr/zarr.json")), "pixels.zarr/zarr.json: expected SHA-256");
    check(&|store| fs::remove_file(store.join("classes.csv")).unwrap(), "found none");
    check(&|store| flip(20)(&store.join("SHA256SUMS")), "SHA256SUMS: expected ");
    check(&|store| fs::remove_file(store.join("SHA256SUMS")).unwrap(), "expected a finished store");
    check(&|store| fs::remove_dir_all(store.join("pixels.zarr")).unwrap(), "found none");
}

#[test]
fn flags_of_trees_and_folders_in_each_other_are_refused() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let before = contents(&fixture.store());
    let check = |change: &dyn Fn(&mut PackConfig), says: &str| {
        let mut config = config(&fixture, "raw", Codec::Raw);
        change(&mut config);
        for error in [pack(&config, &|_| {}).map(drop).unwrap_err(), plan(&config).map(drop).unwrap_err()] {
            assert!(matches!(error, Error::Refused { .. }) && error.to_string().contains(says), "{error}");
        }
    };
    let path = Some(fixture.data());
    check(
        &|config| config.source.metadata.clone_from(&path),
        "--metadata: expected a tree of PNGs as --src, found a store",
    );
    check(&|config| config.source.classes.clone_from(&path), "--classes: ");
    check(&|config| config.source.known_partial.clone_from(&path), "--known-partial: ");
    check(&|config| config.source.channels = Some(2), "--channels: ");
    check(&|config| config.source.layout = Some(Layout::Bare), "--layout: ");
    check(&|config| config.on_error = OnError::Skip, "--on-error skip: ");
    check(&|config| config.sites_per_shard = Some(0), "--sites-per-shard: expected 1 to ");
    let apart = "--dst: expected a folder apart from that of the source";
    check(&|config| config.dst = fixture.store(), apart);
    check(&|config| config.dst = fixture.store().join("a/b"), apart);
    check(&|config| config.dst = fixture.path().to_owned(), apart);
    let link = fixture.path().join("link");
    std::os::unix::fs::symlink(fixture.store(), &link).unwrap();
    check(&|config| config.dst.clone_from(&link), apart);
    check(&|config| config.dst = link.join("new"), apart);
    let inner = fixture.path().join("inner");
    fs::create_dir(&inner).unwrap();
    std::os::unix::fs::symlink(fixture.store().join("plates"), inner.join("plates")).unwrap();
    check(&|config| config.dst.clone_from(&inner), apart);

    pack_pngs(&fixture, "other", Codec::Zstd(1), 5);
    check(
        &|config| config.dst = fixture.path().join("other"),
        "--codec of the store that is there already: expected zstd:1",
    );
    let other = Fixture::rxrx_ai(small());
    other.pack();
    check(
        &|config| (config.codec, config.dst) = (Codec::Zstd(3), other.store()),
        "classes of the source: expected those of the store",
    );
    assert!(contents(&fixture.store()) == before);
}

#[test]
fn a_panic_reaches_the_caller() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let config = PackConfig { threads: 4, ..config(&fixture, "raw", Codec::Raw) };
    let panics = |progress| assert!(matches!(progress, Progress::Planned(_)), "on purpose");
    assert!(std::panic::catch_unwind(|| pack(&config, &panics)).is_err());
    assert!(run(&config).finished);
    assert_same(&pack_pngs(&fixture, "direct", Codec::Raw, 5), &config.dst);
}

/// The program, from `store` to another folder of the fixture.
fn command(fixture: &Fixture, dst: &str, flags: &[&str]) -> Command {
    let mut command = tool("pack");
    command.arg("--src").arg(fixture.store()).arg("--dst").arg(fixture.path().join(dst)).args(flags);
    command
}

fn output(fixture: &Fixture, dst: &str, flags: &[&str]) -> Output {
    command(fixture, dst, flags).output().unwrap()
}

fn check_output(output: &Output, code: i32, says: &[&str]) {
    let all = stdout(output) + &stderr(output);
    assert_eq!(output.status.code(), Some(code), "{all}");
    for text in says {
        assert!(all.contains(text), "{text:?} not in {all}");
    }
}

#[test]
fn the_program_reports_as_it_does_of_pngs() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let dry = output(&fixture, "raw", &["--codec", "raw", "--dry-run"]);
    check_output(&dry, 0, &["store of zstd:3, 2 x 10 x 12 pixels", "to pack    4 plates, 48 sites from ", "of shards"]);
    let done = output(&fixture, "raw", &["--codec", "raw"]);
    check_output(&done, 0, &["plates     4\n", "packed     4 plates, 48 sites: ", "sites/s", "raw is finished"]);
    check_output(&output(&fixture, "raw", &["--codec", "raw"]), 0, &["4 done before", "nothing: all is done"]);
    let json = stdout(&output(&fixture, "again", &["--codec", "raw", "--json", "--partition", "1/3"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["plan"]["source_codec"], &json["plates_packed"]), (&"zstd:3".into(), &2.into()));
    assert_eq!(json["waiting_for"].as_array().unwrap().len(), 2);
    check_output(&output(&fixture, "x", &["--metadata", "/"]), 2, &["--metadata: expected a tree of PNGs"]);
    check_output(&output(&fixture, "x", &["--on-error", "skip"]), 2, &["--on-error skip: expected a tree of PNGs"]);
    check_output(&output(&fixture, "store", &[]), 2, &["--dst: expected a folder apart"]);

    flip(9)(&fixture.store().join(SHARD));
    fs::remove_file(fixture.store().join("plates/HEPG2-01/Plate2/sites.csv")).unwrap();
    let list = fixture.path().join("faults.csv");
    let damaged = output(&fixture, "damaged", &["--codec", "raw", "--faults", list.to_str().unwrap()]);
    check_output(
        &damaged,
        1,
        &[
            "damaged-site: 1 site on 1 plate",
            &format!("{SHARD}: damaged-site: site B04_s2: expected chunk crc32c "),
            "damaged-listing: 1 file on 1 plate",
            "plates/HEPG2-01/Plate2/sites.csv: damaged-listing: expected the file that the list names, found none",
            "damaged is not finished: 2 plates left out",
            "verify of the source lists it",
        ],
    );
    let lines = fs::read_to_string(list).unwrap();
    assert!(lines.contains("HEPG2-01/Plate2,,,damaged-listing,") && lines.contains("Plate1,B04,2,damaged-site,"));
    fs::remove_file(fixture.store().join("SHA256SUMS")).unwrap();
    check_output(&output(&fixture, "x", &[]), 1, &["expected a finished store, found no SHA256SUMS"]);
}

/// Large enough that transcoding takes a while: 3 x 2 plates of 12 sites of 3 x 96 x 96.
fn large() -> Fixture {
    let experiments = vec![("HEPG2-01", "train"), ("RPE-02", "test"), ("U2OS-03", "train")];
    Fixture::kaggle(TreeSpec { experiments, channels: 3, size: (96, 96), ..small() })
}

#[test]
fn killed_at_random_moments_it_ends_in_the_same_store() {
    let fixture = large();
    fixture.pack();
    let direct = pack_pngs(&fixture, "direct", Codec::Zstd(15), 5);
    let flags = ["--codec", "zstd:15", "--threads", "2"];
    let transcode = |dst: &str| {
        let mut command = command(&fixture, dst, &flags);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let start = Instant::now();
    assert!(transcode("timed").status().unwrap().success());
    let duration = start.elapsed();
    let mut rng = SmallRng::seed_from_u64(9);
    let mut n_killed = 0;
    for round in 0..80 {
        let dst = format!("killed-{round}");
        let mut child = transcode(&dst).spawn().unwrap();
        // Not to wait for something, but to kill at another moment each time.
        std::thread::sleep(duration.mul_f64(rng.random_range(0.0..1.0)));
        child.kill().unwrap();
        n_killed += usize::from(!child.wait().unwrap().success());
        assert!(transcode(&dst).status().unwrap().success(), "round {round}");
        assert_same(&direct, &fixture.path().join(&dst));
        fs::remove_dir_all(fixture.path().join(dst)).unwrap();
        if n_killed == 10 {
            return;
        }
    }
    panic!("only {n_killed} of 80 were still running when they were killed");
}

#[test]
fn processes_that_transcode_into_the_same_store_at_once_do_not_hurt_each_other() {
    let fixture = large();
    fixture.pack();
    let direct = pack_pngs(&fixture, "direct", Codec::Raw, 5);
    let mut children: Vec<_> =
        (0..3).map(|_| command(&fixture, "raw", &["--codec", "raw"]).stdout(Stdio::null()).spawn().unwrap()).collect();
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    assert_same(&direct, &fixture.path().join("raw"));
}

#[test]
fn a_full_disk_ends_the_run_at_any_number_of_threads_and_the_rerun_completes() {
    let fixture = large();
    fixture.pack();
    let (src, dst) = (fixture.store(), fixture.path().join("raw"));
    for threads in [1, 2, 4] {
        // A limit on the size of files stands in for a full disk; a run that hangs is ended with exit code 124.
        let script = format!(
            "trap '' XFSZ; ulimit -f 100; exec timeout 20 {} --src {} --dst {} --codec raw --threads {threads}",
            env!("CARGO_BIN_EXE_pack"),
            src.display(),
            dst.display()
        );
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        check_output(&output, 2, &["cannot write", "File too large"]);
        assert!(!dst.exists(), "nothing half-written stays");
    }
    check_output(&output(&fixture, "raw", &["--codec", "raw"]), 0, &["is finished"]);
    assert_same(&pack_pngs(&fixture, "direct", Codec::Raw, 5), &dst);
}
