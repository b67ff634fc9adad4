"""Times the page of a store with all of RxRx1's plates: real tables, small made-up images.

    inspect_page.py BIN REAL FOLDER [--size PIXELS] [--json FILE]

BIN holds the programs, REAL the four CSVs of Kaggle. FOLDER is made, with 51 experiments, 204 plates and 125,510 sites of
six PNGs, most of which are links to the same few files: each plate has a gain and an offset of its own, each file a noise.
Prints how long `pack` and `inspect --html` take, with and without pixels, and how large the page is. Needs numpy and
Pillow.
"""

import argparse
import csv
import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
from PIL import Image

# Images that are made of each plate and channel; sites are links to them in turn.
IMAGES = 16


def plates(real: Path) -> dict[tuple[str, str, str], set[str]]:
    """The wells of each (dataset, experiment, plate)."""
    found: dict[tuple[str, str, str], set[str]] = {}
    for dataset in ("train", "test"):
        for name in (f"{dataset}.csv", f"{dataset}_controls.csv"):
            with open(real / name, newline="") as file:
                for row in csv.DictReader(file):
                    found.setdefault((dataset, row["experiment"], row["plate"]), set()).add(row["well"])
    return found


def make(real: Path, root: Path, size: int) -> None:
    """Writes the tree."""
    rng = np.random.default_rng(0)
    pool = root / "pool"
    pool.mkdir(parents=True)
    y, x = np.mgrid[0:size, 0:size]
    for number, ((dataset, experiment, plate), wells) in enumerate(sorted(plates(real).items())):
        folder = root / "data" / dataset / experiment / f"Plate{plate}"
        folder.mkdir(parents=True)
        files = []
        for channel in range(6):
            gain, offset = rng.uniform(0.5, 2.0), rng.uniform(4, 20)
            files.append([])
            for i in range(IMAGES):
                spots = np.zeros((size, size))
                for _ in range(12):
                    cx, cy = rng.uniform(0, size, 2)
                    spots += 60 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * (size / 14) ** 2))
                image = gain * spots + offset + rng.normal(0, 2, (size, size))
                path = pool / f"{number}-{channel}-{i}.png"
                Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(path)
                files[channel].append(path)
        for at, well in enumerate(sorted(wells)):
            for site in (1, 2):
                for channel in range(6):
                    source = files[channel][(2 * at + site + channel) % IMAGES]
                    os.link(source, folder / f"{well}_s{site}_w{channel + 1}.png")
    for name in ("train.csv", "train_controls.csv", "test.csv", "test_controls.csv", "sample_submission.csv"):
        (root / "data" / name).write_bytes((real / name).read_bytes())


def timed(*command: object) -> float:
    start = time.monotonic()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{command}: exit code {done.returncode}\n{done.stderr}")
    return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=Path)
    parser.add_argument("real", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()

    if not (flags.folder / "data").exists():
        make(flags.real, flags.folder, flags.size)
    store = flags.folder / "shards"
    figures: dict[str, object] = {"pixels": flags.size}
    figures["pack_s"] = timed(flags.bin / "pack", "--src", flags.folder / "data", "--dst", store, "--on-error", "skip")
    figures["summary_s"] = timed(flags.bin / "inspect", store)
    for name, extra in (("quick", ["--quick"]), ("whole", [])):
        page = flags.folder / f"page-{name}"
        figures[f"{name}_s"] = timed(flags.bin / "inspect", store, "--html", page, *extra)
        figures[f"{name}_bytes"] = (page / "index.html").stat().st_size
    print(json.dumps(figures, indent=2))
    if flags.json:
        flags.json.parent.mkdir(parents=True, exist_ok=True)
        flags.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
