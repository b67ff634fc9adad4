"""The programs, as functions and by the wheel's one script."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cellshard

SCRIPT = Path(sys.executable).with_name("cellshard")


def call(folder, *arguments):
    return subprocess.run([SCRIPT, *arguments], cwd=folder, capture_output=True, text=True)


def test_a_notebook_packs_proves_and_looks(folder, tmp_path):
    lines = []
    report = cellshard.pack(
        folder / "data", tmp_path / "shards", codec="raw", sites_per_shard=7, threads=2, progress=lines.append
    )
    assert report["finished"] and report["sites_packed"] == 400
    assert (tmp_path / "shards/SHA256SUMS").read_bytes() == (folder / "raw/SHA256SUMS").read_bytes()
    assert cellshard.verify(tmp_path / "shards", deep=True)["findings"] == []
    figures = cellshard.stats(tmp_path / "shards", by="cell-type", population=["controls"])
    assert {group["group"] for group in figures["groups"]} == {"HUVEC", "RPE"}
    summary = cellshard.Store(tmp_path / "shards").summary
    assert summary["finished"] and summary["total"]["sites"] == 400


def test_faults_are_never_silent(folder, tmp_path):
    shutil.copytree(folder / "data", tmp_path / "data")
    image = next((tmp_path / "data").rglob("*.png"))
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(cellshard.FaultsError, match="found 1 of images, such as") as caught:
        cellshard.pack(tmp_path / "data", tmp_path / "shards")
    assert len(caught.value.report["faults"]) == 1
    report = cellshard.pack(tmp_path / "data", tmp_path / "shards", on_error="skip", check=False)
    assert report["finished"]
    shutil.copytree(folder / "raw", tmp_path / "raw")
    (tmp_path / "raw/classes.csv").unlink()
    assert not cellshard.verify(tmp_path / "raw")["whole"]
    with pytest.raises(cellshard.FaultsError, match="expected no faults, found 1 missing"):
        cellshard.verify(tmp_path / "raw", check=True)
    for wrong in ({"codec": "gzip"}, {"kodec": "raw"}):
        with pytest.raises(cellshard.RefusedError, match="gzip|--kodec") as caught:
            cellshard.pack(folder / "data", tmp_path / "other", **wrong)
        assert "--help" not in str(caught.value)
    with pytest.raises(cellshard.CellshardError, match="expected a folder"):
        cellshard.verify(tmp_path / "nowhere")
    with pytest.raises(cellshard.RefusedError, match="found none"):
        cellshard.pack(tmp_path / "--odd name", tmp_path / "odd")


def test_lists_are_what_they_are(folder, tmp_path):
    """A comma in the name of a control is part of it; where a flag has no way to say so it is refused."""
    from cellshard._programs import _arguments

    assert _arguments({"negative_control": ["1,2-x", 'a "b"', "DMSO"]}) == ['--negative-control="1,2-x","a ""b""",DMSO']
    assert _arguments({"plates": ("A-1/1", "A-1/2"), "deep": True, "codec": None}) == ["--plates=A-1/1,A-1/2", "--deep"]
    with pytest.raises(cellshard.RefusedError, match="expected texts without a comma, found 'DNA, Hoechst'"):
        cellshard.pack(folder / "data", tmp_path / "out", channel_names=["DNA, Hoechst", "ER"])
    with pytest.raises(cellshard.RefusedError, match="json"):
        cellshard.pack(folder / "data", tmp_path / "out", json=True)


def test_they_are_this_package_whatever_lies_in_the_working_folder(folder, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("print('not this one')")
    (tmp_path / "cellshard").mkdir()
    (tmp_path / "cellshard" / "__init__.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert cellshard.verify(folder / "raw")["whole"]


def test_they_end_with_who_called_them(folder, tmp_path):
    """A notebook's kernel that is killed leaves no pack behind that others wait for."""
    body = "import cellshard, sys; cellshard.pack('data', sys.argv[1], codec='zstd:22', threads=1, progress=True)"
    caller = subprocess.Popen([sys.executable, "-c", body, tmp_path / "slow"], cwd=folder, stderr=subprocess.PIPE)
    while not list(tmp_path.glob("slow/*")):
        time.sleep(0.01)
    caller.kill()
    caller.wait()
    started = time.monotonic()
    assert cellshard.pack(folder / "data", tmp_path / "slow", codec="zstd:22")["finished"]
    left = subprocess.run(["pgrep", "-f", str(tmp_path / "slow")], capture_output=True, text=True).stdout
    assert left == "" and time.monotonic() - started < 60


def test_progress_is_lines(folder, tmp_path, capfd):
    lines = []
    cellshard.pack(folder / "data", tmp_path / "zstd", codec="zstd:19", threads=1, progress=lines.append)
    assert all(isinstance(line, str) and line for line in lines)
    cellshard.pack(folder / "data", tmp_path / "silent")
    assert capfd.readouterr() == ("", "")


def test_the_script_is_each_program(folder):
    assert "Programs:\n  simulate" in call(folder, "--help").stdout
    assert call(folder, "--version").stdout == f"cellshard {cellshard.__version__}\n"
    assert call(folder, "pack", "--version").stdout == f"pack {cellshard.__version__}\n"
    assert call(folder, "help", "verify").stdout == call(folder, "verify", "--help").stdout != ""
    assert "Usage: cellshard verify" in call(folder, "verify", "-h").stdout
    found = call(folder, "inspect", "raw", "--json")
    assert json.loads(found.stdout)["finished"] and found.returncode == 0
    assert call(folder, "stats", "raw", "--csv").stdout.startswith("group,")


def test_the_script_ends_as_the_programs_do(folder, tmp_path):
    wrong = call(folder, "verify", "nowhere")
    assert wrong.returncode == 2 and wrong.stderr == "error: nowhere: expected a folder, found none\n"
    for name in ("train", "predict"):
        wrong = call(folder, name, "raw")
        assert wrong.returncode == 2 and "needs no libtorch" in wrong.stderr
    wrong = call(folder, "pak", "raw")
    assert wrong.returncode == 2 and "pack" in wrong.stderr
    shutil.copytree(folder / "raw", tmp_path / "raw")
    (tmp_path / "raw/classes.csv").unlink()
    assert call(tmp_path, "verify", "raw").returncode == 1


def test_a_reader_that_goes_away_is_no_error(folder):
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"'{SCRIPT}' stats raw --csv | head -1"], cwd=folder, capture_output=True
    )
    assert ended.returncode == 0 and ended.stderr == b""


def test_without_a_stdout_it_does_its_work(folder):
    ended = subprocess.run(["bash", "-c", f"'{SCRIPT}' stats raw >&-"], cwd=folder, capture_output=True)
    assert ended.returncode == 0, ended.stderr
