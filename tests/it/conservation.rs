//! Nothing that is in a tree is lost in silence: for trees that were changed at random, every image is packed, left out
//! and listed, or named in a fault; and every well that a CSV names is in the store, or named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cellshard::error::Error;
use cellshard::fault::Fault;
use cellshard::pack::{OnError, PackConfig, PackReport, pack};
use cellshard::store::Store;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::common::{Fixture, contents, small};

/// What can happen to a tree between a microscope and `pack`.
const CHANGES: [&str; 14] = [
    "lose an image",
    "lose a site",
    "lose a folder",
    "rename an image",
    "rename a plate",
    "rename an experiment",
    "empty an image",
    "cut an image",
    "flip a bit",
    "add a stray image",
    "copy an image",
    "move an image",
    "change a cell of a CSV",
    "lose a row of a CSV",
];

/// Every image of a tree, by path, and whether it has a byte.
fn images(root: &Path) -> BTreeSet<String> {
    contents(root).into_keys().filter(|name| name.to_lowercase().ends_with(".png")).collect()
}

fn pick<'a>(names: &'a BTreeSet<String>, rng: &mut SmallRng) -> Option<&'a String> {
    names.iter().nth(rng.random_range(0..names.len().max(1)))
}

/// Makes one change; nothing where the tree has become too small for it.
fn change(root: &Path, what: &str, rng: &mut SmallRng) -> Option<()> {
    let all = images(root);
    let image = root.join(pick(&all, rng)?);
    let plate = image.parent()?.to_owned();
    let names = [
        "B2_s1_w1.png",
        "b02_s1_w1.png",
        "x.png",
        "B02_s9_w1.png",
        "B02_s1_w9.PNG",
        "C03_s2_w2 (1).png",
        "ZZ99_s1_w1.png",
    ];
    let folders = ["Plate_2", "plate 7", "Plate1b", "P1", "Plate0099", "Plate70000", "x/Plate3"];
    let moved = |to: PathBuf, from: &Path| {
        fs::create_dir_all(to.parent()?).ok()?;
        if to.exists() { None } else { fs::rename(from, to).ok() }
    };
    match what {
        "lose an image" => fs::remove_file(&image).ok(),
        "lose a site" => {
            let name = image.file_name()?.to_str()?.rsplit_once('_')?.0.to_owned();
            let of_site = all.iter().map(|path| root.join(path));
            let of_site = of_site.filter(|path| {
                path.parent() == Some(&plate)
                    && path.file_name().is_some_and(|n| n.to_str().unwrap().starts_with(&name))
            });
            of_site.for_each(|path| fs::remove_file(path).unwrap());
            Some(())
        }
        "lose a folder" => fs::remove_dir_all(&plate).ok(),
        "rename an image" => moved(plate.join(names.choose(rng)?), &image),
        "rename a plate" => moved(plate.parent()?.join(folders.choose(rng)?), &plate),
        "rename an experiment" => {
            let experiment = plate.parent()?;
            moved(experiment.parent()?.join(["a b", "HEPG2-09", "x.y", "-"].choose(rng)?), experiment)
        }
        "empty an image" => fs::write(&image, "").ok(),
        "cut an image" => {
            let bytes = fs::read(&image).ok()?;
            fs::write(&image, &bytes[..rng.random_range(0..bytes.len().max(1))]).ok()
        }
        "flip a bit" => {
            let mut bytes = fs::read(&image).ok()?;
            let at = rng.random_range(0..bytes.len().max(1));
            *bytes.get_mut(at)? ^= 1 << rng.random_range(0..8);
            fs::write(&image, bytes).ok()
        }
        "add a stray image" => {
            let dir = [root.join("train"), plate.clone(), plate.parent()?.to_owned(), plate.join("more")]
                .choose(rng)?
                .clone();
            fs::create_dir_all(&dir).ok()?;
            fs::copy(&image, dir.join(names.choose(rng)?)).ok().map(drop)
        }
        "copy an image" => fs::copy(&image, plate.join(names.choose(rng)?)).ok().map(drop),
        "move an image" => moved(root.join(pick(&all, rng)?).parent()?.join(names.choose(rng)?), &image),
        _ => {
            let csv = root.join(["train.csv", "test.csv", "train_controls.csv", "test_controls.csv"].choose(rng)?);
            let text = fs::read_to_string(&csv).ok()?;
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let line = rng.random_range(1..lines.len().max(2));
            if what == "lose a row of a CSV" {
                lines.get(line)?;
                lines.remove(line);
            } else {
                let mut cells: Vec<String> = lines.get(line)?.split(',').map(str::to_owned).collect();
                let cell = rng.random_range(0..cells.len());
                (*["", "nan", "2.0", "B02", "1", "HEPG2-01", "treatment", "7", "12345", " x"].choose(rng)?)
                    .clone_into(&mut cells[cell]);
                lines[line] = cells.join(",");
            }
            fs::write(&csv, lines.join("\n") + "\n").ok()
        }
    }
}

/// The site that an image is of: folder and the name's part before the channel.
fn site_of(image: &str) -> &str {
    image.rsplit_once("_w").map_or(image, |(site, _)| site)
}

/// Whether a fault names an image: by its path, or by its plate, well and site.
fn names(fault: &Fault, image: &str) -> bool {
    if fault.file == image {
        return true;
    }
    let Some(plate) = &fault.plate else { return false };
    let (Some(dir), Some(name)) = (Path::new(image).parent(), Path::new(image).file_name()) else { return false };
    let (dir, name) = (dir.to_str().unwrap(), name.to_str().unwrap());
    let of_plate = plate_of(dir).is_some_and(|found| found == plate.to_string());
    let Some((well, rest)) = name.split_once("_s") else { return false };
    let well = well.parse().or_else(|_| format!("{}0{}", &well[..1], &well[1..]).parse()).ok();
    let site = rest.split_once("_w").and_then(|(site, _)| site.parse().ok());
    of_plate && well == fault.well && (fault.site.is_none() || site == fault.site)
}

/// `EXPERIMENT/PlateN` of a folder, whatever way the plate is written.
fn plate_of(dir: &str) -> Option<String> {
    let mut parts = dir.rsplit('/');
    let number = parts.next()?.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u16>().ok()?;
    Some(format!("{}/Plate{number}", parts.next()?))
}

/// Checks that the images of a tree are all accounted for by what `pack --on-error skip` says and does.
fn check(fixture: &Fixture, seed: u64, done: &[&str]) -> bool {
    let config = PackConfig { on_error: OnError::Skip, ..fixture.config() };
    let report: PackReport = match pack(&config, &|_| {}) {
        Ok(report) => report,
        // Refused as a whole, with a reason: nothing was packed, and nothing is lost.
        Err(error @ (Error::Malformed { .. } | Error::Refused { .. })) => {
            assert!(!fixture.store().join("SHA256SUMS").exists(), "{seed} {done:?}: {error}");
            return false;
        }
        Err(error) => panic!("{seed} {done:?}: {error}"),
    };
    assert!(report.finished, "{seed} {done:?}");
    let packed: BTreeSet<String> = fs::read_dir(fixture.store().join("plates"))
        .unwrap()
        .flat_map(|experiment| fs::read_dir(experiment.unwrap().path()).unwrap())
        .flat_map(|plate| {
            let plate = plate.unwrap().path();
            let sites = fs::read_to_string(plate.join("sites.csv")).unwrap();
            let sites: BTreeSet<String> =
                sites.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect();
            let sources = fs::read_to_string(plate.join("sources.sha256")).unwrap();
            let sources = sources
                .lines()
                .filter_map(|line| line.split_once("  "))
                .map(|(_, path)| path.to_owned())
                .collect::<Vec<_>>();
            // An image counts as packed if its site is in the store.
            sources.into_iter().filter(move |path| {
                let (dir, name) = path.rsplit_once('/').unwrap();
                let plate = plate_of(dir).unwrap().replace("/Plate", "_");
                let (well, rest) = name.split_once("_s").unwrap();
                let well = if well.len() == 2 { format!("{}0{}", &well[..1], &well[1..]) } else { well.to_owned() };
                sites.contains(&format!("{plate}_{well}_{}", rest.split_once("_w").unwrap().0))
            })
        })
        .collect();
    for image in images(&fixture.data()) {
        let named = report.faults.iter().any(|fault| names(fault, &image) || site_of(&fault.file) == site_of(&image));
        assert!(
            packed.contains(&image) || named,
            "seed {seed}, {done:?}: {image} is neither packed nor named\n{:#?}",
            report.faults
        );
    }
    // What a CSV names is in the store, or named as well.
    let store = Store::open(&fixture.store()).unwrap();
    let stored: BTreeSet<String> = store.sites().iter().map(|row| row.id.well.to_string()).collect();
    for csv in ["train.csv", "test.csv", "train_controls.csv", "test_controls.csv"] {
        for line in fs::read_to_string(fixture.image(csv)).unwrap().lines().skip(1) {
            let well = line.split(',').next().unwrap();
            let named = report.faults.iter().any(|fault| {
                fault
                    .plate
                    .as_ref()
                    .zip(fault.well)
                    .is_some_and(|(plate, name)| format!("{}_{}_{name}", plate.experiment, plate.plate) == well)
            });
            assert!(stored.contains(well) || named, "seed {seed}, {done:?}: well {well} is neither packed nor named");
        }
    }
    true
}

#[test]
fn every_image_of_a_tree_that_was_changed_at_random_is_packed_or_named() {
    let (mut n_packed, mut seen) = (0, BTreeSet::new());
    for seed in 0..250 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut spec = small();
        spec.size = (4, 3);
        let fixture = Fixture::kaggle(spec);
        let n = rng.random_range(1..4);
        let mut done = Vec::new();
        for _ in 0..n {
            let what = *CHANGES.choose(&mut rng).unwrap();
            if change(&fixture.data(), what, &mut rng).is_some() {
                done.push(what);
            }
        }
        if check(&fixture, seed, &done) {
            n_packed += 1;
            seen.extend(done);
        }
    }
    // Not all are refused as a whole, and each change was seen in a tree that was packed.
    assert!(n_packed > 150, "{n_packed}");
    assert_eq!(seen.len(), CHANGES.len(), "{seen:?}");
}
