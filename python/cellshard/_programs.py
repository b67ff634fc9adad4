"""The programs as functions: each runs in a process of its own, so that Ctrl-C ends it as it does in a terminal, a
fault of a disk or a want of memory ends it alone, and every flag is one of its own."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from ._arguments import without_commas
from ._errors import CellshardError, FaultsError, RefusedError

#: What runs a program: it ends when this process does, however that ends, as its standard input is over then.
CHILD = """
import os, signal, sys, threading
sys.path.insert(0, sys.argv.pop(1))
def watch():
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=watch, daemon=True).start()
from cellshard.__main__ import main
main()
"""
#: Flags whose lists are cells of CSV: a comma may be part of one.
CELLS = ("negative_control", "positive_control")
Progress = bool | Callable[[str], None]
# Seconds between two lines of progress.
EVERY = "0.5"


def pack(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    *,
    progress: Progress = False,
    check: bool = True,
    **flags: Any,
) -> dict[str, Any]:
    """Packs a tree of images, or transcodes a store. Run again, it goes on where it was.

    Args:
        src: folder with the images, or a finished store.
        dst: folder of the store; made if it is not there.
        progress: ``True`` writes lines to stderr; a function is called with each of them.
        check: whether faults of the images raise.
        flags: those of ``cellshard pack``, with underscores for dashes: ``codec="raw"``, ``on_error="skip"``,
            ``threads=4``, ``channel_names=["nuclei", "actin"]``.

    Returns:
        The report that ``pack --json`` prints.

    Raises:
        FaultsError: if images have faults, or the store is not finished; what is whole is kept.
        RefusedError: if a flag is not known, or what it asks for cannot be done.
        CellshardError: if it could not run.
    """
    return _run("pack", [src, dst], flags, progress, check)


def verify(
    path: str | os.PathLike[str], *, progress: Progress = False, check: bool = False, **flags: Any
) -> dict[str, Any]:
    """Proves what of a store, or of a raw tree, is whole, down to the site.

    Args:
        path: a store, or a raw tree.
        progress: as :func:`pack` has it.
        check: whether damage raises; else the report tells of it, by ``whole``.
        flags: those of ``cellshard verify``: ``deep=True``, ``damaged_list="again.txt"``.

    Returns:
        The report that ``verify --json`` prints.

    Raises:
        FaultsError: if it is not whole and ``check`` is set.
        RefusedError: if a flag is not known, or what it asks for cannot be done.
        CellshardError: if it could not run.
    """
    return _run("verify", [path], flags, progress, check)


def stats(path: str | os.PathLike[str], **flags: Any) -> dict[str, Any]:
    """Statistics of a store as ``stats --json`` prints them; flags are ``by="experiment"``, ``population="controls"``.
    As a table: :meth:`Store.statistics`.

    Raises:
        RefusedError: if a flag is not known, or what it asks for cannot be done.
        CellshardError: if it could not run.
    """
    return _run("stats", [path], flags, progress=False, check=True)


def inspect(path: str | os.PathLike[str], **flags: Any) -> dict[str, Any]:
    """What a store holds, as ``inspect --json`` prints it."""
    return _run("inspect", [path], flags, progress=False, check=False)


def _arguments(flags: dict[str, Any]) -> list[str]:
    arguments = []
    for name, value in flags.items():
        if name in ("json", "help", "version", "progress"):
            raise RefusedError(f"{name}: expected a flag of what is to be done, found one of what is to be printed")
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            arguments.append(flag)
        elif not isinstance(value, (str, bytes, os.PathLike)) and isinstance(value, Iterable):
            arguments.append(f"{flag}={_list(name, value)}")
        elif value is not None and value is not False:
            arguments.append(f"{flag}={os.fsdecode(value) if isinstance(value, (bytes, os.PathLike)) else value}")
    return arguments


def _list(name, values):
    """A list as a flag takes it."""
    if name not in CELLS:
        return without_commas(name, values)
    cells = io.StringIO()
    csv.writer(cells, lineterminator="").writerow(map(str, values))
    return cells.getvalue()


def _run(program, places, flags, progress, check):
    if not sys.executable:
        raise CellshardError("expected a Python that knows its own program (sys.executable), found none")
    arguments = [program, "--json", *_arguments(flags), "--", *map(os.fspath, places)]
    # The package that this is, wherever it lies, and no module of the working folder.
    command = [
        sys.executable,
        "-P",
        "-c",
        CHILD,
        os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        *arguments,
    ]
    environment = os.environ | {"CELLSHARD_PROGRESS": EVERY if progress else "0"}
    show = progress if callable(progress) else (lambda line: print(line, file=sys.stderr))
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, env=environment, **pipes) as process:
        try:
            said = _listen(process, show if progress else None)
        except BaseException:
            # As by Ctrl-C, which a terminal has told it already and a notebook has not.
            process.terminate()
            raise
    printed, last = said
    try:
        report = json.loads(printed)
    except ValueError:
        report = None
    if process.returncode == 0 and report is not None:
        return report
    error = (report or {}).get("error")
    if error:
        # Of a flag that is not known, what a terminal is told goes on.
        message = error["message"].split("\n\n")[0].removeprefix("error: ").strip()
    else:
        message = last or f"cellshard {program}: ended with exit code {process.returncode}"
    if error and error["kind"] in ("refused", "usage"):
        raise RefusedError(message)
    if process.returncode != 1 or report is None:
        raise CellshardError(message)
    if check or error:
        raise FaultsError(message if error else f"{os.fspath(places[0])}: {_faults(report)}", report)
    return report


def _faults(report):
    """What a report found, in a line."""
    kinds = [f"{finding['n']} {finding['kind']}" for finding in report.get("findings", [])]
    if n := sum(fault["n"] for fault in report.get("faults", [])):
        kinds.append(f"{n} of images, such as {report['faults'][0]['meaning']}")
    if n := report.get("kept", {}).get("n", 0):
        kinds.append(f"{n} of plates that the store holds more of than the source")
    return f"expected no faults, found {', '.join(kinds) or 'a store that is not finished'} (all of them are in report)"


def _listen(process, show):
    """What it printed, and the last line that it said beside that."""
    printed = []
    reader = threading.Thread(target=lambda: printed.append(process.stdout.read()), daemon=True)
    reader.start()
    last = ""
    for line in process.stderr:
        last = line.decode(errors="replace").rstrip()
        if show:
            show(last)
    process.wait()
    reader.join()
    return printed[0], last
