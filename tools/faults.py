#!/usr/bin/env python3
"""Fails every file-system call of pack and verify in turn, and kills them there, by strace's injection.

Usage: faults.py BIN [--sample N] [--only SCENARIO] [--jobs N] [--work DIR] [--seed N]

BIN is a folder with simulate, pack and verify. Each scenario is run once to list its calls that have a path of ours
(opening, reading, writing, syncing, renaming, locking, ...). Then it is run again for each call and each of EIO, ENOSPC
and KILL, from the same state. What may come of it:

- an error: exit code 1 or 2 and the error's text, or exit code 0 and the very bytes of a run without a fault (of verify:
  the very report). A run that was told to skip may also leave out a site, if it names it as unreadable;
- after it, and after a kill: a run that is not about the plate that was redone (where one was) ends in a store that is
  whole, with every plate, the old or the new; and the same run without a fault ends in the very bytes.

Anything else is a failure: less than there should be and exit code 0, other bytes, a panic, a hang. One table line for
each scenario and error, and one for each failure, with the call. Exit code 0: no failure; 1: some; 2: could not run.
Needs strace that may trace. The work folder is best in memory.
"""
import argparse
import collections
import concurrent.futures
import dataclasses
import os
import pathlib
import queue
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

ERRORS = ["EIO", "ENOSPC", "KILL"]
TIMEOUT_S = 60
# Of these a fault tells nothing: what they do is undone by the end of the process, or they cannot fail.
HARMLESS = {"close", "mmap", "munmap", "lseek", "fcntl", "dup", "dup2", "ioctl", "execve", "getcwd", "poll", "fadvise64"}
TIMES = re.compile(r"\d+\.\d+ s\b|[\d,.]+ [kMG]?B/s|\d+ sites/s")


class CannotRun(Exception):
    """What keeps this from saying anything."""


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of the baseline, as strace finds it again: the Nth of its name on a path, in a thread."""

    name: str
    path: str
    nth: int

    def __str__(self):
        return f"{self.name} #{self.nth} of {self.path}"


@dataclasses.dataclass
class Scenario:
    """A call of a program, the state that it starts from, and what it has to end in. {slot} is the folder of a try."""

    name: str
    args: list
    # Folders copied into the slot before each try, by name.
    state: dict
    # The store that it has to make, in the slot as `store`; None for verify, whose report has to be the same.
    expected: pathlib.Path | None
    # Whether a fault that is named is as good as an error.
    skips: bool = False
    # A run that is not about the plate that is redone, after each fault.
    other: list | None = None


@dataclasses.dataclass
class Verdict:
    """What came of one try."""

    outcome: str
    failure: str | None = None


def run(args, **options):
    try:
        return subprocess.run([str(arg) for arg in args], capture_output=True, timeout=TIMEOUT_S, check=False, **options)
    except subprocess.TimeoutExpired:
        return None


def must(args):
    ran = run(args)
    if ran is None or ran.returncode != 0:
        detail = "timeout" if ran is None else ran.stdout.decode() + ran.stderr.decode()
        raise CannotRun(f"{' '.join(map(str, args))}: {detail}")
    return ran


def contents(root):
    """Every file and link below a folder with its content."""
    found = {}
    for path in sorted(root.rglob("*")) if root.exists() else []:
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def difference(found, expected):
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            what = "missing" if name not in found else "extra" if name not in expected else "other bytes"
            return f"{what}: {name}"
    return None


class Faults:
    def __init__(self, bin_dir, work, jobs):
        self.work = work
        self.pack, self.verify = bin_dir / "pack", bin_dir / "verify"
        self.simulate = bin_dir / "simulate"
        self.slots = queue.Queue()
        for n in range(jobs):
            self.slots.put(work / f"slot{n}")

    def make_inputs(self):
        """Trees of two plates of 12 images of 32 x 32, and the stores that they are packed into."""
        work, tree = self.work, self.work / "tree"
        must([self.simulate, "--dst", tree, "--experiments", "HUVEC:2", "--test-experiments", "0", "--plates", "1",
              "--wells", "3", "--sites", "2", "--size", "32", "--channels", "2", "--sirnas", "2"])
        changed, poorer = work / "changed", work / "poorer"
        for copy in (changed, poorer):
            shutil.copytree(tree, copy)
        images = sorted((changed / "train/HUVEC-01/Plate1").glob("*.png"))
        shutil.copyfile(images[0], images[1])
        sorted((poorer / "train/HUVEC-01/Plate1").glob("*.png"))[2].write_bytes(b"")
        # So that no image is too new to be known by its time.
        time.sleep(2.1)
        for name, src, flags in [("packed", tree, []), ("raw", tree, ["--codec", "raw"]), ("redone", changed, []),
                                 ("skipped", poorer, ["--on-error", "skip"])]:
            must(self.packing(src, work / name, *flags))
        must(self.packing(tree, work / "half", "--partition", "1/2"))
        shutil.copytree(work / "packed", work / "unfinished")
        for name in ("SHA256SUMS", "metadata.csv"):
            (work / "unfinished" / name).unlink()
        # As `cp -r` leaves it: without its times.
        shutil.copytree(work / "packed", work / "copied", copy_function=shutil.copyfile)

    def packing(self, src, dst, *flags):
        # Two sites a shard, so that a plate has several; one thread of each kind.
        return [self.pack, "--src", src, "--dst", dst, "--sites-per-shard", "2", "--threads", "1", *flags]

    def scenarios(self):
        work = self.work
        tree, changed, store = work / "tree", work / "changed", "{slot}/store"
        other = self.packing(changed, store, "--experiments", "HUVEC-02")
        packed = work / "packed"
        return [
            Scenario("fresh", self.packing(tree, store), {}, packed),
            Scenario("redo", self.packing(changed, store), {"store": packed}, work / "redone", other=other),
            Scenario("skip", self.packing(work / "poorer", store, "--on-error", "skip"), {}, work / "skipped", skips=True),
            Scenario("transcode", self.packing(packed, store, "--codec", "raw"), {}, work / "raw"),
            Scenario("partition", self.packing(tree, store, "--partition", "1/2"), {}, work / "half"),
            Scenario("resume", self.packing(tree, store), {"store": packed}, packed),
            Scenario("resume-copied", self.packing(tree, store, "--rehash"), {"store": work / "copied"}, packed),
            Scenario("finish", self.packing(tree, store), {"store": work / "unfinished"}, packed),
            Scenario("verify-store", [self.verify, packed, "--deep", "--threads", "1"], {}, None),
            Scenario("verify-tree", [self.verify, tree, "--threads", "1"], {}, None),
            Scenario("verify-against", [self.verify, tree, "--against", packed, "--threads", "1"], {}, None),
        ]

    def prepare(self, scenario, slot):
        shutil.rmtree(slot, ignore_errors=True)
        slot.mkdir()
        for name, source in scenario.state.items():
            if scenario.name == "resume-copied":
                shutil.copytree(source, slot / name, copy_function=shutil.copyfile)
            else:
                shutil.copytree(source, slot / name)

    @staticmethod
    def placed(args, slot):
        return [str(arg).replace("{slot}", str(slot)) for arg in args]

    def calls(self, scenario, slot):
        """The calls of a run without a fault, each once, and the run itself."""
        self.prepare(scenario, slot)
        log = slot.with_suffix(".log")
        ran = run(["strace", "-f", "-y", "-o", log, "-e", "trace=%file,%desc", *self.placed(scenario.args, slot)])
        if ran is None or ran.returncode != 0:
            raise CannotRun(f"{scenario.name}: {ran and ran.stderr.decode()}")
        self.check_end(scenario, slot, "without a fault")
        begun, counts, calls = {}, collections.Counter(), []
        for line in log.read_text(errors="replace").splitlines():
            thread, _, rest = line.partition(" ")
            rest = rest.strip()
            if rest.endswith("<unfinished ...>"):
                begun[thread] = rest.removesuffix("<unfinished ...>")
                continue
            resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", rest)
            if resumed:
                rest = begun.pop(thread, "") + resumed.group(1)
            named = re.match(r"(\w+)\((.*)", rest)
            if not named or named.group(1) in HARMLESS:
                continue
            name, arguments = named.groups()
            arguments = arguments.rsplit(" = ", 1)[0]
            paths = re.findall(r'"(/[^"]*)"|\d<(/[^>]*)>', arguments)
            ours = [path for pair in paths for path in pair if path.startswith(str(self.work))]
            for position, path in enumerate(dict.fromkeys(ours)):
                counts[thread, name, path] += 1
                if position == 0:
                    calls.append(Call(name, path.replace(str(slot), "{slot}"), counts[thread, name, path]))
        return list(dict.fromkeys(calls)), ran

    def check_end(self, scenario, slot, when):
        if scenario.expected is None:
            return
        different = difference(contents(slot / "store"), contents(scenario.expected))
        if different:
            raise CannotRun(f"{scenario.name}: {when}: {different}")

    def attempt(self, scenario, call, error, report):
        slot = self.slots.get()
        try:
            self.prepare(scenario, slot)
            how = "signal=KILL" if error == "KILL" else f"error={error}"
            path = call.path.replace("{slot}", str(slot))
            # By seccomp, which is faster, strace's own signals do not arrive.
            fast = [] if error == "KILL" else ["--seccomp-bpf"]
            ran = run(["strace", "-f", *fast, "-o", "/dev/null", "-P", path, "-e", f"trace={call.name}", "-e",
                       f"inject={call.name}:{how}:when={call.nth}", *self.placed(scenario.args, slot)])
            if ran is None:
                return Verdict("hang", f"no end after {TIMEOUT_S} s")
            verdict = self.judge(scenario, slot, error, ran, report)
            return verdict if verdict.failure else self.judge_after(scenario, slot, verdict)
        finally:
            self.slots.put(slot)

    def judge(self, scenario, slot, error, ran, report):
        text = ran.stdout.decode(errors="replace") + ran.stderr.decode(errors="replace")
        if "panicked" in text or ran.returncode not in (0, 1, 2, 137, -9):
            return Verdict("crash", f"exit code {ran.returncode}: {text.strip()[-300:]}")
        if ran.returncode in (137, -9):
            return Verdict("killed", None if error == "KILL" else "killed by an error")
        if ran.returncode != 0:
            return Verdict("error", None if text.strip() else "exit code without a word")
        if scenario.expected is None:
            same = mask(ran.stdout) == report
            return Verdict("no effect", None if same else f"another report, exit code 0: {text.strip()[:300]}")
        different = difference(contents(slot / "store"), contents(scenario.expected))
        if different and scenario.skips and "the file cannot be read" in text:
            return Verdict("named")
        return Verdict("no effect", different and f"exit code 0, but {different}")

    def judge_after(self, scenario, slot, verdict):
        if scenario.expected is None:
            return verdict
        store = slot / "store"
        if scenario.other:
            ran = run(self.placed(scenario.other, slot))
            if ran is None or ran.returncode != 0:
                return Verdict(verdict.outcome, f"another run after it: {ran and ran.stdout + ran.stderr}")
            rows = len((store / "metadata.csv").read_text().splitlines())
            expected = len((scenario.expected / "metadata.csv").read_text().splitlines())
            proof = run([self.verify, store, "--deep", "--threads", "1"])
            if rows != expected or proof is None or proof.returncode != 0:
                return Verdict(verdict.outcome, f"after another run: {rows} rows, {proof and proof.stdout.decode()}")
        ran = run(self.placed(scenario.args, slot))
        if ran is None or ran.returncode != 0:
            return Verdict(verdict.outcome, f"the next run: {ran and (ran.stdout + ran.stderr).decode()[-300:]}")
        different = difference(contents(store), contents(scenario.expected))
        return Verdict(verdict.outcome, different and f"the next run: {different}")


def mask(text):
    return TIMES.sub("_", text.decode(errors="replace"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--sample", type=int, metavar="N", help="calls of each scenario and error, drawn at random")
    parser.add_argument("--only", metavar="SCENARIO", help="one scenario")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=pathlib.Path, help="a new folder to work in [default: one that goes]")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if shutil.which("strace") is None or run(["strace", "-o", "/dev/null", "true"]).returncode != 0:
        print("expected strace that may trace, found none", file=sys.stderr)
        return 2
    work = args.work or pathlib.Path(tempfile.mkdtemp(prefix="cellshard-faults-"))
    try:
        work.mkdir(exist_ok=args.work is None)
        return campaign(args, work.resolve())
    except CannotRun as error:
        print(f"could not run: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(work, ignore_errors=True)


def campaign(args, work):
    faults = Faults(args.bin.resolve(), work, args.jobs)
    faults.make_inputs()
    draw = random.Random(args.seed)
    scenarios = [scenario for scenario in faults.scenarios() if args.only in (None, scenario.name)]
    if not scenarios:
        raise CannotRun(f"no scenario {args.only}")
    outcomes = ["error", "killed", "named", "no effect", "failed"]
    print(f"{'scenario':15} {'error':7} {'calls':>6} " + " ".join(f"{outcome:>9}" for outcome in outcomes), flush=True)
    n_failures = n_tries = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for scenario in scenarios:
            slot = faults.slots.get()
            calls, baseline = faults.calls(scenario, slot)
            faults.slots.put(slot)
            report = mask(baseline.stdout)
            for error in ERRORS:
                chosen = calls
                if args.sample is not None and args.sample < len(calls):
                    chosen = draw.sample(calls, args.sample)
                verdicts = list(pool.map(lambda call: faults.attempt(scenario, call, error, report), chosen))
                counts = collections.Counter("failed" if found.failure else found.outcome for found in verdicts)
                line = " ".join(f"{counts[outcome]:9}" for outcome in outcomes)
                print(f"{scenario.name:15} {error:7} {len(chosen):6} {line}", flush=True)
                for call, found in zip(chosen, verdicts):
                    if found.failure:
                        print(f"    {call}: {found.failure}".replace(str(work), ""), flush=True)
                n_tries += len(chosen)
                n_failures += counts["failed"]
    print(f"{n_tries} tries, {n_failures} failed")
    return 1 if n_failures else 0


if __name__ == "__main__":
    sys.exit(main())
