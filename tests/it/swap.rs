//! A plate that is redone, with a kill at any rename: neither the old plate nor the new one is ever lost, whether or not
//! the file system can exchange two folders at once. And what a listing names was synced before it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use cellshard::pack::{PackConfig, pack};
use cellshard::store::Store;
use cellshard::verify::{Depth, StoreConfig, verify_store};

use crate::common::{Fixture, assert_same, contents, copy_folder, small, strace, tool, write_png};

fn program(fixture: &Fixture, dst: &Path) -> Command {
    let mut command = tool("pack");
    command.arg("--src").arg(fixture.data()).arg("--dst").arg(dst);
    command.args(["--sites-per-shard", "5", "--threads", "2"]);
    command
}

/// A packed tree of which an image changed since: its store, and the one that it should become.
fn changed() -> (Fixture, std::path::PathBuf) {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let image = fixture.image("test/RPE-02/Plate1/B03_s2_w1.png");
    write_png(&image, (12, 10), &(0..120).map(|i| (i * i) as u8).collect::<Vec<_>>());
    let expected = fixture.path().join("expected");
    pack(&PackConfig { dst: expected.clone(), ..fixture.config() }, &|_| {}).unwrap();
    (fixture, expected)
}

#[test]
fn a_plates_folder_that_became_a_link_is_mended_and_what_it_leads_to_stays() {
    for folder in ["pixels.zarr/RPE-02/Plate1", "plates/RPE-02/Plate1"] {
        for leads_to_it in [false, true] {
            let (fixture, expected) = changed();
            let (place, elsewhere) = (fixture.store().join(folder), fixture.path().join("elsewhere"));
            fs::rename(&place, &elsewhere).unwrap();
            let before = contents(&elsewhere);
            let target = if leads_to_it { elsewhere.clone() } else { fixture.path().join("nowhere") };
            std::os::unix::fs::symlink(target, &place).unwrap();
            assert!(fixture.pack().finished, "{folder}");
            assert_same(&fixture.store(), &expected);
            assert!(contents(&elsewhere) == before, "{folder}");
        }
    }
}

#[test]
fn a_folder_on_another_file_system_is_named_before_anything_is_changed() {
    use std::os::unix::fs::MetadataExt;
    let (fixture, expected) = changed();
    let elsewhere = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    if device(elsewhere.path()) == device(fixture.path()) {
        return;
    }
    let place = fixture.store().join("plates/RPE-02");
    copy_folder(&place, &elsewhere.path().join("RPE-02"));
    fs::remove_dir_all(&place).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("RPE-02"), &place).unwrap();
    let before = contents(&fixture.store());
    let error = pack(&fixture.config(), &|_| {}).unwrap_err().to_string();
    assert!(error.contains("plates/RPE-02: expected a folder on the file system of the store"), "{error}");
    assert!(contents(&fixture.store()) == before);
    fs::remove_file(&place).unwrap();
    copy_folder(&elsewhere.path().join("RPE-02"), &place);
    assert!(fixture.pack().finished);
    assert_same(&fixture.store(), &expected);
}

/// Has a redo fail, or be killed, at each of some calls in turn, has a run that is not about its plate go by, and looks for
/// all plates. `fault` and those beside it are in strace's words.
fn interrupt_at_each(fault: &str, beside: &[&str]) {
    let (fixture, expected) = changed();
    let log = fixture.path().join("log");
    for n in 1.. {
        let dst = fixture.path().join(format!("interrupted-{n}"));
        copy_folder(&fixture.store(), &dst);
        let mut options = vec!["-e".to_owned(), format!("inject={fault}:when={n}")];
        options.extend(beside.iter().flat_map(|fault| ["-e".to_owned(), format!("inject={fault}")]));
        let Some(output) = strace(&options, &program(&fixture, &dst), &log) else { return };
        let is_interrupted = !output.status.success();
        let mut other = fixture.config();
        other.source.experiments = vec!["HEPG2-01".into()];
        let report = pack(&PackConfig { dst: dst.clone(), ..other }, &|_| {}).unwrap();
        assert!(report.finished, "{fault} {n}");
        assert_eq!(Store::open(&dst).unwrap().sites().len(), 48, "{fault} {n}");
        let config = StoreConfig { root: dst.clone(), depth: Depth::Deep, manifest: None };
        assert_eq!(verify_store(&config, &|_| {}).unwrap().findings, [], "{fault} {n}");
        pack(&PackConfig { dst: dst.clone(), ..fixture.config() }, &|_| {}).unwrap();
        assert_same(&dst, &expected);
        if !is_interrupted {
            assert!(n > 3, "a redo has more than {n} such calls");
            return;
        }
        fs::remove_dir_all(&dst).unwrap();
    }
}

#[test]
fn a_redo_killed_at_any_rename_loses_no_plate() {
    interrupt_at_each("rename,renameat,renameat2:signal=KILL", &[]);
}

#[test]
fn a_redo_killed_at_any_rename_loses_no_plate_where_folders_cannot_be_exchanged() {
    for error in ["EINVAL", "EXDEV", "ENOSYS"] {
        interrupt_at_each("rename,renameat:signal=KILL", &[&format!("renameat2:error={error}")]);
    }
}

#[test]
fn a_redo_that_fails_at_any_rename_or_sync_loses_no_plate() {
    interrupt_at_each("rename,renameat,renameat2:error=EIO", &[]);
    interrupt_at_each("rename,renameat:error=EIO", &["renameat2:error=EINVAL"]);
    interrupt_at_each("fsync:error=EIO", &[]);
}

/// One call of the system that matters for the order of syncs.
#[derive(Debug)]
enum Call {
    Made(String),
    Written(String),
    Synced(String),
    Renamed(String, String),
}

/// The calls of a log of `strace -y`.
fn calls(log: &str) -> Vec<Call> {
    let mut unfinished: BTreeMap<&str, &str> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let (pid, rest) = line.split_once(' ').unwrap_or(("", line));
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(pid, begun);
            continue;
        }
        let whole = match rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            Some((_, end)) => format!("{}{end}", unfinished.remove(pid).unwrap_or_default()),
            None => rest.to_owned(),
        };
        if whole.contains(" = -1 ") {
            continue;
        }
        let name = whole.split('(').next().unwrap_or_default();
        let quoted: Vec<String> = whole.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        let of_fd =
            || whole.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path.to_owned());
        match name {
            "mkdir" | "mkdirat" => calls.push(Call::Made(quoted[0].clone())),
            // The store's lock is nothing that has to outlive anything.
            "openat" if whole.contains("O_CREAT") && !quoted[0].ends_with("lock") => {
                calls.push(Call::Made(quoted[0].clone()));
            }
            "write" | "pwrite64" | "writev" => calls.extend(of_fd().map(Call::Written)),
            "fsync" | "fdatasync" => calls.extend(of_fd().map(Call::Synced)),
            "rename" | "renameat" | "renameat2" => calls.push(Call::Renamed(quoted[0].clone(), quoted[1].clone())),
            _ => {}
        }
    }
    calls
}

/// What of a folder is not on the disk: files that were written to, and folders in which something was made.
#[derive(Default)]
struct Unsynced(BTreeMap<String, &'static str>);

impl Unsynced {
    fn note(&mut self, call: Call) {
        let parent = |path: &str| path.rsplit_once('/').map_or(String::new(), |(parent, _)| parent.to_owned());
        match call {
            Call::Made(path) => {
                self.0.insert(parent(&path), "something was made in it");
            }
            Call::Written(path) => {
                self.0.insert(path, "it was written to");
            }
            Call::Synced(path) => drop(self.0.remove(&path)),
            Call::Renamed(from, to) => {
                let moved = |path: &str| path == from || path.starts_with(&format!("{from}/"));
                let inside: Vec<String> = self.0.keys().filter(|path| moved(path)).cloned().collect();
                for path in inside {
                    let why = self.0.remove(&path).unwrap();
                    self.0.insert(path.replacen(&from, &to, 1), why);
                }
                self.0.insert(parent(&to), "something was renamed into it");
            }
        }
    }
}

#[test]
fn all_that_a_listing_and_a_list_of_all_name_was_synced_before_them() {
    let (fixture, expected) = changed();
    let log = fixture.path().join("log");
    let base = fixture.path().to_str().unwrap().to_owned();
    let skipping = |dst: &Path| {
        let mut command = program(&fixture, dst);
        command.args(["--on-error", "skip"]);
        command
    };
    // A fresh store in folders that are new, too, and one plate redone, with and without an exchange; a gap is closed.
    fs::write(fixture.image("train/HEPG2-01/Plate1/B02_s1_w1.png"), "").unwrap();
    let fresh = fixture.path().join("new/folders/store");
    for (dst, fault) in [(&fresh, None), (&expected, Some("inject=renameat2:error=EINVAL")), (&fixture.store(), None)] {
        let mut options: Vec<String> = ["-y", "-s", "0", "-e"].map(str::to_owned).to_vec();
        let traced = "mkdir,mkdirat,openat,write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2";
        options.push(format!("trace={traced}"));
        options.extend(fault.into_iter().flat_map(|fault| ["-e".to_owned(), fault.to_owned()]));
        if fault.is_some() {
            fs::write(
                fixture.image("test/RPE-02/Plate1/B03_s2_w1.png"),
                fs::read(fixture.image("test/RPE-02/Plate1/B03_s2_w2.png")).unwrap(),
            )
            .unwrap();
        }
        let Some(output) = strace(&options, &skipping(dst), &log) else { return };
        let mut unsynced = Unsynced::default();
        let (mut n_listings, mut n_lists) = (0, 0);
        let mut synced = BTreeSet::new();
        for call in calls(&fs::read_to_string(&log).unwrap()) {
            if let Call::Synced(path) = &call {
                synced.insert(path.clone());
            }
            let Call::Renamed(from, to) = &call else {
                unsynced.note(call);
                continue;
            };
            let dst = dst.to_str().unwrap();
            let is_listing = to.starts_with(&format!("{dst}/plates/")) && from.ends_with("/listing");
            let is_list = *to == format!("{dst}/SHA256SUMS");
            if is_listing || is_list {
                n_listings += usize::from(is_listing);
                n_lists += usize::from(is_list);
                let plate = to.replace("/plates/", "/pixels.zarr/");
                // The shards and the folders on the way to them, up to those that were made for the store.
                let matters = |path: &&String| {
                    let named = path.starts_with(from.as_str()) || (is_listing && path.starts_with(&plate));
                    let above = plate.starts_with(&format!("{path}/")) || to.starts_with(&format!("{path}/"));
                    let listed = is_list && path.starts_with(dst) && !path.contains("/.cellshard-");
                    path.starts_with(&base) && (named || above || listed)
                };
                let open: Vec<(&String, &&str)> = unsynced.0.iter().filter(|(path, _)| matters(path)).collect();
                assert!(open.is_empty(), "{to}: {open:?}");
                // Also those that were there: a process could have made them that was killed before it synced them.
                let folders = ["", "/plates", "/pixels.zarr"].map(|folder| format!("{dst}{folder}"));
                assert!(is_listing || folders.iter().all(|folder| synced.contains(folder)), "{to}: {synced:?}");
            }
            unsynced.note(call);
        }
        assert!(n_listings > 0 && n_lists == 1, "{n_listings} {n_lists} {}", String::from_utf8_lossy(&output.stderr));
    }
}
