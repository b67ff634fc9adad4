"""What the tests of the loader share."""

import subprocess
import sys

import cellshard


def loader(store, sites=None, **arguments):
    return cellshard.Loader(store, sites, format="numpy", **arguments)


def indices(batches):
    return [batch["index"].tolist() for batch in batches]


def script(body, folder, **arguments):
    """Runs lines in an interpreter of their own."""
    begin = "import os, sys, cellshard\nstore = cellshard.Store('raw')\n"
    command = [sys.executable, "-X", "faulthandler", "-c", begin + body]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, **arguments)
