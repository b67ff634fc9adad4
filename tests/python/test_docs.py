"""The documentation is true: every command in README.md and docs/ is run, and what it is shown to print is printed.

Each page is one run of bash in a folder of its own, with the programs first on PATH:

- In a block ```console, a line that starts with `$ ` is a command (one that ends in a backslash goes on in the next
  line), and must end with exit code 0, or with N where it ends in `# exit code N`. The lines below it must come in what
  it prints, in this order, with other lines between them or not; numbers may be others.
- A block ```python is run by this Python, by itself; on a page that imports the package, python/tests/test_docs.py runs
  them, one after the other. A block ```rust must be a doc test of the library.
- <!-- run: COMMAND --> is a command that no reader sees, to prepare what the page needs.
- <!-- save: FILE --> before a block makes that file of its content.
- A block ```sh is not run, but bash must be able to read it. Each line of one stands in NOT_RUN below, with the reason.

Training and measuring are cut down to SMALL where the page does not say otherwise: this test is of the pages, not of
what is learned or measured."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(os.environ["CELLSHARD_BIN"]).absolute()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = "cellshard|simulate|pack|verify|stats|inspect|train|predict|bench"
LONGEST_README_LINES = 150

ZARR = "needs plates of Zarr; test_zarr_in.py packs such"
CORE = "needs RxRx3-core; test_data_sets.py unpacks a part made up"
HOST = "needs another host; the page does the same with cp"
BUCKET = "needs object storage; the page does the same with cp"
SLURM = "needs Slurm; test_slurm.py runs the scripts"
NOT_RUN = {
    "make demo": "builds everything, and is run by whoever builds",
    "make test": "runs this test",
    "make install PREFIX=$HOME/.local": "builds, and writes outside of the test's folder",
    "rsync -a --ignore-times --files-from=again.txt here:shards/ upload/": "needs another host; the page packs again",
    "rsync -a --partial shards data/sample_submission.csv box:": HOST,
    "rsync -a --ignore-times --files-from=again.txt here:shards/ shards/": HOST,
    "ssh box tail -f runs/mine/train.log": HOST,
    "ssh -L 6006:localhost:6006 box tensorboard --logdir runs": HOST,
    "aws s3 sync shards s3://bucket/shards": BUCKET,
    "aws s3 sync s3://bucket/shards shards": BUCKET,
    "rclone copy shards remote:bucket/shards": BUCKET,
    "rclone copy remote:bucket/shards shards": BUCKET,
    "rclone copy --ignore-times --files-from=again.txt remote:bucket/shards shards": BUCKET,
    'while read -r file; do aws s3 cp "s3://bucket/shards/$file" "shards/$file"; done < again.txt': BUCKET,
    "sbatch docs/slurm/train.sbatch shards runs/mine --recipe two-step": SLURM,
    'cellshard pack shards "$TMPDIR/local" --codec raw': "the page does the same with a folder of its own",
    "python -c 'import torchvision, safetensors.torch": "torch takes 5 GB; test_torch.py has this line",
    'safetensors.torch.save_file(torchvision.models.resnet50(weights="DEFAULT").state_dict(), '
    '"resnet50.safetensors")\'': "the rest of it",
    "pack Week_7.zarr shards --experiment HUVEC-1 --labels plate_map.csv --label-column compound": ZARR,
    "pack Week_7.zarr shards --plane z=3,t=0 --level 1": ZARR,
    "pack zarrs shards --layout rxrx1-zarr --labels metadata.csv": ZARR,
    "pack images.zarr shards --table sites.csv --channel-names DNA,Actin": ZARR,
    "python tools/unpack_rxrx3_core.py rxrx3-core RxRx3-core/*.parquet": CORE,
    "cp metadata_rxrx3_core.csv rxrx3-core/": CORE,
    "pack rxrx3-core shards": CORE,
}

IMPORTS = re.compile(r"^import (torch, )?cellshard$", re.MULTILINE)
# What a program gets here where the page does not say it, by the first words after `cellshard`.
NETWORK = {"--model": "base-cnn", "--batch": "8", "--device": "cpu"}
TIMES = {"--seconds": "0.01", "--rounds": "1"}
SMALL = {
    ("train",): {**NETWORK, "--epochs": "1", "--second-epochs": "1"},
    ("train", "--bench"): {**NETWORK, **TIMES, "--steps": "1", "--warmup": "1"},
    ("bench",): TIMES,
}
CELLSHARD = f"""#!{sys.executable}
import os, sys
arguments = sys.argv[1:]
small = {SMALL!r}
flags = small.get(tuple(arguments[:2]), small.get(tuple(arguments[:1]), {{}}))
if "--resume" not in arguments or "auto" in arguments:  # A run that goes on keeps its recipe.
    for flag, value in flags.items():
        arguments += [] if flag in arguments else [flag, value]
os.execv({str(BIN / "cellshard")!r}, ["cellshard", *arguments])
"""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOC_TEST = re.compile(r"^ *//[!/] ```(?:no_run)?\n(.*?)^ *//[!/] ```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"^<!-- (run|save): (.*?) -->$", re.MULTILINE)
NUMBER = re.compile(r"\b[0-9a-f]{8,64}\b|[0-9][0-9.,]*( ?[kMG]?B\b)?")


class Step:
    """A command, its exit code, and the lines that it must print."""

    def __init__(self, command, shown=()):
        self.command, self.shown = command, list(shown)
        code = re.search(r"# exit code (\d+)$", command)
        self.code = int(code[1]) if code else 0


def console(block):
    """The steps of a console block."""
    steps, goes_on = [], False
    for line in block.splitlines():
        if goes_on:
            steps[-1] = Step(f"{steps[-1].command}\n{line}")
            goes_on = line.endswith("\\")
        elif line.startswith("$ "):
            steps.append(Step(line[2:]))
            goes_on = line.endswith("\\")
        elif line.strip():
            steps[-1].shown.append(line)
    return steps


def steps_of(page, folder):
    """The steps of a page in order. Python blocks and files to be saved are written into `folder`."""
    text = page.read_text()
    steps, save_as = [], None
    for found in sorted([*FENCE.finditer(text), *COMMENT.finditer(text)], key=lambda found: found.start()):
        kind, body = found.groups()
        if kind == "run":
            steps.append(Step(body))
        elif kind == "save":
            save_as = body
        else:
            if save_as:
                (folder / f"{len(steps)}.saved").write_text(body)
                steps.append(Step(f"cp '{folder}/{len(steps)}.saved' '{save_as}'"))
            save_as = None
            if kind == "console":
                steps += console(body)
            elif kind == "python" and not IMPORTS.search(text):
                script = folder / f"{len(steps)}.py"
                script.write_text(body)
                steps.append(Step(f"'{sys.executable}' '{script}'"))
    return steps


def masked(line):
    """A line without its numbers, and with single spaces."""
    return " ".join(NUMBER.sub("0", line).split())


def is_printed(shown, printed):
    """The first line shown that does not come in its turn; None where all do."""
    lines = iter([masked(line) for line in printed.splitlines()])
    return next((line for line in shown if masked(line) not in lines), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_does_what_the_page_says(page, tmp_path):
    (programs := tmp_path / "bin").mkdir()
    (shell := tmp_path / "shell").mkdir()
    (work := tmp_path / "work").mkdir()
    (programs / "cellshard").write_text(CELLSHARD)
    (programs / "cellshard").chmod(0o755)
    steps = steps_of(page, shell)
    script = ""
    for i, step in enumerate(steps):
        script += f"{{ {step.command}\n}} > '{shell}/{i}.printed' 2>&1 < /dev/null\n"
        script += f"code=$?; [ $code -eq {step.code} ] || {{ echo {i} $code; exit 1; }}\n"
    path = f"{programs}:{BIN}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=work, env=environment, stdout=subprocess.PIPE, text=True, timeout=300
    )
    if done.returncode != 0:
        i, code = map(int, done.stdout.split())
        printed = (shell / f"{i}.printed").read_text()
        pytest.fail(f"$ {steps[i].command}\nexpected exit code {steps[i].code}, found {code}:\n{printed}")
    for i, step in enumerate(steps):
        printed = (shell / f"{i}.printed").read_text()
        missing = is_printed(step.shown, printed)
        assert missing is None, f"$ {step.command}\nexpected the line\n{missing}\nin its turn, found\n{printed}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_run_or_listed_with_the_reason_why_not(page):
    for kind, body in FENCE.findall(page.read_text()):
        if kind == "sh":
            commands = [line.split("  #")[0].strip() for line in body.splitlines()]
            assert [command for command in commands if command not in NOT_RUN] == []
            subprocess.run(["bash", "-n", "-c", body], check=True)
        elif kind not in ("console", "python"):
            # Output, data and Rust: no command is hidden in them.
            is_command = re.compile(rf"^(\$ .*|({PROGRAMS}) --?\w.*)$")
            assert kind in ("text", "toml", "csv", "rust"), f"a block of kind {kind!r}"
            assert [line for line in body.splitlines() if is_command.match(line) and not shown_by_make_demo(line)] == []


def doc_tests():
    """The blocks of Rust in doc comments, which `cargo test` compiles, without the lines that rustdoc hides."""
    for path in itertools.chain((ROOT / "src").rglob("*.rs"), (ROOT / "train" / "src").rglob("*.rs")):
        for block in DOC_TEST.findall(path.read_text()):
            lines = [re.sub(r"^ *//[!/] ?", "", line) for line in block.splitlines()]
            yield "\n".join(line for line in lines if not line.startswith("# "))


def test_rust_on_a_page_is_a_doc_test():
    compiled = set(doc_tests())
    for page in PAGES:
        for kind, body in FENCE.findall(page.read_text()):
            assert kind != "rust" or body.rstrip("\n") in compiled, f"{page}: no doc test has\n{body}"


def shown_by_make_demo(line):
    """Whether `make demo` itself prints this line."""
    makefile = (ROOT / "Makefile").read_text()
    return line.replace("$", "$$", 1) in makefile


def test_nothing_is_listed_that_no_page_has():
    blocks = "".join(body for page in PAGES for kind, body in FENCE.findall(page.read_text()) if kind == "sh")
    lines = {line.split("  #")[0].strip() for line in blocks.splitlines()}
    assert lines == set(NOT_RUN)


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "ARCHITECTURE.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", FENCE.sub("", page.read_text())):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_relative_to(ROOT) and linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= LONGEST_README_LINES
