#!/usr/bin/env python3
"""What plates become by each lossless codec, and how fast: sizes and speeds in one process, on one core.

Sites are real ones of RxRx1 and 616 simulated ones of four cell types. At every site each codec has its turn, round by
round, so that noise meets all of them alike; every stream is decoded and compared with the pixels. A speed is in raw
pixels: of all timed sites, each in the best of its rounds. PNG, JPEG-LS and JPEG XL take a site as six images; zstd and
wave take it whole, as a store does. Then how long an upload of all of RxRx1 is, if its plates are as the real ones.

Usage: codec.py BIN REAL DIR [--wells N] [--size N] [--rounds N] [--json FILE]
DIR is a new folder in memory, which is removed; REAL is a tree of Kaggle's layout with its tables.
"""

import argparse
import csv
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import imagecodecs
import numpy as np
import zstandard
from compressibility import sites_of
from PIL import Image

from cellshard import wave

CELL_TYPES = ["HEPG2", "HUVEC", "RPE", "U2OS"]
EXPERIMENTS, SITES_PER_WELL = 7, 2
# Of the simulated sites every so many are timed, and of so many have slow codecs the size. All real ones are and have.
TIMED_EVERY, SLOW_EVERY = 24, 8
# In a turn: the first finds the caches as the codec before left them, which no store that is read does.
DECODINGS = 3
TABLES = ["train.csv", "test.csv", "train_controls.csv", "test_controls.csv"]
SITE_BYTES = 6 * 512 * 512
LINE_BITS_PER_S = 100e6


@dataclass
class Site:
    experiment: str
    files: list[bytes]  # The PNGs as they lie in the tree.
    pixels: np.ndarray  # [6, H, W] u8


@dataclass
class Codec:
    name: str
    encode: Callable[[Site], list[bytes]]
    decode: Callable[[list[bytes], np.ndarray], object]  # Into the second.
    is_slow: bool = False
    is_given: bool = False  # Nothing is encoded here.


@dataclass
class Found:
    """What a codec made of sites, by their numbers."""

    n_bytes: dict[int, int] = field(default_factory=dict)
    encode_s: dict[int, float] = field(default_factory=dict)
    decode_s: dict[int, float] = field(default_factory=dict)


def each_image(decode: Callable) -> Callable[[list[bytes], np.ndarray], None]:
    def decode_all(streams: list[bytes], out: np.ndarray) -> None:
        for stream, plane in zip(streams, out, strict=True):
            decode(stream, out=plane)

    return decode_all


def by_image(name: str, encode: Callable, decode: Callable, **flags: bool) -> Codec:
    return Codec(name, lambda site: [encode(plane) for plane in site.pixels], each_image(decode), **flags)


def zstd(level: int) -> Codec:
    compressor, decompressor = zstandard.ZstdCompressor(level=level), zstandard.ZstdDecompressor()
    # A frame that fits what it is read into is decoded there at once.
    return Codec(
        f"zstd {level}",
        lambda site: [compressor.compress(site.pixels)],
        lambda streams, out: decompressor.stream_reader(streams[0]).readinto(out),
    )


def jpeg_xl(effort: int) -> Codec:
    return by_image(
        f"JPEG XL {effort}",
        lambda plane: imagecodecs.jpegxl_encode(plane, lossless=True, effort=effort, numthreads=1),
        lambda stream, out: imagecodecs.jpegxl_decode(stream, numthreads=1, out=out),
        is_slow=effort == 7,
    )


def of_wave(name: str, mode: str) -> Codec:
    return Codec(
        name,
        lambda site: [wave.encode(site.pixels, mode=mode)],
        lambda streams, out: wave.decode(streams[0], out.shape, out=out),
    )


def copy(streams: list, out: np.ndarray) -> None:
    np.copyto(out, streams[0])


def codecs() -> list[Codec]:
    return [
        Codec("raw (memcpy)", lambda site: [site.pixels.copy()], copy),
        Codec("PNG, as they are", lambda site: site.files, each_image(imagecodecs.png_decode), is_given=True),
        by_image("PNG level 6", lambda plane: imagecodecs.png_encode(plane, level=6), imagecodecs.png_decode),
        zstd(1),
        zstd(3),
        zstd(9),
        by_image("JPEG-LS", imagecodecs.jpegls_encode, imagecodecs.jpegls_decode),
        jpeg_xl(1),
        jpeg_xl(3),
        jpeg_xl(7),
        of_wave("wave", "small"),
        of_wave("wave:fast", "fast"),
    ]


def read(experiment: str, paths: list[Path]) -> Site:
    return Site(experiment, [p.read_bytes() for p in paths], np.stack([np.asarray(Image.open(p)) for p in paths]))


def measure(tree: Path, rounds: int, timed_every: int, slow_every: int) -> dict:
    """Every site once, then the timed ones again, each by every codec in turn."""
    paths = [(experiment, files) for experiment, sites in sorted(sites_of(tree).items()) for files in sites]
    found: dict[str, Found] = defaultdict(Found)
    timed = range(0, len(paths), timed_every)
    in_turn = codecs()
    for round_idx in range(rounds):
        for i in range(len(paths)) if round_idx == 0 else timed:
            site = read(*paths[i])
            out = np.empty_like(site.pixels)
            for codec in in_turn:
                if codec.is_slow and i % slow_every:
                    continue
                of = found[codec.name]
                start = time.perf_counter()
                streams = codec.encode(site)
                if i in timed and not codec.is_given:
                    of.encode_s[i] = min(time.perf_counter() - start, of.encode_s.get(i, np.inf))
                of.n_bytes[i] = sum(memoryview(stream).nbytes for stream in streams)
                for _ in range(DECODINGS if i in timed else 1):
                    out.fill(0)
                    start = time.perf_counter()
                    codec.decode(streams, out)
                    if i in timed:
                        of.decode_s[i] = min(time.perf_counter() - start, of.decode_s.get(i, np.inf))
                    if not np.array_equal(out, site.pixels):
                        sys.exit(f"{codec.name}: a site of {site.experiment} is not what it was: {paths[i][1][0]}")
    return report(paths, site.pixels.nbytes, found, len(timed))


def report(paths: list, n_raw: int, found: dict[str, Found], n_timed: int) -> dict:
    """Shares and rates by codec; n_raw are the bytes of a site's pixels."""

    def rate(seconds: dict[int, float]) -> float | None:
        return len(seconds) * n_raw / sum(seconds.values()) / 1e6 if seconds else None

    png, zstd_3 = found["PNG, as they are"], rate(found["zstd 3"].decode_s)
    slow = [i for name in found for i in found[name].n_bytes if len(found[name].n_bytes) < len(paths)]
    rows = {}
    for name, of in found.items():
        n_bytes = sum(of.n_bytes.values())
        by_experiment: dict[str, list[float]] = defaultdict(list)
        for i, n in of.n_bytes.items():
            by_experiment[paths[i][0]].append(n / n_raw)
        experiments = {experiment: statistics.mean(shares) for experiment, shares in by_experiment.items()}
        # An experiment is a batch and weighs as much as another, however many of its sites are here.
        by_type: dict[str, list[float]] = defaultdict(list)
        for experiment, share in experiments.items():
            by_type[experiment.rsplit("-", 1)[0]].append(share)
        rows[name] = {
            "sites": len(of.n_bytes),
            "bytes": n_bytes,
            "of_raw": n_bytes / n_raw / len(of.n_bytes),
            "of_png": n_bytes / sum(png.n_bytes[i] for i in of.n_bytes),
            "of_raw_where_slow": sum(of.n_bytes[i] for i in slow) / n_raw / len(slow) if slow else None,
            "encode_mb_per_s": rate(of.encode_s),
            "decode_mb_per_s": rate(of.decode_s),
            "decode_of_zstd_3": rate(of.decode_s) / zstd_3,
            "of_raw_by_cell_type": {cell_type: statistics.mean(shares) for cell_type, shares in by_type.items()},
            "of_raw_by_experiment": experiments,
        }
    return {"sites": len(paths), "timed_sites": n_timed, "site_bytes": n_raw, "codecs": rows}


def upload(real: Path, rows: dict) -> dict:
    """All of RxRx1: its sites of each cell type, at what a codec makes of the real sites of that type."""
    n_sites: Counter[str] = Counter()
    for table in TABLES:
        with (real / table).open(newline="") as file:
            n_sites.update(row["experiment"].rsplit("-", 1)[0] for row in csv.DictReader(file))
    n_sites = Counter({cell_type: SITES_PER_WELL * n for cell_type, n in n_sites.items()})
    n_all = n_sites.total()
    raw_gb = n_all * SITE_BYTES / 1e9
    lengths = {}
    for name, row in rows.items():
        shares = row["of_raw_by_cell_type"]
        least, most = min(shares, key=shares.get), max(shares, key=shares.get)
        gb = sum(n * shares[cell_type] for cell_type, n in n_sites.items()) * SITE_BYTES / 1e9
        lengths[name] = {
            "gb": gb,
            "hours": gb * 8e9 / LINE_BITS_PER_S / 3600,
            "gb_as_least": {least: raw_gb * shares[least]},
            "gb_as_most": {most: raw_gb * shares[most]},
            "gb_by_mean_of_sites": raw_gb * row["of_raw"],
        }
    return {"sites": n_all, "sites_by_cell_type": n_sites, "line_bits_per_s": LINE_BITS_PER_S, "codecs": lengths}


def table(head: list[str], rows: list[list[str]]) -> str:
    """In Markdown: names on the left, figures on the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: list[str]) -> str:
        figures = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join([cells[0].ljust(widths[0]), *figures])} |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def codec_table(measured: dict) -> str:
    rows = []
    for name, row in measured["codecs"].items():
        star = " *" if row["sites"] < measured["sites"] else ""
        shares = [f"{row['of_raw']:.3f}", f"{row['of_png']:.2f}"]
        speeds = [figure(row["encode_mb_per_s"]), figure(row["decode_mb_per_s"])]
        rows.append([name + star, *shares, *speeds, f"{row['decode_of_zstd_3']:.2f}"])
    text = table(["codec", "of raw", "of the PNGs", "encode MB/s", "decode MB/s", "decode, zstd 3 = 1"], rows)
    for row in measured["codecs"].values():
        if row["sites"] < measured["sites"]:
            other = measured["codecs"]["wave"]["of_raw_where_slow"]
            text += f"\n* of every {SLOW_EVERY}th site, {row['sites']} of them, of which wave makes {other:.3f}"
    return text


def upload_table(lengths: dict) -> str:
    rows = []
    for name, row in lengths.items():
        [(least, low)], [(most, high)] = row["gb_as_least"].items(), row["gb_as_most"].items()
        spread = [f"{low:.0f} ({least})", f"{high:.0f} ({most})"] if low < high else ["", ""]
        rows.append([name, f"{row['gb']:.0f}", f"{row['hours']:.1f}", *spread])
    return table(["codec", "GB", "hours at 100 Mbit/s", "GB, all as the least", "GB, all as the most"], rows)


def machine() -> dict:
    lines = [line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line]
    known = {key.strip(): value.strip() for key, value in lines}
    wide = [flag for flag in ("avx2", "avx512bw") if flag in known.get("flags", "").split()]
    return {"processor": known.get("model name", platform.machine()), "cores": os.cpu_count(), "instructions": wide}


def versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("cellshard", "imagecodecs", "numpy", "zstandard")}
    libraries = {name: imagecodecs.version(dict)[name] for name in ("libpng", "charls", "libjxl")}
    libraries["zstd"] = ".".join(map(str, zstandard.ZSTD_VERSION))
    return {"python": platform.python_version(), **packages, **libraries}


def simulate(programs: Path, tree: Path, wells: int, size: int) -> list[str]:
    experiments = ",".join(f"{cell_type}:{EXPERIMENTS}" for cell_type in CELL_TYPES)
    flags = f"--layout bare --experiments {experiments} --plates 1 --wells {wells} --size {size} --seed 1".split()
    subprocess.run([programs / "simulate", "--dst", tree, *flags], check=True, stdout=subprocess.DEVNULL)
    return flags


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=Path)
    parser.add_argument("real", type=Path)
    parser.add_argument("dir", type=Path)
    parser.add_argument("--wells", type=int, default=11, help="wells of each simulated plate (default 11: 616 sites)")
    parser.add_argument("--size", type=int, default=512, help="of a simulated image (default 512)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
    start = time.time()
    try:
        flags = simulate(args.bin, args.dir, args.wells, args.size)
        # One core for all threads that a codec might start.
        os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
        real = measure(args.real, args.rounds, 1, 1)
        print(f"{real['sites']} real sites of RxRx1, one core of {machine()['processor']}\n")
        print(f"{codec_table(real)}\n", flush=True)
        simulated = measure(args.dir, args.rounds, TIMED_EVERY, SLOW_EVERY)
    finally:
        shutil.rmtree(args.dir, ignore_errors=True)
    print(f"{simulated['sites']} simulated sites, speeds of {simulated['timed_sites']} of them\n")
    print(f"{codec_table(simulated)}\n")
    lengths = upload(args.real, real["codecs"])
    print(f"All {lengths['sites']:,} sites of RxRx1, if each cell type's are as its real ones here\n")
    print(upload_table(lengths["codecs"]))
    if args.json:
        written = {
            "command": " ".join(sys.argv),
            "machine": machine(),
            "versions": versions(),
            "rounds": args.rounds,
            "seconds": round(time.time() - start),
            "real": real,
            "simulate": " ".join(flags),
            "simulated": simulated,
            "upload": lengths,
        }
        args.json.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
