"""The codec ``wave``: lossless, for pixels of 8 bits of several channels of one place, about half of what zstd makes of
them. docs/format.md specifies its streams.

>>> stream = cellshard.wave.encode(pixels)  # [channel, y, x] uint8
>>> pixels = cellshard.wave.decode(stream, (6, 512, 512))

Both let the interpreter's lock go, so that threads of Python encode and decode at once. A stream has no checksum:
stores put a crc32c behind each.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _cellshard, _wave_numpy
from ._errors import DamagedError, RefusedError

#: What has the buffer protocol.
Buffer = bytes | bytearray | memoryview | np.ndarray

__all__ = ["decode", "encode"]


def encode(pixels: Any, *, mode: str = "small") -> bytes:
    """The stream of some pixels: the same for the same pixels.

    Args:
        pixels: grey levels, ``[channel, y, x] uint8``, one of each at least. They are copied first.
        mode: ``"small"``, or ``"fast"``: an eighth larger for images of some hundred
            pixels a side, and decoded half as fast again. Decoders take both.

    Raises:
        RefusedError: (a ``ValueError``) if they are of another type or have other dimensions, or it is another mode.
        TypeError: if the mode is no text.
    """
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        found = f"{pixels.dtype} of {pixels.ndim} dimensions"
        raise RefusedError(f"pixels: expected [channel, y, x] of uint8, found {found}")
    pixels = np.ascontiguousarray(pixels)
    return _cellshard.wave_encode(pixels.reshape(-1), _checked(pixels.shape), mode)


def decode(stream: Buffer, shape: Sequence[int], *, out: np.ndarray | None = None, native: bool = True) -> np.ndarray:
    """The pixels of a stream.

    Args:
        stream: bytes, or what has the buffer protocol; all of one stream, and nothing behind it.
        shape: ``(channels, height, width)``, which no stream says.
        out: where they are put: an array of this shape, of ``uint8``, in C order and writable. No other thread may use
            it meanwhile, and after an error it holds anything.
        native: whether the package's core decodes, or NumPy with numcodecs or Python 3.14, which takes two hundred
            times as long: ``_wave_numpy.py`` is a file that can be copied to where the package is not.

    Returns:
        Grey levels, ``[channel, y, x] uint8``: ``out``, where that is given.

    Raises:
        DamagedError: if it is not a stream of exactly such pixels.
        RefusedError: (a ``ValueError``) if the shape is not one, or ``out`` is not of it.
        TypeError: if the stream is not bytes; BufferError or ValueError, if they are not in a row.
        MemoryError: if there is none for so many pixels; or ValueError, where NumPy cannot count them.
    """
    shape = _checked(shape)
    if out is not None:
        _check_out(out, shape)
    if not isinstance(stream, bytes):
        stream = np.frombuffer(stream, np.uint8)
    if not native:
        pixels = _by_numpy(stream, shape)
        if out is None:
            return pixels
        out[...] = pixels
        return out
    if out is None:
        out = np.zeros(shape, np.uint8)
    _cellshard.wave_decode(stream, shape, out.reshape(-1))
    return out


def _by_numpy(stream: Buffer, shape: tuple[int, int, int]) -> np.ndarray:
    try:
        return _wave_numpy.decode(stream, shape)
    except _wave_numpy.Malformed as error:
        raise DamagedError(str(error), place="stream", expected=error.expected, found=error.found) from error


def _checked(shape: Sequence[int]) -> tuple[int, int, int]:
    """A shape as three numbers of Python's."""
    lengths = [operator.index(length) for length in shape]
    if len(lengths) != 3 or min(lengths) < 1:
        raise RefusedError(f"shape: expected channels, height and width, each 1 or more, found {tuple(shape)}")
    return lengths[0], lengths[1], lengths[2]


def _check_out(out: np.ndarray, shape: tuple[int, int, int]) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected an array of NumPy's, found {type(out).__name__}")
    is_filled = out.flags.c_contiguous and out.flags.writeable
    if out.shape != shape or out.dtype != np.uint8 or not is_filled:
        found = f"{out.shape} of {out.dtype}{'' if is_filled else ', in another order or read-only'}"
        raise RefusedError(f"out: expected {shape} of uint8, in C order and writable, found {found}")
