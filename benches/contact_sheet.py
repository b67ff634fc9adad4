"""Lays simulated sites beside real ones: six grey channel panels and the colour composite of each.

    contact_sheet.py REAL_TREE SIMULATED_TREE OUTPUT.png

Takes the first complete site of each real experiment, and below it one of the simulated experiment of its cell type
that is about as bright. Each channel is stretched to its own 99.7th percentile, as people look at such images. Needs numpy and Pillow. The output
shows real pixels: it does not belong in the repository.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

# The colours of RxRx's own composites, channels 1 to 6.
COLOURS = np.array(
    [[19, 0, 249], [42, 255, 31], [255, 0, 25], [45, 255, 252], [250, 0, 253], [254, 255, 40]], dtype=np.float32
)
LABEL_PX = 16


def complete_sites(tree: Path) -> list[Path]:
    """Paths of first channels whose other channels are there too."""
    firsts = sorted(tree.rglob("*_w1.png"))
    return [first for first in firsts if all(channel_path(first, c).exists() for c in range(2, 7))]


def channel_path(first: Path, channel: int) -> Path:
    return first.with_name(first.name.replace("_w1.png", f"_w{channel}.png"))


def read_site(first: Path) -> np.ndarray:
    """[6, H, W] float32 grey levels."""
    return np.stack([np.asarray(Image.open(channel_path(first, c)), dtype=np.float32) for c in range(1, 7)])


def stretched(site: np.ndarray) -> np.ndarray:
    """Each channel from its darkest half percent to its brightest 0.3 percent, as 0..1."""
    low = np.percentile(site, 0.5, axis=(1, 2), keepdims=True)
    high = np.percentile(site, 99.7, axis=(1, 2), keepdims=True)
    return np.clip((site - low) / np.maximum(high - low, 1.0), 0.0, 1.0)


def first_sites(tree: Path) -> dict[str, Path]:
    """The first complete site of each experiment."""
    sites: dict[str, Path] = {}
    for first in complete_sites(tree):
        sites.setdefault(first.parent.parent.name, first)
    return sites


def cell_type(experiment: str) -> str:
    return experiment.rsplit("-", 1)[0]


def row_of(site: np.ndarray, label: str) -> Image.Image:
    grey = stretched(site)
    colour = np.clip(np.einsum("chw,ck->hwk", grey, COLOURS) / 2.2, 0, 255).astype(np.uint8)
    panels = [Image.fromarray((255 * panel).astype(np.uint8)).convert("RGB") for panel in grey]
    panels.append(Image.fromarray(colour))
    width, height = panels[0].size
    row = Image.new("RGB", (width * len(panels), height + LABEL_PX))
    for i, panel in enumerate(panels):
        row.paste(panel, (i * width, LABEL_PX))
    means = " ".join(f"{mean:.1f}" for mean in site.mean(axis=(1, 2)))
    ImageDraw.Draw(row).text((4, 2), f"{label}   channel means {means}", fill="white")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path, help="tree with at least one complete real site")
    parser.add_argument("simulated", type=Path, help="tree made by simulate")
    parser.add_argument("output", type=Path, help="PNG to write")
    flags = parser.parse_args()

    simulated = first_sites(flags.simulated)
    shown = []
    for experiment, first in first_sites(flags.real).items():
        shown.append((first, "real"))
        mean = read_site(first).mean()
        # The simulated experiment of the same cell type that is about as bright.
        like = [site for name, site in simulated.items() if cell_type(name) == cell_type(experiment)]
        if like:
            shown.append((min(like, key=lambda site: abs(np.log(read_site(site).mean() / mean))), "simulated"))

    rows = []
    for first, kind in shown:
        name = f"{first.parent.parent.name} {first.parent.name} {first.name.removesuffix('_w1.png')}"
        rows.append(row_of(read_site(first), f"{kind}: {name}"))
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)))
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    sheet.save(flags.output)


if __name__ == "__main__":
    main()
