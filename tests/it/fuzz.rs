//! A short run of the fuzz targets: over their seeds, over what once crashed, and over random changes of both, the same
//! in every run. `make fuzz` runs them for long, led by coverage.

use std::fs;
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

#[path = "../../fuzz/src/targets.rs"]
#[allow(unreachable_pub, dead_code, reason = "a library of its own, too")]
mod targets;

/// Random changes of each input.
const CHANGES: usize = 40;

/// The same of what is packed, verified and transcoded each time.
const CHANGES_OF_STORES: usize = 4;

#[test]
fn every_target_survives_its_seeds_what_once_crashed_it_and_changes_of_both() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (name, target) in targets::TARGETS {
        let mut inputs: Vec<Vec<u8>> = Vec::new();
        for folder in ["seeds", "crashers"] {
            let Ok(folder) = fs::read_dir(root.join(folder).join(name)) else { continue };
            let mut paths: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            inputs.extend(paths.iter().map(|path| fs::read(path).unwrap()));
        }
        assert!(!inputs.is_empty(), "{name} has seeds");
        let mut rng = SmallRng::seed_from_u64(11);
        let n_changes = if matches!(name, "store" | "tree" | "foreign_zarr") { CHANGES_OF_STORES } else { CHANGES };
        for input in inputs {
            target(&input);
            for _ in 0..n_changes {
                let mut changed = input.clone();
                for _ in 0..rng.random_range(1..4) {
                    let at = rng.random_range(0..=changed.len());
                    let byte = b"\0\xff\n,\"09-"[rng.random_range(0..8)];
                    match rng.random_range(0..4) {
                        0 if at < changed.len() => changed[at] ^= 1 << rng.random_range(0..8),
                        1 => changed.truncate(at),
                        2 => changed.insert(at, rng.random()),
                        _ if at < changed.len() => changed[at] = byte,
                        _ => changed.push(byte),
                    }
                }
                target(&changed);
            }
        }
    }
}
