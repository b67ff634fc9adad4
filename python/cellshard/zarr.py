"""The codec :mod:`cellshard.wave` for zarr-python 3, which finds it by itself where this package is installed: stores
that were packed with ``--codec wave`` open as any others, and arrays are made with it:

>>> serializer = cellshard.zarr.Wave()
>>> zarr.create_array("new.zarr", shape=(100, 6, 512, 512), chunks=(1, 6, 512, 512), dtype="uint8",
...                   serializer=serializer, compressors=zarr.codecs.Crc32cCodec())
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.abc.codec import ArrayBytesCodec

from . import wave
from ._errors import RefusedError

if TYPE_CHECKING:
    from typing import Self

    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

__all__ = ["Wave"]

NAME = "cellshard.wave"
MODES = ("small", "fast")
#: Of a chunk: ``[channel, y, x]``.
DIMENSIONS = 3


@dataclass(frozen=True)
class Wave(ArrayBytesCodec):
    """From pixels to bytes by the codec ``wave``, in the place of zarr's ``bytes``.

    It takes arrays of ``uint8`` whose chunks are ``[channel, y, x]``, or have dimensions of 1 before these, as the
    chunks of stores. It has no checksum: put ``crc32c`` behind it. Chunks are decoded and encoded in threads.

    Args:
        mode: ``"small"`` or ``"fast"``, as :func:`cellshard.wave.encode` has it.
        version: of the streams; there is none but 1.

    Raises:
        RefusedError: (a ``ValueError``) if it is another mode or version; and from zarr, if an array is another.
        DamagedError: from zarr, if a chunk is no stream of its pixels.
    """

    is_fixed_size = False

    mode: str = "small"
    version: int = 1

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise RefusedError(f"{NAME}: expected mode small or fast, found {self.mode!r}")
        if type(self.version) is not int or self.version != 1:
            raise RefusedError(f"{NAME}: expected version 1, found {self.version!r} (a newer cellshard may know it)")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The codec of an array's document.

        Raises:
            RefusedError: if its configuration is another than ``{"mode": "small", "version": 1}``, or ``"fast"``.
        """
        configuration = data.get("configuration")
        if data.get("name") != NAME or not isinstance(configuration, dict) or set(configuration) != {"mode", "version"}:
            raise RefusedError(f"{NAME}: expected a configuration of nothing but mode and version, found {data!r}")
        return cls(configuration["mode"], configuration["version"])

    def to_dict(self) -> dict[str, Any]:
        return {"name": NAME, "configuration": {"mode": self.mode, "version": self.version}}

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> Self:
        _check_array(array_spec.shape, array_spec.dtype)
        return self

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        _check_array(shape, dtype)
        if (chunk_shape := getattr(chunk_grid, "chunk_shape", None)) is not None:
            _shape(chunk_shape)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        raise NotImplementedError

    def _decode_sync(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        pixels = wave.decode(chunk_bytes.as_numpy_array(), _shape(chunk_spec.shape))
        return chunk_spec.prototype.nd_buffer.from_numpy_array(pixels.reshape(chunk_spec.shape))

    def _encode_sync(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        pixels = chunk_array.as_numpy_array().reshape(_shape(chunk_spec.shape))
        return chunk_spec.prototype.buffer.from_bytes(wave.encode(pixels, mode=self.mode))

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_bytes, chunk_spec)

    async def _encode_single(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._encode_sync, chunk_array, chunk_spec)


def _check_array(shape: tuple[int, ...], dtype: Any) -> None:
    """Refuses arrays that have no chunks for it; ``dtype`` is one of zarr's."""
    found = dtype.to_native_dtype()
    if found != np.uint8:
        raise RefusedError(f"{NAME}: expected pixels of uint8, found {found}")
    if len(shape) < DIMENSIONS:
        raise RefusedError(f"{NAME}: expected dimensions [..., channel, y, x], found {len(shape)} of them")


def _shape(chunk_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width of a chunk."""
    *before, channels, height, width = chunk_shape
    if any(length != 1 for length in before):
        raise RefusedError(f"{NAME}: expected chunks of [1, channel, y, x], found {list(chunk_shape)}")
    return channels, height, width
