//! From store to store: the same bytes as packing the PNGs would give, at any number of threads, in parts, after any
//! interruption; what is damaged is named to the site and left out, and the source is never touched.

mod damage;
mod interruptions;
mod lies;
mod program;
mod reruns;
mod same_bytes;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use cellshard::pack::{OnError, PackConfig, PackReport, pack};
use cellshard::source::SourceConfig;
use cellshard::store::Codec;

use crate::common::{Fixture, contents, stderr, stdout, tool};

const PLATE: &str = "RPE-02/Plate1";
const SHARD: &str = "pixels.zarr/RPE-02/Plate1/c/1/0/0/0";

/// Packs the PNGs into a folder of the fixture.
fn pack_pngs(fixture: &Fixture, dst: &str, codec: Codec, sites_per_shard: u32) -> PathBuf {
    let dst = fixture.path().join(dst);
    let sites_per_shard = Some(sites_per_shard);
    let config = PackConfig {
        dst: dst.clone(),
        codec: Some(codec),
        sites_per_shard,
        on_error: OnError::Skip,
        ..fixture.config()
    };
    assert!(pack(&config, &|_| {}).unwrap().finished);
    dst
}

/// From `fixture.store()` to another folder of the fixture, with the source's shard size.
fn config(fixture: &Fixture, dst: &str, codec: Codec) -> PackConfig {
    PackConfig {
        source: SourceConfig { root: fixture.store(), ..SourceConfig::default() },
        dst: fixture.path().join(dst),
        codec: Some(codec),
        sites_per_shard: None,
        ..fixture.config()
    }
}

fn run(config: &PackConfig) -> PackReport {
    pack(config, &|_| {}).unwrap()
}

fn times(root: &Path) -> BTreeMap<String, SystemTime> {
    let time = |name: String| {
        let modified = fs::metadata(root.join(&name)).unwrap().modified().unwrap();
        (name, modified)
    };
    contents(root).into_keys().map(time).collect()
}

fn flip(at: usize) -> impl Fn(&Path) {
    move |path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    }
}

/// The program, from `store` to another folder of the fixture.
fn command(fixture: &Fixture, dst: &str, flags: &[&str]) -> Command {
    let mut command = tool("pack");
    command.arg("--src").arg(fixture.store()).arg("--dst").arg(fixture.path().join(dst)).args(flags);
    command
}

fn output(fixture: &Fixture, dst: &str, flags: &[&str]) -> Output {
    command(fixture, dst, flags).output().unwrap()
}

fn check_output(output: &Output, code: i32, says: &[&str]) {
    let all = stdout(output) + &stderr(output);
    assert_eq!(output.status.code(), Some(code), "{all}");
    for text in says {
        assert!(all.contains(text), "{text:?} not in {all}");
    }
}
