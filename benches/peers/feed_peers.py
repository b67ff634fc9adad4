"""Other readers of the plate that `cellshard` feeds, and its own by way of Python, each set up as its own documentation advises: batches of whole
sites [N, 6, 512, 512] uint8 in a fresh random order every epoch, contiguous on the host, by 2 threads or worker
processes, from a warm page cache.

usage: feed_peers.py list
       feed_peers.py prepare NAME --plate PNG_FOLDER --raw STORE --zstd STORE --work FOLDER
       feed_peers.py read NAME (the same flags) [--batch 64] [--workers 2] [--epochs 8] [--way WAY]

`prepare` writes the reader's own format to FOLDER/NAME, once. `read` prints one line of JSON. Where a reader can be
used in several ways, each is given two epochs, and the fastest is then measured: "tried" has the MB/s of all. What is
timed is one run over 1 + epochs epochs, from the end of its first epoch, so that no start of a process, compilation or
first touch of memory counts. MB/s are 1e6 bytes of raw pixels. "crc_sum" is the sum, modulo 2**64, of zlib.crc32 of
every site of an epoch that was not timed: the same number for every reader that gave each site of the plate once.
"""

import argparse
import importlib.metadata
import json
import os
import shutil
import sys
import time
import zlib
from pathlib import Path

import numpy as np

from feed_cellshard import Cellshard
from feed_common import LEAST_SECONDS, SITE_BYTES, SITE_SHAPE, TRIAL_EPOCHS, list_sites
from feed_formats import Ffcv, LitData, MosaicStreaming, NumpyMemmap, PngCv2, WebDataset
from feed_zarr import TensorStore, ZarrPython

ZARRS = "zarrs.ZarrsCodecPipeline"
PEERS = {
    "cellshard-python-raw": Cellshard("raw"),
    "cellshard-python-zstd": Cellshard("zstd"),
    "png-cv2": PngCv2(),
    "ffcv": Ffcv(one_pass=False),
    "ffcv-one-pass": Ffcv(one_pass=True),
    "tensorstore-raw": TensorStore("raw"),
    "tensorstore-zstd": TensorStore("zstd"),
    "zarr-raw": ZarrPython("raw"),
    "zarr-zstd": ZarrPython("zstd"),
    "zarrs-raw": ZarrPython("raw", ZARRS),
    "zarrs-zstd": ZarrPython("zstd", ZARRS),
    "webdataset": WebDataset(),
    "mosaic-streaming": MosaicStreaming(),
    "litdata": LitData(),
    "numpy-memmap": NumpyMemmap(),
}


def prepare(peer, args, folder):
    """Writes the reader's own format; a folder of that name is whole, because it is renamed into place last."""
    if folder.exists():
        return
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    peer.prepare(args, partial)
    partial.rename(folder)


def crc_sum(batches, n_sites):
    """The sum of the sites' CRC-32, over one epoch."""
    total = seen = 0
    for batch in batches:
        pixels = np.asarray(batch)
        assert pixels.dtype == np.uint8 and pixels.shape[1:] == SITE_SHAPE and pixels.flags.c_contiguous
        total += sum(zlib.crc32(site) for site in pixels)
        seen += len(pixels)
    assert seen == n_sites, f"{n_sites} sites an epoch expected, {seen} found"
    return total % 2**64


def measure(batches, n_sites):
    """Sites and seconds after the first epoch of a run over several."""
    warm = sites = 0
    for batch in batches:
        if warm < n_sites:
            warm += len(batch)
            start = time.perf_counter()
        else:
            sites += len(batch)
    return sites, time.perf_counter() - start


def read(name, peer, args, folder):
    n_sites = len(list_sites(args.plate))
    ways = peer.ways(args, folder)
    tried = {}
    if not args.way:
        for way, batches in ways.items():
            sites, seconds = measure(batches(1 + TRIAL_EPOCHS), n_sites)
            tried[way] = round(sites * SITE_BYTES / seconds / 1e6)
    fastest = args.way or max(tried, key=tried.get)
    checksum = crc_sum(ways[fastest](1), n_sites)
    sites, seconds = measure(ways[fastest](1 + args.epochs), n_sites)
    # A fast reader is done before a second is over: it gets more epochs.
    if seconds < LEAST_SECONDS:
        sites, seconds = measure(ways[fastest](1 + round(args.epochs * LEAST_SECONDS / seconds)), n_sites)
    return {
        "name": name,
        "version": importlib.metadata.version(peer.package),
        "mb_per_s": round(sites * SITE_BYTES / seconds / 1e6),
        "sites": sites,
        "seconds": seconds,
        "settings": f"{peer.settings}; {fastest}",
        "way": fastest,
        "tried": tried,
        "crc_sum": checksum,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    for command in ("prepare", "read"):
        flags = commands.add_parser(command)
        flags.add_argument("name", choices=PEERS)
        flags.add_argument("--plate", required=True, type=Path, help="folder of one plate's PNGs")
        flags.add_argument("--raw", required=True, type=Path, help="store of that plate, codec raw")
        flags.add_argument("--zstd", required=True, type=Path, help="store of that plate, codec zstd:3")
        flags.add_argument("--work", required=True, type=Path, help="folder for the readers' own formats")
        flags.add_argument("--batch", type=int, default=64, help="sites in a batch")
        flags.add_argument("--workers", type=int, default=2, help="threads or worker processes")
        flags.add_argument("--epochs", type=int, default=8, help="epochs to time, at least")
        flags.add_argument("--way", help="how to use the reader, as `tried` names it; without it the fastest is found")
    args = parser.parse_args()
    if args.command == "list":
        print("\n".join(PEERS))
        return
    # What the readers print goes to stderr: stdout is one line of JSON.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer, folder = PEERS[args.name], args.work / args.name
    try:
        prepare(peer, args, folder)
        report = read(args.name, peer, args, folder) if args.command == "read" else None
    except Exception as error:
        sys.exit(f"{args.name}: {type(error).__name__}: {' '.join(str(error).split())}")
    if report:
        print(json.dumps(report), file=out, flush=True)


if __name__ == "__main__":
    main()
