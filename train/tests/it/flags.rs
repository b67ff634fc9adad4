//! Flags and arguments of `train` and `predict`, and their help.

use crate::common::{check_help, stderr, tool};

#[test]
fn every_short_help_is_one_screen_and_every_long_one_has_it_all() {
    check_help(&tool("train"), &["Arguments", "Options", "Recipe: data", "Recipe: training", "Bench"]);
    check_help(&tool("predict"), &["Arguments", "Options", "Output"]);
}

#[test]
fn the_store_is_an_argument_or_a_flag_and_not_both() {
    for (program, more) in [("train", &[][..]), ("predict", &["--run", "no-run"])] {
        let said = |args: &[&str]| {
            let output = tool(program).args(args).args(more).output().unwrap();
            assert_ne!(output.status.code(), Some(0));
            stderr(&output)
        };
        assert!(said(&[]).contains("<STORE> (or --shards <STORE>)"), "{}", said(&[]));
        assert!(said(&["a", "--shards", "b"]).contains("'<STORE>' cannot be used with '--shards <STORE>'"));
        // Either way it comes to the same.
        let by_flag = said(&["--shards", "no/such"]);
        assert!(by_flag.contains("no-run") || by_flag.contains("no/such"), "{by_flag}");
        assert_eq!(said(&["no/such"]), by_flag);
    }
}

#[test]
fn flags_of_other_frameworks_are_answered_with_ours() {
    for (found, meant) in
        [("--learning-rate", "--lr"), ("--batch_size", "--batch"), ("--weight_decay", "--weight-decay")]
    {
        let output = tool("train").args(["store", found, "1"]).output().unwrap();
        assert!(stderr(&output).contains(&format!("a similar argument exists: '{meant}'")), "{}", stderr(&output));
    }
}
