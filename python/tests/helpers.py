"""What tests share."""

import subprocess
import sys

import numpy as np

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


def smooth(shape, seed=0, step=1):
    """Pixels that are much like those beside them, in channels that are much like each other."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-step, step + 1, shape[1:]).cumsum(0).cumsum(1)
    return (steps + rng.integers(-step, step + 1, shape)).astype(np.uint8)


def changed(stream, at, *values):
    return stream[:at] + bytes(values) + stream[at + len(values) :]
