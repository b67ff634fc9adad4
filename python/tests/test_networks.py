"""Networks of ``train`` and of torchvision, and the examples that train them."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cellshard

torch = pytest.importorskip("torch", reason="torch is not installed here; make test-torch-python installs it")

EXAMPLES = Path(__file__).parents[1] / "examples"


BIN = Path(os.environ.get("CELLSHARD_BIN", "target/release")).absolute()


def test_what_wraps_a_network_is_left_out(tmp_path):
    network = torch.nn.Linear(2, 3)
    import safetensors.torch

    for wrapped in (network, torch.nn.DataParallel(network)):
        cellshard.torch.save_weights(wrapped, tmp_path / "x.safetensors")
        assert set(safetensors.torch.load_file(tmp_path / "x.safetensors")) == {"weight", "bias"}


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "vgg16"])
def test_new_networks_are_drawn_as_torchvision_draws_them(name):
    """But for the channels of the first convolution, whose weights are of the same kind."""
    import torchvision

    torch.manual_seed(3)
    ours = cellshard.torch.new_model(name, 3, 5).state_dict()
    torch.manual_seed(3)
    theirs = torchvision.models.get_model(name, weights=None, num_classes=5).state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    six = cellshard.torch.new_model(name, 6, 5).state_dict()
    first = next(iter(theirs))
    # Of a fan in, twice the channels halve the variance; a fan out knows nothing of them.
    expected = theirs[first].std() * (0.5**0.5 if name == "densenet121" else 1)
    assert six[first].shape[1] == 6 and abs(six[first].std() / expected - 1) < 0.1
    bias = first.replace("weight", "bias")
    assert bias not in six or (six[bias] == 0).all()


def trained(folder, *flags):
    command = [BIN / "train", folder / "raw", "--device", "cpu", *flags]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "2"})


@pytest.mark.parametrize("model", ["resnet18", "densenet121"])
def test_networks_of_train_are_torchvisions_and_back(folder, tmp_path, model):
    """What `predict` says of each well is what the network says here."""
    run = tmp_path / "run"
    trained(folder, "--model", model, "--run", run, "--epochs", "2", "--batch", "16", "--resize", "64")
    network = cellshard.torch.load_model(run, "last")
    store = cellshard.Store(folder / "raw")
    normalization = store.normalization("plate-controls")
    loader = cellshard.Loader(store, batch_size=50, shuffle=False)
    wells = {}
    with torch.no_grad():
        for batch in loader:
            images = torch.nn.functional.interpolate(
                cellshard.normalize(batch, normalization), (64, 64), mode="bilinear", antialias=True
            )
            for index, shares in zip(batch["index"].tolist(), network(images).softmax(1), strict=True):
                wells.setdefault(store.sites["well_id"][index], []).append(shares.numpy())
    matrix = tmp_path / "shares.npy"
    asked = ["--run", run, "--checkpoint", "last", "--probabilities", matrix, "--wells", "all", "--device", "cpu"]
    subprocess.run([BIN / "predict", folder / "raw", *asked], check=True, capture_output=True)
    with open(f"{matrix}.csv", newline="") as file:
        rows = [row["id_code"] for row in csv.DictReader(file)]
    expected = np.load(matrix)
    found = np.stack([np.mean(wells[well], 0) for well in rows])
    assert len(rows) > 100
    np.testing.assert_allclose(found, expected, atol=1e-5)
    cellshard.torch.save_weights(network, tmp_path / "back.safetensors")
    again = tmp_path / "again"
    begin = ["--init-from", tmp_path / "back.safetensors", "--max-steps", "1", "--batch", "16", "--resize", "64"]
    command = [BIN / "train", folder / "raw", "--device", "cpu", "--model", model, "--run", again, *begin]
    assert subprocess.run(command, capture_output=True).returncode == 75


def example(name, *arguments, cwd=None):
    command = [sys.executable, EXAMPLES / name, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def losses(path):
    return [float(row[-1]) for row in csv.reader(path.read_text().splitlines())]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_plain_loop_and_train_have_the_same_losses(folder, tmp_path, optimizer):
    store = cellshard.Store(folder / "raw")
    torch.manual_seed(0)
    network = cellshard.torch.new_model("resnet18", 6, len(store.split().classes))
    cellshard.torch.save_weights(network, tmp_path / "first.safetensors")
    rate = ["--lr", "0.01"] if optimizer == "sgd" else ["--lr", "0.0001"]
    common = [
        "--model",
        "resnet18",
        "--init-from",
        str(tmp_path / "first.safetensors"),
        "--seed",
        "5",
        "--epochs",
        "9",
        *rate,
    ]
    run = tmp_path / "train"
    command = [BIN / "train", folder / "raw", "--device", "cpu", "--run", run, "--batch", "8", "--optimizer", optimizer]
    recipe = [
        "--recipe",
        "resnet50",
        "--schedule",
        "constant",
        "--flip",
        "false",
        "--rotate90",
        "false",
        "--gain",
        "0",
        "--offset",
        "0",
    ]
    ended = subprocess.run([*command, *recipe, *common, "--max-steps", "10"], capture_output=True, text=True)
    assert ended.returncode == 75, ended.stderr
    momentum = ["--momentum", "0.9"] if optimizer == "sgd" else []
    example(
        "train.py",
        folder / "raw",
        "--run",
        tmp_path / "loop",
        "--batch-size",
        "8",
        "--no-flip",
        "--device",
        "cpu",
        *common,
        *momentum,
        "--max-steps",
        "10",
    )
    found = losses(tmp_path / "loop" / "losses.csv")
    with open(run / "steps.csv", newline="") as file:
        expected = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(found) == len(expected) == 10
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_plain_loop_goes_on_where_it_was(folder, tmp_path):
    flags = ["--model", "resnet18", "--epochs", "2", "--batch-size", "16", "--device", "cpu"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    example("train.py", folder / "raw", "--run", whole, *flags)
    for steps in ("3", "6", "1"):
        example("train.py", folder / "raw", "--run", parts, *flags, "--max-steps", steps)
    assert "goes on in epoch" in example("train.py", folder / "raw", "--run", parts, *flags)
    assert losses(parts / "losses.csv") == losses(whole / "losses.csv")
    ours, theirs = (cellshard.torch.new_model("resnet18", 6, 6) for _ in range(2))
    cellshard.torch.load_weights(ours, whole / "weights.safetensors")
    cellshard.torch.load_weights(theirs, parts / "weights.safetensors")
    for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_lightning_trains_on_it(folder, tmp_path):
    pytest.importorskip("lightning")
    said = example(
        "train_lightning.py", folder / "raw", "--model", "resnet18", "--epochs", "2", "--batch-size", "16", cwd=tmp_path
    )
    assert "'accuracy':" in said and "'loss':" in said


def test_the_notebook_runs(folder, tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    monkeypatch.setenv("STORE", str(folder / "zstd"))
    notebook = nbformat.read(EXAMPLES / "explore.ipynb", as_version=4)
    client.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    pictures = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 2
