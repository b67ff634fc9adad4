"""Batches of a store, read ahead by threads of Rust, in an order that follows from seed, epoch and rank."""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from . import _cellshard
from ._arguments import LAST_EPOCH, has_torch, one_of, this_process, threads_of_this_process, whole_number
from ._errors import BatchesHeldError, DamagedError, RefusedError
from ._store import Split, Store, indices_of

Batch = dict[str, Any]


class Loader:
    """Batches of a store: ``{"pixels": [N, C, H, W] uint8 or uint16, "label": [N] int64, "plate": [N] int64, "index":
    [N] int64}``, as torch tensors where torch is installed, else as NumPy arrays, without a copy on the way.

    ``label`` is the position of the site's class in :attr:`classes`, -1 where it has none there; ``plate`` that in
    ``store.plates``; ``index`` the site's in ``store.sites``.

    Iterating goes through one epoch, which begins when its first batch is asked for; the next iteration through the
    next one, in another order. Pixels lie in memory of the loader, which has them back when the last array or tensor
    that looks into them is gone; what is to be kept for long is copied. In PyTorch it is an ``IterableDataset``:
    ``DataLoader(loader, batch_size=None)`` and torchdata's ``StatefulDataLoader`` take it, with ``num_workers=0``, as
    its threads are its own. ``close()``, or ``with``, ends them and lets the memory go.

    Args:
        store: an open store, or its folder.
        sites: indices or names of sites, or a mask of all; all where neither this nor ``split`` is given. A site comes
            as often in an epoch as it is given.
        split: a split of the store, of which ``part`` is read; its classes are the labels.
        part: of a split ``train`` (the default) or ``validation``.
        batch_size: sites in a batch, of this process.
        shuffle: whether each epoch has an order of its own, else that of ``sites``; by default all but validation has.
        seed: the order's seed, from 0.
        epoch: the first epoch, from 0.
        batch_by: ``plate`` or ``experiment``, which the sites of a batch then have in common, as batch norm compares
            them.
        drop_last: whether the sites that make no whole batch are left out of an epoch.
        rank: which of several processes this is; by default as ``torch.distributed`` has it, where it is initialised.
        world_size: how many processes there are. Each has as many batches as the others, and none a site of another.
        verify: when a site's checksum is verified: ``first`` (the first time that it is read), ``always`` or ``never``.
        io: ``mmap``, or ``pread`` where a shard could shrink while it is read.
        threads: threads that read; by default one a core, divided among the processes of this machine that torchrun
            started.
        skip_damaged: leave damaged sites out, also where batches become smaller by that, and list them in
            :attr:`skipped`, instead of raising. Of several processes none leaves out a whole batch: that raises.
        prefetch: batches that are read ahead.
        format: ``torch`` or ``numpy``.
        device: a CUDA device that batches are copied to, by pinned memory on a stream of its own.
        pin_memory: whether the memory is pinned, for copies of your own; needs CUDA.

    Raises:
        RefusedError: if there is no batch, or an argument is none of those, or contradicts another.
    """

    #: What batches are of.
    _format: Literal["torch", "numpy"] = "numpy"

    def __new__(cls, *args, format: Literal["torch", "numpy"] | None = None, **kwargs):
        """A loader of tensors or of arrays."""
        if cls is Loader and (format == "torch" or (format is None and has_torch())):
            from .torch import TorchLoader

            cls = TorchLoader
        return super().__new__(cls)

    def __init__(
        self,
        store: Store | str | os.PathLike[str],
        sites: Any = None,
        *,
        split: Split | None = None,
        part: Literal["train", "validation"] | None = None,
        batch_size: int = 64,
        shuffle: bool | None = None,
        seed: int = 0,
        epoch: int = 0,
        batch_by: Literal["plate", "experiment"] | None = None,
        drop_last: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
        verify: Literal["first", "always", "never"] = "first",
        io: Literal["mmap", "pread"] = "mmap",
        threads: int | None = None,
        skip_damaged: bool = False,
        prefetch: int = 2,
        format: Literal["torch", "numpy"] | None = None,
        device: Any = None,
        pin_memory: bool = False,
    ):
        if format not in (None, self._format):
            raise RefusedError(f"format: expected {self._format}, as {type(self).__name__} has it, found {format!r}")
        one_of("part", part, ("train", "validation", None))
        one_of("batch_by", batch_by, ("plate", "experiment", None))
        one_of("verify", verify, ("first", "always", "never"))
        one_of("io", io, ("mmap", "pread"))
        if part is not None and split is None:
            raise RefusedError(f"part: expected split=, of which it is a part, found {part!r} alone")
        if (rank is None) != (world_size is None):
            raise RefusedError("rank, world_size: expected both or neither, found one")
        self.store = store if isinstance(store, Store) else Store(store)
        self._place_is_found = rank is None or world_size is None
        found_rank, found_size = this_process()
        self._world_size = whole_number("world_size", found_size if world_size is None else world_size, 1)
        self._rank = whole_number("rank", found_rank if rank is None else rank, 0, self._world_size - 1)
        self._batch_size = whole_number("batch_size", batch_size, 1)
        self._seed = whole_number("seed", seed, 0)
        self._shuffle = part != "validation" if shuffle is None else bool(shuffle)
        self._threads = threads_of_this_process() if threads is None else whole_number("threads", threads, 1, 1024)
        self._io, self._verify, self._skip_damaged = io, verify, bool(skip_damaged)
        if batch_by is not None and not self._shuffle:
            raise RefusedError("batch_by: expected shuffle=True, as whole batches of a plate come in random order")
        if split is not None:
            if sites is not None:
                raise RefusedError("sites, split: expected one of them, found both")
            sites = split.validation if part == "validation" else split.train
        #: Indices of its sites, ``[N] int64``.
        self.sites = indices_of(self.store, sites)
        #: The class (``sirna_id``) of each label, ``[K] int64``.
        self.classes = self.store.classes["class"] if split is None else split.classes
        #: Damaged sites that were left out: what is wrong with each, by its name.
        self.skipped: dict[str, str] = {}
        self._labels = _positions(self.store.sites["sirna_id"], self.classes)
        chosen = self.sites.tolist()
        self._order = _cellshard.Order(
            chosen,
            batch_size=self._batch_size,
            seed=self._seed if self._shuffle else None,
            groups=self.store._store.groups(chosen, batch_by) if batch_by else None,
            rank=self._rank,
            world_size=self._world_size,
            drop_last=bool(drop_last),
        )
        self._made_of = {
            "batch_size": self._batch_size,
            "world_size": self._world_size,
            "shuffle": self._shuffle,
            "seed": self._seed,
            "batch_by": batch_by,
            "drop_last": bool(drop_last),
            "sites": zlib.crc32("\n".join(self.store.sites["site_id"][self.sites]).encode()),
        }
        self._n_buffers = min(whole_number("prefetch", prefetch, 1), len(self)) + 1
        self._device, self._pin_memory = device, bool(pin_memory)
        self._feed: _cellshard.Feed | None = None
        self._current: Epoch | None = None
        # Epoch and number of the batch that the feed hands out next.
        self._comes: tuple[int, int] | None = None
        self._epoch, self._batch, self._has_begun = whole_number("epoch", epoch, 0, LAST_EPOCH), 0, False
        self._check_place()

    @property
    def batch_size(self) -> int:
        """Sites in a batch, of this process."""
        return self._batch_size

    @property
    def seed(self) -> int:
        """The order's seed."""
        return self._seed

    @property
    def shuffle(self) -> bool:
        """Whether each epoch has an order of its own."""
        return self._shuffle

    @property
    def rank(self) -> int:
        """Which of several processes this is."""
        return self._rank

    @property
    def world_size(self) -> int:
        """How many processes there are."""
        return self._world_size

    def __len__(self) -> int:
        """Batches of an epoch, of this process."""
        return self._order.n_batches

    @property
    def n_left_out(self) -> int:
        """Sites that never come, because their plate or experiment has fewer than a batch (``batch_by``)."""
        return self._order.n_left_out

    @property
    def epoch(self) -> int:
        """The epoch that is under way, or comes next."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Has the next iteration be that of an epoch, from its first batch on; where a state of that very epoch was
        just loaded, from there on.
        """
        epoch = whole_number("epoch", epoch, 0, LAST_EPOCH)
        if epoch != self._epoch or self._has_begun:
            self._goes_on_at(epoch, 0)

    def order(self, epoch: int) -> list[np.ndarray]:
        """Which sites each batch of an epoch has: the same in every process, on every machine and in ``train``."""
        epoch = whole_number("epoch", epoch, 0, LAST_EPOCH)
        return [np.array(self._order.batch(epoch, i), np.int64) for i in range(len(self))]

    def state_dict(self) -> dict[str, Any]:
        """Where it is: behind the last batch that was handed out. Small, of plain values, and the same for all ranks.

        Taken behind the last batch of an epoch and before its end, nothing of that epoch is left, and the iteration
        after loading it has no batch.
        """
        return {"epoch": self._epoch, "batch": self._batch, **self._made_of}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Has the next iteration go on where a state was taken.

        Raises:
            RefusedError: if that was of another order: other sites, seed, size of batches or number of processes.
        """
        for name, value in self._made_of.items():
            if state.get(name) != value:
                raise RefusedError(f"load_state_dict: expected {name} {value}, found {state.get(name)}")
        epoch = whole_number("load_state_dict: epoch", state.get("epoch"), 0, LAST_EPOCH)
        self._goes_on_at(epoch, whole_number("load_state_dict: batch", state.get("batch"), 0, len(self)))

    def __iter__(self) -> Iterator[Batch]:
        self._check_worker()
        return Epoch(self)

    def close(self) -> None:
        """Ends its threads, and lets its memory go, but for what is still in use. It can be iterated again."""
        self._current = self._comes = None
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.stop()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def __reduce__(self):
        raise TypeError(
            "a cellshard.Loader cannot be pickled: it reads ahead by threads of its own; num_workers=0 has it used "
            "where it was made"
        )

    def __repr__(self) -> str:
        of = f", rank {self.rank} of {self.world_size}" if self.world_size > 1 else ""
        batches = f"{len(self)} batches of {self.batch_size}"
        return f"{type(self).__name__}({batches}, epoch {self._epoch}{of}: {self.store!r})"

    def _goes_on_at(self, epoch, batch):
        """Whoever iterates has to begin anew."""
        self._current, self._epoch, self._batch, self._has_begun = None, epoch, batch, False

    def _begin(self, iteration):
        """Begins an epoch, or goes on in it where a state was loaded."""
        if self._place_is_found and (found := this_process()) != (self.rank, self.world_size):
            raise RefusedError(
                f"rank, world_size: expected those of torch.distributed, {found[0]} and {found[1]}, found {self.rank} "
                f"and {self.world_size}: make the loader once torch.distributed is initialised, or give it both"
            )
        if self._has_begun:
            # What was broken off does not come again: the next epoch has another order.
            self._goes_on_at(self._epoch + 1, 0)
        if self._feed is None:
            largest = (
                min(self._batch_size, len(self.sites)) * int(np.prod(self.store.shape)) * self.store.dtype.itemsize
            )
            self._feed = _cellshard.Feed(
                self.store._store, self._memory(largest), self._threads, self._io, self._verify
            )
        if self._comes != (self._epoch, self._batch):
            self._comes = None
            self._feed.start(self._order, self._epoch, self._batch)
            self._comes = (self._epoch, self._batch)
        iteration._n_read = self._batch
        self._current, self._has_begun = iteration, True

    def _read(self, iteration):
        """The next batch as it is handed out; nothing after the last."""
        while True:
            feed = self._check_current(iteration)
            if iteration._n_read == len(self):
                return None
            lent = feed.next_batch()
            self._check_current(iteration)
            iteration._n_read += 1
            # The feed goes on with the next epoch by itself.
            is_last = iteration._n_read == len(self)
            self._comes = (self._epoch + 1, 0) if is_last else (self._epoch, iteration._n_read)
            index = np.array(lent.sites, np.int64)
            whole, error = self._without(lent.take_faults(), index)
            if error is not None:
                # An exception that is kept has no batch in it.
                del lent
                raise error
            if not whole.any():
                # Its sites are all damaged, and were noted.
                del lent
                self._batch += 1
                continue
            pixels = np.frombuffer(lent, self.store.dtype).reshape(len(index), *self.store.shape)
            del lent
            if not whole.all():
                index, pixels = index[whole], pixels[whole]
            return self._batch_of(pixels, index)

    def _batch_of(self, pixels, index):
        return {
            "pixels": pixels,
            "label": self._labels[index],
            "plate": self.store.plate_of_sites[index],
            "index": index,
        }

    def _without(self, faults, index):
        """Which positions are whole, where damaged ones may be left out, and else why they may not."""
        whole = np.ones(len(index), dtype=bool)
        for position, error, is_of_data in faults:
            name, shard = self.store._store.place_of(int(index[position]))
            if isinstance(error, DamagedError):
                error.site, error.shard = name, shard
            whole[position] = False
            if not (is_of_data and self._skip_damaged and (whole.any() or self.world_size == 1)):
                return whole, error
            if not self.skipped:
                warnings.warn(f"left out, as others may be (loader.skipped): {error}", stacklevel=5)
            self.skipped[name] = str(error)
        return whole, None

    def _check_current(self, iteration):
        if self._current is not iteration or self._feed is None:
            raise RuntimeError(
                "this iteration of the loader is over: another one has begun since, the loader was set, or it failed"
            )
        return self._feed

    def _memory(self, n_bytes):
        return [np.zeros(n_bytes, np.uint8) for _ in range(self._n_buffers)]

    def _check_place(self):
        if self._device is not None or self._pin_memory:
            raise RefusedError("device, pin_memory: expected format='torch', found 'numpy'")

    def _check_worker(self):
        """Whether this process may iterate; a feed of another process says so itself."""

    def _batches_of(self, iteration):
        """What reads the batches of an iteration, one at a time."""
        return lambda: self._read(iteration)


class Epoch:
    """One epoch of a loader, or what is left of it: an iterator that holds no batch."""

    def __init__(self, loader: Loader):
        self._loader = loader
        self._next: Any = None
        self._is_over = False
        # Batches of the epoch that are read, and how many were handed out here.
        self._n_read = self._n = 0

    def __iter__(self) -> Epoch:
        return self

    def __next__(self) -> Batch:
        if self._is_over:
            raise StopIteration
        loader = self._loader
        if self._next is None:
            loader._begin(self)
            self._next = loader._batches_of(self)
        try:
            batch = self._next()
        except BatchesHeldError:
            # Whoever lets go of one may go on.
            raise
        except Exception:
            # Nothing comes after an error, and a state stands before the batch that failed.
            if loader._current is self:
                loader._current = None
            raise
        loader._check_current(self)
        if batch is None:
            self._is_over = True
            if not self._n and loader._batch == len(loader) and loader.skipped:
                first = next(iter(loader.skipped.values()))
                raise DamagedError(f"{loader.store.path}: expected whole sites, found none in what is read: {first}")
            loader._goes_on_at(loader._epoch + 1, 0)
            raise StopIteration
        self._n += 1
        loader._batch += 1
        return batch


def _positions(values, among):
    """Where each value stands among some, -1 where it does not."""
    order = np.argsort(among, kind="stable")
    at = np.searchsorted(among, values, sorter=order)
    found = order[np.minimum(at, len(among) - 1)] if len(among) else np.zeros(len(values), np.int64)
    is_there = (at < len(among)) & (among[found] == values) if len(among) else np.zeros(len(values), bool)
    return np.where(is_there, found, -1)
