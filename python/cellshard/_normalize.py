"""Pixels as a network gets them: grey levels less a centre, by a spread, of each plate and channel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._errors import RefusedError

# As in train: a speck of dust is a hundred deviations from the mean.
CLIP = 10.0
# Grey levels that a spread has at least.
LEAST_SPREAD = 1.0
# Makes the MAD of a normal distribution its standard deviation: 1 / quantile(3/4).
MAD_TO_STD = 1.482602218505602


@dataclass(frozen=True, eq=False)
class Normalization:
    """What images are normalised by.

    Attributes:
        by: what the figures are those of, as ``train --normalize`` names it.
        robust: whether they are median and MAD.
        centre: ``[plates, channels] float32``, in grey levels.
        spread: the same; at least 1.
        known: which plates have figures, ``[plates] bool``.
    """

    by: str
    robust: bool
    centre: np.ndarray
    spread: np.ndarray
    known: np.ndarray
    _tensors: dict = field(default_factory=dict, repr=False)

    def __post_init__(self):
        for figures in (self.centre, self.spread, self.known):
            figures.setflags(write=False)

    def __getstate__(self):
        # Tensors are made again, on whichever device is there.
        return self.__dict__ | {"_tensors": {}}

    def __call__(self, batch: dict[str, Any]) -> Any:
        """The same as :func:`normalize`."""
        return normalize(batch, self)


def normalize(batch: dict[str, Any], normalization: Normalization) -> Any:
    """The images of a batch as ``train`` gives them to a network.

    Args:
        batch: of a :class:`Loader`: ``pixels``, ``[N, C, H, W]``, and ``plate``, ``[N]``.
        normalization: of the same store.

    Returns:
        ``[N, C, H, W] float32``, clipped to -10 to 10; an array of an array, a tensor of a tensor, on its device.

    Raises:
        RefusedError: if a plate of the batch has no figures.
    """
    pixels, plate = batch["pixels"], batch.get("plate")
    if plate is None and normalization.by != "site":
        raise RefusedError("batch: expected its plate, found none")
    if isinstance(pixels, np.ndarray):
        levels = pixels.astype(np.float32)
        centre, spread = _of_arrays(levels, plate, normalization)
        factor = np.float32(1) / spread
        return np.clip(levels * factor - centre * factor, -CLIP, CLIP, out=levels)
    from .torch import normalize_tensor

    return normalize_tensor(pixels, plate, normalization)


def check_plates(plate: Any, normalization: Normalization) -> None:
    """Refuses plates of another store, and those that were not asked for when the figures were made."""
    n = len(normalization.known)
    if len(plate) and not (0 <= int(plate.min()) and int(plate.max()) < n):
        raise RefusedError(f"batch: expected plates from 0 to {n - 1}, found others (is it of another store?)")
    if not bool(normalization.known[np.asarray(plate)].all()):
        expected = "plates of the sites that store.normalization(sites=) was given"
        raise RefusedError(f"batch: expected {expected}, found others (give it those that validate, too)")


def _of_arrays(levels, plate, normalization):
    """Centre and spread of each image and channel, ``[N, C, 1, 1]``."""
    if normalization.by != "site":
        check_plates(plate, normalization)
        return normalization.centre[plate][..., None, None], normalization.spread[plate][..., None, None]
    flat = levels.reshape(*levels.shape[:2], -1)
    spread = flat.std(-1, keepdims=True, dtype=np.float64)
    centre = flat.mean(-1, keepdims=True, dtype=np.float64)
    if normalization.robust:
        # The lower of two in the middle, as torch has it.
        middle = (flat.shape[-1] - 1) // 2
        centre = np.partition(flat, middle, -1)[..., middle : middle + 1]
        mad = np.partition(abs(flat - centre), middle, -1)[..., middle : middle + 1] * np.float32(MAD_TO_STD)
        spread = np.where(mad > 0, mad, spread)
    return centre.astype(np.float32)[..., None], spread.clip(LEAST_SPREAD).astype(np.float32)[..., None]
