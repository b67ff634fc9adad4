//! `simulate` that is killed and run again: what is there stays, the rest is made, and nothing half.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use cellshard::files::is_temporary;

use crate::common::{contents, stderr, tool};

/// What is made: 48 sites, of which each takes a moment.
const FLAGS: [&str; 12] =
    ["--experiments", "HUVEC:2", "--plates", "1", "--wells", "12", "--sirnas", "4", "--size", "256", "--threads", "2"];

fn simulate(dst: &Path, layout: &str) -> Command {
    let mut command = tool("simulate");
    command.arg(dst).args(FLAGS).args(["--layout", layout]);
    command
}

/// Kills it once it has told of progress so many times; whether that was before it ended.
fn kill_after(mut command: Command, lines: usize) -> bool {
    let command = command.env("CELLSHARD_PROGRESS", "0.01").stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let said = BufReader::new(child.stderr.take().unwrap()).lines();
    let told = said.map_while(Result::ok).filter(|line| line.contains("sites, ")).take(lines).count();
    child.kill().unwrap();
    !child.wait().unwrap().success() && told == lines
}

/// Every file that has its name, with its inode.
fn named(root: &Path) -> BTreeMap<String, u64> {
    let is_named = |name: &String| !is_temporary(name.rsplit('/').next().unwrap_or_default()) && !name.starts_with('.');
    let is_image = |name: &str| name.ends_with(".png") || name.ends_with(".tif");
    // Tables are made again.
    let inode = |name: &str| if is_image(name) { fs::metadata(root.join(name)).unwrap().ino() } else { 0 };
    contents(root).into_keys().filter(is_named).map(|name| (name.clone(), inode(&name))).collect()
}

fn check(layout: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole/tree"), folder.path().join("killed/tree"));
    assert!(simulate(&whole, layout).output().unwrap().status.success());
    let expected = contents(&whole);
    let mut before: BTreeMap<String, u64> = BTreeMap::new();
    let mut n_killed = 0;
    for lines in [1, 1, 2, 3] {
        n_killed += usize::from(kill_after(simulate(&killed, layout), lines));
        let found = contents(&killed);
        let now = named(&killed);
        for name in now.keys() {
            assert!(found[name] == expected[name], "{name} is half there");
        }
        assert!(before.keys().all(|name| now.contains_key(name)));
        // Only sites that were under way, one a thread, of which an image was there and another one not.
        let again = before.iter().filter(|(name, inode)| now[*name] != **inode);
        let sites: BTreeSet<&str> = again.map(|(name, _)| name.split("_w").next().unwrap_or_default()).collect();
        assert!(sites.len() <= 2, "made again: {sites:?}");
        before = now;
    }
    assert!(n_killed > 0 && !before.is_empty());
    let output = simulate(&killed, layout).output().unwrap();
    assert!(output.status.success() || stderr(&output).contains("new or empty"), "{}", stderr(&output));
    let found = contents(&killed);
    assert!(found.keys().eq(expected.keys()), "{:?}", found.keys());
    assert!(found == expected);
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    check("kaggle2019");
}

#[test]
fn a_killed_run_with_thumbnails_and_files_beside_goes_on() {
    check("imagexpress");
}

#[test]
fn other_flags_are_refused_by_name_and_a_complete_tree_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dst = folder.path().join("tree");
    assert!(kill_after(simulate(&dst, "kaggle2019"), 1));
    let before = contents(&dst);
    let refused = |args: &[&str], says: &str| {
        let output = simulate(&dst, "kaggle2019").args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    };
    refused(&["--seed", "3"], "expected the flag that it was begun with: --seed 0, found --seed 3");
    refused(
        &["--sites", "1", "--bits", "16"],
        "expected the flags that it was begun with: --sites 2 --bits 8, found --sites 1 --bits 16",
    );
    assert!(contents(&dst) == before);
    // How many threads there are decides nothing.
    let mut again = tool("simulate");
    again.arg(&dst).args(&FLAGS[..10]).args(["--threads", "1"]);
    assert!(again.status().unwrap().success());
    refused(&[], "expected a folder that is new or empty, or one that simulate was interrupted in");
}
