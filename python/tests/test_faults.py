"""Damage, a system that refuses, and ends in the middle: what is said, and that nothing hangs or is lost."""

import contextlib
import shutil
import time

import numpy as np
import pytest
from helpers import indices, loader, script

import cellshard


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
