"""Small stores, made by the wheel's own programs."""

import subprocess
import sys

import pytest


def run(folder, *arguments):
    command = [sys.executable, "-m", "cellshard", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """``data``, and of it the stores ``raw``, ``zstd`` and ``wave``; ``deep`` has pixels of 16 bits."""
    folder = tmp_path_factory.mktemp("stores")
    shape = ["--experiments", "HUVEC:3,RPE:2", "--plates", "2", "--wells", "20", "--sirnas", "6"]
    run(folder, "simulate", "data", *shape, "--size", "32")
    run(folder, "pack", "data", "raw", "--codec", "raw", "--sites-per-shard", "7")
    run(folder, "pack", "data", "zstd")
    run(folder, "pack", "data", "wave", "--codec", "wave")
    run(
        folder,
        "simulate",
        "deep-data",
        *shape[:2],
        "--plates",
        "1",
        "--wells",
        "8",
        "--sirnas",
        "4",
        "--size",
        "24",
        "--bits",
        "16",
    )
    run(folder, "pack", "deep-data", "deep")
    return folder


@pytest.fixture(params=["raw", "zstd", "wave"])
def store(request, folder):
    import cellshard

    return cellshard.Store(folder / request.param)


@pytest.fixture
def raw(folder):
    import cellshard

    return cellshard.Store(folder / "raw")
