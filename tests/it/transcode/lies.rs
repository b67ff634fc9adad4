//! Sources that lie under good checksums, or whose own documents cannot be trusted, are refused.

use std::fs;
use std::path::Path;

use cellshard::pack::pack;
use cellshard::store::Codec;
use cellshard::store::format::manifest::{self, Entry};

use super::{PLATE, SHARD, config, flip, run};
use crate::common::{Fixture, small};

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
        ("sites.csv", &other_crc, "damaged-site: site RPE-02/1/B02/1: expected crc32c 00c0ffee, found "),
        ("sites.csv", &replace("Plate1,1,", "Plate1,2,"), "expected row 1 of RPE-02/Plate1, found row 2"),
        ("sites.csv", &drop_line(3), "expected row 2 of RPE-02/Plate1, found row 3"),
        ("sites.csv", &replace(",1138,RPE", ",4711,RPE"), "expected a class of classes.csv, found 4711"),
        (
            "sites.csv",
            &drop_line(12),
            "c/2/0/0/0: damaged-site: site RPE-02/1/AA02/1: expected 1 chunks, found a chunk 1",
        ),
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
