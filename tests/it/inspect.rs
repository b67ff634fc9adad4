//! The program `inspect`: what it says of a store, what it draws, and what it refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Output;

use cellshard::inspect::sheet::Replicates;
use cellshard::store::Store;
use serde_json::Value;

use crate::common::{Fixture, JsonPage, TreeSpec, label, site_pixels, small, stderr, stdout, tool, write_png};

fn inspect(store: &Path, flags: &[&str]) -> Output {
    tool("inspect").arg(store).args(flags).output().unwrap()
}

fn packed(spec: TreeSpec) -> Fixture {
    let fixture = Fixture::kaggle(spec);
    fixture.pack();
    fixture
}

/// A picture, row by row.
fn picture(path: &Path) -> (usize, Vec<[u8; 3]>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(fs::read(path).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    (reader.info().width as usize, pixels.as_chunks::<3>().0.to_vec())
}

/// The data that a page carries.
fn page_data(folder: &Path) -> Value {
    let page = fs::read_to_string(folder.join("index.html")).unwrap();
    let (_, rest) = page.split_once("type=\"application/json\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn the_summary_counts_what_the_tables_have() {
    let fixture = packed(TreeSpec { channels: 6, ..small() });
    let mut page = JsonPage::of(&["inspect"]);
    for by in ["cell-type", "experiment", "plate"] {
        let out = inspect(&fixture.store(), &["--json", "--by", by]);
        assert!(out.status.success(), "{}", stderr(&out));
        let report = page.check(&stdout(&out));
        let store = Store::open(&fixture.store()).unwrap();
        let mut wells: BTreeMap<String, &str> = BTreeMap::new();
        for site in store.sites() {
            wells.insert(site.id.well.to_string(), site.label.population.name());
        }
        assert_eq!(report["total"]["sites"], store.sites().len());
        assert_eq!(report["total"]["wells"], wells.len());
        for (population, key) in [("negative_control", "negative_controls"), ("treatment", "treatments")] {
            let n = wells.values().filter(|of| **of == population).count();
            assert_eq!((&report["total"][key], &report["populations"][population]["wells"]), (&n.into(), &n.into()));
        }
        let groups = report["groups"].as_array().unwrap();
        assert_eq!(groups.len(), if by == "plate" { store.plates().len() } else { 2 }, "{report}");
        let sum: u64 = groups.iter().map(|group| group["wells"].as_u64().unwrap()).sum();
        assert_eq!(sum, wells.len() as u64);
        assert_eq!(report["raw_bytes"], store.sites().len() * store.spec().site_bytes());
    }
    fs::remove_file(fixture.store().join("pixels.zarr/RPE-02/Plate1/c/0/0/0/0")).unwrap();
    page.check(&stdout(&inspect(&fixture.store(), &["--json"])));
    page.check_all_were_printed();
    let out = inspect(&fixture.store(), &[]);
    let text = stdout(&out);
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(text.contains("not whole: 1 file missing") && text.contains("RPE-02/Plate1/c/0/0/0/0"), "{text}");
}

#[test]
fn a_store_that_is_not_finished_is_told_as_far_as_it_is_there() {
    let fixture = packed(small());
    for name in ["SHA256SUMS", "metadata.csv", "plates/RPE-02/Plate2/files.sha256"] {
        fs::remove_file(fixture.store().join(name)).unwrap();
    }
    let out = inspect(&fixture.store(), &["--json"]);
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((out.status.code(), &report["finished"]), (Some(1), &false.into()));
    assert_eq!(report["total"]["plates"], 3, "{report}");
    let out = inspect(&fixture.store(), &["--site", "RPE-02/1/B02/1", "--out", "x.png"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(stderr(&out).contains("found no SHA256SUMS"), "{}", stderr(&out));
    let out = inspect(fixture.path(), &[]);
    assert_eq!(out.status.code(), Some(2), "no store: {}", stderr(&out));
}

#[test]
fn a_site_is_drawn_as_its_pixels_are() {
    let spec = TreeSpec { channels: 2, size: (40, 36), ..small() };
    let fixture = packed(spec);
    let out = fixture.path().join("site.png");
    let flags = ["--site", "RPE-02/2/C03/2", "--contrast", "0-255", "--out", out.to_str().unwrap()];
    let printed = inspect(&fixture.store(), &flags);
    assert!(printed.status.success(), "{}", stderr(&printed));
    let (width, found) = picture(&out);
    let pixels = site_pixels(&fixture.spec, "RPE-02", 2, "C03", 2);
    let (w, h) = (fixture.spec.size.0 as usize, fixture.spec.size.1 as usize);
    // The first tile is at column 12 and row 34, the next one 8 pixels behind it.
    let tile = |i: usize, x: usize, y: usize| found[(34 + y) * width + 12 + i * (w + 8) + x];
    for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
        let [a, b] = [0, 1].map(|channel| pixels[channel * w * h + y * w + x]);
        assert_eq!((tile(0, x, y), tile(1, x, y)), ([a; 3], [b; 3]), "{x} {y}");
        // Blue and green, the usual colours of channels without one, do not share their light.
        assert_eq!(tile(2, x, y), [0, b, a], "{x} {y}");
    }
    let narrow = ["--site", "RPE-02/2/C03/2", "--tile", "32", "--out", out.to_str().unwrap()];
    assert!(inspect(&fixture.store(), &narrow).status.success());
    assert!(picture(&out).0 < width);
    let controls = ["--site", "RPE-02/2/C03/2", "--contrast", "controls", "--out", out.to_str().unwrap()];
    assert!(inspect(&fixture.store(), &controls).status.success());
}

/// A tree of two experiments with one treatment, whose images differ by light alone: twice as bright and 10 levels more.
fn two_lights() -> Fixture {
    let spec =
        TreeSpec { experiments: vec![("RPE-01", "train"), ("RPE-02", "train")], plates: 1, size: (64, 64), ..small() };
    let fixture = Fixture::kaggle(spec);
    for well in &fixture.spec.wells {
        for (site, channel) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let seed = well.bytes().map(usize::from).sum::<usize>() + 31 * site + 7 * channel;
            let level = |i: usize, gain: usize, offset: usize| (offset + gain * ((i * i + seed * i) % 61)) as u8;
            for (experiment, gain, offset) in [("RPE-01", 1, 20), ("RPE-02", 2, 50)] {
                let pixels: Vec<u8> = (0..64 * 64).map(|i| level(i / 8, gain, offset)).collect();
                let name = format!("train/{experiment}/Plate1/{well}_s{site}_w{channel}.png");
                write_png(&fixture.image(&name), (64, 64), &pixels);
            }
        }
    }
    fixture.pack();
    fixture
}

#[test]
fn replicates_that_differ_by_light_alone_look_the_same_once_they_are_normalised() {
    let fixture = two_lights();
    let store = Store::open(&fixture.store()).unwrap();
    let treatment = store.sites().iter().find(|site| site.label.population.name() == "treatment").unwrap();
    let out = fixture.path().join("sheet.png");
    let name = treatment.label.sirna.to_string();
    let differs = |scheme: &str| {
        let flags = ["--sheet", &name, "--normalize", scheme, "--tile", "64", "--out", out.to_str().unwrap()];
        let printed = inspect(&fixture.store(), &flags);
        assert!(printed.status.success(), "{}", stderr(&printed));
        let (width, found) = picture(&out);
        let n = store.sites().iter().filter(|site| *site.label.sirna == *name && site.id.site == 1).count();
        let tile = |i: usize, at: usize| found[(36 + 30 + at / 64) * width + 12 + i * 76 + at % 64];
        let half = n / 2;
        let most = (0..64 * 64).map(|at| {
            let [a, b] = [tile(0, at), tile(half, at)];
            (0..3).map(|c| a[c].abs_diff(b[c])).max().unwrap()
        });
        most.max().unwrap()
    };
    assert!(differs("none") > 60);
    assert!(differs("site") <= 6 && differs("plate") <= 6, "{} {}", differs("site"), differs("plate"));
}

#[test]
fn a_plate_map_shows_each_well_where_it_is() {
    let fixture = packed(small());
    let out = inspect(&fixture.store(), &["--plate", "RPE-02/2"]);
    let text = stdout(&out);
    let row = |name: &str| text.lines().find(|line| line.trim_start().split(' ').next() == Some(name)).unwrap();
    for well in &fixture.spec.wells {
        let mark = match label(well).1 {
            "negative_control" => 'n',
            "positive_control" => 'p',
            _ => '·',
        };
        let (name, column) = well.split_at(well.len() - 2);
        let column: usize = column.parse().unwrap();
        // Three characters a column, behind the three of the row's name.
        assert_eq!(row(name).chars().nth(3 + 3 * column - 1), Some(mark), "{well}\n{text}");
    }
    let png = fixture.path().join("map.png");
    for colour in ["population", "treatment", "control", "mean", "std", "median", "focus", "saturated", "damage"] {
        let flags =
            ["--plate", "RPE-02/1,RPE-02/2", "--colour", colour, "--channel", "2", "--out", png.to_str().unwrap()];
        let printed = inspect(&fixture.store(), &flags);
        assert!(printed.status.success(), "{colour}: {}", stderr(&printed));
        assert!(picture(&png).0 > 400);
        assert!(inspect(&fixture.store(), &flags[..6]).status.success());
    }
}

#[test]
fn damage_is_shown_in_the_wells_that_have_it() {
    let fixture = packed(small());
    let shard = fixture.store().join("pixels.zarr/RPE-02/Plate2/c/0/0/0/0");
    let mut bytes = fs::read(&shard).unwrap();
    bytes[5] ^= 1;
    fs::write(&shard, bytes).unwrap();
    let out = inspect(&fixture.store(), &["--plate", "RPE-02/1,RPE-02/2", "--colour", "damage"]);
    let text = stdout(&out);
    let (whole, damaged) = text.split_once("RPE-02/2").unwrap();
    let map = damaged.split("· whole").next().unwrap();
    assert_eq!((out.status.code(), map.matches('×').count()), (Some(1), 1), "{text}");
    assert!(!whole.contains('×') && map.lines().any(|line| line.contains('×') && line.trim_start().starts_with('B')));
    let out = inspect(&fixture.store(), &["--html", fixture.path().join("page").to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(1), "{}", stderr(&out));
    let data = page_data(&fixture.path().join("page"));
    assert_eq!(data["damaged"].as_array().unwrap().len(), 1);
    assert_eq!(data["damaged"][0]["site"], "RPE-02/2/B02/1");
    let site = ["--site", "RPE-02/2/B02/1", "--out", "never.png"];
    assert_eq!(inspect(&fixture.store(), &site).status.code(), Some(1));
    assert!(!Path::new("never.png").exists());
}

#[test]
fn a_page_has_all_wells_and_the_sites_that_stand_out() {
    let fixture = two_lights();
    let at = |name: &str| fixture.image(&format!("train/RPE-02/Plate1/{name}"));
    write_png(&at("C03_s1_w2.png"), (64, 64), &[0; 64 * 64]);
    fixture.pack();
    let folder = fixture.path().join("a/page");
    let out = inspect(&fixture.store(), &["--html", folder.to_str().unwrap()]);
    assert!(out.status.success(), "{}", stderr(&out));
    let data = page_data(&folder);
    let store = Store::open(&fixture.store()).unwrap();
    let n_wells: u64 = data["plates"].as_array().unwrap().iter().map(|plate| plate["wells"].as_u64().unwrap()).sum();
    assert_eq!(n_wells * 2, store.sites().len() as u64);
    assert_eq!(data["experiments"].as_array().unwrap().len(), 2);
    let far = data["far"].as_array().unwrap();
    let dark = far.iter().find(|far| far["what"] == "dark").unwrap_or_else(|| panic!("{far:?}"));
    assert_eq!((&dark["site"], &dark["channel"]), (&"RPE-02/1/C03/1".into(), &1.into()), "{far:?}");
    assert!(dark["image"].as_str().unwrap().starts_with("data:image/jpeg;base64,"));
    let shares = |scheme: &str| {
        let all = data["schemes"].as_array().unwrap();
        all.iter().find(|one| one["name"] == scheme).unwrap()["between_experiments"][0].as_f64().unwrap()
    };
    assert!(shares("none") > 0.9 && shares("plate") < 0.01, "{} {}", shares("none"), shares("plate"));
    // Both experiments have one layout.
    assert_eq!(data["layouts"], serde_json::json!([[0, 1]]));
    let quick = fixture.path().join("quick");
    assert!(inspect(&fixture.store(), &["--html", quick.to_str().unwrap(), "--quick"]).status.success());
    let data = page_data(&quick);
    assert_eq!((&data["pixels"], &data["sheets"]), (&false.into(), &serde_json::json!([])));
    assert!(data["far"].as_array().unwrap().iter().all(|far| far["image"].is_null() && far["what"] == "dark"));
}

#[test]
fn a_page_is_the_same_by_any_number_of_threads() {
    let fixture = two_lights();
    let pages = ["1", "3"].map(|threads| {
        let folder = fixture.path().join(threads);
        let flags = ["--html", folder.to_str().unwrap(), "--threads", threads];
        assert!(inspect(&fixture.store(), &flags).status.success());
        fs::read(folder.join("index.html")).unwrap()
    });
    assert!(pages[0] == pages[1]);
}

#[test]
fn what_cannot_be_drawn_is_refused_and_leaves_nothing() {
    let fixture = packed(small());
    let png = fixture.path().join("x.png");
    let png = png.to_str().unwrap();
    for (flags, code, word) in [
        (&["--site", "RPE-02/2/C03/9", "--out", png][..], 2, "no site RPE-02/2/C03/9"),
        (&["--site", "RPE-02/2/C03", "--out", png], 2, "a site such as HEPG2-08/1/B02/1"),
        (&["--site", "RPE-02/2/C03/1"], 2, "--out"),
        (&["--site", "RPE-02/2/C03/1", "--out", png, "--contrast", "9-9"], 2, "two grey levels"),
        (&["--sheet", "nothing", "--out", png], 2, "a treatment of this store"),
        (&["--sheet", "1138", "--normalize", "plates", "--out", png], 2, "plate-controls"),
        (&["--plate", "RPE-02/7"], 2, "nearest: RPE-02/"),
        (&["--plate", "RPE-02/1", "--colour", "mean", "--channel", "w3"], 2, "1 to 2, or a name"),
        (&["--plate", "RPE-02/1", "--site", "RPE-02/2/C03/1"], 2, "cannot be used with"),
        (&["--out", png], 2, "required"),
        (&["--site", "RPE-02/2/C03/1", "--out", "/no/such/folder/x.png"], 2, "/no/such/folder"),
    ] {
        let out = inspect(&fixture.store(), flags);
        assert_eq!(out.status.code(), Some(code), "{flags:?} {}", stderr(&out));
        assert!(stderr(&out).contains(word), "{flags:?} {}", stderr(&out));
    }
    // In a store a page would be damage, and a picture could take the place of a table.
    let store = fixture.store();
    let (table, page) = (store.join("metadata.png"), store.join("plates/look"));
    for (flags, word) in [
        (["--plate", "RPE-02/1", "--out", table.to_str().unwrap()], "a place outside of a store"),
        (["--quick", "--html", page.to_str().unwrap(), "--threads=1"], "a place outside of a store"),
        (["--plate", "RPE-02/1", "--out", "map.jpg"], ".png"),
    ] {
        let out = inspect(&store, &flags);
        assert_eq!(out.status.code(), Some(2), "{flags:?} {}", stderr(&out));
        assert!(stderr(&out).contains(word), "{flags:?} {}", stderr(&out));
    }
    assert!(!table.exists() && !page.exists());
    assert!(tool("verify").arg(&store).output().unwrap().status.success());
    let runs = ["--runs", &old_run("run-0.1.0"), "--html", png];
    let out = inspect(&store, &runs);
    assert!(out.status.code() == Some(2) && stderr(&out).contains("the store that the runs learned from"));
    assert!(!Path::new(png).exists());
    let left: Vec<_> = fs::read_dir(fixture.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

/// A run folder of version 0.1.0, and one that was stopped.
fn old_run(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).display().to_string()
}

#[test]
fn runs_stand_side_by_side_with_their_best_epochs() {
    let (over, stopped) = (old_run("run-0.1.0"), old_run("run-0.1.0-stopped"));
    let out = tool("inspect").args(["--runs", &over, &stopped]).output().unwrap();
    let text = stdout(&out);
    assert!(out.status.success(), "{}", stderr(&out));
    let metrics = fs::read_to_string(Path::new(&over).join("metrics.csv")).unwrap();
    let head: Vec<&str> = metrics.lines().next().unwrap().split(',').collect();
    let at = |name: &str| head.iter().position(|column| *column == name).unwrap();
    let rows: Vec<Vec<&str>> = metrics.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let value = |row: &Vec<&str>, name: &str| row[at(name)].parse::<f64>().unwrap_or(f64::NAN);
    let best = |name: &str, sign: f64| {
        rows.iter().min_by(|a, b| (sign * value(a, name)).total_cmp(&(sign * value(b, name)))).unwrap()
    };
    let (loss, accuracy) = (best("val_loss", 1.0), best("val_accuracy_well", -1.0));
    let line: Vec<&str> =
        text.lines().find(|line| line.starts_with("run-0.1.0 ")).unwrap().split_whitespace().collect();
    assert_eq!(line[2], format!("{:.3}", value(loss, "val_loss")), "{text}");
    assert_eq!((line[3], line[5]), (loss[0], accuracy[0]), "{text}");
    assert_eq!(line[4], format!("{:.1}", 100.0 * value(accuracy, "val_accuracy_well")), "{text}");
    assert!(text.contains("1, not finished"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page");
    let flags = ["--runs", &over, &stopped, "--html", page.to_str().unwrap()];
    assert!(tool("inspect").args(flags).output().unwrap().status.success());
    let data = page_data(&page);
    assert_eq!(data["runs"][0]["best_loss"]["epoch"], loss[0].parse::<u64>().unwrap());
    assert_eq!((&data["runs"][0]["finished"], &data["runs"][1]["finished"]), (&true.into(), &false.into()));

    let none = tool("inspect").args(["--runs", folder.path().to_str().unwrap()]).output().unwrap();
    assert_eq!(none.status.code(), Some(2));
    assert!(stderr(&none).contains("a run folder"), "{}", stderr(&none));
}

#[test]
fn replicates_beyond_what_a_sheet_holds_are_spread_over_all_plates() {
    let names: Vec<String> = (0..9).map(|row| format!("{}08", char::from(b'B' + row))).collect();
    let wells: Vec<&'static str> = names.into_iter().map(|name| &*name.leak()).chain(["B02"]).collect();
    // A control beside them, as every tree has.
    let experiments = vec![("HEPG2-01", "train"), ("RPE-02", "train")];
    let spec = TreeSpec { experiments, wells, plates: 6, sites: 1, ..small() };
    let fixture = packed(spec);
    let store = Store::open(&fixture.store()).unwrap();
    let name = "9".to_owned();
    let mut all = Replicates::find(&store, &name).unwrap();
    assert_eq!((all.n_wells, all.sites.len()), (108, 96));
    all.spread(&store, 14);
    let plates: BTreeSet<_> = all.sites.iter().map(|&i| &store.sites()[i].id.well.plate).collect();
    assert_eq!((plates.len(), all.sites.len()), (12, 14), "each plate, and two of them twice");
    assert!(all.sites.is_sorted());
    all.spread(&store, 2);
    let experiments: BTreeSet<_> = all.sites.iter().map(|&i| &store.sites()[i].id.well.plate.experiment).collect();
    assert_eq!(experiments.len(), 2);
}
