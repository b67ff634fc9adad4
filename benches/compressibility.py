"""Measures real and simulated sites alike: how well they compress, and what their channels look like in figures.

    compressibility.py TREE... [--sites 3] [--short]

For every experiment of every tree: the share of the raw pixels that the tree's own PNGs take and that zstd 3 takes of a
site as a store has it, and by channel mean, standard deviation, percentiles, share of white, and correlation between
neighbouring pixels, all averaged over sites. Needs numpy, Pillow and imagecodecs.
"""

import argparse
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image


def sites_of(tree: Path) -> dict[str, list[list[Path]]]:
    """Complete sites by experiment, each as the paths of its six images."""
    sites: dict[str, list[list[Path]]] = {}
    for first in sorted(tree.rglob("*_w1.png")):
        images = [first.with_name(first.name.replace("_w1.png", f"_w{c}.png")) for c in range(1, 7)]
        if all(image.exists() for image in images):
            sites.setdefault(first.parent.parent.name, []).append(images)
    return sites


def channel_figures(plane: np.ndarray) -> list[float]:
    level = plane.astype(np.float64)
    rows = np.corrcoef(level[:, :-1].ravel(), level[:, 1:].ravel())[0, 1]
    columns = np.corrcoef(level[:-1].ravel(), level[1:].ravel())[0, 1]
    percentiles = np.percentile(plane, [1, 50, 99])
    return [level.mean(), level.std(), *percentiles, (plane == 255).mean(), (rows + columns) / 2]


def site_figures(images: list[Path]) -> tuple[float, float, np.ndarray]:
    planes = np.stack([np.asarray(Image.open(image)) for image in images])
    png = sum(image.stat().st_size for image in images) / planes.nbytes
    zstd = len(imagecodecs.zstd_encode(planes.tobytes(), level=3)) / planes.nbytes
    return png, zstd, np.array([channel_figures(plane) for plane in planes])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trees", type=Path, nargs="+", help="trees of RxRx1's layouts, 6 channels of 8 bits")
    parser.add_argument("--sites", type=int, default=3, help="sites of each experiment to look at (default 3)")
    parser.add_argument("--short", action="store_true", help="only the shares and the means")
    flags = parser.parse_args()
    for tree in flags.trees:
        print(tree)
        for experiment, sites in sites_of(tree).items():
            step = max(1, len(sites) // flags.sites)
            figures = [site_figures(images) for images in sites[::step][: flags.sites]]
            png, zstd = (np.mean([site[i] for site in figures]) for i in (0, 1))
            channels = np.mean([site[2] for site in figures], axis=0)
            means = " ".join(f"{mean:5.1f}" for mean in channels[:, 0])
            print(f"{experiment:10s} PNG {png:.3f} zstd {zstd:.3f}   means {means}")
            if flags.short:
                continue
            for i, name in enumerate(["std", "p1", "p50", "p99", "white", "neighbours"], start=1):
                values = " ".join(f"{value:6.3f}" if i > 4 else f"{value:6.1f}" for value in channels[:, i])
                print(f"{'':10s} {name:>10s} {values}")


if __name__ == "__main__":
    main()
