//! Transcoding again, after the source or what was made of it changed, or only to see what there is to do.

use std::fs;

use cellshard::pack::{PackConfig, plan};
use cellshard::store::Codec;

use super::{PLATE, SHARD, config, pack_pngs, run, times};
use crate::common::{Fixture, assert_same, contents, small, write_png};

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
    let pngs = PackConfig { dst: config.dst.clone(), codec: Some(Codec::Raw), ..fixture.config() };
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
