"""Weights go to torchvision and back: a checkpoint of ours loads into its resnet50 as it is, and its state dict, saved
as the README says, loads into ours; either way the logits are the same. Both sides run on this machine's CPU."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed here; make test-torch-python installs it")
torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed here")
safetensors_torch = pytest.importorskip("safetensors.torch", reason="safetensors is not installed here")

ROOT = Path(__file__).parents[2]
# The line of the README, but for the weights, which a test does not download.
LINE = """
import torchvision, safetensors.torch
safetensors.torch.save_file(torchvision.models.resnet50(weights=None).state_dict(), "theirs.safetensors")
"""


def run_ours(folder):
    package = ["--release", "--package", "cellshard-train", "--test", "parity"]
    command = [os.environ.get("CARGO", "cargo"), "test", "--quiet", *package, "interop"]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"CELLSHARD_INTEROP_DIR": str(folder)}, check=True)


def load(path):
    return safetensors_torch.load_file(path)


def assert_same(found, expected):
    """In float64 only the order of sums may differ, as the two libtorch need not be one build."""
    assert found.shape == expected.shape and found.dtype == expected.dtype == torch.float64
    assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Written by us, then by torchvision, then by us from what torchvision wrote."""
    folder = tmp_path_factory.mktemp("interop")
    run_ours(folder)
    with contextlib.chdir(folder):
        exec(LINE, {})
    run_ours(folder)
    return folder


def test_a_checkpoint_of_ours_loads_into_torchvision(folder):
    model = torchvision.models.resnet50(weights=None, num_classes=1108).double().eval()
    model.conv1 = torch.nn.Conv2d(6, 64, 7, stride=2, padding=3, bias=False).double()
    ours = load(folder / "ours.safetensors")
    model.load_state_dict(ours, strict=True)
    assert ours["bn1.num_batches_tracked"] == 1 and ours["bn1.num_batches_tracked"].dtype == torch.int64
    with torch.no_grad():
        found = model(load(folder / "input.safetensors")["input"])
    assert_same(found, load(folder / "logits.safetensors")["logits"])


def test_a_state_dict_of_torchvision_loads_into_ours(folder):
    model = torchvision.models.resnet50(weights=None)
    model.load_state_dict(load(folder / "theirs.safetensors"), strict=True)
    with torch.no_grad():
        expected = model.double().eval()(load(folder / "input.safetensors")["input"][:, :3])
    assert_same(load(folder / "logits_theirs.safetensors")["logits"], expected)
