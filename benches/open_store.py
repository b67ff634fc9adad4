#!/usr/bin/env python3
"""What proving a store costs before training begins: `train` on a store of as many sites as RxRx1 has, up to the first
refusal, beside `sha256sum` of the same files.

Makes the tree of many_sites.py (8 x 8 images, six channels), packs it, and asks for a network that takes no such small
images: by then the store is opened and proven by SHA256SUMS, the split drawn, and what is learned from hashed.

Usage: open_store.py BIN DIR [--sites N] [--rounds N] [--json FILE]
"""

import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path

from many_sites import make_tree


def timed(command: list, expected: int) -> float:
    start = time.perf_counter()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    took = time.perf_counter() - start
    assert done.returncode == expected, done.stderr
    return took


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bin", type=Path)
    parser.add_argument("dir", type=Path)
    parser.add_argument("--sites", type=int, default=125_510)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    tree, store = args.dir / "tree", args.dir / "store"
    if not store.exists():
        make_tree(tree, args.sites, 6)
        timed([args.bin / "pack", "--src", tree, "--dst", store, "--codec", "raw"], 0)
    listed = [line.split("  ", 1)[1] for line in (store / "SHA256SUMS").read_text().splitlines() if line[0] != "#"]
    proven = [name for name in listed if "/c/" not in name or name.startswith("pixels.zarr/statistics/")]
    names = args.dir / "proven.txt"
    names.write_text("\0".join(str(store / name) for name in proven))
    rounds = []
    for _ in range(args.rounds):
        train = timed([args.bin / "train", "--shards", store, "--run", args.dir / "run", "--model", "resnet18"], 2)
        start = timed([args.bin / "train", "--shards", args.dir / "none", "--run", args.dir / "run"], 2)
        hashing = timed(["xargs", "-0", "-a", names, "sha256sum"], 0)
        rounds.append({"train_s": train, "start_s": start, "sha256sum_s": hashing})
    middle = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
    size = sum((store / name).stat().st_size for name in proven)
    report = {"sites": args.sites, "files": len(proven), "bytes": size, "median": middle, "rounds": rounds}
    print(json.dumps({key: report[key] for key in ("sites", "files", "bytes", "median")}))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=1) + "\n")


main()
