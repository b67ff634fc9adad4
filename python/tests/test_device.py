"""Batches on a device: on a GPU where there is one, and by a stand-in whose copies are late."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import cellshard

torch = pytest.importorskip("torch", reason="torch is not installed here; make test-torch-python installs it")


class Stream:
    """A CUDA stream of a machine that has none: a copy is made when somebody waits for its event."""

    waiting: list = []

    def __init__(self, device):
        pass

    def synchronize(self):
        for event in list(Stream.waiting):
            event.synchronize()


class Event:
    """The event behind the copies that were asked for since the one before."""

    asked: list = []

    def record(self, stream):
        self.copies, Event.asked[:] = list(Event.asked), []
        Stream.waiting.append(self)

    def query(self):
        return False

    def synchronize(self):
        for to, source in self.copies:
            to.copy_(source)
        self.copies = []


class Source:
    """A tensor of a batch, whose copy to the device comes late."""

    def __init__(self, tensor):
        self.tensor = tensor

    def to(self, device, non_blocking):
        Event.asked.append((to := torch.zeros_like(self.tensor), self.tensor))
        return to


@pytest.mark.parametrize("end", ["whole", "abandoned", "error"])
def test_memory_is_kept_until_it_is_copied(raw, monkeypatch, end):
    """By a stand-in for a GPU whose copies are as late as they may be."""
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: None)
    current = type("Current", (), {"wait_event": staticmethod(lambda event: None)})
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)
    loader = cellshard.Loader(raw, batch_size=16, prefetch=3)
    iterator = iter(loader)
    n_left = [7 if end == "error" else 1000]

    def read():
        if (n_left := n_left_of()) == 0:
            raise ValueError("no more")
        batch = next(iterator, None) if n_left else None
        return batch and {name: Source(values) for name, values in batch.items()}

    def n_left_of():
        n_left[0] -= 1
        return n_left[0]

    on_device = cellshard.torch.OnDevice(read, torch.device("cpu"))
    moved = []
    try:
        while (batch := on_device.next()) is not None:
            moved.append(batch)
            if end == "abandoned" and len(moved) == 5:
                break
    except ValueError:
        assert end == "error" and len(moved) == 6
    # What is on its way is waited for before its memory goes back.
    del on_device, read
    for batch in iterator:
        del batch
    assert len(moved) == {"whole": 25, "abandoned": 5, "error": 6}[end]
    for batch in moved:
        for pixels, index in zip(batch["pixels"], batch["index"].tolist(), strict=True):
            assert (pixels.numpy() == raw.site(index)).all()


def test_a_device_that_is_not_there_is_refused(raw):
    assert next(iter(cellshard.Loader(raw, device="cpu")))["pixels"].device.type == "cpu"
    with pytest.raises(cellshard.RefusedError, match="device"):
        cellshard.Loader(raw, device="meta")
    if not torch.cuda.is_available():
        for wrong in ({"device": "cuda"}, {"device": "gpu"}, {"pin_memory": True}):
            with pytest.raises(cellshard.RefusedError, match="cuda|device|CUDA"):
                cellshard.Loader(raw, **wrong)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_batches_on_a_gpu_are_those_of_the_store(raw):
    loader = cellshard.Loader(raw, batch_size=32, device="cuda")
    for _ in range(3):
        met = []
        for batch in loader:
            assert all(values.is_cuda for values in batch.values())
            for pixels, index in zip(batch["pixels"].cpu(), batch["index"].tolist(), strict=True):
                assert (pixels.numpy() == raw.site(index)).all()
                met.append(index)
        assert sorted(met) == list(range(400))


def test_the_check_for_a_gpu_passes_on_a_cpu(folder):
    tool = Path(__file__).parents[2] / "tools" / "loader_on_device.py"
    command = [sys.executable, tool, folder / "raw", "--device", "cpu", "--batch-size", "50"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["sites_compared"] == 1200
