"""Which sites come in which batch, of which process, and where it goes on."""

import json
import os
import random
import sys

import numpy as np
import pytest
from helpers import indices, loader

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


def test_states_are_plain_whatever_numbers_are_of(raw):

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
