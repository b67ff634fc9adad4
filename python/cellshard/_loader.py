"""Batches of a store, read ahead by threads of Rust, in an order that follows from seed, epoch and rank."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from . import _cellshard
from ._errors import DamagedError, RefusedError
from ._store import Split, Store

Batch = dict[str, Any]


class Loader:
    """Batches of a store: ``{"pixels": [N, C, H, W] uint8 or uint16, "label": [N] int64, "plate": [N] int64, "index":
    [N] int64}``, as torch tensors where torch is installed, else as NumPy arrays, without a copy on the way.

    ``label`` is the position of the site's class in :attr:`classes`, -1 where it has none there; ``plate`` that in
    ``store.plates``; ``index`` the site's in ``store.sites``.

    Iterating goes through one epoch; the next iteration through the next one, in another order. Pixels lie in memory of
    the loader, which has them back when the last array or tensor that looks into them is gone; what is to be kept for
    long is copied. In PyTorch it is an ``IterableDataset``: ``DataLoader(loader, batch_size=None)`` and torchdata's
    ``StatefulDataLoader`` take it, with ``num_workers=0``, as its threads are its own.

    Args:
        store: an open store, or its folder.
        sites: indices of sites, or a mask of all; all where neither this nor ``split`` is given.
        split: a split of the store, of which ``part`` is read; its classes are the labels.
        part: ``train`` or ``validation``.
        batch_size: sites in a batch, of this process.
        shuffle: whether each epoch has an order of its own, else that of ``sites``; by default all but validation has.
        seed: the order's seed.
        epoch: the first epoch, from 0.
        batch_by: ``plate`` or ``experiment``, which the sites of a batch then have in common, as batch norm compares
            them.
        drop_last: whether the sites that make no whole batch are left out of an epoch.
        rank: which of several processes this is; by default as ``torch.distributed`` has it, where it is initialised.
        world_size: how many processes there are. Each has as many batches as the others, and no site comes twice.
        verify: when a site's checksum is verified: ``first`` (the first time that it is read), ``always`` or ``never``.
        io: ``mmap``, or ``pread`` where a shard could shrink while it is read.
        threads: threads that read; one a core where it is not given.
        skip_damaged: leave damaged sites out and list them in :attr:`skipped`, instead of raising.
        prefetch: batches that are read ahead.
        format: ``torch`` or ``numpy``.
        device: a CUDA device that batches are copied to, by pinned memory on a stream of its own.
        pin_memory: whether the memory is pinned, for copies of your own; needs CUDA.

    Raises:
        RefusedError: if there is no whole batch, or an argument contradicts another.
    """

    def __new__(cls, *args, format: Literal["torch", "numpy"] | None = None, **kwargs):
        if format not in (None, "torch", "numpy"):
            raise RefusedError(f"format: expected torch or numpy, found {format!r}")
        if cls is Loader and (format == "torch" or (format is None and _has_torch())):
            from .torch import TorchLoader

            cls = TorchLoader
        return super().__new__(cls)

    def __init__(
        self,
        store: Store | str,
        sites: Any = None,
        *,
        split: Split | None = None,
        part: Literal["train", "validation"] = "train",
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
        self.store = store if isinstance(store, Store) else Store(store)
        self.batch_size, self.seed, self.shuffle = (
            batch_size,
            seed,
            part != "validation" if shuffle is None else shuffle,
        )
        self.skip_damaged = skip_damaged
        #: Damaged sites that were left out: the name of each, and what is wrong with it.
        self.skipped: list[tuple[str, str]] = []
        if (rank is None) != (world_size is None):
            raise RefusedError("rank, world_size: expected both or neither, found one")
        #: Which of several processes this is, and how many there are.
        self.rank: int
        self.world_size: int
        self.rank, self.world_size = _process() if rank is None or world_size is None else (rank, world_size)
        if prefetch < 1:
            raise RefusedError(f"prefetch: expected a batch or more, found {prefetch}")
        if batch_by is not None and not self.shuffle:
            raise RefusedError("batch_by: expected shuffle=True, as whole batches of a plate come in random order")
        self.sites = _chosen(self.store, sites, split, part)
        #: The class (``sirna_id``) of each label, ``[K] int64``.
        self.classes = self.store.classes["class"] if split is None else split.classes
        self._labels = _positions(self.store.sites["sirna_id"], self.classes)
        chosen = self.sites.tolist()
        self._order = _cellshard.Order(
            chosen,
            batch_size=batch_size,
            seed=seed if self.shuffle else None,
            groups=self.store._store.groups(chosen, batch_by) if batch_by else None,
            rank=self.rank,
            world_size=self.world_size,
            drop_last=drop_last,
        )
        self._made_of = {
            "batch_size": batch_size,
            "world_size": self.world_size,
            "shuffle": self.shuffle,
            "seed": seed,
            "batch_by": batch_by,
            "drop_last": drop_last,
            "sites": zlib.crc32("\n".join(self.store.sites["site_id"][self.sites]).encode()),
        }
        self._feed_of = (threads, io, verify)
        self._n_buffers = prefetch + 1
        self._device, self._pin_memory = device, pin_memory
        self._feed: _cellshard.Feed | None = None
        self._epoch, self._batch, self._has_begun, self._iteration = epoch, 0, False, 0
        self._check_place()

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
        """Has the next iteration be that of an epoch, from its first batch on."""
        self._epoch, self._batch, self._has_begun = epoch, 0, False

    def order(self, epoch: int) -> list[np.ndarray]:
        """Which sites each batch of an epoch has: the same in every process, on every machine and in ``train``."""
        return [np.array(self._order.batch(epoch, i), np.int64) for i in range(len(self))]

    def state_dict(self) -> dict[str, Any]:
        """Where it is: behind the last batch that was handed out. Small, of plain values, and the same for all
        ranks."""
        return {"epoch": self._epoch, "batch": self._batch, **self._made_of}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Has the next iteration go on where a state was taken.

        Raises:
            RefusedError: if that was of another order: other sites, seed, size of batches or number of processes.
        """
        for name, value in self._made_of.items():
            if state.get(name) != value:
                raise RefusedError(f"load_state_dict: expected {name} {value}, found {state.get(name)}")
        if not 0 <= state["batch"] <= len(self):
            raise RefusedError(f"load_state_dict: expected batch 0 to {len(self)}, found {state['batch']}")
        self._epoch, self._batch, self._has_begun = state["epoch"], state["batch"], False

    def __iter__(self) -> Iterator[Batch]:
        self._check_worker()
        if self._has_begun:
            # What was broken off does not come again: the next epoch has another order.
            self._epoch, self._batch = self._epoch + 1, 0
        if self._feed is None:
            largest = min(self.batch_size, len(self.sites)) * self._site_bytes()
            self._feed = _cellshard.Feed(self.store._store, self._memory(largest), *self._feed_of)
        self._has_begun = True
        self._iteration += 1
        self._feed.start(self._order, self._epoch, self._batch)
        return self._counted(self._batches(self._iteration), self._iteration)

    def __reduce__(self):
        raise TypeError(
            "a cellshard.Loader cannot be pickled: it reads ahead by threads of its own; num_workers=0 has it used "
            "where it was made"
        )

    def __repr__(self) -> str:
        of = f", rank {self.rank} of {self.world_size}" if self.world_size > 1 else ""
        return (
            f"{type(self).__name__}({len(self)} batches of {self.batch_size}, epoch {self._epoch}{of}: {self.store!r})"
        )

    def _counted(self, batches, iteration):
        for batch in batches:
            self._batch += 1
            yield batch
            # Nothing here may hold the batch while the next one is read.
            del batch
            self._check_current(iteration)
        self._feed.stop()
        self._epoch, self._batch, self._has_begun = self._epoch + 1, 0, False

    def _batches(self, iteration):
        """Batches as they are handed out."""
        while (batch := self._next(iteration)) is not None:
            if len(batch["index"]):
                yield batch
            else:
                # All of its sites are damaged.
                self._batch += 1
            del batch

    def _next(self, iteration):
        self._check_current(iteration)
        lent = self._feed.next_batch()
        if lent is None:
            return None
        index = np.array(lent.sites, np.int64)
        pixels = np.frombuffer(lent, self.store.dtype).reshape(len(index), *self.store.shape)
        if faults := lent.faults:
            whole = self._without(faults, index)
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
        """Which positions are whole, where damaged ones may be left out."""
        whole = np.ones(len(index), dtype=bool)
        for position, message, is_of_data in faults:
            name, shard = self.store._store.place_of(int(index[position]))
            if not is_of_data:
                raise OSError(message)
            if not self.skip_damaged:
                raise DamagedError(message, place=message.split(": expected ")[0], site=name, shard=shard)
            self.skipped.append((name, message))
            whole[position] = False
        return whole

    def _check_current(self, iteration):
        if iteration != self._iteration:
            raise RuntimeError("this iteration of the loader is over: another one has begun since")

    def _site_bytes(self):
        return int(np.prod(self.store.shape)) * self.store.dtype.itemsize

    def _memory(self, n_bytes):
        return [np.empty(n_bytes, np.uint8) for _ in range(self._n_buffers)]

    def _check_place(self):
        if self._device is not None or self._pin_memory:
            raise RefusedError("device, pin_memory: expected format='torch', found 'numpy'")

    def _check_worker(self):
        """Whether this process may iterate; a feed of another process says so itself."""


def _has_torch():
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


def _process():
    """Rank and number of the processes that train together."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _chosen(store, sites, split, part):
    if part not in ("train", "validation"):
        raise RefusedError(f"part: expected train or validation, found {part!r}")
    if split is not None:
        if sites is not None:
            raise RefusedError("sites, split: expected one of them, found both")
        return split.train if part == "train" else split.validation
    if sites is None:
        return np.arange(len(store))
    sites = np.asarray(sites)
    if sites.dtype == bool:
        if len(sites) != len(store):
            raise RefusedError(f"sites: expected a mask of {len(store)} sites, found one of {len(sites)}")
        return np.flatnonzero(sites)
    if sites.size and (not np.issubdtype(sites.dtype, np.integer) or sites.min() < 0 or sites.max() >= len(store)):
        raise RefusedError(f"sites: expected indices from 0 to {len(store) - 1}, found others")
    return sites.astype(np.int64).reshape(-1)


def _positions(values, among):
    """Where each value stands among some, -1 where it does not."""
    order = np.argsort(among, kind="stable")
    at = np.searchsorted(among, values, sorter=order)
    found = order[np.minimum(at, len(among) - 1)] if len(among) else np.zeros(len(values), np.int64)
    is_there = (at < len(among)) & (among[found] == values) if len(among) else np.zeros(len(values), bool)
    return np.where(is_there, found, -1)
