"""Every block of Python in docs/python.md and the READMEs runs, one after the other, as they stand."""

import os
import re
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed here; make test-torch-python installs it")
pytest.importorskip("torchvision", reason="torchvision is not installed here")

ROOT = Path(__file__).parents[2]
BIN = Path(os.environ.get("CELLSHARD_BIN", "target/release")).absolute()


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    simulate = "cellshard simulate data --experiments HUVEC:3,RPE:3 --plates 2 --wells 60 --sirnas 8 --size 64"
    for command in (simulate, "cellshard pack data shards"):
        subprocess.run(command, shell=True, check=True, capture_output=True)
    return tmp_path


@pytest.mark.parametrize("page", ["docs/python.md", "python/README.md", "README.md"])
def test_every_block_runs(work, page):
    names = {}
    text = (ROOT / page).read_text()
    blocks = re.findall(
        r"<!-- run: (cellshard (?:train|pack data small) [^\n]*) -->|^```python\n(.*?)^```",
        text,
        re.MULTILINE | re.DOTALL,
    )
    assert any(block for _, block in blocks)
    for command, block in blocks:
        if command:
            subprocess.run(command, shell=True, check=True, capture_output=True)
        if "import napari" in block:
            model = pytest.importorskip("napari.components", reason="napari is not installed here").ViewerModel
            # The viewer without its window: there is no screen here.
            block = block.replace("napari.Viewer()", "ViewerModel()")
            names["ViewerModel"] = model
        exec(compile(block, page, "exec"), names)
    if "viewer" in names:
        layers = names["viewer"].layers
        assert [layer.name for layer in layers] == names["store"].channels
        assert all((layer.data > 0).any() for layer in layers)
