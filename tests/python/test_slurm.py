"""The job scripts of docs/slurm do what they say, run as Slurm would run them: with its variables, and with programs
that stand in for `srun` and `scontrol`."""

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "docs" / "slurm"
BIN = Path(os.environ["CELLSHARD_BIN"]).absolute()
# Both refuse what they are not to be called with, and say by which they were.
STUBS = {
    "srun": '[ "$1" = "--cpus-per-task=$SLURM_CPUS_PER_TASK" ] || exit 99\nshift\nexec "$@"',
    "scontrol": '[ "$*" = "requeue $SLURM_JOB_ID" ] || exit 99\necho requeued >> requeued',
}


@pytest.fixture
def work(tmp_path):
    (tmp_path / "bin").mkdir()
    for name, body in STUBS.items():
        (stub := tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        stub.chmod(0o755)
    return tmp_path


def environment(work, **variables):
    path = f"{work / 'bin'}:{BIN}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "SLURM_JOB_ID": "4711", "SLURM_CPUS_PER_TASK": "1"} | variables


def job(work, script, *arguments, **variables):
    """A job that runs; Slurm copies its script elsewhere."""
    (copy := work / "slurm_script").write_text((SCRIPTS / script).read_text())
    command = ["bash", copy, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, cwd=work, env=environment(work, **variables), text=True, **pipes)


def ended(job):
    """Its exit code, and what it said."""
    said, _ = job.communicate(timeout=120)
    return job.returncode, said


def cellshard(work, *arguments):
    subprocess.run([BIN / "cellshard", *arguments], cwd=work, check=True, capture_output=True)


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def directives(script):
    """What Slurm reads of a script: up to its first command."""
    head = re.match(r"(?:#.*\n|\s*\n)*", (SCRIPTS / script).read_text())[0]
    return re.findall(r"^#SBATCH (.*)$", head, re.MULTILINE)


@pytest.mark.parametrize("script", ["pack.sbatch", "train.sbatch"])
def test_slurm_reads_every_directive_and_bash_the_rest(script):
    text = (SCRIPTS / script).read_text()
    assert text.startswith("#!/bin/bash\n")
    assert directives(script) and len(directives(script)) == text.count("#SBATCH")
    assert all(re.fullmatch(r"--[a-z-]+(=\S+)?", directive) for directive in directives(script))
    subprocess.run(["bash", "-n", SCRIPTS / script], check=True)


def test_eight_tasks_at_once_make_the_store_of_one_and_one_can_be_sent_again(work):
    cellshard(work, *"simulate data --experiments HUVEC:3,RPE:2 --plates 2 --wells 4 --sirnas 3 --size 32".split())
    cellshard(work, *"pack data one --codec zstd:3".split())
    (array,) = [directive for directive in directives("pack.sbatch") if directive.startswith("--array=")]
    n = int(array.removeprefix("--array=1-"))
    assert n == 8
    tasks = range(1, n + 1)
    jobs = [job(work, "pack.sbatch", "data", "shards", SLURM_ARRAY_TASK_ID=str(task)) for task in tasks]
    for code, said in map(ended, jobs):
        assert code == 0, said
    assert files(work / "shards") == files(work / "one")
    # One part sent again by itself is the same part, though its array has but one task.
    (lost,) = (work / "shards" / "pixels.zarr" / "HUVEC-02" / "Plate1").rglob("c/0/0/0/0")
    lost.unlink()
    variables = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "1"}
    code, said = ended(job(work, "pack.sbatch", "data", "shards", "--rehash", **variables))
    assert code == 0, said
    assert files(work / "shards") == files(work / "one")


def test_a_task_that_fails_says_so_to_slurm(work):
    assert ended(job(work, "pack.sbatch", "nothing", "shards", SLURM_ARRAY_TASK_ID="1"))[0] == 2


def test_training_goes_back_into_the_queue_until_it_is_over(work):
    cellshard(work, *"simulate data --experiments HUVEC:2,RPE:2 --plates 1 --wells 8 --sirnas 2 --size 32".split())
    cellshard(work, *"pack data shards".split())
    flags = "--recipe demo --model base-cnn --epochs 2 --batch 4 --device cpu --max-steps 2".split()
    for n_before in range(20):
        code, said = ended(job(work, "train.sbatch", "shards", "runs/mine", *flags))
        is_over = (work / "runs" / "mine" / "summary.json").exists()
        assert code == (0 if is_over else 75), said
        requeued = (work / "requeued").read_text().splitlines() if (work / "requeued").exists() else []
        assert len(requeued) == (n_before if is_over else n_before + 1)
        if is_over:
            break
    assert is_over and n_before >= 2
    # One that cannot run is not sent again.
    code, said = ended(job(work, "train.sbatch", "nothing", "runs/other", *flags))
    assert code == 2, said
    assert len((work / "requeued").read_text().splitlines()) == n_before
