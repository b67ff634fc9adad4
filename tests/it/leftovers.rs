//! What lies in a store and is not of this process: only what a process of ours made is removed, and no link is followed
//! on the way there.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use crate::common::{Fixture, contents, small, write_png};

#[test]
fn a_link_that_is_named_like_a_folder_of_ours_leads_nobody_away() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let precious = fixture.path().join("precious");
    fs::create_dir(&precious).unwrap();
    for name in ["lock", "data"] {
        fs::write(precious.join(name), name).unwrap();
    }
    symlink(&precious, fixture.store().join(".cellshard-abc")).unwrap();
    let before = contents(&precious);
    assert!(fixture.pack().finished);
    assert!(contents(&precious) == before);
    assert!(fixture.store().join(".cellshard-abc").is_symlink());
}

#[test]
fn a_lock_that_is_a_link_locks_and_makes_nothing_elsewhere() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let elsewhere = fixture.path().join("elsewhere");
    symlink(&elsewhere, fixture.store().join(".cellshard-lock")).unwrap();
    let error = cellshard::pack::pack(&fixture.config(), &|_| {}).unwrap_err();
    assert!(error.to_string().contains(".cellshard-lock") && !elsewhere.exists(), "{error}");
}

#[test]
fn a_folder_named_like_ours_with_a_lock_and_somebodys_file_or_link_stays() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let folder = fixture.store().join(".cellshard-7");
    let names: [&OsStr; 4] = [
        "notes.txt".as_ref(),
        "HEPG2-01/Plate1/listing/notes.txt".as_ref(),
        "HEPG2-01/Plate1/array/c/x".as_ref(),
        OsStr::from_bytes(b"HEPG2-01/Plate1/array/c/\xff"),
    ];
    for name in names {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(folder.join("lock"), "").unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(fixture.pack().finished);
        assert!(path.exists(), "{name:?}");
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("lock"), "").unwrap();
    symlink(fixture.data(), folder.join("file")).unwrap();
    assert!(fixture.pack().finished && folder.join("file").is_symlink());
    // What a process of ours left goes.
    fs::remove_file(folder.join("file")).unwrap();
    fs::create_dir_all(folder.join("HEPG2-01/Plate1/array/c/0/0/0")).unwrap();
    fs::write(folder.join("HEPG2-01/Plate1/array/c/0/0/0/0"), "half").unwrap();
    assert!(fixture.pack().finished && !folder.exists());
    // Somebody's folder has another name, and what is in it may look like ours.
    let notes = fixture.store().join(".cellshard-notes");
    fs::create_dir_all(notes.join("empty")).unwrap();
    for name in ["lock", "file"] {
        fs::write(notes.join(name), "").unwrap();
    }
    assert!(fixture.pack().finished && notes.join("file").exists() && notes.join("empty").exists());
}

#[test]
fn a_file_in_a_plates_folder_whose_name_is_no_text_is_nobody_of_ours() {
    let fixture = Fixture::bare(small());
    fixture.pack();
    let image = fixture.image("RPE-02/Plate1/B03_s2_w1.png");
    write_png(&image, (12, 10), &[77; 120]);
    for name in [&b"plates/RPE-02/Plate1/\xff"[..], b"pixels.zarr/RPE-02/Plate1/c/0/0/\xff/0"] {
        let path = fixture.store().join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "precious").unwrap();
        let error = cellshard::pack::pack(&fixture.config(), &|_| {}).unwrap_err();
        assert!(error.to_string().contains("only files of a store"), "{error}");
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
        let _ = fs::remove_dir(path.parent().unwrap());
    }
    assert_eq!(fixture.pack().plates_packed, 1);
}
