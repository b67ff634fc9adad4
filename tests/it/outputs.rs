//! Where programs write what they were asked for: nothing but a regular file is ever replaced, and a list that is being
//! written is no part of what it is a list of. Limits of the system are errors, no kills.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use crate::common::{Fixture, small, stderr, stdout, strace, tool};

fn verify(path: &Path, flag: &str, list: &Path) -> Output {
    tool("verify").arg(path).arg(flag).arg(list).output().unwrap()
}

#[test]
fn outputs_go_into_devices_pipes_and_what_links_lead_to() {
    let fixture = Fixture::bare(small());
    fixture.pack();
    let at = |name: &str| fixture.path().join(name);
    symlink("/dev/null", at("null")).unwrap();
    fs::write(at("real"), "old").unwrap();
    symlink("real", at("link")).unwrap();
    fs::write(at("locked"), "keep").unwrap();
    fs::set_permissions(at("locked"), fs::Permissions::from_mode(0o444)).unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    let faults = |list: &Path| {
        let mut pack = tool("pack");
        pack.arg("--src").arg(fixture.data()).arg("--dst").arg(fixture.store()).args(["--sites-per-shard", "5"]);
        pack.arg("--faults").arg(list).output().unwrap()
    };
    let ways: [&dyn Fn(&Path) -> Output; 3] = [
        &|list| verify(&fixture.data(), "--write", list),
        &|list| verify(&fixture.store(), "--damaged-list", list),
        &faults,
    ];
    for run in ways {
        assert!(run(&at("null")).status.success());
        assert!(at("null").is_symlink() && fs::metadata(at("null")).unwrap().file_type().is_char_device());
        fs::write(at("real"), "old").unwrap();
        assert!(run(&at("link")).status.success());
        assert!(at("link").is_symlink() && fs::read_to_string(at("real")).unwrap() != "old");
        let output = run(&at("locked"));
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("without write permission"), "{}", stderr(&output));
        assert_eq!(fs::read_to_string(at("locked")).unwrap(), "keep");
        let output = run(&at("pipe"));
        assert_eq!(output.status.code(), Some(2), "nobody reads it");
        assert!(fs::metadata(at("pipe")).unwrap().file_type().is_fifo());
    }
}

#[test]
fn a_list_that_is_asked_for_on_stdout_comes_there_beside_the_report() {
    let fixture = Fixture::bare(small());
    // What /dev/stdout leads to: a program that renames over what it is given does no harm here.
    let output = verify(&fixture.data(), "--write", Path::new("/proc/self/fd/1"));
    assert!(output.status.success() && stdout(&output).contains(".png\n"), "{}", stderr(&output));
    // Also where stdout is a file, which must not be replaced under the report.
    let path = fixture.path().join("out");
    let mut command = tool("verify");
    command.arg(fixture.data()).args(["--write", "/proc/self/fd/1"]).stdout(fs::File::create(&path).unwrap());
    assert!(command.status().unwrap().success());
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(".png\n") && text.contains("48 sites"), "{text}");
}

#[test]
fn a_stream_needs_no_place_for_temporary_files() {
    let fixture = Fixture::bare(small());
    let mut command = tool("verify");
    command.arg(fixture.data()).args(["--write", "/dev/stdout"]).env("TMPDIR", "/nowhere");
    let output = command.output().unwrap();
    assert!(output.status.success() && stdout(&output).contains(".png\n"), "{output:?}");
}

#[test]
fn a_list_of_a_tree_that_cannot_all_be_read_is_not_written_and_all_else_is_told() {
    let fixture = Fixture::bare(small());
    std::os::unix::fs::symlink(".", fixture.image("circle")).unwrap();
    fs::write(fixture.image("RPE-02/Plate1/B03_s1_w1.png"), "").unwrap();
    let list = fixture.path().join("list");
    let output = verify(&fixture.data(), "--write", &list);
    let text = stdout(&output);
    for part in ["unreadable: 1 file", "circle: ", "empty-file: 1 file", "nothing, as not all can be read"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(output.status.code() == Some(1) && !list.exists());
}

#[test]
fn a_list_written_into_what_it_is_of_is_no_part_of_it() {
    let fixture = Fixture::bare(small());
    fixture.pack();
    let list = fixture.store().join("again.txt");
    for _ in 0..2 {
        let output = verify(&fixture.store(), "--damaged-list", &list);
        assert!(output.status.success(), "{}", stdout(&output));
        assert_eq!(fs::read_to_string(&list).unwrap(), "");
    }
    assert_eq!(
        tool("verify").arg(fixture.store()).output().unwrap().status.code(),
        Some(1),
        "else it is an extra file"
    );
    let list = fixture.data().join("list");
    let written: Vec<Vec<u8>> = (0..2)
        .map(|_| {
            assert!(verify(&fixture.data(), "--write", &list).status.success());
            fs::read(&list).unwrap()
        })
        .collect();
    assert!(written[0] == written[1]);
}

#[test]
fn a_file_that_may_not_grow_as_large_is_an_error_and_the_next_run_completes() {
    let fixture = Fixture::kaggle(small());
    let run = |limit: &str| {
        let pack = tool("pack");
        let script = format!("ulimit -f {limit}; exec \"$@\"");
        let mut command = Command::new("bash");
        command.args(["-c", &script, "bash"]).arg(pack.get_program()).arg("--src").arg(fixture.data());
        command.arg("--dst").arg(fixture.store()).args(["--codec", "raw", "--sites-per-shard", "5"]).output().unwrap()
    };
    let output = run("4");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains("File too large"), "{}", stderr(&output));
    assert_eq!(run("unlimited").status.code(), Some(0));
}

#[test]
fn where_no_thread_can_be_had_pack_and_verify_say_so_and_panic_nowhere() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let dst = fixture.path().join("dst");
    let mut pack = tool("pack");
    pack.arg("--src").arg(fixture.data()).arg("--dst").arg(&dst).args(["--threads", "2"]);
    let (mut store, mut tree) = (tool("verify"), tool("verify"));
    store.arg(fixture.store());
    tree.arg(fixture.data());
    for program in [&pack, &store, &tree] {
        for n in 1..9 {
            let options = ["-e".to_owned(), format!("inject=clone3,clone:error=EAGAIN:when={n}+")];
            let Some(output) = strace(&options, program, &fixture.path().join("log")) else { return };
            let text = stderr(&output);
            assert!(!text.contains("panicked"), "{n}: {text}");
            match output.status.code() {
                Some(0) => break,
                code => assert!(code == Some(2) && text.contains("thread"), "{n}: {code:?} {text}"),
            }
        }
    }
}
