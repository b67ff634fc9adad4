"""TensorBoard's own readers find in the event files of a run what its tables and its recipe say, also where the run was
stopped and gone on with."""

import csv
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

BIN = Path(os.environ["CELLSHARD_BIN"])
TRAIN = ["--model", "base-cnn", "--epochs", "4", "--batch", "4", "--early-stopping", "none"]
MACHINE = ["--device", "cpu", "--threads", "1"]


def run(program, *args, expected=0):
    done = subprocess.run([str(BIN / program), *map(str, args)], capture_output=True, text=True)
    assert done.returncode == expected, done.stderr


def table(path):
    return list(csv.DictReader(open(path)))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("plates")
    shape = ["--plates", 1, "--wells", 20, "--sirnas", 3, "--size", 32, "--channels", 2, "--sites", 1]
    run("simulate", "--dst", root / "data", "--experiments", "RPE:3", *shape)
    run("pack", "--src", root / "data", "--dst", root / "store")
    return root / "store"


def test_scalars_are_those_of_the_tables(store, tmp_path):
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
        # What each tag has at which steps: a row an epoch, a step, or an epoch and group.
        expected = {}
        for row in table(folder / "metrics.csv"):
            for column in row.keys() - {"epoch", "step"}:
                kind, _, rest = column.partition("_")
                tag = f"{kind}/{rest}" if kind in ("train", "val") else f"run/{column}"
                expected.setdefault(tag, []).append((int(row["step"]), float(row[column])))
        step_of = {row["epoch"]: int(row["step"]) for row in table(folder / "metrics.csv")}
        for row in table(folder / "metrics-groups.csv"):
            for column in ("accuracy_site", "accuracy_well", "top5_well"):
                if row["kind"] != "plate":
                    tag = f"{row['kind']}/{row['group']}/{column}"
                    expected.setdefault(tag, []).append((step_of[row["epoch"]], float(row[column])))
        for row in table(folder / "steps.csv"):
            for column in ("lr", "loss"):
                expected.setdefault(f"step/{column}", []).append((int(row["step"]), float(row[column])))
        assert {"train/loss", "val/accuracy_well", "run/lr", "step/loss", "cell-type/RPE/top5_well"} <= expected.keys()
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
        assert set(events.Tags()["scalars"]) == expected.keys()
        for tag, values in expected.items():
            found = [(scalar.step, scalar.value) for scalar in events.Scalars(tag)]
            assert [step for step, _ in found] == [step for step, _ in values], tag
            for (_, value), (_, wanted) in zip(found, values):
                assert value == pytest.approx(wanted, rel=1e-6), tag


def test_the_recipe_is_a_session_of_the_hparams_dashboard(store, tmp_path):
    logs = tmp_path / "runs"
    run("train", "--shards", store, "--run", logs / "over", *TRAIN, *MACHINE, "--flip", "--lr", "0.001")
    run("train", "--shards", store, "--run", logs / "stopped", *TRAIN, *MACHINE, "--max-steps", 5, expected=75)
    run("train", "--shards", store, "--run", logs / "stopped", "--resume", *MACHINE, "--max-steps", 9, expected=75)
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(logs)).Reload()
    data = MultiplexerDataProvider(multiplexer, str(logs))
    backend = backend_context.Context(TBContext(data_provider=data))
    context, everything = RequestContext(), "runs"
    tags = backend.hparams_metadata(context, everything)
    experiment = backend.experiment_from_metadata(
        context, everything, include_metrics=True, hparams_run_to_tag_to_content=tags, data_provider_hparams=[]
    )
    assert "val/accuracy_well" in {metric.name.tag for metric in experiment.metric_infos}
    assert {"lr", "flip", "model"} <= {info.name for info in experiment.hparam_infos}
    statuses = [api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING]
    request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=10, allowed_statuses=statuses)
    groups = list_session_groups.Handler(context, backend, everything, request).run().session_groups
    assert len(groups) == 2
    for group in groups:
        folder = logs / group.sessions[0].name
        recipe = tomllib.loads((folder / "recipe.toml").read_text())
        for key, value in group.hparams.items():
            kind = value.WhichOneof("kind")
            found = getattr(value, kind)
            if kind == "string_value" and isinstance(recipe[key], list):
                found = found.split(",")
            assert found == recipe[key], key
        assert group.hparams.keys() == {key for key, value in recipe.items() if value != []}
        last = {metric.name.tag: metric.value for metric in group.metric_values}
        rows = table(folder / "metrics.csv")
        assert last["val/accuracy_well"] == pytest.approx(float(rows[-1]["val_accuracy_well"]), rel=1e-6)
        is_over = (folder / "summary.json").exists()
        assert group.sessions[0].status == (api_pb2.STATUS_SUCCESS if is_over else api_pb2.STATUS_UNKNOWN)
