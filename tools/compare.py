#!/usr/bin/env python3
"""Proves that new programs do what old ones did: makes the same calls with both, and compares every byte that comes of
it.

Usage: compare.py OLD_BIN NEW_BIN [--work DIR] [--skip-train]

Both are folders with simulate, pack, verify, stats, bench, train and predict. The old simulate makes the data. Then
each call is made twice, in DIR/old with the old programs and in DIR/new with the new ones, with the same flags and
paths, so that outputs agree to the letter. Compared are exit codes, stdout, stderr, files written, stores and run
folders. What says how long something took is masked, and nothing else is.

What is read (stores, runs) is in most calls what the old programs wrote: so the new ones have to read it, too.

One line a comparison. Exit code 0: nothing differs; 1: something does, and DIR is kept; 2: could not run.
"""
import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

from compare_train import compare_predict, compare_train
from compare_views import (
    MALFORMED, difference, help_entries, mask_times, plural, read_folder, size_of, view_bench_json, view_bench_text,
)

PROGRAMS = ["simulate", "pack", "verify", "stats", "bench"]
TORCH_PROGRAMS = ["train", "predict"]
# One thread of libtorch: sums are then added in one order, and the old and the new program can run side by side.
ENVIRONMENT = {"COLUMNS": "100", "LC_ALL": "C", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
TIMEOUT_S = 600
# The last experiment of each cell type is the test set. 48 x 48 pixels are no whole page, so raw chunks have padding.
MAIN_TREE = "--experiments HUVEC:3,RPE:3 --plates 2 --wells 28 --sirnas 8 --size 48 --seed 3".split()
SMALL_TREE = "--experiments HEPG2:2,U2OS:1 --plates 1 --wells 12 --sirnas 4 --size 32 --channels 3 --seed 4".split()
LAYOUTS = ["kaggle2023", "rxrxai", "bare"]


class CannotRun(Exception):
    """What keeps a comparison from saying anything."""


@dataclasses.dataclass
class Ran:
    """What a program did; the code of one that was ended is a text that says why."""

    code: int | str
    stdout: str
    stderr: str


@dataclasses.dataclass
class Side:
    """The old programs, or the new ones, and the folder that they run in."""

    programs: pathlib.Path
    folder: pathlib.Path

    def taken(self, program, flags):
        """The flags that this side knows: bench only reads now, and so has no --feed-only any more."""
        if "--feed-only" in flags and "--feed-only" not in self.run(program, ["--help"]).stdout:
            return [flag for flag in flags if flag != "--feed-only"]
        return flags

    def run(self, program, flags):
        command = [str(self.programs / program), *flags]
        environment = {**os.environ, **ENVIRONMENT}
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            return Ran(f"none, ended after {TIMEOUT_S} s", "", "")
        return Ran(done.returncode, *(text.decode(errors="backslashreplace") for text in (done.stdout, done.stderr)))


class Comparison:
    """Runs both sides, and counts."""

    def __init__(self, old, new, work):
        self.work = work
        self.sides = [Side(old, work / "old"), Side(new, work / "new")]
        for side in self.sides:
            side.folder.mkdir(parents=True)
        self.n = self.n_differ = 0

    def tell(self, what, size, found):
        self.n += 1
        self.n_differ += found is not None
        print(f"{'same     ' if found is None else 'DIFFERENT'} {what}: {size if found is None else found}", flush=True)

    def both(self, program, *flags, code=0, writes=(), view=mask_times, names_any=False):
        """Makes a call on both sides, and compares exit code, outputs and the files that it writes. An error that names
        any one of the things in a folder may name another."""
        call = f"{program} {shlex.join(flags)}"
        # bench drops the store from the page cache, which it cannot as long as another process has it mapped.
        with concurrent.futures.ThreadPoolExecutor(1 if program == "bench" else 2) as pool:
            old, new = pool.map(lambda side: side.run(program, side.taken(program, flags)), self.sides)
        if old.code != code:
            # The call does not show what it is here for.
            raise CannotRun(f"{call}: expected exit code {code} of the old program, found {old.code}\n{old.stderr}")
        parts = [("exit code", old.code, new.code)]
        parts.append(("stdout", *look(view, call, old.stdout, new.stdout)))
        hide = r", found .*" if names_any else r"$^"
        errors = [re.sub(hide, ", found something", mask_times(ran.stderr)) for ran in (old, new)]
        parts.append(("stderr", *errors))
        for name in writes:
            contents = [path.read_bytes() if path.is_file() else "no such file" for path in self.paths(name)]
            parts.append((name, *contents))
            if contents[0] == "no such file":
                raise CannotRun(f"{call}: expected {name} of the old program, found none")
        found = next((f"{what}: {text}" for what, a, b in parts if (text := difference(a, b))), None)
        n_lines = sum(text.count("\n") for text in (old.stdout, old.stderr))
        files = f", {plural(len(writes), 'file')}" if writes else ""
        self.tell(call, f"exit code {old.code}, {plural(n_lines, 'line')}{files}", found)

    def paths(self, name):
        return [side.folder / name for side in self.sides]

    def folders(self, what, name, view=lambda files: files):
        """Compares all that is in a folder of both sides."""
        files = [read_folder(root) if root.is_dir() else {} for root in self.paths(name)]
        if not files[0]:
            raise CannotRun(f"{name}: expected what the old programs wrote, found nothing")
        self.tell(what, size_of(files[0]), difference(*look(view, name, *files)))


def look(view, place, old, new):
    """What is compared of both; what cannot be looked at is an error of the old side, and a difference of the new."""
    try:
        old = view(old)
    except MALFORMED as error:
        raise CannotRun(f"{place}: {error!r} in what the old programs wrote") from error
    try:
        return old, view(new)
    except MALFORMED as error:
        return old, f"cannot be read: {error!r}"


# What is compared.


def compare_simulate(run):
    run.both("simulate", "--dst", "main", *MAIN_TREE)
    run.folders("tree of simulate", "main")
    run.both("simulate", "--dst", "main", *SMALL_TREE, code=2, names_any=True)
    for layout in LAYOUTS:
        run.both("simulate", "--dst", layout, *SMALL_TREE, "--layout", layout, "--threads", "1", "--json")
        run.folders(f"tree of simulate --layout {layout}", layout)
    run.both("simulate", "--dst", "small", *SMALL_TREE)
    run.folders("tree of simulate, small", "small")
    # Both sides read one tree, so that the sources of what they pack have the same times.
    (run.sides[0].folder / "main").rename(run.work / "data")
    (run.sides[0].folder / "small").rename(run.work / "faulty")


def compare_pack(run):
    data = ["--src", "../data", "--threads", "2"]
    run.both("pack", *data, "--dst", "zstd", "--dry-run")
    run.both("pack", *data, "--dst", "zstd", "--dry-run", "--json")
    run.both("pack", *data, "--dst", "zstd")
    run.folders("store zstd:3", "zstd")
    run.both("pack", *data, "--dst", "raw", "--codec", "raw", "--json")
    run.folders("store raw", "raw")
    run.both("pack", *data, "--dst", "shards-of-7", "--sites-per-shard", "7", "--codec", "zstd:1")
    run.folders("store with 7 sites a shard, zstd:1", "shards-of-7")

    run.both("pack", *data, "--dst", "parts", "--partition", "1/2", "--json")
    run.folders("store after part 1/2", "parts")
    run.both("stats", "--shards", "parts", code=1)
    run.both("verify", "parts", code=1)
    run.both("pack", *data, "--dst", "parts", "--partition", "2/2")
    run.folders("store of two parts", "parts")
    run.both("pack", *data, "--dst", "resumed", "--experiments", "RPE-02")
    run.folders("store of one experiment", "resumed")
    run.both("pack", *data, "--dst", "resumed", "--plates", "HUVEC-01/Plate2", "--json")
    run.both("pack", *data, "--dst", "resumed")
    run.folders("store resumed", "resumed")
    run.both("pack", *data, "--dst", "resumed", "--classes", "zstd/classes.csv")
    run.both("pack", *data, "--dst", "resumed", "--rehash", "--json")
    run.folders("store packed again", "resumed")
    run.both("pack", *data, "--dst", "resumed", "--codec", "zstd:4", code=2)

    run.both("pack", "--src", "zstd", "--dst", "zstd-to-raw", "--codec", "raw", "--dry-run", "--json")
    run.both("pack", "--src", "zstd", "--dst", "zstd-to-raw", "--codec", "raw", "--threads", "2")
    run.folders("store transcoded from zstd:3 to raw", "zstd-to-raw")
    run.both("pack", "--src", "raw", "--dst", "raw-to-zstd", "--threads", "2", "--json")
    run.folders("store transcoded from raw to zstd:3", "raw-to-zstd")
    run.both("pack", "--src", "../old/zstd", "--dst", "from-old", "--codec", "raw", "--sites-per-shard", "10")
    run.folders("old store transcoded", "from-old")

    for layout in LAYOUTS:
        run.both("pack", "--src", layout, "--dst", f"store-{layout}", "--threads", "1")
        run.folders(f"store of layout {layout}", f"store-{layout}")
        run.both("stats", "--shards", f"store-{layout}")
    run.both("pack", "--src", "bare", "--dst", "raw", "--layout", "kaggle", code=2)
    run.both("pack", "--src", "nowhere", "--dst", "none", code=2)
    run.both("pack", *data, "--dst", "bare", code=2, names_any=True)
    run.both("pack", *data, "--dst", "none", "--codec", "lz4", code=2)


def damage_tree(run):
    """Cuts one image short, takes one channel of another site away, alters a byte, empties a file, and adds a stranger;
    returns what mends it."""
    images = sorted((run.work / "faulty").rglob("*.png"))
    # All in the first half, so that there is a plate without a fault.
    cut, missing, altered, empty = (images[len(images) * i // 8] for i in range(1, 5))
    whole = {path: path.read_bytes() for path in (cut, missing, altered, empty)}
    cut.write_bytes(whole[cut][: len(whole[cut]) // 2])
    missing.unlink()
    content = bytearray(whole[altered])
    content[len(content) // 2] ^= 4
    altered.write_bytes(content)
    empty.write_bytes(b"")
    (images[0].parent / "notes.txt").write_text("mine\n")
    return whole


def compare_faults(run):
    run.both("verify", "../faulty", "--write", "faulty.sha256", writes=["faulty.sha256"])
    mend = damage_tree(run)
    faulty = ["--src", "../faulty", "--threads", "2"]
    run.both("verify", "../faulty", code=1)
    run.both("verify", "../faulty", "--json", code=1)
    run.both("verify", "../faulty", "--against", "faulty.sha256", "--damaged-list", "again", code=1, writes=["again"])
    run.both("verify", "../faulty", "--against", "faulty.sha256", "--json", code=1)
    run.both("pack", *faulty, "--dst", "refused", "--dry-run", code=1)
    run.both("pack", *faulty, "--dst", "refused", "--faults", "faults.csv", code=1, writes=["faults.csv"])
    run.folders("store that is not finished", "refused")
    run.both("pack", *faulty, "--dst", "skipped", "--on-error", "skip", "--faults", "faults.csv", writes=["faults.csv"])
    run.folders("store --on-error skip", "skipped")
    run.both("pack", *faulty, "--dst", "skipped", "--on-error", "skip", "--json")
    run.both("pack", *faulty, "--dst", "skipped-raw", "--on-error", "skip", "--codec", "raw", "--json")
    run.folders("store --on-error skip, raw", "skipped-raw")
    run.both("verify", "skipped", "--deep")
    for path, content in mend.items():
        path.write_bytes(content)
    for store in ("refused", "skipped"):
        run.both("pack", *faulty, "--dst", store)
        run.folders(f"store {store}, mended and packed again", store)


def damage_store(root):
    """Alters a byte of a site, cuts a shard short, takes a listing away, and adds a stranger."""
    shard = root / "pixels.zarr/HUVEC-01/Plate1/c/0/0/0/0"
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 1
    shard.write_bytes(content)
    shard = root / "pixels.zarr/RPE-01/Plate2/c/0/0/0/0"
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    (root / "plates/RPE-02/Plate1/sites.csv").unlink()
    (root / "notes.txt").write_text("mine\n")


def compare_verify(run):
    for store in ("../old/zstd", "../old/raw"):
        for depth in ([], ["--deep"], ["--quick"]):
            run.both("verify", store, *depth)
            run.both("verify", store, *depth, "--json")
    run.both("verify", "../data")
    run.both("verify", "../data", "--write", "data.sha256", "--json", writes=["data.sha256"])
    run.both("verify", "../data", "--against", "data.sha256")
    run.both("verify", "../data", "--against", "../old/zstd", "--json")
    for store in ("zstd", "raw"):
        for side in run.sides:
            shutil.copytree(run.sides[0].folder / store, side.folder / f"damaged-{store}")
            damage_store(side.folder / f"damaged-{store}")
        damaged = f"damaged-{store}"
        for depth in ([], ["--deep"], ["--quick"]):
            run.both("verify", damaged, *depth, "--damaged-list", "again", code=1, writes=["again"])
            run.both("verify", damaged, *depth, "--json", code=1)
        run.both("pack", "--src", damaged, "--dst", f"{damaged}-transcoded", "--codec", "zstd:1", code=1)
        for side in run.sides:
            (side.folder / damaged / "SHA256SUMS").rename(side.folder / "SHA256SUMS.kept")
        run.both("verify", damaged, "--deep", code=1)
        run.both("verify", damaged, "--manifest", "SHA256SUMS.kept", code=1)
        for side in run.sides:
            (side.folder / "SHA256SUMS.kept").rename(side.folder / damaged / "SHA256SUMS")
    run.both("verify", "nowhere", code=2)
    run.both("verify", "../old/zstd", "--write", "x", code=2)
    # A stranger is left alone by pack; without it, the store is whole again.
    for side in run.sides:
        (side.folder / "damaged-zstd/notes.txt").unlink()
        shutil.copytree(side.folder / "damaged-zstd", side.folder / "mended")
    run.both("pack", "--src", "../data", "--dst", "mended", "--rehash", "--threads", "2")
    run.folders("store mended by --rehash", "mended")


def compare_stats(run):
    for by in ("plate", "experiment", "cell-type", "store"):
        run.both("stats", "--shards", "../old/zstd", "--by", by)
    run.both("stats", "--shards", "../old/raw", "--by", "cell-type", "--population", "negative,positive,treatment,all")
    run.both("stats", "--shards", "../old/zstd", "--csv")
    run.both("stats", "--shards", "../old/zstd", "--by", "experiment", "--json")
    run.both("stats", "--shards", "../old/zstd", "--pixel-stats")
    run.both("stats", "--shards", "../old/skipped", "--csv")
    run.both("stats", "--shards", "nowhere", code=2)


def compare_bench(run):
    flags = ["--feed-only", "--rounds", "2", "--seconds", "0.05", "--threads", "2"]
    for store in ("../old/zstd", "../old/raw"):
        run.both("bench", "--shards", store, *flags, "--json", view=view_bench_json)
        run.both("bench", "--shards", store, *flags, view=view_bench_text)
    run.both("bench", "--shards", "../old/raw", *flags, "--io", "pread", view=view_bench_text)
    run.both("bench", "--shards", "nowhere", "--feed-only", code=2)


# Small enough for seconds, and large enough that each of them takes several steps an epoch.
def compare_help(run, programs):
    for program in programs:
        # Some programs of old called themselves cellshard.
        run.both(program, "--version", view=lambda text: text.rpartition(" ")[2])
        if program not in ("bench", "train"):
            run.both(program, "--help")
            run.both(program, "-h")
            continue
        # What times training steps moves from bench to train --bench: bench may lose entries, train may gain some.
        entries = []
        for side in run.sides:
            ran = side.run(program, ["--help"])
            if ran.code != 0 and side is run.sides[0]:
                raise CannotRun(f"{program} --help: exit code {ran.code}\n{ran.stderr}")
            entries.append(help_entries(ran.stdout))
        gone = [entry for entry in entries[0] if entry not in entries[1]]
        come = [entry for entry in entries[1] if entry not in entries[0]]
        if program == "bench":
            # Its description says what it measures.
            come = [entry for entry in come if entry.startswith("-")]
        wrong, allowed, word = (come, gone, "went") if program == "bench" else (gone, come, "came")
        if not entries[1]:
            wrong = ["no help at all"]
        what = "only new has" if program == "bench" else "only old has"
        found = f"{what}: {wrong[0]!r}" + (f", and {len(wrong) - 1} more" if wrong[1:] else "") if wrong else None
        run.tell(f"{program} --help", f"{len(entries[0])} entries, {len(allowed)} {word}", found)
        for entry in allowed:
            print(f"          {word}: {entry}")


def parse(arguments):
    summary, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest.partition("\n\n")[2], formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", metavar="OLD_BIN", type=pathlib.Path, help="folder of the old programs")
    parser.add_argument("new", metavar="NEW_BIN", type=pathlib.Path, help="folder of the new programs")
    parser.add_argument("--work", metavar="DIR", type=pathlib.Path, help="new or empty folder for it all, and kept")
    parser.add_argument("--skip-train", action="store_true", help="leave out train and predict, which need libtorch")
    return parser.parse_args(arguments)


def compare(args, work):
    programs = PROGRAMS + ([] if args.skip_train else TORCH_PROGRAMS)
    bins = [folder.resolve() for folder in (args.old, args.new)]
    for path in (folder / program for folder in bins for program in programs):
        if not os.access(path, os.X_OK):
            raise CannotRun(f"{path}: expected a program, found none")
    run = Comparison(*bins, work)
    compare_help(run, programs)
    compare_simulate(run)
    compare_pack(run)
    compare_faults(run)
    compare_verify(run)
    compare_stats(run)
    compare_bench(run)
    if not args.skip_train:
        compare_train(run)
        compare_predict(run)
    print(f"{run.n} comparisons, {run.n_differ} differ")
    return run.n_differ


def main():
    args = parse(sys.argv[1:])
    work = None
    try:
        if args.work:
            args.work.mkdir(parents=True, exist_ok=True)
            if any(args.work.iterdir()):
                raise CannotRun(f"{args.work}: expected a new or empty folder, found something in it")
        work = (args.work or pathlib.Path(tempfile.mkdtemp(prefix="cellshard-compare-"))).resolve()
        n_differ = compare(args, work)
    except (CannotRun, OSError) as error:
        print(f"error: {error}" + (f"\nwhat both wrote so far is kept in {work}" if work else ""), file=sys.stderr)
        return 2
    if args.work is None and n_differ == 0:
        shutil.rmtree(work)
    elif n_differ:
        print(f"what both wrote is kept in {work}")
    return 1 if n_differ else 0


if __name__ == "__main__":
    sys.exit(main())
