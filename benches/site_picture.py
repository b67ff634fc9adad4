"""Draws the picture of README.md from a tree that simulate made: the six channels of one site, their composite, and the
same siRNA in another experiment of the same cell type.

    site_picture.py SIMULATED_TREE OUTPUT.png

Each channel is stretched from its darkest half percent to its brightest 0.3 percent: those of the site where it is
shown alone, those of both sites together for the two composites, which so have the same contrast. Needs numpy and
Pillow.
"""

import argparse
import csv
import itertools
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CHANNELS = ["nucleus", "endoplasmic reticulum", "actin", "nucleoli", "mitochondria", "golgi"]
# The colours of RxRx's own composites, channels 1 to 6.
COLOURS = np.array(
    [[19, 0, 249], [42, 255, 31], [255, 0, 25], [45, 255, 252], [250, 0, 253], [254, 255, 40]], dtype=np.float32
)
WINDOW_PX, TILE_PX, LABEL_PX, GAP_PX, COLUMNS = 320, 216, 20, 4, 4
# The palette of the file, which so stays small: as many greys and colours as the eye needs here.
GREYS, COLOURS_OF_COMPOSITES = 48, 208


def wells_of_one_treatment(tree: Path) -> list[dict[str, str]]:
    """Two wells of the first siRNA that two experiments of one cell type share."""
    with open(tree / "truth.csv", newline="") as file:
        wells = [row for row in csv.DictReader(file) if row["well_type"] == "treatment"]
    for first, second in itertools.combinations(wells, 2):
        cell_types = [well["experiment"].rsplit("-", 1)[0] for well in (first, second)]
        same = first["sirna"] == second["sirna"] and cell_types[0] == cell_types[1]
        if same and first["experiment"] != second["experiment"]:
            return [first, second]
    raise SystemExit(f"{tree}: expected a siRNA in two experiments of one cell type, found none")


def read_site(tree: Path, well: dict[str, str]) -> np.ndarray:
    """[6, H, W] float32 grey levels of the middle of a well's first site."""
    folder = next(tree.glob(f"**/{well['experiment']}/Plate{well['plate']}"))
    images = [Image.open(folder / f"{well['well']}_s1_w{c}.png") for c in range(1, 7)]
    site = np.stack([np.asarray(image, dtype=np.float32) for image in images])
    top = (site.shape[1] - WINDOW_PX) // 2
    return site[:, top : top + WINDOW_PX, top : top + WINDOW_PX]


def stretched(site: np.ndarray, by: np.ndarray) -> np.ndarray:
    """[6, H, W] from 0 to 1, by the percentiles of each channel of `by`."""
    low = np.percentile(by, 0.5, axis=(1, 2), keepdims=True)
    high = np.percentile(by, 99.7, axis=(1, 2), keepdims=True)
    return np.clip((site - low) / np.maximum(high - low, 1.0), 0.0, 1.0)


def composite(shares: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 of [6, H, W] from 0 to 1."""
    return np.clip(np.einsum("chw,ck->hwk", shares, COLOURS) / 2.2, 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, help="tree made by simulate, in the bare layout")
    parser.add_argument("output", type=Path, help="PNG to write")
    flags = parser.parse_args()

    wells = wells_of_one_treatment(flags.tree)
    first, second = (read_site(flags.tree, well) for well in wells)
    alone, *composites = [
        stretched(first, first),
        *(composite(stretched(site, np.concatenate([first, second], axis=1))) for site in (first, second)),
    ]

    def resized(tile: np.ndarray) -> Image.Image:
        return Image.fromarray(tile).resize((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)

    greys = [np.asarray(resized((255 * channel).astype(np.uint8))) for channel in alone]
    tiles = [(tile.astype(np.float32) * (GREYS - 1) / 255).round().astype(np.uint8) for tile in greys]
    both = Image.new("RGB", (2 * TILE_PX, TILE_PX))
    for i, tile in enumerate(composites):
        both.paste(resized(tile), (i * TILE_PX, 0))
    both = both.quantize(COLOURS_OF_COMPOSITES, method=Image.Quantize.MAXCOVERAGE)
    tiles += list(np.hsplit(np.asarray(both) + np.uint8(GREYS), 2))
    labels = CHANNELS + [f"all six, {wells[0]['experiment']}", f"same siRNA, {wells[1]['experiment']}"]

    rows = -(-len(tiles) // COLUMNS)
    size = (COLUMNS * (TILE_PX + GAP_PX) - GAP_PX, rows * (TILE_PX + LABEL_PX + GAP_PX) - GAP_PX)
    sheet = Image.new("P", size, GREYS - 1)
    greys = [level for i in range(GREYS) for level in [round(255 * i / (GREYS - 1))] * 3]
    sheet.putpalette(greys + both.getpalette()[: 3 * COLOURS_OF_COMPOSITES])
    font = ImageFont.load_default(size=14)
    for i, (tile, label) in enumerate(zip(tiles, labels, strict=True)):
        left = i % COLUMNS * (TILE_PX + GAP_PX)
        top = i // COLUMNS * (TILE_PX + LABEL_PX + GAP_PX)
        text = Image.new("L", (TILE_PX, LABEL_PX), 255)
        ImageDraw.Draw(text).text((0, 1), label, fill=0, font=font)
        sheet.paste(text.point(lambda level: round(level * (GREYS - 1) / 255)), (left, top))
        sheet.paste(Image.fromarray(tile), (left, top + LABEL_PX))
    sheet.save(flags.output, optimize=True)


if __name__ == "__main__":
    main()
