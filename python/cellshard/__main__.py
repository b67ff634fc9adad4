"""``cellshard``, the program: ``cellshard pack``, ``verify``, ``stats``, ``inspect``, ``simulate`` and ``bench``."""

import sys

from ._cellshard import main as run


def main():
    """Runs the program that the command line names, and ends with its exit code."""
    if sys.stdout is not None:
        sys.stdout.flush()
    sys.exit(run(["cellshard", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
