//! Progress in a log, and Ctrl-C: what is said, how the program ends, and that nothing is lost by it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use cellshard::store::format::manifest::{self, Entry};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Fixture, TreeSpec, small, stderr, stdout, tool};

/// Starts a program that writes a line of progress often, and waits for one that says this.
fn begin(program: &mut Command, line: &str) -> Child {
    let program = program.env("CELLSHARD_PROGRESS", "0.02").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let mut said = BufReader::with_capacity(1, child.stderr.take().unwrap());
    let mut text = String::new();
    while !text.contains(line) {
        text.clear();
        assert!(said.read_line(&mut text).unwrap() > 0, "it ended without {line:?}");
    }
    child.stderr = Some(said.into_inner());
    child
}

/// Ends it by a signal; what it said last, and how it ended. It has nothing to say on stdout.
fn end(mut child: Child, signal: Signal) -> (String, ExitStatus) {
    kill_process(Pid::from_child(&child), signal).unwrap();
    let (mut said, mut results) = (String::new(), String::new());
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    child.stdout.take().unwrap().read_to_string(&mut results).unwrap();
    assert_eq!(results, "");
    (said.lines().last().unwrap_or_default().to_owned(), child.wait().unwrap())
}

#[test]
fn pack_says_how_to_go_on_and_that_does() {
    let fixture = Fixture::kaggle(TreeSpec { size: (256, 256), ..small() });
    let store = fixture.path().join("the store");
    let args = ["--src", "data", "--dst", "the store", "--codec", "zstd:22", "--threads", "1"];
    let mut again = String::new();
    for (signal, number) in [(Signal::INT, 2), (Signal::TERM, 15)] {
        let mut pack = tool("pack");
        let child = begin(pack.args(args).current_dir(fixture.path()), "sites, ");
        let (last, status) = end(child, signal);
        assert_eq!(status.signal(), Some(number));
        let said = "interrupted: what is packed is kept; go on with: ";
        again = last.strip_prefix(said).unwrap_or_else(|| panic!("{last}")).to_owned();
        assert!(again.ends_with("pack --src data --dst 'the store' --codec zstd:22 --threads 1"), "{again}");
    }
    let output = Command::new("sh").args(["-c", &again]).current_dir(fixture.path()).output().unwrap();
    assert!(output.status.success() && stdout(&output).contains("is finished"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("interrupted"));
    let output = tool("verify").arg(&store).arg("--deep").output().unwrap();
    assert!(stdout(&output).contains("result     whole"));
}

#[test]
fn a_shell_sees_130() {
    let folder = tempfile::tempdir().unwrap();
    let script = "\"$0\" simulate --dst made --size 2048 2> said & while ! grep -q 'of 24,640' said; do sleep 0.01; done; \
        kill -INT $!; wait $!; echo $?";
    let mut shell = Command::new("bash");
    shell.args(["-c", script]).arg(tool("cellshard").get_program()).env("CELLSHARD_PROGRESS", "0.02");
    let output = shell.current_dir(folder.path()).output().unwrap();
    assert_eq!(stdout(&output), "130\n");
}

/// A tree with a list that names a file of so many bytes that it is not read through while this runs.
fn tree_of_one_large_file(root: &Path) {
    fs::create_dir(root.join("tree")).unwrap();
    File::create(root.join("tree/large.bin")).unwrap().set_len(1 << 40).unwrap();
    let entry = Entry { size: Some(1 << 40), ..Entry::of("large.bin", b"") };
    manifest::write(&[entry], &mut File::create(root.join("list")).unwrap()).unwrap();
}

#[test]
fn verify_counts_bytes_and_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    tree_of_one_large_file(folder.path());
    let mut verify = tool("verify");
    let verify = verify.args(["tree", "--against", "list", "--damaged-list", "again.txt"]).current_dir(folder.path());
    let (last, status) = end(begin(verify, "B of 1.10 TB, "), Signal::TERM);
    assert_eq!(
        (last.as_str(), status.signal()),
        ("interrupted: nothing was changed and nothing was proven; run it again", Some(15))
    );
    let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["list", "tree"]);
}

#[test]
fn a_log_can_be_left_without_progress() {
    let fixture = Fixture::kaggle(small());
    let mut pack = tool("pack");
    pack.arg("--src").arg(fixture.data()).arg("--dst").arg(fixture.store());
    let output = pack.env("CELLSHARD_PROGRESS", "0").output().unwrap();
    assert_eq!(stderr(&output), "");
}
