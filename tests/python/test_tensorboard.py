"""TensorBoard's own reader finds in the event files of a run what its metrics.csv says, also where the run was stopped and
gone on with."""

import csv
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

BIN = Path(os.environ["CELLSHARD_BIN"])
TRAIN = ["--model", "base-cnn", "--epochs", "4", "--batch", "4", "--early-stopping", "none"]
MACHINE = ["--device", "cpu", "--threads", "1"]


def run(program, *args, expected=0):
    done = subprocess.run([str(BIN / program), *map(str, args)], capture_output=True, text=True)
    assert done.returncode == expected, done.stderr


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("plates")
    shape = ["--plates", 1, "--wells", 20, "--sirnas", 3, "--size", 32, "--channels", 2, "--sites", 1]
    run("simulate", "--dst", root / "data", "--experiments", "RPE:3", *shape)
    run("pack", "--src", root / "data", "--dst", root / "store")
    return root / "store"


def test_scalars_are_those_of_metrics_csv(store, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run("train", "--shards", store, "--run", whole, *TRAIN, *MACHINE)
    steps = sum(1 for _ in open(whole / "steps.csv")) - 1
    # In the middle of the third epoch, and at the end of the last but one.
    run("train", "--shards", store, "--run", stopped, *TRAIN, *MACHINE, "--max-steps", steps // 2 + 1, expected=75)
    run("train", "--shards", store, "--run", stopped, "--resume", *MACHINE, "--max-steps", 1, expected=75)
    before = (stopped / "resume.safetensors").read_bytes()
    run("train", "--shards", store, "--run", stopped, "--resume", *MACHINE)
    # As after a crash that lost what was saved since: the last two epochs are trained and told of again.
    repeated = tmp_path / "repeated"
    shutil.copytree(stopped, repeated)
    (repeated / "resume.safetensors").write_bytes(before)
    (repeated / "summary.json").unlink()
    run("train", "--shards", store, "--run", repeated, "--resume", *MACHINE)
    for folder in (whole, stopped, repeated):
        events = EventAccumulator(str(folder)).Reload()
        rows = list(csv.DictReader(open(folder / "metrics.csv")))
        assert len(rows) == 4
        tags = set(events.Tags()["scalars"])
        assert {"train/loss", "val/loss", "val/accuracy_well", "run/lr"} <= tags, tags
        for tag in tags:
            column = tag.removeprefix("run/").replace("/", "_")
            scalars = events.Scalars(tag)
            assert [scalar.step for scalar in scalars] == [int(row["step"]) for row in rows], tag
            for scalar, row in zip(scalars, rows):
                assert scalar.value == pytest.approx(float(row[column]), rel=1e-6), tag
