//! Killed at any moment, run again: the same store, byte by byte.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::common::{Fixture, TreeSpec, assert_same, small, tool, write_png};

/// Large enough that packing takes a while: 3 x 2 plates of 12 sites of 3 x 96 x 96.
fn tree() -> Fixture {
    let experiments = vec![("HEPG2-01", "train"), ("RPE-02", "test"), ("U2OS-03", "train")];
    Fixture::kaggle(TreeSpec { experiments, channels: 3, size: (96, 96), ..small() })
}

fn pack(fixture: &Fixture, dst: &str) -> Command {
    let mut command = tool("pack");
    command.arg("--src").arg(fixture.data()).arg("--dst").arg(fixture.path().join(dst));
    command.args(["--codec", "zstd:15", "--sites-per-shard", "5", "--threads", "2"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn a_pack_killed_at_thirty_random_moments_ends_in_the_same_store() {
    let fixture = tree();
    let start = Instant::now();
    assert!(pack(&fixture, "reference").status().unwrap().success());
    let duration = start.elapsed();
    let mut rng = SmallRng::seed_from_u64(7);
    let mut n_killed = 0;
    for round in 0..120 {
        let dst = format!("killed-{round}");
        let mut child = pack(&fixture, &dst).spawn().unwrap();
        std::thread::sleep(duration.mul_f64(rng.random_range(0.0..1.0)));
        child.kill().unwrap();
        // One that had finished by then proves nothing and does not count.
        n_killed += usize::from(!child.wait().unwrap().success());
        assert!(pack(&fixture, &dst).status().unwrap().success(), "round {round}");
        assert_same(&fixture.path().join("reference"), &fixture.path().join(&dst));
        fs::remove_dir_all(fixture.path().join(dst)).unwrap();
        if n_killed == 30 {
            return;
        }
    }
    panic!("only {n_killed} of 120 were still running when they were killed");
}

#[test]
fn a_redo_killed_again_and_again_ends_in_the_same_store() {
    let fixture = tree();
    assert!(pack(&fixture, "store").status().unwrap().success());
    for (experiment, dataset) in &fixture.spec.experiments {
        let flat = vec![5; 96 * 96];
        write_png(&fixture.image(&format!("{dataset}/{experiment}/Plate1/B02_s1_w1.png")), (96, 96), &flat);
    }
    let mut rng = SmallRng::seed_from_u64(8);
    // How long one redo takes on this machine says when to kill.
    let start = Instant::now();
    assert!(pack(&fixture, "store").status().unwrap().success());
    let duration = start.elapsed();
    let mut n_caught = 0;
    for _ in 0..300 {
        // There must be something to redo each time, as an earlier one may have been completed.
        let level = rng.random_range(0..=255);
        for (experiment, dataset) in &fixture.spec.experiments {
            let image = format!("{dataset}/{experiment}/Plate1/B02_s1_w1.png");
            write_png(&fixture.image(&image), (96, 96), &vec![level; 96 * 96]);
        }
        let mut child = pack(&fixture, "store").spawn().unwrap();
        std::thread::sleep(duration.mul_f64(rng.random_range(0.0..1.0)));
        child.kill().unwrap();
        child.wait().unwrap();
        n_caught += usize::from(!fixture.path().join("store/SHA256SUMS").exists());
        if n_caught == 5 {
            break;
        }
    }
    assert!(n_caught > 0, "no kill came while the store was being changed");
    assert!(pack(&fixture, "store").status().unwrap().success());
    assert!(pack(&fixture, "reference").status().unwrap().success());
    assert_same(&fixture.path().join("reference"), &fixture.path().join("store"));
}

#[test]
fn processes_that_pack_the_same_store_at_once_do_not_hurt_each_other() {
    let fixture = tree();
    assert!(pack(&fixture, "reference").status().unwrap().success());
    let mut children: Vec<_> = (0..3).map(|_| pack(&fixture, "store").spawn().unwrap()).collect();
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    assert_same(&fixture.path().join("reference"), &fixture.path().join("store"));
}
