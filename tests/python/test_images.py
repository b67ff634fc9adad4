"""Images that other software wrote, from the file to the store: one file is one plane or a fault with its path, exit code 1
and nothing in the store but what is named; a file that is cut short anywhere never becomes other pixels. What Pillow and
tifffile read of an image is what zarr-python finds in the store."""

import csv
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

BIN = Path(os.environ["CELLSHARD_BIN"])
WELLS = ["B02", "B03", "C04"]


def pixels(seed, dtype=np.uint16, height=48, width=40):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (height, width), dtype, endpoint=True)


def write_plate(folder, end, write, dtype=np.uint16):
    folder.mkdir()
    images = {well: pixels(i, dtype) for i, well in enumerate(WELLS)}
    for well, image in images.items():
        write(folder / f"{well}.{end}", image)
    return images


def pack(folder, end, *args):
    """Packs what a table names."""
    store, table = folder.parent / "store", folder.parent / "images.csv"
    rows = [f"plate,{well},1,{well}.{end},plate\n" for well in WELLS]
    table.write_text("Metadata_Plate,Metadata_Well,Metadata_Site,FileName_DNA,PathName_DNA\n" + "".join(rows))
    command = [BIN / "pack", "--src", folder.parent, "--dst", store, "--table", table, "--json", *args]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True), store


def planes(store):
    """The planes of the store by their wells."""
    root = zarr.open_group(store / "pixels.zarr", mode="r")
    with open(store / "metadata.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["well"]: root[row["array"]][int(row["row"])][0] for row in rows}


def check(store, images):
    found = planes(store)
    assert found.keys() == images.keys()
    for well, image in images.items():
        assert found[well].dtype == image.dtype and np.array_equal(found[well], image), well


def write_bmp(path, image):
    Image.fromarray(image).save(path)


def write_tiff(**options):
    return lambda path, image: tifffile.imwrite(path, image, photometric="minisblack", **options)


FORMATS = {
    "bmp": ("bmp", write_bmp, np.uint8),
    "pgm-8": ("pgm", write_bmp, np.uint8),
    "pgm-16": ("pgm", write_bmp, np.uint16),
    "png-16": ("png", write_bmp, np.uint16),
    "tif-raw": ("tif", write_tiff(rowsperstrip=5), np.uint16),
    "tiff-lzw": ("tiff", write_tiff(compression="lzw", rowsperstrip=5), np.uint16),
    "TIF-deflate": ("TIF", write_tiff(compression="zlib", metadata=None), np.uint8),
    "tif-packbits": ("tif", write_tiff(compression="packbits"), np.uint8),
    "ome-tif": ("ome.tif", write_tiff(ome=True), np.uint16),
    "imagej": ("tif", write_tiff(imagej=True), np.uint16),
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_store_holds_what_pillow_and_tifffile_read_and_nothing_of_a_file_that_was_cut(tmp_path, name):
    end, write, dtype = FORMATS[name]
    images = write_plate(tmp_path / "plate", end, write, dtype)
    read = tifffile.imread if "tif" in end.lower() else Image.open
    for well, image in images.items():
        assert np.array_equal(np.asarray(read(tmp_path / "plate" / f"{well}.{end}")).astype(dtype), image)
    found, store = pack(tmp_path / "plate", end)
    assert found.returncode == 0, found.stderr + found.stdout
    check(store, images)

    path = tmp_path / "plate" / f"B03.{end}"
    content = path.read_bytes()
    for cut in range(0, len(content), max(97, len(content) // 12 // 97 * 97)):
        path.write_bytes(content[:cut])
        found, _ = pack(tmp_path / "plate", end)
        assert found.returncode == 1 and path.name in found.stdout + found.stderr, (cut, found.stdout, found.stderr)


def subifds(path, image, below, **options):
    with tifffile.TiffWriter(path) as file:
        file.write(image, photometric="minisblack", subifds=1, metadata=None)
        file.write(below, photometric="minisblack", metadata=None, **options)


def animation(path, image):
    frames = [Image.fromarray(image), Image.fromarray(image[::-1])]
    frames[0].save(path, save_all=True, append_images=frames[1:])


STACKS = {
    "pages": lambda path, image: tifffile.imwrite(path, np.stack([image] * 3), photometric="minisblack"),
    "shaped": lambda path, image: tifffile.imwrite(
        path, np.stack([image] * 3), photometric="minisblack", truncate=True
    ),
    "described": lambda path, image: tifffile.imwrite(
        path, np.stack([image] * 3), photometric="minisblack", truncate=True, description="of a lab"
    ),
    "untold": lambda path, image: tifffile.imwrite(
        path, np.stack([image] * 3), photometric="minisblack", truncate=True, metadata=None
    ),
    "hyperstack": lambda path, image: tifffile.imwrite(
        path, np.stack([image] * 4).reshape(2, 2, *image.shape), imagej=True, truncate=True, metadata={"axes": "ZCYX"}
    ),
    "ome": lambda path, image: tifffile.imwrite(path, np.stack([image] * 2), ome=True, metadata={"axes": "CYX"}),
    "below": lambda path, image: subifds(path, image, image),
    "below-smaller": lambda path, image: subifds(path, image, image[::2, ::2]),
    "thumbnail-first": lambda path, image: subifds(path, image, image.repeat(2, axis=0).repeat(2, axis=1)),
    "animation": animation,
}


@pytest.mark.parametrize("name", STACKS)
def test_a_file_of_several_planes_is_a_fault_with_its_path_and_the_others_are_packed_beside_it(tmp_path, name):
    end, dtype = ("png", np.uint8) if name == "animation" else ("tif", np.uint16)
    write = write_bmp if end == "png" else write_tiff()
    images = write_plate(tmp_path / "plate", end, write, dtype)
    STACKS[name](tmp_path / "plate" / f"B03.{end}", images["B03"])
    found, store = pack(tmp_path / "plate", end)
    assert found.returncode == 1 and "many-pages" in found.stdout + found.stderr, found.stdout + found.stderr
    found, store = pack(tmp_path / "plate", end, "--on-error", "skip")
    listed = [fault["file"] for kind in json.loads(found.stdout)["faults"] for fault in kind["listed"]]
    assert f"plate/B03.{end}" in listed, found.stdout
    del images["B03"]
    check(store, images)


def test_a_pyramid_is_its_largest_image(tmp_path):
    def write(path, image):
        subifds(path, image, image[::2, ::2], subfiletype=1)

    images = write_plate(tmp_path / "plate", "tif", write)
    found, store = pack(tmp_path / "plate", "tif")
    assert found.returncode == 0, found.stderr + found.stdout
    check(store, images)
