"""The programs on a terminal, which a pseudo-terminal is: what they show fits its width, a bar shows progress, and Ctrl-C
leaves a clean line. Into a pipe all goes, unbroken."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import unicodedata
from pathlib import Path

import pytest

BIN = Path(os.environ["CELLSHARD_BIN"]).absolute()
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(folder, columns, *command, until=None):
    """All that a program writes to a terminal of this width, and its status; Ctrl-C is typed once it has shown `until`."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        # What Python's readline has set in the environment is not known to os.environ.
        environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm"}
        os.execve(BIN / command[0], [str(argument) for argument in command], environment)
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
        if until is not None and re.search(until, shown):
            os.write(terminal, b"\x03")
            until = None
    os.close(terminal)
    return shown.decode(), os.waitpid(pid, 0)[1]


def width(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def lines(shown):
    return [CONTROL.sub("", line).split("\r")[-1] for line in shown.replace("\r\n", "\n").split("\n")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("terminal")
    shape = ["--plates", "1", "--wells", "12", "--sirnas", "3", "--size", "32"]
    subprocess.run([BIN / "simulate", root / "data", "--experiments", "HUVEC:2", *shape], check=True, capture_output=True)
    subprocess.run([BIN / "pack", root / "data", root / "store"], check=True, capture_output=True)
    plate = root / "data" / "train" / "HUVEC-01" / "Plate1"
    for i in range(4):
        (plate / f"notes-on-this-plate-and-its-images-{i}.txt").write_text("x")
    damaged = root / "damaged"
    subprocess.run(["cp", "-r", root / "store", damaged], check=True)
    shard = damaged / "pixels.zarr/HUVEC-01/Plate1/c/0/0/0/0"
    shard.write_bytes(shard.read_bytes()[:-100])
    (plate / "B02_s1_w1.png").write_bytes(b"")
    return root


REPORTS = [
    ("stats", "store"),
    ("stats", "store", "--by", "store"),
    ("pack", "data", "new", "--dry-run"),
    ("verify", "damaged"),
    ("verify", "data"),
    ("bench", "store", "--seconds", "0.001", "--rounds", "1"),
]


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
@pytest.mark.parametrize("command", REPORTS, ids=" ".join)
def test_what_is_shown_fits_the_terminal(folder, columns, command):
    shown, _ = on_terminal(folder, columns, *command)
    for line in lines(shown):
        # A path that is longer than the screen stays whole.
        assert width(line) <= columns or " " not in line.strip(), line


def test_columns_without_room_are_named_and_a_pipe_has_all(folder):
    shown, status = on_terminal(folder, 80, "stats", "store")
    text = " ".join(" ".join(lines(shown)).split())
    assert "no room for std/image" in text and "--csv, --json and a wider terminal show all" in text
    assert status == 0 and "std/image" not in lines(shown)[0]
    wide = "\n".join(lines(on_terminal(folder, 200, "stats", "store")[0]))
    assert "no room for" not in wide
    piped = subprocess.run([BIN / "stats", "store"], cwd=folder, check=True, capture_output=True, text=True).stdout
    table, _, _ = piped.partition("\n\n")
    assert table in wide and "std/image" in table


def test_ctrl_c_leaves_a_clean_line(folder):
    arguments = ["--experiments", "HUVEC:4", "--size", "1024"]
    shown, status = on_terminal(folder, 80, "simulate", "made", *arguments, until=rb"of 9,856 sites, [0-9.,]+ sites/s, ")
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT
    last = shown.rstrip("\r\n").split("\r\n")[-1]
    *_, erased = re.split(r"\x1b\[2K", last)
    assert CONTROL.sub("", erased).startswith("interrupted: what is made is kept; go on with: "), last
    assert "0/0" not in shown and not re.search(r"\d\.\d\d+ sites/s", shown)
