"""Microscopy plates as checksummed tensor shards: read, proven, batch by batch.

>>> store = cellshard.Store("shards")
>>> split = store.split()
>>> loader = cellshard.Loader(store, split=split, batch_size=64, seed=42, drop_last=True)
>>> normalization = store.normalization("plate-controls")
>>> for batch in loader:  # {"pixels": [64, 6, 512, 512] uint8, "label", "plate", "index"}
...     images = cellshard.normalize(batch, normalization)

With PyTorch, :mod:`cellshard.torch` has the networks of ``train``; with zarr, :mod:`cellshard.zarr` has the codec of
:mod:`cellshard.wave`, and zarr finds it there.
"""

from typing import TYPE_CHECKING

from . import wave
from ._cellshard import __version__
from ._errors import (
    BatchesHeldError,
    CellshardError,
    DamagedError,
    FaultsError,
    ForkedError,
    NoSuchSiteError,
    RefusedError,
    UnfinishedError,
)
from ._loader import Loader
from ._normalize import Normalization, normalize
from ._programs import pack, stats, verify
from ._store import Split, Store

if TYPE_CHECKING:
    from . import torch as torch
    from . import zarr as zarr

__all__ = [
    "BatchesHeldError",
    "CellshardError",
    "DamagedError",
    "FaultsError",
    "ForkedError",
    "Loader",
    "NoSuchSiteError",
    "Normalization",
    "RefusedError",
    "Split",
    "Store",
    "UnfinishedError",
    "__version__",
    "normalize",
    "pack",
    "stats",
    "verify",
    "wave",
]

#: Modules that are imported when they are first asked for: what they stand on takes seconds, and need not be there.
_WHEN_ASKED_FOR = ("torch", "zarr")


def __getattr__(name):
    if name in _WHEN_ASKED_FOR:
        import importlib

        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*globals(), *_WHEN_ASKED_FOR]
