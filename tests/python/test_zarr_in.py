"""Zarr that others wrote is packed: plates of OME-Zarr by ome-zarr-py, an array a site as images2zarr of rxrx1-utils
writes them, and an array of all sites with a table. What zarr-python reads there is what it reads in the store, and what
is absent, cut short or damaged ends with exit code 1 and its path."""

import csv
import itertools
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import zarr
from numcodecs import GZip, Blosc, Zlib, Zstd
from ome_zarr.format import FormatV04, FormatV05
from ome_zarr.writer import write_image, write_plate_metadata, write_well_metadata
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec

BIN = Path(os.environ["CELLSHARD_BIN"])
WELLS = ["B/2", "B/11", "P/3"]
LABELS = ["DNA", "Actin / Golgi"]


def run(*args):
    command = [str(BIN / "pack"), *map(str, args), "--json"]
    return subprocess.run(command, capture_output=True, text=True)


def packed(src, dst, *args):
    """Packs, and once more, which does nothing; the store's pixels by plate, well and site."""
    found = run("--src", src, "--dst", dst, *args)
    assert found.returncode == 0, found.stderr + found.stdout
    again = run("--src", src, "--dst", dst, *args)
    assert again.returncode == 0 and json.loads(again.stdout)["sites_packed"] == 0, again.stdout
    return pixels_of(dst)


def pixels_of(store):
    root = zarr.open_group(store / "pixels.zarr", mode="r")
    with open(store / "metadata.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        (row["experiment"], row["plate"], row["well"], int(row["site"])): root[row["array"]][int(row["row"])]
        for row in rows
    }


def channels_of(store):
    attributes = json.loads((store / "pixels.zarr/zarr.json").read_text())["attributes"]
    return [channel["name"] for channel in attributes["cellshard"]["channels"]]


def refused(src, dst, path, kind=None, args=()):
    """The run ends with exit code 1, and names the file."""
    found = run("--src", src, "--dst", dst, *args)
    assert found.returncode == 1, found.stderr + found.stdout
    faults = json.loads(found.stdout)["faults"]
    faults = [{"kind": of_kind["kind"], **fault} for of_kind in faults for fault in of_kind["listed"]]
    of_file = [fault for fault in faults if fault["file"] == path]
    assert of_file and (kind is None or of_file[0]["kind"] == kind), faults
    return of_file[0]


def image(rng, shape, dtype):
    return rng.integers(0, 256 if dtype == np.uint8 else 2**12, shape, dtype)


def write_ome(root, version, axes="tczyx", dtype=np.uint16, size=(50, 70), fields=("0", "1"), scale_factors=(), **options):
    """A plate by ome-zarr-py; the images by well and field."""
    fmt = {"0.4": FormatV04(), "0.5": FormatV05()}[version]
    rng = np.random.default_rng(len(axes))
    group = zarr.open_group(root, mode="w", zarr_format=fmt.zarr_format)
    write_plate_metadata(group, ["B", "P"], ["2", "3", "11"], WELLS, fmt=fmt, field_count=len(fields), name="Week_7")
    lengths = {"t": 1, "c": 2, "z": 1, "y": size[0], "x": size[1]} | options.pop("lengths", {})
    images = {}
    for well in WELLS:
        of_well = group.require_group(well)
        write_well_metadata(of_well, list(fields), fmt=fmt)
        for field in fields:
            pixels = image(rng, [lengths[axis] for axis in axes], dtype)
            images[well, field] = pixels
            of_image = of_well.require_group(field)
            write_image(pixels, of_image, axes=axes, fmt=fmt, scale_factors=list(scale_factors), **options)
            if "c" in axes:
                omero = {"channels": [{"label": name, "color": "FFFFFF"} for name in LABELS[: lengths["c"]]]}
                if version == "0.4":
                    of_image.attrs["omero"] = omero
                else:
                    of_image.attrs["ome"] = {**of_image.attrs["ome"], "omero": omero}
    return images


def key(well, site, plate="Week_7", experiment="experiment"):
    row, column = well.split("/")
    return experiment, plate, f"{row}{int(column):02}", site


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["tczyx", "cyx", "yx", "czyx"])
def test_a_plate_of_ome_zarr(tmp_path, version, axes):
    images = write_ome(tmp_path / "p.zarr", version, axes, [np.uint8, np.uint16][len(axes) % 2])
    found = packed(tmp_path / "p.zarr", tmp_path / "store")
    assert len(found) == len(images)
    for (well, field), pixels in images.items():
        expected = pixels.reshape(-1, *pixels.shape[-2:])
        np.testing.assert_array_equal(found[key(well, int(field) + 1)], expected)
    assert channels_of(tmp_path / "store") == (LABELS if "c" in axes else ["c0"])


def test_levels_planes_and_chunks_that_several_sites_are_in(tmp_path):
    """Shards, transposed axes and each codec, in Zarr v3; a plane of many; a level that is smaller."""
    lengths = {"t": 2, "z": 3, "c": 2}
    images = write_ome(tmp_path / "p.zarr", "0.5", "tczyx", lengths=lengths, scale_factors=[2])
    found = run("--src", tmp_path / "p.zarr", "--dst", tmp_path / "store")
    assert found.returncode == 2 and "--plane z=N" in found.stderr, found.stderr
    found = run("--src", tmp_path / "p.zarr", "--dst", tmp_path / "store", "--plane", "z=3,t=0")
    assert found.returncode == 2 and "z of 0 to 2" in found.stderr, found.stderr
    found = packed(tmp_path / "p.zarr", tmp_path / "store", "--plane", "z=2,t=1")
    for (well, field), pixels in images.items():
        np.testing.assert_array_equal(found[key(well, int(field) + 1)], pixels[1, :, 2])
    args = ("--plane", "z=2,t=1", "--level", "1", "--experiment", "HUVEC-1")
    found = packed(tmp_path / "p.zarr", tmp_path / "small", *args)
    levels = json.loads((tmp_path / "p.zarr/B/2/0/zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    level = zarr.open_array(tmp_path / "p.zarr/B/2/0" / levels["datasets"][1]["path"], mode="r")
    np.testing.assert_array_equal(found[key("B/2", 1, experiment="HUVEC-1")], level[1, :, 2])
    found = run("--src", tmp_path / "p.zarr", "--dst", tmp_path / "none", "--plane", "z=2,t=1", "--level", "2")
    assert found.returncode == 2 and "0 to 1" in found.stderr, found.stderr


def write_array(path, pixels, **options):
    array = zarr.create_array(path, shape=pixels.shape, dtype=pixels.dtype, **options)
    array[:] = pixels
    return array


ARRAYS = {
    "v2 blosc": {"zarr_format": 2, "chunks": (2, 1, 20, 30), "compressors": Blosc("lz4", 5, Blosc.SHUFFLE)},
    "v2 blosc bitshuffle": {"zarr_format": 2, "chunks": (5, 2, 50, 70), "compressors": Blosc("zstd", 3, Blosc.BITSHUFFLE)},
    "v2 gzip": {"zarr_format": 2, "chunks": (3, 2, 50, 16), "compressors": GZip(5)},
    "v2 zlib": {"zarr_format": 2, "chunks": (1, 1, 50, 70), "compressors": Zlib(1)},
    "v2 zstd": {"zarr_format": 2, "chunks": (1, 2, 50, 70), "compressors": Zstd(3)},
    "v2 raw F": {"zarr_format": 2, "chunks": (2, 1, 20, 30), "compressors": None, "order": "F"},
    "v3 zstd crc32c": {"chunks": (1, 1, 50, 70), "compressors": [ZstdCodec(), Crc32cCodec()]},
    "v3 gzip": {"chunks": (2, 2, 49, 69), "compressors": GzipCodec()},
    "v3 blosc big-endian": {"chunks": (4, 1, 50, 70), "serializer": BytesCodec(endian="big"), "compressors": BloscCodec()},
    "v3 transposed": {"chunks": (1, 2, 25, 70), "filters": TransposeCodec(order=(3, 1, 0, 2)), "compressors": None},
    "v3 shards": {"chunks": (1, 1, 25, 35), "shards": (4, 2, 50, 70), "compressors": [ZstdCodec(), Crc32cCodec()]},
    "v3 shards, index first": {
        "chunks": (1, 2, 25, 35),
        "shards": {"shape": (2, 2, 50, 70), "index_location": "start"},
        "compressors": BloscCodec(),
    },
}


def write_table(path, sites, header="plate,well,site"):
    path.write_text("\n".join([header, *sites]) + "\n")


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
def test_an_array_of_sites_with_a_table(tmp_path, name, dtype):
    rng = np.random.default_rng(7)
    pixels = image(rng, (5, 2, 50, 70), np.uint16 if dtype[1:] == "u2" else np.uint8).astype(dtype)
    write_array(tmp_path / "a.zarr", pixels, **ARRAYS[name])
    table = tmp_path / "sites.csv"
    write_table(table, ["P1,A01,1", "P1,A01,2", "P2,A01,1", "P1,B02,2", "P1,B02,1"])
    args = ("--table", table, "--channel-names", "DNA,Actin", "--sites-per-shard", "2")
    found = packed(tmp_path / "a.zarr", tmp_path / "s1", *args)
    places = {("P1", "A01", 1): 0, ("P1", "A01", 2): 1, ("P2", "A01", 1): 2, ("P1", "B02", 2): 3, ("P1", "B02", 1): 4}
    for place, row in places.items():
        np.testing.assert_array_equal(found["experiment", *place], pixels[row])
    assert channels_of(tmp_path / "s1") == ["DNA", "Actin"]
    threads = run("--src", tmp_path / "a.zarr", "--dst", tmp_path / "s2", *args, "--threads", 3)
    assert threads.returncode == 0
    for path in sorted((tmp_path / "s1").rglob("*")):
        other = tmp_path / "s2" / path.relative_to(tmp_path / "s1")
        assert path.is_dir() or path.read_bytes() == other.read_bytes(), path


def files_of(array):
    """The files of an array that are chunks or shards."""
    return sorted(path for path in array.rglob("*") if path.is_file() and path.name not in {".zarray", ".zattrs", "zarr.json"})


def damaged_plates(tmp_path, version):
    root = tmp_path / "p.zarr"
    write_ome(root, version)
    array = next(path.parent for path in (root / "B/11/1").rglob(".zarray" if version == "0.4" else "zarr.json") if path.parent != root / "B/11/1")
    chunk = files_of(array)[-1]
    return root, chunk, str(chunk.relative_to(root))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_chunk_that_is_absent_cut_short_or_empty_is_named_and_never_black(tmp_path, version):
    root, chunk, path = damaged_plates(tmp_path, version)
    content = chunk.read_bytes()
    chunk.unlink()
    fault = refused(root, tmp_path / "store", path, "missing-chunk")
    assert fault["well"] == "B11" and fault["site"] == 2, fault
    for length in [0, 1, 15, len(content) // 2, len(content) - 1]:
        chunk.write_bytes(content[:length])
        refused(root, tmp_path / "store", path)
    chunk.write_bytes(content)
    assert len(packed(root, tmp_path / "store")) == 6


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_document_that_is_absent_is_named(tmp_path, version):
    document = {"0.4": ".zattrs", "0.5": "zarr.json"}[version]
    array = {"0.4": ".zarray", "0.5": "zarr.json"}[version]
    root, chunk, _ = damaged_plates(tmp_path, version)
    array = next(parent / array for parent in chunk.parents if (parent / array).exists())
    for path in [root / "B/11" / document, root / "B/11/1" / document, array]:
        path.rename(tmp_path / "elsewhere")
        refused(root, tmp_path / "store", str(path.relative_to(root)))
        (tmp_path / "elsewhere").rename(path)
    assert run("--src", root, "--dst", tmp_path / "store").returncode == 0


def test_every_flipped_bit_of_checked_chunks_is_seen(tmp_path):
    """Of shards with a crc32c of each chunk and of the index, whatever is flipped; every 97th bit."""
    rng = np.random.default_rng(1)
    pixels = image(rng, (1, 1, 16, 16), np.uint16)
    codecs = [ZstdCodec(), Crc32cCodec()]
    write_array(tmp_path / "a.zarr", pixels, chunks=(1, 1, 8, 16), shards=(1, 1, 16, 16), compressors=codecs)
    write_table(tmp_path / "t.csv", ["P,A01,1"])
    (shard,) = files_of(tmp_path / "a.zarr")
    path, content = str(shard.relative_to(tmp_path / "a.zarr")), shard.read_bytes()
    for bit in range(0, 8 * len(content), 97):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        shard.write_bytes(flipped)
        refused(tmp_path / "a.zarr", tmp_path / "store", path, args=("--table", tmp_path / "t.csv"))


def test_a_chunk_that_the_index_of_a_shard_lacks_is_a_fault(tmp_path):
    """Zarr-python leaves chunks out that are all fill value, in shards, too."""
    pixels = np.zeros((2, 1, 16, 16), np.uint8)
    pixels[:, :, :8] = 9
    write_array(tmp_path / "a.zarr", pixels, chunks=(1, 1, 8, 16), shards=(2, 1, 16, 16), compressors=None)
    write_table(tmp_path / "t.csv", ["P,A01,1", "P,A01,2"])
    fault = refused(tmp_path / "a.zarr", tmp_path / "store", "c/0/0/0/0", "missing-chunk", ("--table", tmp_path / "t.csv"))
    assert "index" in fault["detail"]
    write_array(
        tmp_path / "b.zarr", pixels, chunks=(1, 1, 8, 16), shards=(2, 1, 16, 16), config={"write_empty_chunks": True}
    )
    found = packed(tmp_path / "b.zarr", tmp_path / "whole", "--table", tmp_path / "t.csv")
    np.testing.assert_array_equal(found["experiment", "P", "A01", 2], pixels[1])


def test_a_changed_chunk_and_another_plane_are_packed_again(tmp_path):
    root = tmp_path / "p.zarr"
    chunks = {"storage_options": {"chunks": (1, 2, 3, 50, 70)}}
    images = write_ome(root, "0.5", lengths={"z": 3}, **chunks)
    found = packed(root, tmp_path / "store", "--plane", "z=1")
    np.testing.assert_array_equal(found[key("P/3", 2)], images["P/3", "1"][0, :, 1])
    array = next(path.parent for path in (root / "P/3/1").rglob("zarr.json") if path.parent != root / "P/3/1")
    zarr.open_array(array, mode="r+")[0, 0, 1, 0, 0] = 4095
    again = run("--src", root, "--dst", tmp_path / "store", "--plane", "z=1")
    assert again.returncode == 0 and json.loads(again.stdout)["sites_packed"] == 6, again.stdout
    assert pixels_of(tmp_path / "store")[key("P/3", 2)][0, 0, 0] == 4095
    # All planes of a site are in one file, which is the same as before.
    again = run("--src", root, "--dst", tmp_path / "store", "--plane", "z=2")
    assert again.returncode == 0 and json.loads(again.stdout)["sites_packed"] == 6, again.stdout
    np.testing.assert_array_equal(pixels_of(tmp_path / "store")[key("B/2", 1)], images["B/2", "0"][0, :, 2])


def write_images2zarr(root, sites, channels=6):
    """As rxrx/preprocess/images2zarr.py of rxrx1-utils: Zarr v2, `<u2`, blosc of zstd 3 with shuffle=2."""
    rng = np.random.default_rng(3)
    written = {}
    for dataset, experiment, plate, well, site in sites:
        path = root / dataset / experiment / f"Plate{plate}" / f"{well}_s{site}.zarr"
        pixels = rng.integers(0, 256, (64, 64, channels)).astype("<u2")
        write_array(path, pixels, zarr_format=2, chunks=(32, 32, channels), compressors=Blosc("zstd", 3, shuffle=2))
        written[experiment, str(plate), well, site] = pixels
    return written


def test_an_array_a_site_as_images2zarr_writes_them(tmp_path):
    sites = list(itertools.product(["train"], ["HEPG2-01", "U2OS-02"], [1, 2], ["B02", "C11"], [1, 2]))
    written = write_images2zarr(tmp_path / "zarrs", sites)
    header = "site_id,well_id,cell_type,dataset,experiment,plate,well,site,well_type,sirna,sirna_id"
    rows = [
        f"{e}_{p}_{w}_{s},{e}_{p}_{w},{e[:-3]},{d},{e},{p},{w},{s},treatment,s{w},{int(w == 'C11')}" for d, e, p, w, s in sites
    ]
    write_table(tmp_path / "metadata.csv", rows, header)
    args = ("--layout", "rxrx1-zarr", "--metadata", tmp_path / "metadata.csv")
    found = packed(tmp_path / "zarrs", tmp_path / "store", *args)
    assert found.keys() == written.keys()
    for place, pixels in written.items():
        np.testing.assert_array_equal(found[place], np.moveaxis(pixels, 2, 0))
    assert channels_of(tmp_path / "store")[0] == "nucleus"
    with open(tmp_path / "store/metadata.csv", newline="") as file:
        assert {(row["well"], row["sirna"]) for row in csv.DictReader(file)} == {("B02", "sB02"), ("C11", "sC11")}
    chunk = "train/HEPG2-01/Plate1/B02_s1.zarr/1.1.0"
    (tmp_path / "zarrs" / chunk).unlink()
    refused(tmp_path / "zarrs", tmp_path / "store", chunk, "missing-chunk", args)
    found = run("--src", tmp_path / "zarrs", "--dst", tmp_path / "none")
    assert found.returncode != 0, found.stdout


def test_what_is_no_image_is_refused_by_name(tmp_path):
    for dtype in ["<i2", "<f4", "<u4", "|b1"]:
        write_array(tmp_path / dtype, np.zeros((1, 1, 8, 8), dtype), zarr_format=2)
        write_table(tmp_path / "t.csv", ["P,A01,1"])
        found = run("--src", tmp_path / dtype, "--dst", tmp_path / "store", "--table", tmp_path / "t.csv")
        assert found.returncode == 1 and "uint8 or uint16" in found.stderr and dtype in found.stderr, found.stderr
    for version in ["0.4", "0.5"]:
        write_ome(tmp_path / version, version, dtype=np.int16)
        found = run("--src", tmp_path / version, "--dst", tmp_path / "store")
        assert found.returncode == 1 and "uint8 or uint16" in found.stderr, found.stderr
    found = run("--src", tmp_path / "0.5/B/2/0", "--dst", tmp_path / "store")
    assert found.returncode == 2 and "--src is the plate" in found.stderr, found.stderr
    found = run("--src", tmp_path / "<i2", "--dst", tmp_path / "store")
    assert found.returncode == 2 and "--table" in found.stderr, found.stderr
