//! Plates of OME-Zarr of which documents and folders do not say the same, or of which one image is unlike the others:
//! what is not packed is a fault with its path, and the rest is packed where faults may be skipped.

use std::fs;
use std::path::PathBuf;

use cellshard::fault::FaultKind;
use cellshard::pack::{OnError, PackConfig, pack, plan};
use cellshard::source::Layout;
use cellshard::store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{copy_folder, stderr, stdout, tool};

/// Two channels of 4 x 6 pixels of 16 bits.
const SHAPE: [u64; 3] = [2, 4, 6];

/// A fault: its kind, its file, and a part of its detail.
type Expected = (FaultKind, &'static str, &'static str);

/// What is done to a plate.
type Change<'a> = &'a dyn Fn(&Plate);

struct Plate {
    dir: TempDir,
}

impl Plate {
    /// A plate `Week_7` of these wells, each with these fields.
    fn new(wells: &[(&str, &[&str])]) -> Self {
        let plate = Self { dir: tempfile::tempdir().unwrap() };
        let paths: Vec<Value> = wells.iter().map(|(path, _)| json!({ "path": path })).collect();
        plate.write_json(".zattrs", &json!({ "plate": { "name": "Week_7", "wells": paths } }));
        for (well, fields) in wells {
            plate.list(well, fields);
            fields.iter().for_each(|field| plate.image(&format!("{well}/{field}"), &image(&["c", "y", "x"]), &SHAPE));
        }
        plate
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("Week_7.zarr")
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn write_json(&self, path: &str, value: &Value) {
        self.write(path, value.to_string().as_bytes());
    }

    /// Says which fields a well has.
    fn list(&self, well: &str, fields: &[&str]) {
        let images: Vec<Value> = fields.iter().map(|field| json!({ "path": field })).collect();
        self.write_json(&format!("{well}/.zattrs"), &json!({ "well": { "images": images } }));
    }

    /// Writes an image of one level.
    fn image(&self, dir: &str, document: &Value, shape: &[u64]) {
        let _ = fs::remove_dir_all(self.root().join(dir));
        self.write_json(&format!("{dir}/.zattrs"), document);
        let array = json!({
            "zarr_format": 2, "shape": shape, "chunks": shape, "dtype": "<u2", "compressor": null, "fill_value": 0,
            "order": "C", "filters": null, "dimension_separator": "/",
        });
        self.write_json(&format!("{dir}/0/.zarray"), &array);
        let n: u64 = shape.iter().product();
        let chunk = vec!["0"; shape.len()].join("/");
        self.write(&format!("{dir}/0/{chunk}"), &vec![7; 2 * n as usize]);
    }

    fn copy(&self, from: &str, to: &str) {
        fs::create_dir_all(self.root().join(to)).unwrap();
        copy_folder(&self.root().join(from), &self.root().join(to));
    }

    fn config(&self) -> PackConfig {
        PackConfig::new(&self.root(), &self.dir.path().join("store"))
    }

    /// Packs what can be: its faults, each by its kind, its file and its detail; and the sites of the store.
    fn skipped(&self) -> (Vec<(FaultKind, String, String)>, Vec<String>) {
        let config = PackConfig { on_error: OnError::Skip, ..self.config() };
        let report = pack(&config, &|_| {}).unwrap();
        assert!(report.finished, "{:?}", report.faults);
        let faults = report.faults.into_iter().map(|fault| (fault.kind, fault.file, fault.detail)).collect();
        let store = Store::open_proven(&config.dst).unwrap();
        (faults, store.sites().iter().map(|site| site.id.to_string()).collect())
    }

    /// That a file is a fault, `n` sites are packed beside it, and the program says so by its exit code.
    fn check(&self, (kind, file, part): Expected, n: usize) {
        let report = pack(&self.config(), &|_| {}).unwrap();
        assert!(!report.finished, "nothing is left out in silence");
        let (faults, sites) = self.skipped();
        let is_it = |(of, path, detail): &&(FaultKind, String, String)| {
            (*of, path.as_str()) == (kind, file) && detail.contains(part)
        };
        assert!(faults.iter().any(|fault| is_it(&fault)), "{file}: {part}: {faults:?}");
        assert_eq!(sites.len(), n, "{file}: {sites:?}");
        if kind == FaultKind::NoPlate {
            let again = self.dir.path().join("again");
            let mut command = tool("pack");
            command.arg("--src").arg(self.root()).arg("--dst").arg(again).args(["--on-error", "skip"]);
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
            assert!(stdout(&output).contains(file), "{}", stdout(&output));
        }
    }
}

fn image(axes: &[&str]) -> Value {
    let axes: Vec<Value> = axes.iter().map(|name| json!({ "name": name })).collect();
    json!({ "multiscales": [{ "axes": axes, "datasets": [{ "path": "0" }] }] })
}

/// Six sites in three wells.
fn whole() -> Plate {
    Plate::new(&[("A/1", &["0", "1"]), ("A/2", &["0", "1"]), ("B/1", &["0", "1"])])
}

#[test]
fn what_documents_do_not_name_or_name_in_vain_is_a_fault_with_its_path() {
    let plate = whole();
    assert_eq!(plate.skipped().0, []);
    assert_eq!(plate.skipped().1.len(), 6);
    let no_plate = |file, part| (FaultKind::NoPlate, file, part);
    let cases: [(Change, Expected, usize); 11] = [
        // A well that lists no images, and one whose list lacks one.
        (&|p| p.list("A/2", &[]), no_plate("A/2/.zattrs", "images of the well"), 4),
        (&|p| p.list("A/2", &[]), no_plate("A/2/1", "that the document of its well names"), 4),
        (&|p| p.list("A/2", &["0"]), no_plate("A/2/1", "that the document of its well names"), 5),
        (&|p| p.list("A/2", &["0", "1", "1"]), no_plate("A/2/1", "each image of a well once"), 6),
        // An image whose documents are lost, too.
        (
            &|p| {
                p.list("A/2", &["0"]);
                fs::remove_file(p.root().join("A/2/1/.zattrs")).unwrap();
                fs::remove_file(p.root().join("A/2/1/0/.zarray")).unwrap();
            },
            no_plate("A/2/1", "no document of Zarr"),
            5,
        ),
        // Wells that the plate does not list: whole, without a document, and by a group that says nothing.
        (&|p| p.copy("A/1", "C/3"), no_plate("C/3", "a well that the document of its plate names"), 6),
        (
            &|p| {
                p.copy("A/1", "C/3");
                fs::remove_file(p.root().join("C/3/.zattrs")).unwrap();
            },
            no_plate("C/3", "no document of Zarr"),
            6,
        ),
        (&|p| p.write("C/3/.zgroup", b"{\"zarr_format\": 2}"), no_plate("C/3", "says nothing"), 6),
        // What is listed and not there.
        (&|p| fs::remove_dir_all(p.root().join("A/2")).unwrap(), no_plate("A/2/.zattrs", "the document of a well"), 4),
        (
            &|p| fs::remove_dir_all(p.root().join("A/2/1")).unwrap(),
            no_plate("A/2/1/.zattrs", "document of an image"),
            5,
        ),
        (
            &|p| fs::remove_file(p.root().join("A/2/1/0/.zarray")).unwrap(),
            no_plate("A/2/1/0/.zarray", "document of an array"),
            5,
        ),
    ];
    for (change, fault, n) in cases {
        let plate = whole();
        change(&plate);
        plate.check(fault, n);
    }
}

#[test]
fn what_is_beside_a_plate_and_no_image_is_no_fault() {
    let plate = whole();
    plate.write("OME/METADATA.ome.xml", b"<OME/>");
    plate.write("A/notes/readme.txt", b"text");
    plate.write("tables/wells/.zgroup", b"{\"zarr_format\": 2}");
    plate.write("A/1/0/labels/.zattrs", b"{\"labels\": []}");
    let (plan, faults) = plan(&plate.config()).unwrap();
    assert_eq!(faults, []);
    let says = "1 groups of Zarr that say nothing of images are left alone, such as tables/wells";
    assert_eq!(plan.unusual, [says]);
}

#[test]
fn one_image_that_is_unlike_the_others_is_its_own_fault_and_not_theirs() {
    let labelled = |names: &[&str]| {
        let channels: Vec<Value> = names.iter().map(|name| json!({ "label": name })).collect();
        let mut document = image(&["c", "y", "x"]);
        document["omero"] = json!({ "channels": channels });
        document
    };
    let no_plate = |file, part| (FaultKind::NoPlate, file, part);
    let cases: [(Change, Expected); 7] = [
        (
            &|p| p.image("A/2/1", &image(&["z", "c", "y", "x"]), &[3, 2, 4, 6]),
            no_plate("A/2/1/.zattrs", "one z of each site (--plane z=N chooses one), found z of 0 to 2"),
        ),
        (
            &|p| p.image("A/2/1", &image(&["c", "y", "x"]), &[1_000, 4, 6]),
            no_plate("A/2/1/0/.zarray", "at most 64 channels"),
        ),
        (
            &|p| {
                p.write_json("A/2/1/.zattrs", &json!({ "multiscales": [{ "axes": ["c", "y", "x"], "datasets": [] }] }));
            },
            no_plate("A/2/1/.zattrs", "a level of A/2/1/.zattrs"),
        ),
        (
            &|p| {
                let path = p.root().join("A/2/1/0/.zarray");
                fs::write(&path, fs::read_to_string(&path).unwrap().replace("<u2", "<f4")).unwrap();
            },
            no_plate("A/2/1/0/.zarray", "uint8 or uint16"),
        ),
        (
            &|p| {
                for site in ["A/1/0", "A/1/1", "A/2/0", "B/1/0", "B/1/1"] {
                    p.write_json(&format!("{site}/.zattrs"), &labelled(&["DNA", "Actin"]));
                }
                p.write_json("A/2/1/.zattrs", &labelled(&["Actin", "DNA"]));
            },
            no_plate("A/2/1/0", "the channels of other images"),
        ),
        // More and fewer channels are known as such.
        (&|p| p.image("A/2/1", &image(&["c", "y", "x"]), &[3, 4, 6]), (FaultKind::ExtraChannel, "", "found w3")),
        (
            &|p| p.image("A/2/1", &image(&["c", "y", "x"]), &[1, 4, 6]),
            (FaultKind::MissingChannel, "A/2/1/0/.zarray", "expected 2 channels"),
        ),
    ];
    for (change, fault) in cases {
        let plate = whole();
        change(&plate);
        plate.check(fault, 5);
    }
    // Of two images that name other channels, nobody knows which is right; and what most lack is for the user to choose.
    let plate = Plate::new(&[("A/1", &["0", "1"])]);
    plate.write_json("A/1/0/.zattrs", &labelled(&["DNA", "Actin"]));
    plate.write_json("A/1/1/.zattrs", &labelled(&["Actin", "DNA"]));
    assert!(pack(&plate.config(), &|_| {}).unwrap_err().to_string().contains("the channels of other images"));
    let mut config = whole().config();
    config.source.level = Some(1);
    let plate = whole();
    config.source.root = plate.root();
    assert!(pack(&config, &|_| {}).unwrap_err().to_string().starts_with("--level: expected a level"));
}

#[test]
fn an_image_that_cannot_be_read_does_not_number_the_others_anew() {
    let sites = |plate: &Plate| plate.skipped().1;
    let all = ["experiment/Week_7/A01_1", "experiment/Week_7/A01_2", "experiment/Week_7/A01_3"];
    let plate = Plate::new(&[("A/1", &["7", "9", "x"])]);
    assert_eq!(sites(&plate), all, "a name is no number: by their places");
    let plate = Plate::new(&[("A/1", &["7", "9", "x"])]);
    fs::remove_file(plate.root().join("A/1/x/.zattrs")).unwrap();
    assert_eq!(sites(&plate), all[..2]);
}

#[test]
fn several_acquisitions_and_fields_that_are_no_numbers_are_told() {
    let unusual = |plate: &Plate| plan(&plate.config()).unwrap().0.unusual;
    let plate = Plate::new(&[("A/1", &["0", "1"])]);
    let list = |acquisitions: [u8; 2]| {
        let image = |i: usize| json!({ "path": i.to_string(), "acquisition": acquisitions[i] });
        plate.write_json("A/1/.zattrs", &json!({ "well": { "images": [image(0), image(1)] } }));
    };
    list([3, 3]);
    assert_eq!(unusual(&plate), [""; 0]);
    list([0, 1]);
    assert_eq!(unusual(&plate), ["2 acquisitions: their fields are sites of one well"]);
    let plate = Plate::new(&[("A/1", &["0", "0_registered"])]);
    let told = "sites are the places of fields in the lists of their wells, as a name such as \"0_registered\" is no \
                number";
    assert_eq!(unusual(&plate), [told]);
}

#[test]
fn a_name_that_is_only_the_documents_is_told_and_a_plate_beside_it_may_have_the_same() {
    let plate = whole();
    assert!(plan(&plate.config()).unwrap().0.unusual.is_empty(), "its folder says the same");
    let second = plate.dir.path().join("Week_7_repeat.zarr");
    fs::create_dir(&second).unwrap();
    copy_folder(&plate.root(), &second);
    let config = PackConfig::new(&second, &plate.dir.path().join("store"));
    let mut both = config.clone();
    both.source.root = plate.dir.path().to_owned();
    let error = pack(&both, &|_| {}).unwrap_err().to_string();
    let says = |text: &str| error.contains(text);
    assert!(says("a plate of OME-Zarr by itself, as --src ") && says("Week_7.zarr, ") && says("a run each"), "{error}");
    assert!(says("--experiment tells plates of one name apart"), "{error}");
    // By itself, it is packed, and beside the other one where it has an experiment of its own.
    fs::write(second.join("A/1/0/0/0/0/0"), [9; 96]).unwrap();
    assert!(pack(&plate.config(), &|_| {}).unwrap().finished);
    let mut apart = config.clone();
    apart.source.experiment = Some("run2".parse().unwrap());
    assert!(pack(&apart, &|_| {}).unwrap().finished);
    assert_eq!(Store::open_proven(&config.dst).unwrap().sites().len(), 12);
    let (plan, _) = plan(&config).unwrap();
    assert_eq!(plan.unusual, ["the plate is called Week_7, as its document says; its folder is Week_7_repeat.zarr"]);
    assert_eq!(plan.first_site.unwrap().plate, "Week_7");
}

#[test]
fn a_name_that_no_plate_can_have_is_told_with_the_one_that_it_gets() {
    let check = |folder: &str, name: Option<&str>, called: &str, told: &[&str]| {
        let plate = whole();
        let root = plate.dir.path().join(folder);
        fs::rename(plate.root(), &root).unwrap();
        let document = root.join(".zattrs");
        let mut text: Value = serde_json::from_slice(&fs::read(&document).unwrap()).unwrap();
        text["plate"]["name"] = json!(name);
        fs::write(&document, text.to_string()).unwrap();
        let (plan, _) = plan(&PackConfig::new(&root, &plate.dir.path().join("store"))).unwrap();
        assert_eq!(plan.unusual, told);
        assert_eq!(plan.first_site.unwrap().plate, called);
    };
    check("P7.zarr", None, "P7", &[]);
    check("P7.zarr", Some(" "), "P7", &[]);
    let told = "the plate is called P7, after its folder P7.zarr; its document says \"BR 7\", which no plate can be \
                called";
    check("P7.zarr", Some("BR 7"), "P7", &[told]);
    let told = "the plate is called my_plate_1, as a plate cannot be called as its folder my plate 1.zarr";
    check("my plate 1.zarr", None, "my_plate_1", &[told]);
    let told = "the plate is called my_plate_1, after its folder my plate 1.ome.zarr; its document says \"a / b\", which \
                no plate can be called";
    check("my plate 1.ome.zarr", Some("a / b"), "my_plate_1", &[told]);
}

#[test]
fn an_array_a_site_that_is_unlike_the_others_or_not_called_like_them_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("zarrs");
    let write = |path: &str, channels: usize| {
        let path = root.join("HEPG2-01/Plate1").join(path);
        fs::create_dir_all(path.join("0/0")).unwrap();
        let array = json!({
            "zarr_format": 2, "shape": [4, 6, channels], "chunks": [4, 6, channels], "dtype": "|u1", "compressor": null,
            "fill_value": 0, "order": "C", "filters": null, "dimension_separator": "/",
        });
        fs::write(path.join(".zarray"), array.to_string()).unwrap();
        fs::write(path.join("0/0/0"), vec![1; 24 * channels]).unwrap();
    };
    for name in ["B02_s1.zarr", "B03_s1.zarr", "B04_s1.zarr"] {
        write(name, 2);
    }
    write("B05_s1.zarr", 5);
    write("B06_s1.zarr.part", 2);
    fs::write(root.join("HEPG2-01/Plate1/B07_s1.zarr.zip"), b"PK").unwrap();
    let mut config = PackConfig::new(&root, &dir.path().join("store"));
    config.source.layout = Some(Layout::RxRx1Zarr);
    config.on_error = OnError::Skip;
    let report = pack(&config, &|_| {}).unwrap();
    let found: Vec<(FaultKind, &str)> = report.faults.iter().map(|fault| (fault.kind, fault.file.as_str())).collect();
    let expected = [
        (FaultKind::NoPlate, "HEPG2-01/Plate1/B06_s1.zarr.part/.zarray"),
        (FaultKind::NoPlate, "HEPG2-01/Plate1/B07_s1.zarr.zip"),
        (FaultKind::ExtraChannel, ""),
    ];
    assert_eq!((found, report.sites_packed), (expected.to_vec(), 3));
}
