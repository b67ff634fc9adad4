"""A store: its tables, its sites, and what follows from them."""

from __future__ import annotations

import errno
import json
import operator
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from . import _cellshard
from ._arguments import without_commas
from ._errors import DamagedError, NoSuchSiteError, RefusedError
from ._normalize import Normalization

#: How images are normalised without figures of their plates.
OF_NO_PLATE = ("global", "site", "none")
#: What is listed of a group.
PERCENTILES = ["p1", "p5", "p25", "p75", "p95", "p99"]
#: The keys of a recipe that are about its split.
OF_SPLIT = ("cell_type", "controls", "experiments", "fold", "split", "split_seed", "validation_share")


def indices_of(store: Store, sites: Any) -> np.ndarray:
    """Indices of sites, ``[N] int64``, of what may stand for them: indices, names, or a mask of all; all of
    ``None``."""
    if sites is None:
        return np.arange(len(store))
    if isinstance(sites, (str, bytes)) or not hasattr(sites, "__len__"):
        raise RefusedError(f"sites: expected a list or an array, found {type(sites).__name__}")
    if not len(sites):
        raise RefusedError("sites: expected one or more, found none")
    if all(isinstance(site, str) for site in sites):
        return np.array([store.index_of(site) for site in sites], np.int64)
    sites = np.asarray(sites)
    if sites.ndim != 1:
        raise RefusedError(f"sites: expected a list or an array of one dimension, found one of {sites.ndim}")
    if sites.dtype == bool:
        if len(sites) != len(store):
            raise RefusedError(f"sites: expected a mask of {len(store)} sites, found one of {len(sites)}")
        return np.flatnonzero(sites)
    if not np.issubdtype(sites.dtype, np.integer):
        raise RefusedError(f"sites: expected indices, names or a mask, found {sites.dtype}")
    if sites.min() < 0 or sites.max() >= len(store):
        found = f"{sites.min()} to {sites.max()}"
        raise RefusedError(f"sites: expected indices from 0 to {len(store) - 1}, found {found}")
    return sites.astype(np.int64)


def _column(values: list, dtype: Any = object) -> np.ndarray:
    """A column that nobody writes into, as others read it, too; of no values one of texts."""
    column = np.array(values, dtype=dtype) if values else np.array([], dtype=str if dtype is object else dtype)
    column.setflags(write=False)
    return column


@dataclass(frozen=True, eq=False)
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
        """``raw``, ``wave``, or ``zstd:LEVEL``."""
        return self._store.codec

    @property
    def channels(self) -> list[str]:
        """What each channel shows, in order."""
        return [name for name, _ in self._store.channels]

    @property
    def colors(self) -> list[str]:
        """The colour of each channel as ``#RRGGBB``, or an empty text where the store has none."""
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

        A row a site, in the order of indices: ``site_id``, ``well_id``, ``cell_type``, ``dataset`` (``train``, ``val``,
        ``test`` or empty), ``experiment``, ``plate``, ``well``, ``well_row`` and ``well_column`` (from 1), ``site``,
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
        return {name: _column(values, types.get(name, object)) for name, values in columns.items()}

    @cached_property
    def plates(self) -> list[tuple[str, str]]:
        """Experiment and name of each plate, in the order in which batches number them."""
        return self._store.plates()

    @cached_property
    def plate_of_sites(self) -> np.ndarray:
        """Of each site the position of its plate in :attr:`plates`, ``[N] int64``."""
        return _column(self._store.plate_of_sites(), np.int64)

    @cached_property
    def classes(self) -> dict[str, np.ndarray]:
        """The table of classes as columns: ``class`` (``sirna_id`` of the sites), ``sirna`` and ``well_type``."""
        rows = self._store.classes()
        of = [[row[i] for row in rows] for i in range(3)]
        return {
            "class": _column(of[0], np.int64),
            "sirna": _column(of[1]),
            "well_type": _column(of[2]),
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

    def site(self, site: int | str) -> np.ndarray:
        """The pixels of a site, proven by its crc32c.

        Args:
            site: its index, or its name as ``HEPG2-08/1/B02/1``.

        Returns:
            Grey levels, ``[C, H, W]``, of the store's type.

        Raises:
            DamagedError: if its pixels are not those that were packed.
            NoSuchSiteError: if there is no such site.
        """
        index = self.index_of(site) if isinstance(site, str) else self._checked(site)
        pixels = np.zeros(self.shape, self.dtype)
        try:
            self._store.read(index, pixels.reshape(-1).view(np.uint8))
        except DamagedError as error:
            error.site, error.shard = self._store.place_of(index)
            raise
        return pixels

    def statistics(self, by: Literal["plate", "experiment", "cell-type", "store"] = "plate") -> dict[str, np.ndarray]:
        """Statistics of grey levels as columns, a row a group, population and channel: ``group``, ``population``
        (``negative``, ``positive``, ``controls``, ``treatment``, ``all``), ``n_sites``, ``channel`` (from 1),
        ``n_pixels``, ``mean``, ``std_pixels``, ``median``, ``mad``, ``p1`` to ``p99`` and others, in grey levels; by
        plate also ``experiment`` and ``plate``, as :attr:`sites` has them.
        """
        rows = []
        plates = zip(self.plates, self._store.folders(), strict=True)
        names = {f"{experiment}/{folder}": (experiment, plate) for (experiment, plate), folder in plates}
        for group in json.loads(self._store.statistics(by)):
            of_plate = dict(zip(("experiment", "plate"), names[group["group"]], strict=True)) if by == "plate" else {}
            for channel in group.pop("channels"):
                percentiles = dict(zip(PERCENTILES, channel.pop("percentiles"), strict=True))
                rows.append(group | of_plate | channel | percentiles)
        return {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}

    def normalization(
        self, by: str = "plate-controls", *, robust: bool = False, sites: np.ndarray | None = None
    ) -> Normalization:
        """What images are normalised by, exactly as ``train --normalize`` has it.

        Args:
            by: ``plate-controls``, ``plate``, ``experiment-controls``, ``experiment``, ``global``, ``site`` or
                ``none``.
            robust: by median and MAD instead of mean and standard deviation.
            sites: indices, names or a mask of what is trained on, by whose plates ``global`` goes; all where it is not
                given. Of the modes by plate and experiment, plates on which none of them lies have no figures then:
                leave it out where those validate.

        Raises:
            RefusedError: if controls are asked for and an experiment has none.
        """
        chosen = indices_of(self, sites)
        centre, spread = self._store.normalization(by, robust, chosen.tolist())
        known = np.zeros(len(self.plates), dtype=bool)
        known[self.plate_of_sites[chosen]] = True
        if by in OF_NO_PLATE:
            known[:] = True
        return Normalization(by, robust, np.array(centre, np.float32), np.array(spread, np.float32), known)

    def split(self, **recipe: Any) -> Split:
        """The split that ``train`` draws, by the keys of its recipe that are about it: ``split`` (``experiment``,
        ``well`` or ``none``), ``fold`` (``"1/5"``), ``split_seed``, ``validation_share``, ``cell_type``,
        ``experiments``, ``controls``.

        Raises:
            RefusedError: if there is nothing to train on, or a key or a value is unknown.
        """

        def text(value: Any) -> str:
            if not isinstance(value, str) and isinstance(value, Iterable):
                return without_commas("split", value)
            return str(value).lower() if isinstance(value, bool) else str(value)

        if wrong := [name for name in recipe if name not in OF_SPLIT]:
            raise RefusedError(f"split: expected {', '.join(OF_SPLIT)}, found {', '.join(wrong)}")
        given = {name: value for name, value in recipe.items() if value is not None}
        changes = [(name.replace("_", "-"), text(value)) for name, value in given.items()]
        train, validation, classes, n_treatments, warnings = self._store.split(changes)
        of = [np.array(part, dtype=np.int64) for part in (train, validation, classes)]
        return Split(of[0], of[1], of[2], n_treatments, warnings)

    def _checked(self, index: int) -> int:
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise NoSuchSiteError(f"{self.path}: expected a site from 0 to {len(self) - 1}, found {index}")
        return index
