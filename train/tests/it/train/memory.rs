//! Where memory runs out, whatever is being done then: one line that says what to change, exit code 2, and a run that is
//! gone on with where there is more.

use std::fs;
use std::process::{Command, Output};

use super::store;
use crate::common::{stderr, tool};

/// Runs `train` in so many KiB of address space.
fn within(kib: u64, train: &Command) -> Output {
    let mut limited = Command::new("sh");
    limited.arg("-c").arg(format!("ulimit -v {kib}; exec \"$@\"")).arg("sh").arg(train.get_program());
    // oneDNN's convolutions for AVX2 and above run kernels that it got no memory to compile (libtorch 2.11): a fault of
    // its own, which is not what is tested here.
    limited.env("ONEDNN_MAX_CPU_ISA", "SSE41");
    limited.args(train.get_args()).env_remove("RUST_BACKTRACE").output().unwrap()
}

#[test]
fn a_lack_of_memory_is_one_line_with_what_to_change_and_the_run_goes_on_where_there_is_more() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let mut begin = tool("train");
    begin.arg("--shards").arg(store()).arg("--run").arg(&root).args(["--device", "cpu", "--threads", "1"]);
    // Large for what it takes in memory, not in time.
    begin.args(["--model", "resnet18", "--epochs", "1", "--batch", "16", "--resize", "192", "--rotate", "5"]);
    begin.args(["--split", "none", "--early-stopping", "none", "--controls", "all", "--max-steps", "1"]);
    let mut n_in_training = 0;
    let mut first = None;
    for kib in (500..).step_by(125).map(|mib| mib << 10) {
        let _ = fs::remove_dir_all(&root);
        let output = within(kib, &begin);
        let said = stderr(&output);
        if output.status.code() == Some(75) {
            first.get_or_insert(kib);
            break;
        }
        assert_eq!(output.status.code(), Some(2), "{kib}: {said}");
        assert!(said.lines().count() == 1 && said.starts_with("error: ") && said.contains("memory"), "{kib}: {said}");
        if root.join("resume.safetensors").exists() {
            n_in_training += 1;
            assert!(said.contains("--batch") && said.contains("--accumulate"), "{kib}: {said}");
            let log = fs::read_to_string(root.join("train.log")).unwrap();
            assert!(log.contains("error      "), "{log}");
            let mut resume = tool("train");
            resume.arg("--shards").arg(store()).arg("--run").arg(&root).args(["--device", "cpu", "--resume"]);
            if n_in_training == 1 {
                let output = resume.output().unwrap();
                assert!(output.status.success(), "{}", stderr(&output));
            }
        }
        assert!(kib < 16 << 20, "it never has enough");
    }
    assert!(n_in_training >= 2, "{n_in_training} while training, {first:?} is enough");
}
