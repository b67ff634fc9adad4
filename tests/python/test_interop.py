"""Other software opens our stores: zarr-python and TensorStore find every pixel that Pillow decodes from the PNGs and
tifffile from the TIFFs, and NumPy, counting for itself, finds every statistic. Nothing here uses cellshard's own reader."""

import csv
import itertools
import json
import os
import subprocess
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import tensorstore as ts
import tifffile
import zarr
from PIL import Image

BIN = Path(os.environ["CELLSHARD_BIN"])
REAL = Path(os.environ.get("CELLSHARD_REAL", "/nonexistent"))
PLATES = Path(os.environ.get("CELLSHARD_PLATES", "/nonexistent"))
POPULATIONS = ["negative_control", "positive_control", "treatment", "unknown"]
PERCENTILES = [1, 5, 25, 75, 95, 99]
GROUPS = {
    "negative": POPULATIONS[:1],
    "positive": POPULATIONS[1:2],
    "controls": POPULATIONS[:2],
    "treatment": POPULATIONS[2:3],
    "all": POPULATIONS,
}


def run(program, *args):
    command = [str(BIN / program), *map(str, args)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def write_tree(root, channels, height, width, seed):
    """Two experiments of two plates in Kaggle's layout, written by Pillow: dark, skewed, a little saturated."""
    rng = np.random.default_rng(seed)
    wells = {"B02": 1138, "B03": 5, "C03": 1108, "C04": 17, "D05": 1138, "AA02": 1120, "AB01": 900}
    rows = {"train.csv": [], "train_controls.csv": []}
    for experiment, plate in itertools.product(["HEPG2-01", "U2OS-03"], [1, 2]):
        folder = root / "train" / experiment / f"Plate{plate}"
        folder.mkdir(parents=True)
        for well, sirna in wells.items():
            for site, channel in itertools.product([1, 2], range(1, channels + 1)):
                pixels = np.minimum(rng.gamma(1.2, 4.0 * channel, (height, width)), 255).astype(np.uint8)
                pixels[: height // 2] //= 4
                pixels[0, 0] = 255
                Image.fromarray(pixels).save(folder / f"{well}_s{site}_w{channel}.png", compress_level=site * 4)
            row = [f"{experiment}_{plate}_{well}", experiment, plate, well, sirna]
            if sirna >= 1108:
                kind = "negative_control" if sirna == 1138 else "positive_control"
                rows["train_controls.csv"].append([*row, kind])
            else:
                rows["train.csv"].append(row)
    for name, lines in rows.items():
        with open(root / name, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            header = ["id_code", "experiment", "plate", "well", "sirna"]
            writer.writerow(header if name == "train.csv" else [*header, "well_type"])
            writer.writerows(lines)


def write_phenix(root, channels, height, width):
    """Two plates as an Opera Phenix has them, of 16 bits, written by tifffile with LZW; one of them bright."""
    rng = np.random.default_rng(channels)
    for brightness, plate in enumerate(["BR00117035", "BR00121482"]):
        folder = root / f"{plate}__2021-05-02T16_02_51-Measurement1" / "Images"
        folder.mkdir(parents=True)
        for (row, column), site, channel in itertools.product([(1, 1), (2, 11), (32, 48)], [1, 2], range(1, channels + 1)):
            pixels = rng.gamma(2, 200 * channel * 20**brightness, (height, width))
            pixels = np.minimum(pixels, 65535).astype(np.uint16)
            pixels[0, 0] = 0
            path = folder / f"r{row:02}c{column:02}f{site:02}p01-ch{channel}sk1fk1fl1.tiff"
            tifffile.imwrite(path, pixels, compression="lzw", predictor=site == 2)


def by_pillow(tree, row, channel):
    folder = next(tree.glob(f"*/{row['experiment']}/Plate{row['plate']}"))
    return np.asarray(Image.open(folder / f"{row['well']}_s{row['site']}_w{channel + 1}.png"))


def of_phenix(tree, row, channel):
    letters = row["well"].rstrip("0123456789")
    index = sum((ord(letter) - 64) * 26**i for i, letter in enumerate(reversed(letters)))
    name = f"r{index:02}c{row['well'][len(letters):]}f{int(row['site']):02}p01-ch{channel + 1}sk1fk1fl1.tiff"
    return tifffile.imread(next(tree.glob(f"{row['plate']}__*/Images/{name}")))


def of_imagexpress(tree, row, channel):
    name = f"{row['plate']}_{row['well']}_s{row['site']}_w{channel + 1}"
    return tifffile.imread(next(tree.glob(f"TimePoint_1/{name}*.tif")))


def of_table(tree, row, channel):
    with open(tree / "load_data.csv", newline="") as file:
        told = next(csv.DictReader(file))
    assert (told["Metadata_Plate"], told["Metadata_Well"]) == (row["plate"], row["well"])
    name = [value for name, value in told.items() if name.startswith("FileName_")][channel]
    return tifffile.imread(next(tree.rglob(name)))


class Packed:
    """A tree, the store that was packed from it, and the pixels as other software sees them: `read(tree, row, channel)`."""

    def __init__(self, read, tree, store, codec, sites_per_shard, *flags):
        self.store, self.codec = store, codec
        run("pack", "--src", tree, "--dst", store, "--codec", codec, "--sites-per-shard", sites_per_shard, *flags)
        with open(store / "metadata.csv", newline="") as file:
            self.rows = list(csv.DictReader(file))
        attributes = self.root.attrs["cellshard"]
        self.n_channels, self.levels = len(attributes["channels"]), attributes["levels"]
        for row in self.rows:
            row["pixels"] = np.stack([read(tree, row, channel) for channel in range(self.n_channels)])
            assert row["pixels"].dtype == attributes["dtype"]

    @property
    def root(self):
        return zarr.open_group(self.store / "pixels.zarr", mode="r")

    def plates(self):
        """(array, its rows) of every plate."""
        by_plate = itertools.groupby(self.rows, key=lambda row: row["array"])
        return [(plate, list(rows)) for plate, rows in by_plate]


SHAPES = [(6, 64, 64, 77), (5, 33, 31, 3), (1, 7, 130, 4)]
CASES = [(shape, codec) for shape in SHAPES for codec in ["raw", "zstd:1", "zstd:3"]]
CASES += [("phenix", codec) for codec in ["raw", "zstd:3"]]
if REAL.is_dir():
    CASES += [("real", "raw"), ("real", "zstd:3")]
# Real plates of two microscopes, by their names and by a table.
REAL_PLATES = {
    "real-phenix": (of_phenix, "phenix", ["--layout", "phenix"]),
    "real-imagexpress": (of_imagexpress, "imagexpress", ["--layout", "imagexpress"]),
    "real-table": (of_table, "phenix", ["--table", PLATES / "phenix/load_data.csv"]),
}
if PLATES.is_dir():
    CASES += [(name, "zstd:3") for name in REAL_PLATES]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}".replace(" ", ""))
def packed(request, tmp_path_factory):
    shape, codec = request.param
    folder = tmp_path_factory.mktemp("store")
    if shape == "real":
        return Packed(by_pillow, REAL, folder / "store", codec, 77, "--present")
    if shape in REAL_PLATES:
        read, name, flags = REAL_PLATES[shape]
        return Packed(read, PLATES / name, folder / "store", codec, 77, *flags)
    if shape == "phenix":
        write_phenix(folder / "data", 3, 41, 30)
        return Packed(of_phenix, folder / "data", folder / "store", codec, 5, "--layout", "phenix")
    channels, height, width, sites_per_shard = shape
    write_tree(folder / "data", channels, height, width, seed=channels)
    return Packed(by_pillow, folder / "data", folder / "store", codec, sites_per_shard)


def test_zarr_python_finds_every_pixel(packed):
    for plate, rows in packed.plates():
        array = packed.root[plate]
        assert array.dtype == rows[0]["pixels"].dtype and array.metadata.dimension_names == ("site", "channel", "y", "x")
        assert [int(row["row"]) for row in rows] == list(range(array.shape[0]))
        np.testing.assert_array_equal(array[:], np.stack([row["pixels"] for row in rows]))


def test_tensorstore_finds_every_pixel(packed):
    for plate, rows in packed.plates():
        path = str(packed.store / "pixels.zarr" / plate)
        array = ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}).result()
        np.testing.assert_array_equal(array.read().result(), np.stack([row["pixels"] for row in rows]))
        last = len(rows) - 1
        np.testing.assert_array_equal(array[last].read().result(), rows[last]["pixels"])


def test_raw_chunks_are_the_tensor_at_a_page(packed):
    if packed.codec != "raw":
        pytest.skip("compressed chunks are no tensors")
    spec = packed.root.attrs["cellshard"]
    for plate, rows in packed.plates():
        for row in rows:
            shard, slot = divmod(int(row["row"]), spec["sites_per_shard"])
            path = packed.store / "pixels.zarr" / plate / f"c/{shard}/0/0/0"
            pages = -(-row["pixels"].nbytes // 4096)
            pixels = row["pixels"]
            mapped = np.memmap(path, mode="r", offset=slot * pages * 4096, shape=pixels.shape, dtype=pixels.dtype)
            np.testing.assert_array_equal(mapped, pixels)


def pixels_of(packed, plates, populations):
    """[site, channel, pixel] of the sites of these plates and populations."""
    chosen = [
        row["pixels"].reshape(packed.n_channels, -1)
        for row in packed.rows
        if row["array"] in plates and (row["well_type"] or "unknown") in populations
    ]
    return np.stack(chosen) if chosen else np.empty((0, packed.n_channels, 0), packed.rows[0]["pixels"].dtype)


def test_histograms_and_comoments_are_exact(packed):
    statistics = packed.root["statistics"]
    names = dict(statistics.attrs)
    histogram, comoments = statistics["histogram"][:], statistics["comoments"][:]
    assert names["populations"] == POPULATIONS
    for name, counts in [("histogram", histogram), ("comoments", comoments)]:
        assert statistics[name].chunks[0] == 1 and counts.shape[0] == len(names["plates"])
        kvstore = {"driver": "file", "path": str(packed.store / "pixels.zarr/statistics" / name)}
        np.testing.assert_array_equal(ts.open({"driver": "zarr3", "kvstore": kvstore}).result().read().result(), counts)
    with_sites = {plate for plate, _ in packed.plates()}
    assert with_sites <= set(names["plates"])
    for i, plate in enumerate(names["plates"]):
        for j, population in enumerate(POPULATIONS):
            pixels = pixels_of(packed, {plate}, {population})
            for channel in range(packed.n_channels):
                counted = np.bincount(pixels[:, channel].ravel(), minlength=packed.levels)
                np.testing.assert_array_equal(histogram[i, j, channel], counted)
            wide = pixels.astype(np.uint64)
            products = np.einsum("sap,sbp->ab", wide, wide) if pixels.size else np.zeros((packed.n_channels,) * 2)
            np.testing.assert_array_equal(comoments[i, j], products)


def close(found, expected):
    assert float(found) == pytest.approx(float(expected), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("by", ["plate", "cell-type", "store"])
def test_statistics_are_those_of_numpy(packed, by):
    lines = list(csv.DictReader(run("stats", "--shards", packed.store, "--by", by, "--csv").splitlines()))
    assert lines and json.loads(run("stats", "--shards", packed.store, "--by", by, "--json"))
    of = {"plate": lambda p: p, "cell-type": lambda p: p.split("/")[0].rsplit("-", 1)[0], "store": lambda _: "store"}[by]
    for line in lines:
        plates = {plate for plate, _ in packed.plates() if of(plate) == line["group"]}
        images = pixels_of(packed, plates, GROUPS[line["population"]])[:, int(line["channel"]) - 1]
        pixels = images.astype(np.float64)
        assert (int(line["sites"]), int(line["pixels"])) == (images.shape[0], images.size)
        close(line["mean"], pixels.mean())
        close(line["std_pixels"], pixels.std())
        close(line["std_pixels_ddof1"], pixels.std(ddof=1))
        close(line["std_mean_over_images"], pixels.std(axis=1).mean())
        median = np.median(images)
        close(line["median"], median)
        close(line["mad"], np.median(np.abs(pixels - median)))
        for q, expected in zip(PERCENTILES, np.percentile(images, PERCENTILES), strict=True):
            close(line[f"p{q}"], expected)
        assert (int(line["min"]), int(line["max"])) == (images.min(), images.max())
        close(line["zero_share"], (images == 0).mean())
        close(line["saturated_share"], (images == packed.levels - 1).mean())


def test_pixel_stats_are_those_of_numpy(packed):
    lines = csv.DictReader(run("stats", "--shards", packed.store, "--pixel-stats").splitlines())
    n_lines = 0
    for line, (row, channel) in zip(lines, itertools.product(packed.rows, range(packed.n_channels)), strict=True):
        assert (line["id_code"], line["site"], line["channel"]) == (row["well_id"], row["site"], str(channel + 1))
        pixels = row["pixels"][channel]
        close(line["mean"], pixels.mean(dtype=np.float64))
        close(line["std"], pixels.std(dtype=np.float64))
        close(line["median"], np.median(pixels))
        assert (int(line["min"]), int(line["max"])) == (pixels.min(), pixels.max())
        n_lines += 1
    assert n_lines == len(packed.rows) * packed.n_channels


def test_site_checksums_are_crc32c(packed):
    for row in packed.rows:
        assert row["crc32c"] == f"{google_crc32c.value(row['pixels'].tobytes()):08x}"


def test_a_site_is_read_by_its_name_as_the_format_says(packed, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
    snippet = next(block for block in page.split("```python\n")[1:] if "def load_site" in block).split("```")[0]
    monkeypatch.chdir(packed.store.parent)
    names = {}
    exec(snippet.replace("shards/", f"{packed.store.name}/"), names)
    for row in packed.rows:
        found = names["load_site"](row["experiment"], row["plate"], row["well"], row["site"])
        np.testing.assert_array_equal(found, row["pixels"])
