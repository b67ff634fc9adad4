//! Killed, in each other's way, out of space or in a panic: nothing half-written stays, and the next run completes.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use cellshard::pack::{PackConfig, Progress, pack};
use cellshard::store::Codec;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{check_output, command, config, output, pack_pngs, run};
use crate::common::{Fixture, TreeSpec, assert_same, small};

#[test]
fn a_panic_reaches_the_caller() {
    let fixture = Fixture::kaggle(small());
    fixture.pack();
    let config = PackConfig { threads: 4, ..config(&fixture, "raw", Codec::Raw) };
    let panics = |progress| assert!(matches!(progress, Progress::Planned(_)), "on purpose");
    assert!(std::panic::catch_unwind(|| pack(&config, &panics)).is_err());
    assert!(run(&config).finished);
    assert_same(&pack_pngs(&fixture, "direct", Codec::Raw, 5), &config.dst);
}

/// Large enough that transcoding takes a while: 3 x 2 plates of 12 sites of 3 x 96 x 96.
fn large() -> Fixture {
    let experiments = vec![("HEPG2-01", "train"), ("RPE-02", "test"), ("U2OS-03", "train")];
    Fixture::kaggle(TreeSpec { experiments, channels: 3, size: (96, 96), ..small() })
}

#[test]
fn killed_at_random_moments_it_ends_in_the_same_store() {
    let fixture = large();
    fixture.pack();
    let direct = pack_pngs(&fixture, "direct", Codec::Zstd(15), 5);
    let flags = ["--codec", "zstd:15", "--threads", "2"];
    let transcode = |dst: &str| {
        let mut command = command(&fixture, dst, &flags);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let start = Instant::now();
    assert!(transcode("timed").status().unwrap().success());
    let duration = start.elapsed();
    let mut rng = SmallRng::seed_from_u64(9);
    let mut n_killed = 0;
    for round in 0..80 {
        let dst = format!("killed-{round}");
        let mut child = transcode(&dst).spawn().unwrap();
        // Not to wait for something, but to kill at another moment each time.
        std::thread::sleep(duration.mul_f64(rng.random_range(0.0..1.0)));
        child.kill().unwrap();
        n_killed += usize::from(!child.wait().unwrap().success());
        assert!(transcode(&dst).status().unwrap().success(), "round {round}");
        assert_same(&direct, &fixture.path().join(&dst));
        fs::remove_dir_all(fixture.path().join(dst)).unwrap();
        if n_killed == 10 {
            return;
        }
    }
    panic!("only {n_killed} of 80 were still running when they were killed");
}

#[test]
fn processes_that_transcode_into_the_same_store_at_once_do_not_hurt_each_other() {
    let fixture = large();
    fixture.pack();
    let direct = pack_pngs(&fixture, "direct", Codec::Raw, 5);
    let mut children: Vec<_> =
        (0..3).map(|_| command(&fixture, "raw", &["--codec", "raw"]).stdout(Stdio::null()).spawn().unwrap()).collect();
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    assert_same(&direct, &fixture.path().join("raw"));
}

#[test]
fn a_full_disk_ends_the_run_at_any_number_of_threads_and_the_rerun_completes() {
    let fixture = large();
    fixture.pack();
    let (src, dst) = (fixture.store(), fixture.path().join("raw"));
    for threads in [1, 2, 4] {
        // A limit on the size of files stands in for a full disk; a run that hangs is ended with exit code 124.
        let script = format!(
            "trap '' XFSZ; ulimit -f 100; exec timeout 20 {} --src {} --dst {} --codec raw --threads {threads}",
            env!("CARGO_BIN_EXE_pack"),
            src.display(),
            dst.display()
        );
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        check_output(&output, 2, &["cannot write", "File too large"]);
        assert!(!dst.exists(), "nothing half-written stays");
    }
    check_output(&output(&fixture, "raw", &["--codec", "raw"]), 0, &["is finished"]);
    assert_same(&pack_pngs(&fixture, "direct", Codec::Raw, 5), &dst);
}
