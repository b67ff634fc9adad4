"""A store: its tables, its sites, and what follows from them."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from . import _cellshard
from ._errors import DamagedError, NoSuchSiteError, RefusedError
from ._normalize import Normalization

PERCENTILES = ["p1", "p5", "p25", "p75", "p95", "p99"]


@dataclass(frozen=True)
class Split:
    """Which sites are trained on and which validate, whole wells and by default whole experiments on either side.

    Attributes:
        train: indices of sites, ``[N] int64``, in the store's order.
        validation: the same of those that validate.
        classes: the class (``sirna_id``) of each output of a network, ``[K] int64``: treatments, then controls where
            they are trained on.
        n_treatments: how many of these are treatments.
        warnings: what one should know of it.
    """

    train: np.ndarray
    validation: np.ndarray
    classes: np.ndarray
    n_treatments: int
    warnings: list[str] = field(default_factory=list)


class Store:
    """A finished store, open for reading.

    Args:
        path: the folder that ``pack`` wrote.
        proven: whether all of its tables are proven first by the SHA-256 that the store has of them. (A site is proven
            when it is read.)

    Raises:
        UnfinishedError: if it has no ``SHA256SUMS``.
        DamagedError: if a table is not what it must be.
        RefusedError: if the folder holds no store.
        OSError: if it cannot be read, or is not there.
    """

    def __init__(self, path: str | os.PathLike[str], *, proven: bool = True):
        if not os.path.isdir(path):
            raise FileNotFoundError(errno.ENOENT, "expected the folder of a store, found none", os.fspath(path))
        # Shards are opened later, perhaps from another working folder.
        self._store = _cellshard.Store(os.path.abspath(path), proven)

    @property
    def path(self) -> str:
        """The folder, from the root."""
        return os.fspath(self._store.path)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a site, ``(C, H, W)``."""
        return self._store.shape

    @property
    def dtype(self) -> np.dtype:
        """``uint8`` or ``uint16``."""
        return np.dtype(self._store.dtype)

    @property
    def codec(self) -> str:
        """``raw``, or ``zstd:LEVEL``."""
        return self._store.codec

    @property
    def channels(self) -> list[str]:
        """What each channel shows, in order."""
        return [name for name, _ in self._store.channels]

    @property
    def colors(self) -> list[str]:
        """The colour of each channel as ``#RRGGBB``; empty where the store has none."""
        return [f"#{color}" if color else "" for _, color in self._store.channels]

    def __len__(self) -> int:
        """Sites."""
        return len(self._store)

    def __repr__(self) -> str:
        channels, height, width = self.shape
        return (
            f"Store({self.path!r}: {len(self):,} sites of {channels} x {height} x {width} {self.dtype}, {self.codec})"
        )

    def __reduce__(self):
        return Store, (self.path,)

    @cached_property
    def sites(self) -> dict[str, np.ndarray]:
        """The table of sites as columns, which pandas and polars take as they are: ``pandas.DataFrame(store.sites)``.

        A row a site, in the order of indices: ``site_id``, ``well_id``, ``cell_type``, ``dataset`` (``train``, ``test``
        or empty), ``experiment``, ``plate``, ``well``, ``well_row`` and ``well_column`` (from 1), ``site``,
        ``well_type``, ``sirna``, ``sirna_id`` (the class; -1 where it is unknown) and ``crc32c`` of its pixels.
        """
        columns = self._store.columns()
        types = {
            "well_row": np.uint16,
            "well_column": np.uint16,
            "site": np.uint16,
            "sirna_id": np.int64,
            "crc32c": np.uint32,
        }
        return {name: np.array(values, dtype=types.get(name, object)) for name, values in columns.items()}

    @cached_property
    def plates(self) -> list[tuple[str, str]]:
        """Experiment and name of each plate, in the order in which batches number them."""
        return self._store.plates()

    @cached_property
    def plate_of_sites(self) -> np.ndarray:
        """Of each site the position of its plate in :attr:`plates`, ``[N] int64``."""
        return np.array(self._store.plate_of_sites(), dtype=np.int64)

    @cached_property
    def classes(self) -> dict[str, np.ndarray]:
        """The table of classes as columns: ``class`` (``sirna_id`` of the sites), ``sirna`` and ``well_type``."""
        rows = self._store.classes()
        of = [[row[i] for row in rows] for i in range(3)]
        return {
            "class": np.array(of[0], dtype=np.int64),
            "sirna": np.array(of[1], dtype=object),
            "well_type": np.array(of[2], dtype=object),
        }

    @property
    def summary(self) -> dict[str, Any]:
        """What ``inspect`` says: experiments, plates, wells, sites, bytes, and whether the store is finished."""
        from ._programs import inspect

        return inspect(self.path)

    def index_of(self, site: str) -> int:
        """The index of a site by its name: ``HEPG2-08/1/B02/1`` (experiment, plate, well, site), or the ``site_id``
        ``HEPG2-08_1_B02_1``.

        Raises:
            NoSuchSiteError: if the store has none of this name.
        """
        found = self._store.index_of(site)
        if found is None:
            raise NoSuchSiteError(f"{self.path}: expected a site such as {self.name_of(0)}, found {site!r}")
        return found

    def name_of(self, index: int) -> str:
        """The name of a site, as :meth:`index_of` takes it."""
        return self._store.place_of(self._checked(index))[0]

    def site(self, site: int | str, out: np.ndarray | None = None) -> np.ndarray:
        """The pixels of a site, proven by its crc32c.

        Args:
            site: its index, or its name as ``HEPG2-08/1/B02/1``.
            out: an array of the right shape and type to read into; else a new one.

        Returns:
            Grey levels, ``[C, H, W]``, of the store's type.

        Raises:
            DamagedError: if its pixels are not those that were packed.
        """
        index = self.index_of(site) if isinstance(site, str) else self._checked(site)
        if out is None:
            out = np.empty(self.shape, self.dtype)
        elif out.shape != self.shape or out.dtype != self.dtype or not out.flags.c_contiguous:
            expected = f"{self.shape} {self.dtype} in C order"
            raise RefusedError(f"out: expected an array {expected}, found {out.shape} {out.dtype}")
        try:
            self._store.read(index, out.reshape(-1).view(np.uint8))
        except DamagedError as error:
            error.site, error.shard = self._store.place_of(index)
            raise
        return out

    def statistics(self, by: Literal["plate", "experiment", "cell-type", "store"] = "plate") -> dict[str, np.ndarray]:
        """Statistics of grey levels as columns, a row a group, population and channel: ``group``, ``population``
        (``negative``, ``positive``, ``controls``, ``treatment``, ``all``), ``n_sites``, ``channel`` (from 1),
        ``n_pixels``, ``mean``, ``std_pixels``, ``median``, ``mad``, ``p1`` to ``p99`` and others, in grey levels, as
        ``stats --csv`` has them.
        """
        rows = []
        for group in json.loads(self._store.statistics(by)):
            for channel in group.pop("channels"):
                percentiles = dict(zip(PERCENTILES, channel.pop("percentiles"), strict=True))
                rows.append(group | channel | percentiles)
        return {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}

    def normalization(
        self, by: str = "plate-controls", *, robust: bool = False, sites: np.ndarray | None = None
    ) -> Normalization:
        """What images are normalised by, exactly as ``train --normalize`` has it.

        Args:
            by: ``plate-controls``, ``plate``, ``experiment-controls``, ``experiment``, ``global``, ``site`` or
                ``none``.
            robust: by median and MAD instead of mean and standard deviation.
            sites: what is trained on, whose plates ``global`` goes by; all where it is not given. Plates on which none
                of them lies have no figures then.

        Raises:
            RefusedError: if controls are asked for and an experiment has none.
        """
        chosen = np.arange(len(self)) if sites is None else np.asarray(sites)
        centre, spread = self._store.normalization(by, robust, chosen.tolist())
        known = np.zeros(len(self.plates), dtype=bool)
        known[self.plate_of_sites[chosen]] = True
        return Normalization(by, robust, np.array(centre, np.float32), np.array(spread, np.float32), known)

    def split(self, **recipe: Any) -> Split:
        """The split that ``train`` draws, by the keys of its recipe that are about it: ``split`` (``experiment``,
        ``well`` or ``none``), ``fold`` (``"1/5"``), ``split_seed``, ``validation_share``, ``cell_type``,
        ``experiments``, ``controls``.

        Raises:
            RefusedError: if there is nothing to train on, or a key or a value is unknown.
        """

        def text(value: Any) -> str:
            if isinstance(value, (list, tuple)):
                return ",".join(map(str, value))
            return str(value).lower() if isinstance(value, bool) else str(value)

        changes = [(name.replace("_", "-"), text(value)) for name, value in recipe.items()]
        train, validation, classes, n_treatments, warnings = self._store.split(changes)
        of = [np.array(part, dtype=np.int64) for part in (train, validation, classes)]
        return Split(of[0], of[1], of[2], n_treatments, warnings)

    def _checked(self, index: int) -> int:
        if not 0 <= int(index) < len(self):
            raise NoSuchSiteError(f"{self.path}: expected a site from 0 to {len(self) - 1}, found {index}")
        return int(index)
