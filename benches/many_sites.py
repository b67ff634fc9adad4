#!/usr/bin/env python3
"""Peak memory of the programs on a store of very many sites, in bytes a site.

Makes a labelled tree of 8 x 8 images (hard links of few files, 1,000 sites a plate), packs it, packs it
again, and verifies tree and store. A site of RxRx1 has 1.5 MB of pixels, these have 64 bytes: what is left is what the
programs keep of each site.

Usage: many_sites.py BIN DIR [--sites N] [--channels N] [--most BYTES] [--json FILE]
Ends with 1 if a program takes more than --most bytes a site.
"""

import argparse
import json
import os
import shutil
import struct
import sys
import zlib
from pathlib import Path

SITES_PER_PLATE, SITES_PER_WELL, PLATES_PER_EXPERIMENT, N_CLASSES = 1000, 2, 4, 100
# A tree of few sites shows what the program itself takes, which is not that of a site.
FEW = 2000


def png(seed: int) -> bytes:
    rows = b"".join(bytes([0]) + bytes((seed * 31 + y * 8 + x) % 256 for x in range(8)) for y in range(8))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def well(number: int) -> str:
    return f"{chr(ord('A') + number // 24)}{number % 24 + 1:02}"


def make_tree(root: Path, n_sites: int, n_channels: int) -> None:
    """A tree in Kaggle's layout; each plate has images of its own, of which its others are links."""
    treated, controls = ["id_code,experiment,plate,well,sirna"], ["id_code,experiment,plate,well,sirna,well_type"]
    for number in range(-(-n_sites // SITES_PER_PLATE)):
        experiment, plate = f"HUVEC-{number // PLATES_PER_EXPERIMENT + 1:02}", number % PLATES_PER_EXPERIMENT + 1
        folder = root / "train" / experiment / f"Plate{plate}"
        folder.mkdir(parents=True)
        (first := folder / f"{well(0)}_s1_w1.png").write_bytes(png(number))
        for i in range(min(SITES_PER_PLATE, n_sites - number * SITES_PER_PLATE)):
            name, site = well(i // SITES_PER_WELL), i % SITES_PER_WELL + 1
            for channel in range(1 if i > 0 else 2, n_channels + 1):
                os.link(first, folder / f"{name}_s{site}_w{channel}.png")
            if site == 1:
                place = f"{experiment}_{plate}_{name},{experiment},{plate},{name}"
                if i == 0:
                    controls.append(f"{place},{N_CLASSES},negative_control")
                else:
                    treated.append(f"{place},{(number + i) % N_CLASSES}")
    (root / "train.csv").write_text("\n".join(treated) + "\n")
    (root / "train_controls.csv").write_text("\n".join(controls) + "\n")


def peak(*command: object) -> int:
    """Runs a program; the most memory that it took, in bytes."""
    words = [str(word) for word in command]
    quiet = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    _, status, usage = os.wait4(os.posix_spawn(words[0], words, os.environ, file_actions=quiet), 0)
    if status != 0:
        sys.exit(f"{' '.join(words)}: ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_maxrss * 1024


def measure(programs: Path, folder: Path, n_sites: int, n_channels: int) -> dict[str, int]:
    tree, store = folder / "tree", folder / "store"
    make_tree(tree, n_sites, n_channels)
    pack = [programs / "pack", "--src", tree, "--dst", store, "--threads", 2]
    found = {
        "pack": peak(*pack),
        "pack, nothing to do": peak(*pack),
        "pack --rehash": peak(*pack, "--rehash"),
        "verify STORE": peak(programs / "verify", store),
        "verify TREE": peak(programs / "verify", tree),
        "verify TREE --write LIST": peak(programs / "verify", tree, "--write", folder / "list"),
        "verify TREE --against LIST": peak(programs / "verify", tree, "--against", folder / "list"),
        "verify TREE --against STORE": peak(programs / "verify", tree, "--against", store),
        "stats": peak(programs / "stats", "--shards", store, "--by", "store", "--csv"),
        "transcode": peak(programs / "pack", "--src", store, "--dst", folder / "raw", "--codec", "raw"),
    }
    shutil.rmtree(folder)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bin", type=Path)
    parser.add_argument("dir", type=Path, help="a new folder, in memory")
    parser.add_argument("--sites", type=int, default=1_000_000)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--most", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    few = measure(args.bin.resolve(), args.dir / "few", FEW, args.channels)
    many = measure(args.bin.resolve(), args.dir / "many", args.sites, args.channels)
    report = {
        name: {"peak_mb": round(many[name] / 1e6), "bytes_a_site": round((many[name] - few[name]) / (args.sites - FEW))}
        for name in many
    }
    text = json.dumps({"command": " ".join(sys.argv), "sites": args.sites, "channels": args.channels, "programs": report}, indent=2) + "\n"
    print(text, end="")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(text)
    sys.exit(any(row["bytes_a_site"] > args.most for row in report.values()))


if __name__ == "__main__":
    main()
