"""Unpacks RxRx3-core, whose images are JPEG 2000 in Parquet, to the PNGs of the rxrx.ai layout:
unpack_rxrx3_core.py ROOT FILE.parquet..."""

import sys
from pathlib import Path

import imagecodecs
import pyarrow.parquet
from PIL import Image

root, *parts = map(Path, sys.argv[1:])
for part in parts:
    for batch in pyarrow.parquet.ParquetFile(part).iter_batches(64, columns=["__key__", "jp2"]):
        for row in batch.to_pylist():
            experiment, plate, image = row["__key__"].split("/")
            well, site, channel = image.split("_")
            path = root / "images" / experiment / plate / f"{well}_{site}_w{channel}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = imagecodecs.jpeg2k_decode(row["jp2"]["bytes"]).squeeze()
            Image.fromarray(pixels).save(path.with_suffix(".part"), format="PNG")
            path.with_suffix(".part").rename(path)
