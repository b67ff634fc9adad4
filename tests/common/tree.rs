//! Small trees of PNGs with known pixels, and what tests ask of stores. Independent of `simulate`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use cellshard::pack::{PackConfig, PackReport, pack};
use cellshard::store::format::manifest::{self, Entry};
use tempfile::TempDir;

/// A tree to be written.
#[derive(Clone)]
pub struct TreeSpec {
    pub experiments: Vec<(&'static str, &'static str)>,
    pub plates: u16,
    pub wells: Vec<&'static str>,
    pub sites: u16,
    pub channels: usize,
    pub size: (u32, u32),
}

/// Two experiments with a test set, two plates, six wells with two sites of 2 x 12 x 10 pixels.
pub fn small() -> TreeSpec {
    TreeSpec {
        experiments: vec![("HEPG2-01", "train"), ("RPE-02", "test")],
        plates: 2,
        wells: vec!["B02", "B03", "B04", "C03", "C07", "AA02"],
        sites: 2,
        channels: 2,
        size: (12, 10),
    }
}

/// A folder that goes when the test ends, with a raw tree in `data` and room for stores.
pub struct Fixture {
    dir: TempDir,
    pub spec: TreeSpec,
}

impl Fixture {
    /// Writes a tree in Kaggle's layout of 2019.
    pub fn kaggle(spec: TreeSpec) -> Self {
        Self::kaggle_in(tempfile::tempdir().unwrap(), spec)
    }

    /// The same beside what cargo builds, where other temporary folders may lie in memory: for what asks a disk.
    pub fn kaggle_on_disk(spec: TreeSpec) -> Self {
        Self::kaggle_in(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(), spec)
    }

    fn kaggle_in(dir: TempDir, spec: TreeSpec) -> Self {
        let fixture = Self { dir, spec };
        fixture.write_images(|experiment, dataset| format!("{dataset}/{experiment}"));
        fixture.write_kaggle_csvs(|class| class.to_string());
        fixture
    }

    /// Writes images only.
    pub fn bare(spec: TreeSpec) -> Self {
        let fixture = Self { dir: tempfile::tempdir().unwrap(), spec };
        fixture.write_images(|experiment, _| experiment.to_owned());
        fixture
    }

    /// Writes a tree as rxrx.ai lays it out; class 7 for every treatment.
    pub fn rxrx_ai(spec: TreeSpec) -> Self {
        let fixture = Self { dir: tempfile::tempdir().unwrap(), spec };
        fixture.write_images(|experiment, _| format!("images/{experiment}"));
        let header = "site_id,well_id,cell_type,dataset,experiment,plate,well,site,well_type,sirna,sirna_id\n";
        let mut csv = header.to_owned();
        fixture.each_well(|experiment, dataset, plate, well| {
            for site in 1..=fixture.spec.sites {
                let id = format!("{experiment}_{plate}_{well}");
                let cell_type = experiment.split('-').next().unwrap();
                let (class, kind) = label(well);
                csv += &format!("{id}_{site},{id},{cell_type},{dataset},{experiment},{plate},{well},{site},{kind},s{class},{class}\n");
            }
        });
        fs::write(fixture.data().join("metadata.csv"), csv).unwrap();
        fixture
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    /// The image of Kaggle's layout.
    pub fn image(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    pub fn config(&self) -> PackConfig {
        PackConfig { sites_per_shard: Some(5), threads: 2, ..PackConfig::new(&self.data(), &self.store()) }
    }

    pub fn pack(&self) -> PackReport {
        pack(&self.config(), &|_| {}).unwrap()
    }

    fn each_well(&self, mut each: impl FnMut(&str, &str, u16, &str)) {
        for (experiment, dataset) in &self.spec.experiments {
            for plate in 1..=self.spec.plates {
                for well in &self.spec.wells {
                    each(experiment, dataset, plate, well);
                }
            }
        }
    }

    fn write_images(&self, folder: impl Fn(&str, &str) -> String) {
        self.each_well(|experiment, dataset, plate, well| {
            let dir = self.data().join(folder(experiment, dataset)).join(format!("Plate{plate}"));
            fs::create_dir_all(&dir).unwrap();
            for site in 1..=self.spec.sites {
                for channel in 0..self.spec.channels {
                    let path = dir.join(format!("{well}_s{site}_w{}.png", channel + 1));
                    write_png(&path, self.spec.size, &pixels(&self.spec, experiment, plate, well, site, channel));
                }
            }
        });
    }

    /// Writes the four CSVs; `name` says how a class is written.
    pub fn write_kaggle_csvs(&self, name: impl Fn(u32) -> String) {
        let mut csvs: BTreeMap<String, String> = BTreeMap::new();
        self.each_well(|experiment, dataset, plate, well| {
            let (class, kind) = label(well);
            let place = format!("{experiment}_{plate}_{well},{experiment},{plate},{well}");
            let (file, header, line) = match (kind, dataset) {
                ("treatment", "train") => {
                    ("train.csv", "id_code,experiment,plate,well,sirna", format!("{place},{}", name(class)))
                }
                ("treatment", _) => ("test.csv", "id_code,experiment,plate,well", place),
                (kind, dataset) => {
                    let file = if dataset == "train" { "train_controls.csv" } else { "test_controls.csv" };
                    (file, "id_code,experiment,plate,well,sirna,well_type", format!("{place},{},{kind}", name(class)))
                }
            };
            let csv = csvs.entry(file.to_owned()).or_insert_with(|| format!("{header}\n"));
            *csv += &format!("{line}\n");
        });
        for (file, csv) in csvs {
            fs::write(self.data().join(file), csv).unwrap();
        }
    }
}

/// The class and `well_type` of a well, the same on every plate.
pub fn label(well: &str) -> (u32, &'static str) {
    match well {
        "B02" => (1138, "negative_control"),
        "C03" => (1109, "positive_control"),
        "C07" => (1121, "positive_control"),
        "B03" => (7, "treatment"),
        "B04" => (3, "treatment"),
        _ => (9, "treatment"),
    }
}

/// The known pixels of one channel: a smooth ground with noise, another for each image.
pub fn pixels(
    spec: &TreeSpec,
    experiment: &str,
    plate: impl Display,
    well: &str,
    site: u16,
    channel: usize,
) -> Vec<u8> {
    let name = format!("{experiment}/{plate}/{well}/{site}/{channel}");
    let mut state = u64::from(crc32c::crc32c(name.as_bytes())) << 1 | 1;
    let (width, height) = spec.size;
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            pixels.push(((x * 3 + y * 5) % 97 + (state >> 60) as u32 + 3 * channel as u32) as u8);
        }
    }
    pixels
}

/// The pixels of a site, `[C, H, W]`.
pub fn site_pixels(spec: &TreeSpec, experiment: &str, plate: impl Display, well: &str, site: u16) -> Vec<u8> {
    (0..spec.channels).flat_map(|channel| pixels(spec, experiment, &plate, well, site, channel)).collect()
}

pub fn encode_png(size: (u32, u32), pixels: &[u8], colour: png::ColorType, depth: png::BitDepth) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, size.0, size.1);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.set_filter(png::Filter::Paeth);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    bytes
}

pub fn write_png(path: &Path, size: (u32, u32), pixels: &[u8]) {
    fs::write(path, encode_png(size, pixels, png::ColorType::Grayscale, png::BitDepth::Eight)).unwrap();
}

/// Every file below a folder with its content.
pub fn contents(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut contents = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(dir) = folders.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                contents.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    contents
}

/// Copies a folder with all that is in it.
/// Writes a file of a store, and makes its list of all say so, as a store of such data would have it.
pub fn write_resealed(store: &Path, name: &str, content: &str) {
    fs::write(store.join(name), content).unwrap();
    let sums = store.join("SHA256SUMS");
    let mut entries = manifest::parse(&fs::read_to_string(&sums).unwrap(), "SHA256SUMS").unwrap();
    let entry = entries.iter_mut().find(|entry| entry.path == name).unwrap();
    entry.sha = Entry::of(name, content.as_bytes()).sha;
    fs::write(&sums, manifest::format(&entries)).unwrap();
}

pub fn copy_folder(from: &Path, to: &Path) {
    for (name, bytes) in contents(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Compares two stores byte by byte; names the first file that differs.
pub fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (contents(a), contents(b));
    let names = |store: &BTreeMap<String, Vec<u8>>| store.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    for (name, bytes) in &a {
        assert!(*bytes == b[name], "{name} differs");
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
