"""With PyTorch: tensors, its loaders, networks of ``train``, and the examples."""

import contextlib
import csv
import json
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


def test_batches_are_tensors_without_a_copy(store):
    loader = cellshard.Loader(store, batch_size=16, prefetch=1)
    assert isinstance(loader, torch.utils.data.IterableDataset)
    places = set()
    for batch in loader:
        assert {name: values.dtype for name, values in batch.items()} == {
            "pixels": torch.uint8,
            "label": torch.int64,
            "plate": torch.int64,
            "index": torch.int64,
        }
        assert (batch["pixels"][0].numpy() == store.site(int(batch["index"][0]))).all()
        places.add(batch["pixels"].data_ptr())
    assert len(places) <= 2
    held = []
    with pytest.raises(cellshard.BatchesHeldError, match="clone"):
        for batch in loader:
            held.append(batch["pixels"][1:3])


def test_pixels_of_16_bits_are_tensors(folder):
    store = cellshard.Store(folder / "deep")
    batch = next(iter(cellshard.Loader(store, batch_size=4)))
    assert batch["pixels"].dtype == torch.uint16
    images = cellshard.normalize(batch, store.normalization("none"))
    np.testing.assert_allclose(images.numpy(), batch["pixels"].numpy() / 65535, atol=1e-6)


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize(
    "by", ["plate-controls", "plate", "experiment-controls", "experiment", "global", "site", "none"]
)
def test_normalisation_in_torch_is_that_of_numpy(raw, by, robust):
    normalization = raw.normalization(by, robust=robust)
    batch = next(iter(cellshard.Loader(raw, batch_size=40)))
    images = cellshard.normalize(batch, normalization)
    assert images.dtype == torch.float32
    arrays = cellshard.normalize({name: values.numpy() for name, values in batch.items()}, normalization)
    np.testing.assert_allclose(images.numpy(), arrays, atol=2e-6, rtol=1e-6)


def test_torchs_loader_takes_it(raw):
    loader = cellshard.Loader(raw, batch_size=50, seed=4)
    batches = torch.utils.data.DataLoader(loader, batch_size=None, num_workers=0)
    assert len(batches) == 8
    for epoch in range(2):
        found = [batch["index"].tolist() for batch in batches]
        assert found == [batch.tolist() for batch in loader.order(epoch)]
    with pytest.raises(Exception, match="num_workers=0"):
        list(torch.utils.data.DataLoader(loader, batch_size=None, num_workers=2))


def test_torchdatas_stateful_loader_goes_on_in_the_middle(raw):
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader

    def made():
        return stateful(cellshard.Loader(raw, batch_size=30, seed=9), batch_size=None, num_workers=0)

    whole = made()
    expected = [[batch["index"].tolist() for batch in whole] for _ in range(2)]
    for taken in (1, 5, 13, 14):
        first = made()
        iterator = iter(first)
        for _ in range(taken):
            next(iterator)
        again = made()
        again.load_state_dict(first.state_dict())
        assert [batch["index"].tolist() for batch in again] == expected[0][taken:]
        assert [batch["index"].tolist() for batch in again] == expected[1]
    # Taken when an epoch is over, the next one is next.
    first = made()
    assert sum(1 for _ in first) == 14
    again = made()
    again.load_state_dict(first.state_dict())
    assert [batch["index"].tolist() for batch in again] == expected[1]


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


def test_a_loader_that_is_made_before_the_processes_meet_says_so(folder, tmp_path):
    body = f"""
import cellshard, torch.distributed as dist
loader = cellshard.Loader("raw", batch_size=16)
dist.init_process_group("gloo", init_method="file://{tmp_path / "meet"}", rank=0, world_size=1)
assert len(list(batch["index"] for batch in loader)) == 25
dist.get_world_size = lambda: 2
try:
    next(iter(loader))
except cellshard.RefusedError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", body], cwd=folder, capture_output=True, text=True)
    assert "make the loader once torch.distributed is initialised" in ended.stdout, ended.stderr


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


def test_processes_of_torch_distributed_read_their_shares(folder, tmp_path):
    body = """
import sys, torch.distributed as dist, cellshard
rank, world, init, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
dist.init_process_group("gloo", init_method=init, rank=rank, world_size=world)
loader = cellshard.Loader("raw", batch_size=16, seed=3)
met = [batch["index"].tolist() for batch in loader]
assert len(met) == len(loader)
open(f"{out}-{rank}", "w").write(repr(met))
dist.destroy_process_group()
"""
    init = f"file://{tmp_path / 'meet'}"
    out = tmp_path / "met"
    ranks = [subprocess.Popen([sys.executable, "-c", body, str(rank), "3", init, out], cwd=folder) for rank in range(3)]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0, 0]
    met = [eval((tmp_path / f"met-{rank}").read_text()) for rank in range(3)]
    assert len({len(batches) for batches in met}) == 1
    assert sorted(i for batches in met for batch in batches for i in batch) == list(range(400))
