"""What type checkers are told is true, and the code is as the house has it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "command",
    [
        ["mypy", "--ignore-missing-imports", "cellshard"],
        ["mypy.stubtest", "cellshard._cellshard"],
        ["ruff", "check", "--quiet", "."],
        ["ruff", "format", "--check", "--quiet", "."],
    ],
    ids=lambda command: " ".join(command),
)
def test_checkers_find_nothing(command, tmp_path):
    pytest.importorskip(command[0].partition(".")[0], reason=f"{command[0]} is not installed here")
    # The package that is installed, and not its sources, is what stubtest imports.
    folder = tmp_path if "stubtest" in command[0] else ROOT
    ended = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
