"""The codec wave in zarr-python, which finds it where the package is installed."""

import json
import pickle
import shutil

import numpy as np
import pytest
from helpers import changed, loader, smooth

import cellshard
from cellshard import wave


@pytest.fixture
def zarr():
    return pytest.importorskip("zarr", reason="zarr is not installed here")


@pytest.fixture
def stored(folder):
    return cellshard.Store(folder / "wave")


def arrays(zarr, folder):
    """The arrays of all plates."""
    return [
        zarr.open_array(path.parent, mode="r")
        for path in sorted((folder / "wave/pixels.zarr").glob("*/Plate*/zarr.json"))
    ]


def test_zarr_reads_what_was_packed(zarr, folder, stored):
    plates = arrays(zarr, folder)
    assert len(plates) == len(stored.plates)
    pixels = np.concatenate([plate[:] for plate in plates])
    batches = [batch["pixels"].copy() for batch in loader(stored, batch_size=50, shuffle=False)]
    assert (np.concatenate(batches) == pixels).all()
    assert all((stored.site(i) == pixels[i]).all() for i in (0, 57, len(stored) - 1))
    assert (plates[0][3:9, 2, 5:, ::3] == pixels[3:9, 2, 5:, ::3]).all()


def test_a_flipped_byte_of_a_store_is_refused_by_its_checksum(zarr, folder, tmp_path):
    shutil.copytree(folder / "wave/pixels.zarr/HUVEC-01/Plate1", tmp_path / "plate")
    shard = tmp_path / "plate/c/0/0/0/0"
    content = bytearray(shard.read_bytes())
    content[200] ^= 1
    shard.write_bytes(content)
    array = zarr.open_array(tmp_path / "plate", mode="r")
    with pytest.raises(ValueError, match="(?i)checksum"):
        array[0]
    assert (array[1] == cellshard.Store(folder / "raw").site(1)).all()


@pytest.mark.parametrize("before", [(), (5,), (2, 3)], ids=str)
@pytest.mark.parametrize("mode", ["small", "fast"])
@pytest.mark.parametrize("is_sharded", [False, True], ids=["chunks", "shards"])
def test_zarr_makes_arrays_of_it(zarr, tmp_path, before, is_sharded, mode):
    pixels = smooth((3, 64, 80))
    pixels = np.stack([np.roll(pixels, i, 1) for i in range(int(np.prod(before)))]).reshape(*before, *pixels.shape)
    chunks = (*(1 for _ in before), 3, 32, 40)
    zarr.create_array(
        tmp_path / "new.zarr",
        shape=pixels.shape,
        chunks=chunks,
        shards=(*before, 3, 64, 40) if is_sharded else None,
        dtype="uint8",
        serializer=cellshard.zarr.Wave(mode),
        compressors=zarr.codecs.Crc32cCodec(),
    )[...] = pixels
    codecs = json.loads((tmp_path / "new.zarr/zarr.json").read_text())["codecs"]
    codecs = codecs[0]["configuration"]["codecs"] if is_sharded else codecs
    assert codecs[0] == {"name": "cellshard.wave", "configuration": {"mode": mode, "version": 1}}
    assert codecs[1]["name"] == "crc32c"
    array = zarr.open_array(tmp_path / "new.zarr", mode="r+")
    assert (array[...] == pixels).all()
    array[..., 7:50, 11] = 200
    pixels[..., 7:50, 11] = 200
    assert (zarr.open_array(tmp_path / "new.zarr", mode="r")[...] == pixels).all()
    if not is_sharded:
        chunk = (tmp_path / "new.zarr/c" / "/".join("0" * pixels.ndim)).read_bytes()
        assert chunk[:-4] == wave.encode(pixels.reshape(-1, 3, 64, 80)[0, :, :32, :40], mode=mode)


def test_damage_that_no_checksum_tells_is_an_error(zarr, tmp_path):
    pixels = smooth((1, 40, 40))
    make = dict(shape=pixels.shape, chunks=pixels.shape, dtype="uint8", compressors=None)
    array = zarr.create_array(tmp_path / "new.zarr", serializer=cellshard.zarr.Wave(), **make)
    array[...] = pixels
    chunk = tmp_path / "new.zarr/c/0/0/0"
    for damaged in (chunk.read_bytes()[:-1], changed(chunk.read_bytes(), 300, 1, 2, 3)):
        chunk.write_bytes(damaged)
        with pytest.raises(cellshard.DamagedError, match="^stream: expected"):
            array[...]


def test_other_arrays_and_versions_are_refused(zarr, tmp_path):
    def make(shape, chunks, dtype="uint8", serializer=None, shards=None):
        serializer = serializer or cellshard.zarr.Wave()
        zarr.create_array(
            zarr.storage.MemoryStore(),
            shape=shape,
            chunks=chunks,
            shards=shards,
            dtype=dtype,
            serializer=serializer,
            compressors=None,
        )[...] = 1

    make((4, 3, 8, 8), (1, 3, 8, 8))
    for dtype in ("uint16", "int8", "bool", "float32"):
        with pytest.raises(ValueError, match="expected pixels of uint8, found"):
            make((4, 3, 8, 8), (1, 3, 8, 8), dtype)
        with pytest.raises(ValueError, match="expected pixels of uint8, found"):
            make((4, 3, 8, 8), (1, 3, 8, 8), dtype, shards=(2, 3, 8, 8))
    with pytest.raises(ValueError, match=r"expected dimensions \[..., channel, y, x\], found 2"):
        make((8, 8), (8, 8))
    for shards in (None, (4, 3, 8, 8)):
        with pytest.raises(ValueError, match=r"expected chunks of \[1, channel, y, x\], found \[2, 3, 8, 8\]"):
            make((4, 3, 8, 8), (2, 3, 8, 8), shards=shards)
    for version in (2, 0, "1", True, None):
        with pytest.raises(ValueError, match=f"cellshard.wave: expected version 1, found {version!r}"):
            cellshard.zarr.Wave(version=version)
        with pytest.raises(ValueError, match="expected version 1"):
            configuration = {"mode": "small", "version": version}
            make((3, 8, 8), (3, 8, 8), serializer={"name": "cellshard.wave", "configuration": configuration})
    for mode in ("best", "", None, 1):
        with pytest.raises(ValueError, match=f"cellshard.wave: expected mode small or fast, found {mode!r}"):
            cellshard.zarr.Wave(mode)
    for configuration in ({}, {"version": 1}, {"mode": "small", "version": 1, "level": 3}, None):
        with pytest.raises(ValueError, match="expected a configuration of nothing but mode and version"):
            make((3, 8, 8), (3, 8, 8), serializer={"name": "cellshard.wave", "configuration": configuration})
    make((3, 8, 8), (3, 8, 8), serializer=cellshard.zarr.Wave().to_dict())


def test_the_codec_is_a_value(zarr):
    for codec in (cellshard.zarr.Wave(), cellshard.zarr.Wave("fast")):
        assert codec == cellshard.zarr.Wave.from_dict(codec.to_dict()) == pickle.loads(pickle.dumps(codec))
        assert hash(codec) == hash(cellshard.zarr.Wave(codec.mode, 1))
    assert cellshard.zarr.Wave() != codec
