//! A tree and a store that are changed and then used: whatever a file says, nothing panics, and what is called whole is.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cellshard::feed::{Io, Reader, Verify};
use cellshard::pack::{OnError, PackConfig, pack};
use cellshard::simulate::{Bits, Config, Layout, simulate};
use cellshard::source::SourceConfig;
use cellshard::store::format::index::index_bytes;
use cellshard::store::format::manifest::{self, Entry};
use cellshard::store::{Codec, Store};
use cellshard::verify::{Depth, StoreConfig, compare_tree, verify_store, verify_tree};

/// A tree and three stores of it, made once.
struct Made {
    root: tempfile::TempDir,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let root = tempfile::tempdir().expect("a temporary folder");
        for (name, layout) in [
            ("kaggle", Layout::Kaggle2019),
            ("names", Layout::Kaggle2023),
            ("rxrxai", Layout::RxrxAi),
            ("bare", Layout::Bare),
        ] {
            let config = Config {
                cell_types: vec!["HUVEC:2".parse().expect("a cell type")],
                n_test_experiments: 1,
                n_plates: 1,
                n_wells: 4,
                n_sites: 1,
                n_sirnas: 2,
                size: 16,
                n_channels: 2,
                bits: Bits::Eight,
                seed: 0,
                layout,
                n_threads: 1,
            };
            simulate(&config, &root.path().join(name), &|_| {}).expect("a tree");
        }
        for codec in [Codec::Raw, Codec::Zstd(3)] {
            let config = pack_config(&root.path().join("kaggle"), &root.path().join(codec.to_string()), codec);
            assert!(pack(&config, &|_| {}).expect("a store").finished);
        }
        Made { root }
    })
}

pub(super) fn pack_config(src: &Path, dst: &Path, codec: Codec) -> PackConfig {
    PackConfig { codec: Some(codec), sites_per_shard: Some(3), ..PackConfig::new(src, dst) }
}

/// All files below a folder, sorted, relative to it.
fn files_below(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of ours") {
            let path = entry.expect("a folder of ours").path();
            let below = path.strip_prefix(root).expect("below it").to_owned();
            let list = if path.is_dir() { &mut folders } else { &mut files };
            list.push(if path.is_dir() { path } else { below });
        }
    }
    files.sort();
    files
}

/// A copy of a folder with some of its files changed, as `data` says: which file, how, where, by what.
pub(super) fn changed_copy(from: &Path, to: &Path, mut data: &[u8]) {
    let files = files_below(from);
    for file in &files {
        let to = to.join(file);
        fs::create_dir_all(to.parent().expect("below a folder")).expect("a copy");
        fs::copy(from.join(file), to).expect("a copy");
    }
    while let [which, how, a, b, rest @ ..] = data {
        let file = to.join(&files[usize::from(*which) % files.len()]);
        let n = usize::from(how / 16).min(rest.len());
        let (bytes, next) = rest.split_at(n);
        data = next;
        let Ok(mut content) = fs::read(&file) else { continue };
        let at = usize::from(u16::from_le_bytes([*a, *b])) % (content.len() + 1);
        match how % 16 {
            0 => content.truncate(at),
            1 => drop(content.splice(at..at, bytes.iter().copied())),
            2 => drop(content.drain(at..content.len().min(at + n))),
            3 => {
                let _ = fs::remove_file(&file);
                continue;
            }
            4 => content.extend(bytes),
            5 => {
                // Another file of the same folder in its place.
                let other = to.join(&files[(usize::from(*which) + 1 + n) % files.len()]);
                content = fs::read(other).unwrap_or_default();
            }
            6 => {
                // A digit for another, which most parsers take.
                if let Some(digit) = content[at..].iter_mut().find(|b| b.is_ascii_digit()) {
                    *digit = b'0' + (n % 10) as u8;
                }
            }
            7 => {
                // A line twice, or not at all.
                let mut lines: Vec<Vec<u8>> = content.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
                if !lines.is_empty() {
                    let line = at % lines.len();
                    if n % 2 == 0 { lines.insert(line, lines[line].clone()) } else { drop(lines.remove(line)) }
                }
                content = lines.concat();
            }
            _ => content.iter_mut().skip(at).zip(bytes).for_each(|(old, new)| *old = *new),
        }
        fs::write(&file, content).expect("a copy");
    }
}

/// Makes the lists of a store say what is there now, as whoever forges it would; the crc32c of shards' indices, too.
fn reseal(store: &Path) {
    let entry = |path: &str, sized: bool| {
        let entry = Entry::of(path, &fs::read(store.join(path)).ok()?);
        Some(Entry { size: entry.size.filter(|_| sized), ..entry })
    };
    let remake = |list: &Path, sized: bool| {
        let Ok(text) = fs::read_to_string(list) else { return };
        let paths = text.lines().filter_map(|line| Some(line.split_once("  ")?.1.to_owned()));
        let mut entries: Vec<Entry> = paths.filter_map(|path| entry(&path, sized)).collect();
        entries.sort();
        entries.dedup_by(|a, b| a.path == b.path);
        fs::write(list, manifest::format(&entries)).expect("a copy");
    };
    for file in files_below(store) {
        let path = store.join(&file);
        if file.starts_with("pixels.zarr") && path.parent().is_some_and(|folder| folder.ends_with("0/0/0")) {
            let mut bytes = fs::read(&path).expect("a copy");
            let index = index_bytes(3);
            if bytes.len() > index && !file.to_string_lossy().contains("statistics") {
                let (start, end) = (bytes.len() - index, bytes.len() - 4);
                let crc = crc32c::crc32c(&bytes[start..end]);
                bytes[end..].copy_from_slice(&crc.to_le_bytes());
                fs::write(&path, bytes).expect("a copy");
            }
        }
    }
    for file in files_below(store).iter().filter(|file| file.ends_with("files.sha256")) {
        remake(&store.join(file), true);
    }
    remake(&store.join("SHA256SUMS"), false);
}

/// A small store, some of its files changed and all lists made anew: opened, verified, fed and transcoded. What deep
/// verifying calls whole is opened, every site of it read, and transcoded.
pub fn store(data: &[u8]) {
    let [kind, changes @ ..] = data else { return };
    let (codec, other) = if kind % 2 == 0 { (Codec::Raw, Codec::Zstd(3)) } else { (Codec::Zstd(3), Codec::Raw) };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("store");
    changed_copy(&made().root.path().join(codec.to_string()), &root, changes);
    if kind & 2 == 0 {
        reseal(&root);
    }
    let verify = |depth| verify_store(&StoreConfig { root: root.clone(), depth, manifest: None }, &|_| {});
    let quick = verify(Depth::Quick).expect("a folder that can be listed");
    let deep = verify(Depth::Deep).expect("a folder that can be listed");
    assert!(deep.findings.len() >= quick.findings.len(), "a closer look finds no less");
    let is_whole = deep.findings.is_empty();
    let opened = Store::open(&root);
    assert!(!is_whole || opened.is_ok(), "whole, and cannot be opened: {:?}", opened.err());
    if let Ok(store) = opened
        && store.spec().site_bytes() <= 1 << 20
    {
        let mut pixels = vec![0; store.spec().site_bytes()];
        for io in [Io::Pread, Io::Mmap] {
            let reader = Reader::new(store.clone(), io, Verify::Always);
            for site in 0..store.sites().len() {
                let read = reader.read(site, &mut pixels);
                assert!(!is_whole || read.is_ok(), "whole, and cannot be read: {:?}", read.err());
            }
        }
    }
    let dst = folder.path().join("other");
    let config = PackConfig { sites_per_shard: None, ..pack_config(&root, &dst, other) };
    let packed = pack(&config, &|_| {});
    let finished = packed.as_ref().is_ok_and(|report| report.finished);
    assert!(!is_whole || finished, "whole, and cannot be transcoded: {packed:?}");
    if finished {
        let config = StoreConfig { root: dst, depth: Depth::Deep, manifest: None };
        let found = verify_store(&config, &|_| {}).expect("a store of ours").findings;
        assert!(!is_whole || found.is_empty(), "transcoded from what is whole: {found:?}");
    }
    let tree = made().root.path().join("kaggle");
    let _ = compare_tree(&SourceConfig { root: tree.clone(), ..SourceConfig::default() }, &root, &|_| {});
}

/// A small tree, some of its files changed: planned, verified, packed without what is bad, and what came of it verified.
pub fn tree(data: &[u8]) {
    let [kind, changes @ ..] = data else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("tree");
    let name = ["kaggle", "names", "rxrxai", "bare"][usize::from(kind % 4)];
    changed_copy(&made().root.path().join(name), &root, changes);
    let config = SourceConfig { root: root.clone(), ..SourceConfig::default() };
    let Ok(report) = verify_tree(&config, None, &|_| {}, &|_| {}) else { return };
    let dst = folder.path().join("store");
    let config = PackConfig { on_error: OnError::Skip, ..pack_config(&root, &dst, Codec::Raw) };
    let Ok(packed) = pack(&config, &|_| {}) else { return };
    if packed.finished {
        let config = StoreConfig { root: dst.clone(), depth: Depth::Deep, manifest: None };
        let found = verify_store(&config, &|_| {}).expect("a store of ours").findings;
        assert!(found.is_empty(), "what was just packed is whole: {found:?}");
        let n_packed = Store::open(&dst).expect("a finished store").sites().len() as u64;
        let faults = !report.faults.is_empty();
        assert!(faults || n_packed == packed.sites_packed, "all of a tree without a fault is packed");
    }
}
