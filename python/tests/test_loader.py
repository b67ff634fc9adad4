"""The loader: its order, what it hands out, where it goes on, and what it says when it cannot."""

import contextlib
import gc
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import cellshard

MASK = (1 << 64) - 1


def mix(value):
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def permutation(n, seed, epoch):
    """The order that docs/format.md has no need of and ``train`` has: a Feistel network, walked into its range."""
    bits = (n - 1).bit_length() if n > 1 else 0
    half = max((bits + 1) // 2, 1)
    key = mix(mix(seed) ^ (epoch * 0x9E3779B97F4A7C15 & MASK))
    keys = [mix((key + i) & MASK) for i in range(6)]
    order = []
    for value in range(n):
        while True:
            left, right = value >> half, value & ((1 << half) - 1)
            for k in keys:
                left, right = right, left ^ (mix(right ^ k) & ((1 << half) - 1))
            value = left << half | right
            if value < n:
                break
        order.append(value)
    return order


def loader(store, sites=None, **arguments):
    return cellshard.Loader(store, sites, format="numpy", **arguments)


def indices(batches):
    return [batch["index"].tolist() for batch in batches]


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


def test_the_order_is_that_of_rust(raw):
    """As written down here a second time."""
    draw = random.Random(7)
    for _ in range(20):
        n, size, world = draw.randrange(40, 400), draw.randrange(1, 9), draw.randrange(1, 5)
        seed, epoch = draw.randrange(1 << 64), draw.randrange(1000)
        sites = sorted(draw.sample(range(400), n))
        expected = [sites[i] for i in permutation(n, seed, epoch)]
        for rank in range(world):
            arguments = {"batch_size": size, "seed": seed, "rank": rank, "world_size": world, "drop_last": True}
            order = loader(raw, sites, **arguments).order(epoch)
            starts = range(0, n // (size * world) * size * world, size * world)
            assert [batch.tolist() for batch in order] == [
                expected[start + rank * size : start + (rank + 1) * size] for start in starts
            ]


def test_what_is_read_is_the_order_and_epochs_differ(raw):
    batches = loader(raw, batch_size=37, seed=3)
    for epoch in range(3):
        assert batches.epoch == epoch
        found = indices(batches)
        assert found == [batch.tolist() for batch in batches.order(epoch)]
        assert sorted(sum(found, [])) == list(range(400))
    assert batches.order(0)[0].tolist() != batches.order(1)[0].tolist()
    batches.set_epoch(1)
    assert indices(batches)[0] == batches.order(1)[0].tolist()
    in_order = loader(raw, raw.sites["cell_type"] == "RPE", batch_size=50, shuffle=False)
    assert sum(indices(in_order), []) == np.flatnonzero(raw.sites["cell_type"] == "RPE").tolist()


def test_ranks_are_disjoint_complete_and_have_as_many_batches(raw):
    draw = random.Random(11)
    for _ in range(30):
        n, size, world = draw.randrange(20, 400), draw.randrange(2, 40), draw.randrange(1, 5)
        if n < size * world:
            continue
        ranks = [loader(raw, range(n), batch_size=size, rank=rank, world_size=world, seed=5) for rank in range(world)]
        orders = [batches.order(2) for batches in ranks]
        assert len({len(order) for order in orders}) == 1 and len(orders[0]) == len(ranks[0])
        assert all(1 <= len(batch) <= size for order in orders for batch in order)
        assert sorted(int(i) for order in orders for batch in order for i in batch) == list(range(n))


def test_it_goes_on_at_any_batch(raw):
    arguments = {"batch_size": 33, "seed": 8, "drop_last": True}
    whole = loader(raw, **arguments)
    expected = indices(whole) + indices(whole)
    n = len(whole)
    for taken in range(2 * n):
        first = loader(raw, **arguments)
        found = []
        while len(found) < taken:
            for batch in first:
                found.append(batch["index"].tolist())
                del batch
                if len(found) == taken:
                    break
        state = first.state_dict()
        again = loader(raw, **arguments)
        again.load_state_dict(state)
        found += indices(again)
        # At the end of an epoch nothing of it is left; whoever goes on begins the next one.
        assert found == expected[: n if taken <= n else 2 * n], taken


def test_a_state_of_another_order_is_refused(raw):
    state = loader(raw, batch_size=10, seed=1).state_dict()
    for other in ({"batch_size": 11}, {"seed": 2}, {"sites": range(399)}, {"rank": 0, "world_size": 2}):
        batches = loader(raw, **({"batch_size": 10, "seed": 1} | other))
        with pytest.raises(cellshard.RefusedError, match="load_state_dict: expected"):
            batches.load_state_dict(state)


def test_what_was_broken_off_does_not_come_again(raw):
    batches = loader(raw, batch_size=10)
    for _ in range(3):
        next(iter(batches))
    assert batches.epoch == 2
    # An epoch begins when its first batch is asked for.
    first, second = iter(batches), iter(batches)
    assert next(second)["index"].tolist() == batches.order(3)[0].tolist()
    assert next(first)["index"].tolist() == batches.order(4)[0].tolist()
    with pytest.raises(RuntimeError, match="another one has begun"):
        next(second)


def test_an_iteration_is_over_when_the_loader_is_set(raw):
    batches = loader(raw, batch_size=10)
    state = batches.state_dict()
    for change in (lambda: batches.set_epoch(3), lambda: batches.load_state_dict(state), batches.close):
        iterator = iter(batches)
        next(iterator)
        change()
        with pytest.raises(RuntimeError, match="the loader was set"):
            next(iterator)
    batches.set_epoch(2)
    for batch in batches:
        last = batch["index"].tolist()
    assert batches.epoch == 3 and last == batches.order(2)[-1].tolist()


def test_setting_the_epoch_of_a_state_keeps_its_place(raw):
    batches = loader(raw, batch_size=50)
    batches.load_state_dict(batches.state_dict() | {"epoch": 2, "batch": 5})
    batches.set_epoch(2)
    assert indices(batches) == [batch.tolist() for batch in batches.order(2)[5:]]
    batches.set_epoch(2)
    assert len(indices(batches)) == 8


def test_a_loader_is_closed_and_used_again(raw):
    gc.collect()
    n_threads = len(os.listdir("/proc/self/task"))
    with loader(raw, batch_size=10) as batches:
        kept = next(iter(batches))
        assert len(os.listdir("/proc/self/task")) > n_threads
    assert len(os.listdir("/proc/self/task")) == n_threads
    assert (kept["pixels"][0] == raw.site(int(kept["index"][0]))).all()
    assert len(indices(batches)) == 40


def test_the_next_epoch_is_read_ahead(raw):
    """Its threads are those of the epoch before, and what is not the next epoch begins anew."""
    batches = loader(raw, batch_size=50)

    def threads():
        return sorted(os.listdir("/proc/self/task"))

    assert indices(batches) == [batch.tolist() for batch in batches.order(0)]
    before = threads()
    assert indices(batches) == [batch.tolist() for batch in batches.order(1)]
    assert threads() == before
    batches.set_epoch(7)
    assert indices(batches) == [batch.tolist() for batch in batches.order(7)]
    next(iter(batches))
    assert indices(batches) == [batch.tolist() for batch in batches.order(9)]


def test_batches_keep_to_a_plate(raw):
    batches = loader(raw, batch_size=16, batch_by="plate", seed=1)
    found = list(batches.order(0))
    assert len(found) == 20 and all(len(set(raw.plate_of_sites[batch])) == 1 for batch in found)
    assert indices(batches) == [batch.tolist() for batch in found]
    assert loader(raw, range(45), batch_size=16, batch_by="plate").n_left_out == 5


def test_nothing_is_copied_and_memory_comes_back(raw):
    batches = loader(raw, batch_size=20, prefetch=2)
    places = set()
    for _ in range(4):
        for batch in batches:
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
    import queue

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


def damaged(folder, tmp_path, n):
    """A store of which the first sites of the last plate are damaged."""
    shutil.copytree(folder / "raw", tmp_path / "damaged")
    shard = tmp_path / "damaged/pixels.zarr/RPE-02/Plate2/c/0/0/0/0"
    data = bytearray(shard.read_bytes())
    stride = 2 * 4096
    for i in range(n):
        data[i * stride + 100] ^= 16
    shard.write_bytes(data)
    store = cellshard.Store(tmp_path / "damaged")
    return store, np.flatnonzero(store.plate_of_sites == 9)


def test_a_damaged_site_is_named(folder, tmp_path):
    store, sites = damaged(folder, tmp_path, 1)
    with pytest.raises(cellshard.DamagedError, match="crc32c") as caught:
        indices(loader(store, batch_size=16))
    assert caught.value.site == store.name_of(int(sites[0]))
    assert caught.value.shard == "pixels.zarr/RPE-02/Plate2/c/0/0/0/0"


def test_nothing_comes_after_an_error_and_the_state_stands_before_it(folder, tmp_path):
    store, sites = damaged(folder, tmp_path, 1)
    batches = loader(store, batch_size=16, seed=4)
    at = next(i for i, batch in enumerate(batches.order(0)) if sites[0] in batch)
    iterator = iter(batches)
    for _ in range(at):
        next(iterator)
    with pytest.raises(cellshard.DamagedError):
        next(iterator)
    with pytest.raises(RuntimeError, match="or it failed"):
        next(iterator)
    assert (batches.state_dict()["epoch"], batches.state_dict()["batch"]) == (0, at)
    # Mended, it goes on with what failed.
    again = loader(cellshard.Store(folder / "raw"), batch_size=16, seed=4)
    again.load_state_dict(batches.state_dict())
    assert indices(again) == [batch.tolist() for batch in batches.order(0)[at:]]


def test_who_lets_go_of_a_batch_goes_on(raw):
    iterator = iter(loader(raw, batch_size=8, prefetch=2))
    held = [next(iterator), next(iterator), next(iterator)]
    with pytest.raises(cellshard.BatchesHeldError):
        next(iterator)
    del held[1:]
    assert sum(1 for _ in iterator) == 47


def test_damaged_sites_are_left_out_and_counted(folder, tmp_path):
    store, sites = damaged(folder, tmp_path, 3)
    batches = loader(store, batch_size=16, skip_damaged=True)
    for _ in range(2):
        with pytest.warns(UserWarning, match="left out") if not batches.skipped else contextlib.nullcontext():
            found = sorted(sum(indices(batches), []))
        assert found == sorted(set(range(400)) - set(sites[:3].tolist()))
        assert sorted(batches.skipped) == [store.name_of(int(i)) for i in sites[:3]]
    # A batch of nothing but damage does not come.
    arguments = {"batch_size": 3, "skip_damaged": True, "shuffle": False}
    with pytest.warns(UserWarning):
        assert indices(loader(store, sites[:6], **arguments)) == [sites[3:6].tolist()]
    # But an epoch of nothing is an error, and so is a process that would have a batch less than the others.
    with pytest.warns(UserWarning), pytest.raises(cellshard.DamagedError, match="found none in what is read"):
        indices(loader(store, sites[:3], **arguments))
    with pytest.warns(UserWarning), pytest.raises(cellshard.DamagedError, match="crc32c"):
        indices(loader(store, sites[:6], rank=0, world_size=2, **arguments))


def test_an_exception_that_is_kept_holds_no_batch(folder, tmp_path):
    store, _ = damaged(folder, tmp_path, 3)
    batches = loader(store, batch_size=400)
    kept = []
    for _ in range(5):
        with pytest.raises(cellshard.DamagedError) as caught:
            indices(batches)
        kept.append(caught.value)
    assert {(error.expected[:6], error.found != error.expected, error.shard is not None) for error in kept} == {
        ("crc32c", True, True)
    }


def test_a_system_that_refuses_is_an_oserror_with_its_number(folder):
    body = """
import errno, resource
batches = cellshard.Loader(store, batch_size=8, format='numpy', io='pread')
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
try:
    for batch in batches:
        pass
except OSError as error:
    assert error.errno == errno.EMFILE and 'pixels.zarr' in error.filename, error
    print('refused')
"""
    ended = script(body, folder)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "refused\n", "")


def test_a_lack_of_threads_is_an_error_and_no_end(folder):
    """Its memory stays with it, and a batch that another thread lets go of meanwhile is no deadlock."""
    body = """
import resource, threading, time
batches = cellshard.Loader(store, batch_size=8, format='numpy', threads=500, prefetch=3)
kept = [next(iter(cellshard.Loader(store, batch_size=8, format='numpy')))]
iterator = iter(batches)
kept.append(next(iterator))
go = threading.Event()
drop = threading.Thread(target=lambda: (go.wait(), time.sleep(0.005), kept.clear()))
drop.start()
used = int(open('/proc/self/statm').read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used - (500 << 20), resource.RLIM_INFINITY))
go.set()
for _ in range(3):
    try:
        next(iter(batches))
        print('started')
    except OSError as error:
        assert 'cannot start' in str(error), error
drop.join()
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert len([1 for _ in batches]) == 50
"""
    ended = script(body, folder)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


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


def test_states_are_plain_whatever_numbers_are_of(raw):
    import json

    batches = loader(raw, batch_size=np.int64(50), seed=np.uint8(3), shuffle=np.bool_(True))
    batches.set_epoch(np.int64(4))
    next(iter(batches))
    assert json.loads(json.dumps(batches.state_dict())) == batches.state_dict()
    again = loader(raw, batch_size=50, seed=3)
    again.load_state_dict(batches.state_dict())
    assert again.epoch == 4 and len(indices(again)) == 7


def test_all_at_once_is_one_batch(raw):
    assert indices(loader(raw, batch_size=sys.maxsize, shuffle=False)) == [list(range(400))]
    ranks = [loader(raw, batch_size=sys.maxsize, rank=rank, world_size=3) for rank in range(3)]
    assert sorted(sum((indices(rank)[0] for rank in ranks), [])) == list(range(400))


def test_sites_are_chosen_by_name(raw):
    names = [raw.name_of(7), raw.sites["site_id"][3]]
    assert indices(loader(raw, names, batch_size=2, shuffle=False)) == [[7, 3]]


def script(body, folder, **arguments):
    """Runs lines in an interpreter of their own."""
    begin = "import os, sys, cellshard\nstore = cellshard.Store('raw')\n"
    command = [sys.executable, "-X", "faulthandler", "-c", begin + body]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, **arguments)


def test_the_interpreter_may_end_in_the_middle_of_an_epoch(folder):
    body = """
batches = cellshard.Loader(store, batch_size=8, format='numpy')
iterator = iter(batches)
batch = next(iterator)
"""
    for end in ("", "kept = batch['pixels'][2:]\ndel batches, batch\n", "sys.exit(3)\n", "raise SystemExit\n"):
        ended = script(body + end, folder)
        assert (ended.returncode, ended.stderr) == (3 if "3" in end else 0, ""), end


def test_a_fork_is_refused_and_says_why(folder):
    body = """
batches = cellshard.Loader(store, batch_size=8, format='numpy')
iterator = iter(batches)
kept = next(iterator)
pid = os.fork()
if pid == 0:
    for go_on in (lambda: next(iterator), lambda: next(iter(batches))):
        try:
            go_on()
        except cellshard.ForkedError as error:
            print(error, flush=True)
    del kept, iterator, batches
    fresh = cellshard.Loader(store, batch_size=8, format='numpy')
    assert len(list(b['index'][0] for b in fresh)) == 50
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
assert len(list(b['index'][0] for b in batches)) == 50
"""
    ended = script(body, folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("num_workers=0") == 2


def test_ctrl_c_ends_a_wait(folder):
    body = """
import threading, time, signal
# As at a terminal, whatever whoever runs the tests ignores.
signal.signal(signal.SIGINT, signal.default_int_handler)
batches = cellshard.Loader(store, batch_size=8, format='numpy', threads=1)
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    while True:
        for batch in batches:
            pass
except KeyboardInterrupt:
    print('interrupted')
assert len([1 for _ in batches]) == 50
"""
    started = time.monotonic()
    ended = script(body, folder)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "interrupted\n", "")
    assert time.monotonic() - started < 60


def test_it_is_not_pickled(raw):
    import pickle

    with pytest.raises(TypeError, match="num_workers=0"):
        pickle.dumps(loader(raw))


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
