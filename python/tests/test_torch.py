"""With PyTorch: batches are tensors, and its loaders take them."""

import subprocess
import sys

import numpy as np
import pytest

import cellshard

torch = pytest.importorskip("torch", reason="torch is not installed here; make test-torch-python installs it")


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
