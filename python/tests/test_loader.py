"""The loader: what it hands out, whose its memory is, and what it refuses."""

import collections
import gc
import os
import queue
import shutil
import signal
import threading
import time
import weakref

import numpy as np
import pytest
from helpers import indices, loader

import cellshard


def test_batches_are_the_sites_that_they_name(store):
    split = store.split()
    batches = loader(store, split=split, batch_size=16)
    met = []
    for batch in batches:
        assert {name: values.dtype for name, values in batch.items()} == {
            "pixels": np.uint8,
            "label": np.int64,
            "plate": np.int64,
            "index": np.int64,
        }
        assert batch["pixels"].shape[1:] == store.shape
        for pixels, label, plate, index in zip(*batch.values(), strict=True):
            assert (pixels == store.site(int(index))).all()
            assert split.classes[label] == store.sites["sirna_id"][index]
            assert store.plates[plate] == (store.sites["experiment"][index], store.sites["plate"][index])
        met += batch["index"].tolist()
    assert sorted(met) == split.train.tolist() and met != sorted(met)


def test_a_loader_is_closed_and_used_again(raw):
    gc.collect()
    n_threads = len(os.listdir("/proc/self/task"))
    with loader(raw, batch_size=10) as batches:
        kept = next(iter(batches))
        assert len(os.listdir("/proc/self/task")) > n_threads
    assert len(os.listdir("/proc/self/task")) == n_threads
    assert (kept["pixels"][0] == raw.site(int(kept["index"][0]))).all()
    assert len(indices(batches)) == 40


def test_nothing_is_copied_and_memory_comes_back(raw):
    batches = loader(raw, batch_size=20, prefetch=2)
    places = set()
    # Two are held while the next one is asked for, so that it is in a third place, however late the threads come.
    held = collections.deque(maxlen=2)
    for _ in range(4):
        for batch in batches:
            held.append(batch["pixels"])
            places.add(batch["pixels"].ctypes.data)
            assert batch["pixels"].flags.writeable and not batch["pixels"].flags.owndata
    assert len(places) == 3
    # The last batch of an epoch is held while the next one begins, and goes back to it.
    kept = [batch["pixels"] for batch in loader(raw, batch_size=400)]
    assert (kept[0].sum((1, 2, 3)) > 0).all()


def test_a_batch_that_is_kept_is_not_written_over(raw):
    batches = loader(raw, batch_size=8, prefetch=2)
    iterator = iter(batches)
    first = next(iterator)
    kept = first["pixels"][3:5]
    expected, index = kept.copy(), first["index"]
    del first
    for _ in range(3):
        for batch in iterator:
            assert batch["pixels"].ctypes.data != kept.base.ctypes.data if kept.base is not None else True
        iterator = iter(batches)
    assert (kept == expected).all() and (kept[0] == raw.site(int(index[3]))).all()


def test_all_batches_held_is_an_error_that_says_so(raw):
    batches = loader(raw, batch_size=8, prefetch=2)
    held = []
    with pytest.raises(cellshard.BatchesHeldError, match="keep copies"):
        for batch in batches:
            held.append(batch)
    assert len(held) == 3
    held.clear()
    del batch
    assert len(indices(batches)) == 50


def test_batches_are_dropped_in_another_thread(raw):
    batches = loader(raw, batch_size=8, prefetch=2)

    passed = queue.Queue(maxsize=1)

    def drop():
        while passed.get() is not None:
            time.sleep(0.001)

    thread = threading.Thread(target=drop)
    thread.start()
    n = 0
    for batch in loader(raw, batch_size=8, prefetch=4):
        passed.put(batch["pixels"])
        del batch
        n += 1
    passed.put(None)
    thread.join()
    assert n == 50 and len(indices(batches)) == 50


def test_several_threads_iterate_loaders_of_one_store(raw):
    found = []

    def read(seed):
        batches = loader(raw, batch_size=16, seed=seed)
        for _ in range(3):
            found.append(sorted(sum(indices(batches), [])))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [list(range(400))] * 12


def test_an_exception_in_the_loop_leaves_nothing_behind(raw):
    gc.collect()
    n_threads = len(os.listdir("/proc/self/task"))
    batches = loader(raw, batch_size=8)
    with pytest.raises(ZeroDivisionError):
        for _ in batches:
            raise ZeroDivisionError
    assert len(indices(batches)) == 50
    gone = weakref.ref(batches)
    del batches
    gc.collect()
    assert gone() is None and len(os.listdir("/proc/self/task")) == n_threads


def test_memory_is_flat_over_ten_epochs(raw):
    """And so are threads and open files."""
    batches = loader(raw, batch_size=64, seed=2)

    def used():
        with open("/proc/self/statm") as file:
            return (
                int(file.read().split()[1]) * 4096,
                len(os.listdir("/proc/self/task")),
                len(os.listdir("/proc/self/fd")),
            )

    for _ in range(3):
        indices(batches)
    before = used()
    for _ in range(10):
        indices(batches)
    after = used()
    assert after[1:] == before[1:]
    # Less than half a batch of 64 x 6 x 32 x 32.
    assert after[0] - before[0] < 200_000


def test_who_lets_go_of_a_batch_goes_on(raw):
    iterator = iter(loader(raw, batch_size=8, prefetch=2))
    held = [next(iterator), next(iterator), next(iterator)]
    with pytest.raises(cellshard.BatchesHeldError):
        next(iterator)
    del held[1:]
    assert sum(1 for _ in iterator) == 47


def test_what_contradicts_itself_is_refused(raw):
    for arguments, said in [
        ({"batch_size": 0}, "batch_size: expected 1 or more, found 0"),
        ({"batch_size": 2.5}, "batch_size: expected a whole number"),
        ({"seed": -1}, "seed"),
        ({"seed": 1 << 64}, "seed"),
        ({"epoch": -1}, "epoch"),
        ({"sites": []}, "sites: expected one or more, found none"),
        ({"sites": ["HUVEC-01/1/B02/9"]}, None),
        ({"sites": np.ones((400, 2), bool)}, "one dimension"),
        ({"sites": [0.5]}, "expected indices, names or a mask"),
        ({"sites": {1, 2}}, None),
        ({"sites": iter([1])}, "expected a list or an array"),
        ({"part": "validation"}, "part: expected split="),
        ({"format": "jax"}, "format"),
        ({"verify": "twice"}, "verify: expected first or always or never"),
        ({"io": "fast"}, "io"),
        ({"threads": 0}, "threads"),
        ({"batch_by": "well"}, "batch_by: expected plate or experiment"),
        ({"batch_size": 500, "drop_last": True}, "sites for a batch"),
        ({"rank": 2, "world_size": 2}, "rank: expected 0 to 1"),
        ({"rank": 1}, "expected both or neither"),
        ({"sites": [400]}, "expected indices from 0 to 399"),
        ({"sites": np.ones(399, bool)}, "expected a mask of 400 sites"),
        ({"sites": [0], "split": raw.split()}, "found both"),
        ({"split": raw.split(), "part": "test"}, "part: expected train or validation"),
        ({"prefetch": 0}, "prefetch"),
        ({"batch_by": "plate", "shuffle": False}, "batch_by"),
        ({"device": "cuda"}, "device"),
    ]:
        with pytest.raises(cellshard.CellshardError, match=said):
            cellshard.Loader(raw, **({"format": "numpy"} | arguments))
    batches = loader(raw, batch_size=10)
    for wrong in ({"batch": 41}, {"batch": 1.5}, {"epoch": -1}, {"batch": None}, {"epoch": None}):
        with pytest.raises(cellshard.RefusedError, match="load_state_dict"):
            batches.load_state_dict(batches.state_dict() | wrong)
    with pytest.raises(AttributeError):
        batches.batch_size = 4


def test_sites_are_chosen_by_name(raw):
    names = [raw.name_of(7), raw.sites["site_id"][3]]
    assert indices(loader(raw, names, batch_size=2, shuffle=False)) == [[7, 3]]


def test_without_labels_they_are_unknown(folder, tmp_path):
    from conftest import run

    shutil.copytree(folder / "data", tmp_path / "data")
    for table in (tmp_path / "data").glob("*.csv"):
        table.unlink()
    run(tmp_path, "pack", "data", "bare", "--layout", "bare")
    store = cellshard.Store(tmp_path / "bare")
    assert all((batch["label"] == -1).all() for batch in loader(store, batch_size=100))
    with pytest.raises(cellshard.RefusedError):
        store.split()


def test_signal_handlers_of_python_stay(folder):
    """The programs run in processes of their own."""
    before = signal.getsignal(signal.SIGINT)
    assert cellshard.verify(folder / "raw")["finished"]
    assert signal.getsignal(signal.SIGINT) is before
