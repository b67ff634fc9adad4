//! Plates of which a table, a pattern or a name tells what their images are: what is told may change while the files stay,
//! two plates may be told to be one, and one plane may lack what others have.

use std::fs;

use cellshard::fault::FaultKind;
use cellshard::pack::{Held, OTHER_IMAGES, OnError, PackConfig, pack, plan};
use cellshard::verify::{Kind, Report, compare_tree};
use tempfile::TempDir;

use crate::common::{stderr, stdout, tool};
use crate::patterns::{config, image, levels, packed, tree, write};

const IMAGES: [&str; 4] = ["x/1.png", "x/2.png", "x/3.png", "x/4.png"];
const TABLE: &str = "plate,well,DNA,Actin\nP,A01,x/1.png,x/2.png\nP,A02,x/3.png,x/4.png\n";

/// A tree of four images, and a table that tells what they are.
fn told(table: &str) -> (TempDir, PackConfig) {
    let dir = tree(&IMAGES);
    let mut config = PackConfig::new(&dir.path().join("data"), &dir.path().join("store"));
    config.source.table = Some(dir.path().join("table.csv"));
    fs::write(dir.path().join("table.csv"), table).unwrap();
    (dir, config)
}

fn compared(config: &PackConfig) -> Report {
    compare_tree(&config.source, &config.dst, &|_| {}).unwrap()
}

#[test]
fn a_table_that_was_mended_is_packed_anew_and_verify_tells_it_from_the_old_one() {
    for (mended, expected) in [
        // The wells of a shifted row, and channels in each other's columns.
        ("plate,well,DNA,Actin\nP,A01,x/3.png,x/4.png\nP,A02,x/1.png,x/2.png\n", [[3, 4], [1, 2]]),
        ("plate,well,DNA,Actin\nP,A01,x/2.png,x/1.png\nP,A02,x/4.png,x/3.png\n", [[2, 1], [4, 3]]),
        ("plate,well,DNA,Actin\nP,A01,x/1.png,x/4.png\nP,A02,x/3.png,x/2.png\n", [[1, 4], [3, 2]]),
    ] {
        for rehash in [false, true] {
            let (dir, mut config) = told(TABLE);
            packed(&config);
            fs::write(dir.path().join("table.csv"), mended).unwrap();
            config.rehash = rehash;
            let [finding] = &compared(&config).findings[..] else { panic!("{:?}", compared(&config).findings) };
            assert_eq!(
                (finding.kind, finding.path.as_str(), finding.sites.len()),
                (Kind::Contradiction, "experiment/P", 2)
            );
            let says = "expected images of the pixels that were packed of 2 sites, found for experiment/P/A01/1: x/";
            assert!(finding.detail.starts_with(says), "{}", finding.detail);
            assert_eq!(pack(&config, &|_| {}).unwrap().sites_packed, 2, "{mended}");
            let found: Vec<Vec<u16>> = levels(&packed(&config)).0.into_iter().map(|(_, levels)| levels).collect();
            assert_eq!(found, expected, "{mended}");
        }
    }
}

#[test]
fn a_row_that_is_gone_and_one_that_is_new_are_told_by_verify() {
    let (dir, config) = told(TABLE);
    packed(&config);
    fs::write(dir.path().join("table.csv"), "plate,well,DNA,Actin\nP,A01,x/1.png,x/2.png\nP,B07,x/3.png,x/4.png\n")
        .unwrap();
    let found: Vec<String> =
        compared(&config).findings.iter().map(|found| format!("{} {}", found.path, found.detail)).collect();
    let new = "not named before: site experiment/P/B07/1";
    let gone =
        "experiment/P expected images of the pixels that were packed of 1 site, found for experiment/P/A02/1: none";
    assert_eq!(found, [gone.to_owned(), format!("x/3.png {new}"), format!("x/4.png {new}")]);
    // A plate that the table has no more.
    fs::write(dir.path().join("table.csv"), TABLE.replace("P,", "Q,")).unwrap();
    let found = compared(&config).findings;
    assert_eq!(found[0].detail, "expected images that are told to be of this plate, found none");
    // Without the table, nobody knows what the images are.
    let mut untold = config.clone();
    untold.source.table = None;
    let found = compared(&untold).findings;
    assert!(
        found[0].detail.contains("expected --layout, --pattern or --table as experiment/P was packed with"),
        "{found:?}"
    );
}

#[test]
fn new_images_of_a_plate_are_told_wherever_they_lie_and_those_that_were_left_out_are_not() {
    let dir = tree(&["P/A01/1.png", "P/A02/1.png", "Q/A01/1.png"]);
    write(dir.path(), "P/B01/1.png", b"no image");
    let mut config = config(&dir, "{plate}/{well}/{site}.png");
    config.on_error = OnError::Skip;
    assert!(pack(&config, &|_| {}).unwrap().finished);
    assert_eq!(compared(&config).findings, []);
    write(dir.path(), "P/A03/1.png", &image(9));
    write(dir.path(), "R/A01/1.png", &image(9));
    let found: Vec<String> = compared(&config).findings.into_iter().map(|finding| finding.path).collect();
    assert_eq!(found, ["P/A03/1.png"], "a plate of its own is none of the store's");
}

#[test]
fn a_plate_of_the_same_name_never_takes_the_place_of_another() {
    // Runs of a lab that name their plates, wells and files alike.
    let dir = tree(&["run1/P1/A01_1.png", "run1/P1/A02_1.png", "run2/P1/A01_1.png", "run2/P1/A02_1.png"]);
    let of_run = |run: &str| {
        let mut config = config(&dir, "{plate}/{well}_{channel}.png");
        config.source.root = dir.path().join("data").join(run);
        config
    };
    packed(&of_run("run1"));
    let mut second = of_run("run2");
    let report = pack(&second, &|_| {}).unwrap();
    let [kept] = &report.kept[..] else { panic!("{:?}", report.kept) };
    assert_eq!((kept.what, kept.reason, kept.sites.len(), kept.can_be_pruned), (Held::Sites, OTHER_IMAGES, 2, true));
    let store = cellshard::store::Store::open_proven(&second.dst).unwrap();
    assert_eq!(levels(&store).0.iter().map(|(_, levels)| levels[0]).collect::<Vec<_>>(), [1, 2], "the first stays");
    let output = tool("pack")
        .args(["--src", second.source.root.to_str().unwrap(), "--dst", second.dst.to_str().unwrap()])
        .args(["--pattern", "{plate}/{well}_{channel}.png"])
        .output()
        .unwrap();
    let says = "kept       experiment/P1: another plate of this name, which has none of this one's images, of 2 sites: --experiment keeps this one apart, --prune replaces the other";
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stdout(&output).lines().any(|line| line == says), "{}", stdout(&output));
    // By a name of its own it stands beside it; or it takes its place, where that is asked for.
    second.source.experiment = Some("run2".parse().unwrap());
    packed(&PackConfig { dst: dir.path().join("both"), ..of_run("run1") });
    second.dst = dir.path().join("both");
    second.source.experiments = vec!["run2".to_owned()];
    let both = packed(&second);
    assert_eq!(levels(&both).0.iter().map(|(_, levels)| levels[0]).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let replacing = PackConfig { prune: true, ..of_run("run2") };
    let report = pack(&replacing, &|_| {}).unwrap();
    assert_eq!((report.removed.len(), report.removed[0].sites.len(), report.sites_packed), (1, 2, 2));
    assert_eq!(levels(&packed(&replacing)).0.iter().map(|(_, levels)| levels[0]).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn a_plate_with_most_images_of_before_is_the_same_and_so_is_one_whose_files_were_renamed() {
    let dir = tree(&["P1/A01_1.png", "P1/A02_1.png", "P1/A03_1.png"]);
    let config = config(&dir, "{plate}/{well}_{channel}.png");
    packed(&config);
    write(dir.path(), "P1/A01_1.png", &image(11));
    assert_eq!(levels(&packed(&config)).0.iter().map(|(_, levels)| levels[0]).collect::<Vec<_>>(), [11, 2, 3]);
    for well in ["A01", "A02", "A03"] {
        let path = |name: &str| dir.path().join("data/P1").join(name);
        fs::rename(path(&format!("{well}_1.png")), path(&format!("{well}.DNA.png"))).unwrap();
    }
    let mut renamed = config.clone();
    renamed.source.pattern = Some("{plate}/{well}.{channel}.png".parse().unwrap());
    renamed.channel_names = vec!["w1".to_owned()];
    assert_eq!(pack(&renamed, &|_| {}).unwrap().kept, []);
    // Images that are all damaged now are the plate's all the same: --prune removes none of what is whole.
    for well in ["A01", "A02", "A03"] {
        write(dir.path(), &format!("P1/{well}.DNA.png"), well.as_bytes());
    }
    write(dir.path(), "P2/A01.DNA.png", &image(9));
    let report = pack(&PackConfig { prune: true, on_error: OnError::Skip, ..renamed }, &|_| {}).unwrap();
    assert_eq!((report.kept.len(), report.kept[0].can_be_pruned, report.removed.len()), (1, false, 0), "{report:?}");
}

#[test]
fn a_store_is_not_replaced_by_another_plate_of_another_store() {
    let dir = tree(&["run1/P1/A01_1.png", "run2/P1/A01_1.png"]);
    let of_run = |run: &str| {
        let mut config = config(&dir, "{plate}/{well}_{channel}.png");
        config.source.root = dir.path().join("data").join(run);
        config.dst = dir.path().join(run);
        config
    };
    let [first, second] = ["run1", "run2"].map(of_run);
    packed(&first);
    packed(&second);
    let joined = |prune| PackConfig { prune, ..PackConfig::new(&second.dst, &first.dst) };
    let report = pack(&joined(false), &|_| {}).unwrap();
    assert_eq!((report.kept.len(), report.kept[0].reason, report.sites_packed), (1, OTHER_IMAGES, 0));
    assert_eq!(pack(&joined(true), &|_| {}).unwrap().sites_packed, 1);
}

#[test]
fn folders_that_come_to_one_name_are_not_made_one_plate() {
    for (layout, images) in [
        (
            "phenix",
            [
                "BR1__2021-Measurement1/Images/r01c01f01p01-ch1sk1fk1fl1.tiff",
                "BR1__2021-Measurement2/Images/r01c02f01p01-ch1sk1fk1fl1.tiff",
            ],
        ),
        ("{plate}/{well}_w{channel}.png", ["run1/P1/A01_w1.png", "run2/P1/A02_w1.png"]),
        ("run*/{plate}/{well}_w{channel}.png", ["run1/P1/A01_w1.png", "run2/P1/A02_w1.png"]),
        ("run*_{channel}/{plate}_{well}.png", ["run1_DNA/P1_A01.png", "run2_DNA/P1_A02.png"]),
        ("run*/{well}_w{channel}.png", ["run1/A01_w1.png", "run2/A02_w1.png"]),
        ("run*/{experiment}/P{plate}_{well}.png", ["run1/x/P1_A01.png", "run2/x/P1_A02.png"]),
        ("{plate}/{well}_w{channel}.png", ["Plate1/A01_w1.png", "plate_01/A02_w1.png"]),
        ("{plate}_{well}_w{channel}.png", ["a/P1_A01_w1.png", "b/P1_A02_w1.png"]),
        ("metaxpress", ["a/P1_A01_w1.TIF", "b/P1_A02_w1.TIF"]),
        (
            "bbbc021",
            [
                "x/W1/W1_P1/A01_s1_w1BEDC2073-A983-4B98-95E9-84466707A25D.tif",
                "y/W1/W1_P1/A02_s1_w1BEDC2073-A983-4B98-95E9-84466707A25D.tif",
            ],
        ),
    ] {
        let dir = tree(&images);
        let config = config(&dir, layout);
        let report = pack(&config, &|_| {}).unwrap();
        let [fault] = &report.faults[..] else { panic!("{layout}: {:?}", report.faults) };
        assert_eq!(
            (fault.kind, fault.file.as_str(), report.finished),
            (FaultKind::NoPlate, images[1], false),
            "{layout}"
        );
        assert!(fault.detail.contains("in one place, \""), "{}", fault.detail);
    }
    // A channel in a folder of its own is not forgotten.
    let dir = tree(&["DNA/P1_A01_w1.png", "GFP/P1_A01_w2.png"]);
    let config = config(&dir, "{plate}_{well}_w{channel}.png");
    let found: Vec<FaultKind> = plan(&config).unwrap().1.iter().map(|fault| fault.kind).collect();
    assert_eq!(found, [FaultKind::NoPlate, FaultKind::MissingChannel]);
    // Folders of a plate that tell something else are no places of their own.
    for (layout, images) in [
        ("{channel}/{plate}/{well}.png", ["DNA/P1/A01.png", "Actin/P1/A01.png"]),
        ("{plate}/{well}/{channel}.png", ["P1/A01/1.png", "P1/A01/2.png"]),
        ("metaxpress", ["P1/TimePoint_1/P1_A01_w1.TIF", "P1/TimePoint_1/P1_A01_w2.TIF"]),
    ] {
        packed(&crate::patterns::config(&tree(&images), layout));
    }
}

#[test]
fn plates_that_share_an_image_of_nothing_or_a_document_are_two_all_the_same() {
    let blank = || image(0);
    let dir = tree(&["run1/P1/A01_1.png", "run1/P1/A02_1.png", "run2/P1/A01_1.png", "run2/P1/A02_1.png"]);
    for run in ["run1", "run2"] {
        write(dir.path(), &format!("{run}/P1/A03_1.png"), &blank());
    }
    let of_run = |run: &str| {
        let mut config = config(&dir, "{plate}/{well}_{channel}.png");
        config.source.root = dir.path().join("data").join(run);
        config
    };
    packed(&of_run("run1"));
    let told = plan(&of_run("run2")).unwrap().0;
    assert_eq!(
        (told.held.len(), told.held[0].reason, told.held[0].sites.len()),
        (1, OTHER_IMAGES, 3),
        "a dry run knows"
    );
    assert_eq!(pack(&of_run("run2"), &|_| {}).unwrap().kept.len(), 1);
    // A damaged image among new ones is not gone, whatever is to be pruned.
    write(dir.path(), "run2/P1/A02_1.png", b"no image");
    let skip = PackConfig { on_error: OnError::Skip, prune: true, ..of_run("run2") };
    let report = pack(&skip, &|_| {}).unwrap();
    assert_eq!((report.kept.len(), report.kept[0].can_be_pruned, report.removed.len()), (1, false, 0));
}

#[test]
fn folders_that_end_alike_name_two_plates() {
    let dir = tree(&["a/X/run1_P1/A01_1.png", "b/X/run2_P1/A01_1.png"]);
    let of_run = |run: &str| {
        let mut config = config(&dir, "{experiment}/*_P{plate}/{well}_{channel}.png");
        config.source.root = dir.path().join("data").join(run);
        config
    };
    packed(&of_run("a"));
    assert_eq!(pack(&of_run("b"), &|_| {}).unwrap().kept.len(), 1);
}

#[test]
fn plates_whose_barcodes_were_exchanged_in_the_table_are_packed_anew() {
    let table = "plate,well,DNA\nP,A01,x/1.png\nP,A02,x/2.png\nQ,A01,x/3.png\nQ,A02,x/4.png\n";
    let (dir, config) = told(table);
    packed(&config);
    let exchanged = table.replace("P,", "R,").replace("Q,", "P,").replace("R,", "Q,");
    fs::write(dir.path().join("table.csv"), exchanged).unwrap();
    let report = pack(&config, &|_| {}).unwrap();
    assert_eq!((report.plates_packed, report.kept.len(), report.removed.len()), (2, 0, 0), "{report:?}");
    assert_eq!(levels(&packed(&config)).0.iter().map(|(_, levels)| levels[0]).collect::<Vec<_>>(), [3, 4, 1, 2]);
}

#[test]
fn what_images_were_told_to_be_once_is_not_believed_by_their_paths() {
    let dir = tree(&["X-01/Plate1/B02_s1_w1.png", "X-01/Plate1/B03_s1_w1.png"]);
    let bare = PackConfig::new(&dir.path().join("data"), &dir.path().join("store"));
    let mut told = bare.clone();
    told.source.table = Some(dir.path().join("table.csv"));
    let table =
        "experiment,plate,well,w1\nX-01,1,B03,X-01/Plate1/B02_s1_w1.png\nX-01,1,B02,X-01/Plate1/B03_s1_w1.png\n";
    fs::write(dir.path().join("table.csv"), table).unwrap();
    packed(&told);
    let [finding] = &compared(&bare).findings[..] else { panic!("{:?}", compared(&bare).findings) };
    assert_eq!((finding.kind, finding.sites.len()), (Kind::Contradiction, 2));
    assert_eq!(pack(&bare, &|_| {}).unwrap().sites_packed, 2);
    assert_eq!(levels(&packed(&bare)).0.iter().map(|(_, levels)| levels[0]).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn flags_that_do_not_fit_and_faults_that_packing_names_are_findings() {
    let dir = tree(&["X-01/Plate1/B02_s1_w1.png", "X-01/Plate1/B03_s1_w1.png"]);
    let config = config(&dir, "rxrx");
    packed(&config);
    for (layout, says) in
        [("wilds", "expected"), ("phenix", "expected"), ("{plate}-{well}.tif", "expected"), ("kaggle", "expected")]
    {
        let mut other = crate::patterns::config(&dir, layout);
        other.dst.clone_from(&config.dst);
        let found = compared(&other).findings;
        assert!(
            found.iter().any(|finding| finding.path == "images" && finding.detail.contains(says)),
            "{layout}: {found:?}"
        );
    }
    let mut plane = config.clone();
    plane.source.plane = "z=3".parse().unwrap();
    assert_eq!(compared(&plane).findings[0].path, "images");
    for path in ["X-01/Plate1/B2_s1_w1.png", "copy/X-01/Plate1/B04_s1_w1.png", "X-01/Plate1/B04-s1-w1.png"] {
        write(dir.path(), path, &image(9));
        let found = compared(&config).findings;
        assert!(found.iter().any(|finding| finding.kind == Kind::Extra && finding.path == path), "{path}: {found:?}");
        fs::remove_file(dir.path().join("data").join(path)).unwrap();
    }
    // Channels in each other's columns, of the same images.
    let (dir, config) = told(TABLE);
    packed(&config);
    fs::write(dir.path().join("table.csv"), TABLE.replace("DNA,Actin", "Actin,DNA")).unwrap();
    let found = compared(&config).findings;
    assert!(found[0].detail.starts_with("expected 2 channels (DNA, Actin)"), "{found:?}");
    assert!(pack(&config, &|_| {}).unwrap_err().to_string().contains("DNA, Actin"));
}

#[test]
fn what_other_planes_have_and_the_chosen_one_lacks_is_a_fault() {
    let name = |well: &str, z: u16, channel: u16| format!("P/{well}_z{z}_w{channel}.png");
    // A02 has only the second plane, and of A03 the second channel was taken in the first only.
    let all = [
        ("A01", 1, 1),
        ("A01", 1, 2),
        ("A01", 2, 1),
        ("A01", 2, 2),
        ("A02", 2, 1),
        ("A02", 2, 2),
        ("A03", 1, 1),
        ("A03", 2, 1),
        ("A03", 2, 2),
    ];
    let dir = tree(&all.map(|(well, z, channel)| name(well, z, channel)));
    let mut config = config(&dir, "{plate}/{well}_z{z}_w{channel}.png");
    config.source.plane = "z=1".parse().unwrap();
    let found: Vec<String> = plan(&config).unwrap().1.iter().map(ToString::to_string).collect();
    let expected = [
        "experiment/P/A02/1: missing-channel: expected 2 channels, found no w1, w2",
        "experiment/P/A03/1: missing-channel: expected 2 channels, found no w2",
    ];
    assert_eq!(found, expected);
    assert!(!pack(&config, &|_| {}).unwrap().finished);
    config.on_error = OnError::Skip;
    let report = pack(&config, &|_| {}).unwrap();
    assert_eq!((report.finished, report.sites_packed, report.faults.len()), (true, 1, 2));
    config.source.present_only = true;
    let (told, found) = plan(&PackConfig { dst: dir.path().join("present"), ..config.clone() }).unwrap();
    assert_eq!((told.absent.unwrap().sites, found.len()), (1, 1), "a site without its plane is not present: {found:?}");
    // A channel of which no plane is the chosen one is not forgotten either.
    let dir = tree(&[name("A01", 1, 1), name("A01", 2, 1), name("A01", 2, 2)]);
    let mut config = crate::patterns::config(&dir, "{plate}/{well}_z{z}_w{channel}.png");
    config.source.plane = "z=1".parse().unwrap();
    let found: Vec<String> = plan(&config).unwrap().1.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["experiment/P/A01/1: missing-channel: expected 2 channels, found no w2"]);
    // One channel as a stack, another as a single plane: both are asked for.
    let dir = tree(&["P/ZStep_1/P_A01_w1.TIF", "P/ZStep_2/P_A01_w1.TIF", "P/P_A01_w2.TIF"]);
    let mut config = crate::patterns::config(&dir, "metaxpress");
    config.source.plane = "z=2,z=none".parse().unwrap();
    assert_eq!(levels(&packed(&config)).0, [("experiment/P/A01_1".to_owned(), vec![2, 3])]);
}
