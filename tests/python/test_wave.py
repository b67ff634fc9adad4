"""The codec wave is what docs/format.md says: a decoder by that page alone reads streams and stores, and software that does
not know it refuses them by its name."""

import csv
import json
import os
import struct
import subprocess
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import tensorstore as ts
import wave_decoder
import zarr
from PIL import Image

BIN = Path(os.environ["CELLSHARD_BIN"])
FIXTURES = Path(__file__).parents[2] / "fixtures"


def run(program, *args):
    return subprocess.run([BIN / program, *map(str, args)], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    root = tmp_path_factory.mktemp("wave")
    flags = ["--experiments", "HUVEC:1", "--plates", 1, "--wells", 3, "--size", 72, "--layout", "bare"]
    run("simulate", "--dst", root / "data", *flags)
    run("pack", root / "data", root / "store", "--codec", "wave")
    return root


@pytest.mark.parametrize("vector", json.loads((FIXTURES / "wave.json").read_text()), ids=lambda v: f"{v['shape']} {v['stream'][:2]}")
def test_streams_of_the_fixtures(vector):
    pixels = wave_decoder.decode(bytes.fromhex(vector["stream"]), *vector["shape"])
    assert pixels == bytes.fromhex(vector["pixels"])


def test_a_store_is_read_by_the_page_alone(packed):
    rows = list(csv.DictReader(open(packed / "store/metadata.csv")))
    assert len(rows) == 6
    for row in rows[:3]:
        shard = (packed / "store/pixels.zarr" / row["array"] / "c/0/0/0/0").read_bytes()
        spec = json.loads((packed / "store/pixels.zarr/zarr.json").read_text())["attributes"]["cellshard"]
        index = len(shard) - spec["sites_per_shard"] * 16 - 4
        offset, length = struct.unpack_from("<QQ", shard, index + 16 * int(row["row"]))
        chunk = shard[offset : offset + length]
        assert int.from_bytes(chunk[-4:], "little") == google_crc32c.value(chunk[:-4])
        assert chunk[0] == 1, "coded, not stored"
        pixels = wave_decoder.decode(chunk[:-4], len(spec["channels"]), *spec["size"])
        assert google_crc32c.value(pixels) == int(row["crc32c"], 16)
        folder = packed / "data" / row["experiment"] / f"Plate{row['plate']}"
        images = [folder / f"{row['well']}_s{row['site']}_w{c}.png" for c in range(1, 7)]
        assert pixels == np.stack([np.asarray(Image.open(image)) for image in images]).tobytes()


def test_what_does_not_know_it_says_its_name(packed):
    row = next(csv.DictReader(open(packed / "store/metadata.csv")))
    array = packed / "store/pixels.zarr" / row["array"]
    assert json.loads((array / "zarr.json").read_text())["codecs"][0]["configuration"]["codecs"][0] == {
        "configuration": {"mode": "small", "version": 1},
        "name": "cellshard.wave",
    }
    with pytest.raises(Exception, match=r"cellshard\.wave"):
        zarr.open_array(array, mode="r")[0]
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(array)}}
    with pytest.raises(Exception, match=r"cellshard\.wave"):
        ts.open(spec).result()


def test_16_bits_are_refused_before_anything_is_written(packed):
    run("simulate", "--dst", packed / "wide", "--layout", "bare", "--bits", 16, "--wells", 3, "--size", 32)
    command = [BIN / "pack", packed / "wide", packed / "none", "--codec", "wave"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and not (packed / "none").exists()
    assert "--codec: expected raw or zstd:1 to zstd:22 for pixels of uint16" in done.stderr
