//! The program `pack` from store to store: what it says, and which flags it refuses.

use std::fs;

use cellshard::Error;
use cellshard::pack::{OnError, PackConfig, pack, plan};
use cellshard::source::Layout;
use cellshard::store::Codec;

use super::{SHARD, check_output, config, flip, output, pack_pngs};
use crate::common::{Fixture, contents, small, stdout};

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
        &|config| (config.codec, config.dst) = (Some(Codec::Zstd(3)), other.store()),
        "classes of the source: expected those of the store",
    );
    assert!(contents(&fixture.store()) == before);
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
    assert_eq!(json["waiting_for"]["n"], 2);
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
            &format!("{SHARD}: damaged-site: site RPE-02/1/B04/2: expected chunk crc32c "),
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
