//! What is known of a site stays, as its pixels do: labels, cell types, and that there is one.

use std::fs;

use cellshard::pack::{Held, OnError, PackConfig, pack, plan};
use cellshard::store::Store;

use crate::common::{Fixture, contents, copy_folder, small, stdout, tool};

const VICTIM: &str = "test/RPE-02/Plate1/B03_s2_w1.png";

#[test]
fn nothing_that_is_known_of_a_site_is_replaced_by_nothing() {
    let drop_column = |text: &str, column: &str| {
        let at = text.lines().next().unwrap().split(',').position(|name| name == column).unwrap();
        let without = |line: &str| {
            let cells = line.split(',').enumerate().filter(|(i, _)| *i != at).map(|(_, cell)| cell);
            cells.collect::<Vec<_>>().join(",") + "\n"
        };
        text.lines().map(without).collect::<String>()
    };
    // A cell type.
    let fixture = Fixture::rxrx_ai(small());
    let csv = fixture.image("metadata.csv");
    let with = fs::read_to_string(&csv).unwrap().replace(",HEPG2,", ",liver cells,");
    fs::write(&csv, &with).unwrap();
    fixture.pack();
    let whole = contents(&fixture.store());
    fs::write(&csv, drop_column(&with, "cell_type")).unwrap();
    let report = fixture.pack();
    let held: Vec<_> = report.kept.iter().map(|held| (held.what, held.sites.len(), held.reason)).collect();
    assert_eq!(held, [(Held::Labels, 12, "no-label"), (Held::Labels, 12, "no-label")]);
    assert!(report.kept.iter().all(|held| held.can_be_pruned));
    assert!(contents(&fixture.store()) == whole);
    // Dataset and kind of well, by a tree that knows nothing.
    let mut bare = Fixture::kaggle(small()).config();
    let known = Fixture::kaggle(small());
    known.pack();
    let whole = contents(&known.store());
    bare.dst = known.store();
    bare.source.root = known.data();
    bare.source.layout = Some(cellshard::source::Layout::Bare);
    bare.source.classes = Some(known.store().join("classes.csv"));
    assert_eq!(pack(&bare, &|_| {}).unwrap().kept.len(), 4);
    assert!(contents(&known.store()) == whole);
}

#[test]
fn a_label_stays_where_the_pixels_beside_it_are_damaged_and_losing_it_is_told_as_that() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let shard = fixture.store().join("pixels.zarr/HEPG2-01/Plate1/c/0/0/0/0");
    let mut bytes = fs::read(&shard).unwrap();
    let last = bytes.len() - 4;
    bytes[last] ^= 1;
    fs::write(&shard, bytes).unwrap();
    let mut run = tool("pack");
    run.arg("--src").arg(fixture.data()).arg("--dst").arg(fixture.store()).arg("--classes");
    run.arg(fixture.store().join("classes.csv")).args(["--layout", "bare", "--sites-per-shard", "5", "--rehash"]);
    let output = run.output().unwrap();
    let text = stdout(&output);
    assert!(output.status.code() == Some(1), "{text}");
    assert!(text.contains("HEPG2-01/Plate1: it would lose labels of 12 sites (no-label)"), "{text}");
    let output = run.arg("--prune").output().unwrap();
    assert!(stdout(&output).contains("the source no longer has labels of 12 sites"), "{}", stdout(&output));
}

#[test]
fn an_experiment_gets_another_cell_type_on_all_its_plates_or_on_none() {
    let csv = |fixture: &Fixture| fixture.image("metadata.csv");
    let changed = || {
        let fixture = Fixture::rxrx_ai(small());
        fixture.pack();
        let text = fs::read_to_string(csv(&fixture)).unwrap();
        fs::write(csv(&fixture), text.replace(",HEPG2,", ",primary liver,")).unwrap();
        fixture
    };
    let cell_types = |fixture: &Fixture| {
        let store = Store::open(&fixture.store()).unwrap();
        store.plates().keys().map(|plate| plate.experiment.cell_type().to_owned()).collect::<Vec<_>>()
    };
    let (old, new) = (["HEPG2", "HEPG2", "RPE", "RPE"], ["primary liver", "primary liver", "RPE", "RPE"]);
    let victim = "images/HEPG2-01/Plate2/B03_s1_w2.png";
    for (lose, on_error) in
        [(true, OnError::Fail), (false, OnError::Fail), (true, OnError::Skip), (false, OnError::Skip)]
    {
        let fixture = changed();
        let whole = contents(&fixture.store());
        let image = fs::read(fixture.image(victim)).unwrap();
        if lose {
            fs::remove_file(fixture.image(victim)).unwrap();
        } else {
            fs::write(fixture.image(victim), &image[..50]).unwrap();
        }
        let report = pack(&PackConfig { on_error, ..fixture.config() }, &|_| {}).unwrap();
        assert!(report.finished && report.faults.iter().any(|fault| fault.file == victim), "{lose} {on_error:?}");
        assert!(contents(&fixture.store()) == whole && cell_types(&fixture) == old, "{lose} {on_error:?}");
        fs::write(fixture.image(victim), image).unwrap();
        assert!(fixture.pack().finished && cell_types(&fixture) == new);
    }
    // Nor where what would be pruned is damaged beside, nor where only some are asked for.
    let fixture = changed();
    let whole = contents(&fixture.store());
    let image = fs::read(fixture.image(victim)).unwrap();
    fs::write(fixture.image(victim), &image[..50]).unwrap();
    let report = pack(&PackConfig { on_error: OnError::Skip, prune: true, ..fixture.config() }, &|_| {}).unwrap();
    let held: Vec<_> = report.kept.iter().map(|held| (held.plate.to_string(), held.what, held.can_be_pruned)).collect();
    let expected = [("HEPG2-01/Plate1", Held::Experiment), ("HEPG2-01/Plate2", Held::Sites)];
    assert_eq!(held, expected.map(|(plate, what)| (plate.to_owned(), what, false)));
    assert!(report.finished && report.n_refused() == 0 && contents(&fixture.store()) == whole);
    let fixture = changed();
    let whole = contents(&fixture.store());
    let mut config = fixture.config();
    config.source.plates = vec!["HEPG2-01/Plate1".parse().unwrap()];
    let report = pack(&config, &|_| {}).unwrap();
    let (planned, _) = plan(&config).unwrap();
    for held in [&report.kept, &planned.held] {
        assert_eq!(held.iter().map(|held| held.what).collect::<Vec<_>>(), [Held::Experiment]);
    }
    assert!(report.finished);
    assert!(contents(&fixture.store()) == whole);
}

#[test]
fn sites_stay_where_all_that_names_them_with_their_labels_is_damaged() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    for name in ["SHA256SUMS", "metadata.csv"] {
        fs::remove_file(fixture.store().join(name)).unwrap();
    }
    let sites = fixture.store().join("plates/RPE-02/Plate1/sites.csv");
    let text = fs::read_to_string(&sites).unwrap();
    fs::write(&sites, &text[..300]).unwrap();
    fs::remove_file(fixture.image(VICTIM)).unwrap();
    let report = pack(&PackConfig { on_error: OnError::Skip, ..fixture.config() }, &|_| {}).unwrap();
    assert_eq!(report.kept.iter().map(|held| held.sites.len()).collect::<Vec<_>>(), [1]);
}

#[test]
fn what_a_list_of_sites_lacks_that_its_own_list_does_not_prove_is_known_by_the_other_tables() {
    let cut = |fixture: &Fixture| {
        let sites = fixture.store().join("plates/RPE-02/Plate1/sites.csv");
        let text = fs::read_to_string(&sites).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        // The victim's site is among those that are gone.
        let kept: Vec<&str> = lines.iter().copied().filter(|line| !line.contains("RPE-02_1_B03")).collect();
        assert!(kept.len() == lines.len() - 2);
        fs::write(&sites, kept.join("\n") + "\n").unwrap();
    };
    for has_table in [true, false] {
        let fixture = Fixture::kaggle(small());
        if has_table {
            fixture.pack();
        } else {
            // A table that is older than the plate.
            let mut first = fixture.config();
            first.source.experiments = vec!["HEPG2-01".into()];
            pack(&first, &|_| {}).unwrap();
            let table = fs::read(fixture.store().join("metadata.csv")).unwrap();
            fixture.pack();
            fs::write(fixture.store().join("metadata.csv"), table).unwrap();
            fs::remove_file(fixture.store().join("SHA256SUMS")).unwrap();
        }
        cut(&fixture);
        fs::remove_file(fixture.image(VICTIM)).unwrap();
        let report = pack(&PackConfig { on_error: OnError::Skip, ..fixture.config() }, &|_| {}).unwrap();
        let held: Vec<_> = report.kept.iter().map(|held| (held.plate.to_string(), held.sites.len())).collect();
        assert_eq!(held, [("RPE-02/Plate1".to_owned(), 1)], "{has_table}");
    }
}

#[test]
fn a_plate_of_another_store_is_replaced_by_what_the_source_has() {
    let fixture = Fixture::kaggle(small());
    fixture.write_kaggle_csvs(|class| format!("sirna_{class}"));
    fixture.pack();
    let before = contents(&fixture.store());
    let other = Fixture::kaggle(small());
    other.write_kaggle_csvs(|class| format!("sirna_{}", class ^ 1));
    other.pack();
    for rehash in [false, true] {
        for part in ["plates", "pixels.zarr"] {
            let place = fixture.store().join(part).join("HEPG2-01/Plate1");
            fs::remove_dir_all(&place).unwrap();
            copy_folder(&other.store().join(part).join("HEPG2-01/Plate1"), &place);
        }
        if rehash {
            fs::remove_file(fixture.store().join("SHA256SUMS")).unwrap();
        }
        assert!(pack(&PackConfig { rehash, ..fixture.config() }, &|_| {}).unwrap().finished);
        assert!(contents(&fixture.store()) == before);
    }
}

#[test]
fn a_bit_flipped_anywhere_in_a_list_of_sites_is_mended_and_never_merged() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let before = contents(&fixture.store());
    let sites = fixture.store().join("plates/HEPG2-01/Plate1/sites.csv");
    let good = fs::read(&sites).unwrap();
    // The first bit of the cell type in its second row, and bits all over.
    let second = good.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let cell_type = second + good[second..].windows(6).position(|word| word == b",HEPG2").unwrap() + 1;
    for bit in (0..good.len() * 8).step_by(173).chain([cell_type * 8, cell_type * 8 + 3]) {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&sites, bad).unwrap();
        let report = pack(&PackConfig { rehash: true, ..fixture.config() }, &|_| {}).unwrap();
        assert!(report.finished && report.kept.is_empty(), "bit {bit}");
        assert!(contents(&fixture.store()) == before, "bit {bit}");
    }
}
