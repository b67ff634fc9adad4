"""What `train` does when it is told to stop: by Ctrl-C, by a scheduler, by a terminal that goes away, and by `timeout`,
which tells a process and then its group."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

BIN = Path(os.environ["CELLSHARD_BIN"]).absolute()
SAVED = 75
# More epochs than anybody waits for.
LONG = ["--model", "base-cnn", "--batch", "8", "--early-stopping", "none", "--epochs", "100000"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signals")
    simulate = [BIN / "simulate", "data", "--experiments", "HUVEC:3", "--wells", "40", "--sirnas", "4", "--size", "32"]
    for command in (simulate, [BIN / "pack", "data", "shards"]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "shards"


def train(store, run, *flags, hangup=signal.SIG_DFL, **pipes):
    """Begins, with SIGHUP as it is told and not as whoever runs the tests has it."""
    command = [BIN / "train", store, "--run", run, "--device", "cpu", "--threads", "1", *flags]
    pipes = pipes or {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    told = lambda: signal.signal(signal.SIGHUP, hangup)
    return subprocess.Popen(command, start_new_session=True, preexec_fn=told, **pipes)


def until(line, job):
    for said in job.stdout:
        if line in said:
            return
    pytest.fail(f"it ended without {line!r}")


def ended(job):
    said, _ = job.communicate(timeout=120)
    return job.returncode, said


def goes_on(store, run):
    code, said = ended(train(store, run, "--resume", "--max-steps", "1"))
    return code == SAVED and "resume     epoch" in said


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_has_it_save(store, tmp_path, told):
    job = train(store, tmp_path / "run", *LONG)
    until("epoch", job)
    job.send_signal(told)
    code, said = ended(job)
    assert code == SAVED, said
    assert goes_on(store, tmp_path / "run")


def test_a_process_and_its_group_told_at_once_is_one_wish(store, tmp_path):
    job = train(store, tmp_path / "run", *LONG)
    until("epoch", job)
    for told in (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
        job.send_signal(told)
    os.killpg(job.pid, signal.SIGTERM)
    code, said = ended(job)
    assert code == SAVED, said
    assert goes_on(store, tmp_path / "run")


def test_a_terminal_that_goes_away_has_it_save(store, tmp_path):
    """Its screen and its log are gone with the terminal; that is no reason to lose the run."""
    ours, its = os.openpty()
    job = train(store, tmp_path / "run", *LONG, stdin=its, stdout=its, stderr=its)
    os.close(its)
    said = b""
    while b"epoch 1" not in said and b"epoch    1" not in said:
        said += os.read(ours, 65536)
    os.close(ours)
    job.send_signal(signal.SIGHUP)
    assert job.wait(timeout=120) == SAVED
    assert goes_on(store, tmp_path / "run")


def test_nohup_has_it_go_on(store, tmp_path):
    few = [*LONG[:-1], "30"]
    job = train(store, tmp_path / "run", *few, hangup=signal.SIG_IGN)
    until("epoch", job)
    job.send_signal(signal.SIGHUP)
    code, said = ended(job)
    assert code == 0, said


def test_a_second_wish_ends_it_in_the_midst_of_a_step(store, tmp_path):
    """It is held up meanwhile, as by a GPU or a disk that hangs; to hear of the first it has far less than a step."""
    job = train(store, tmp_path / "run", "--model", "resnet50", "--batch", "32", "--resize", "128", "--epochs", "1")
    until("validate", job)
    time.sleep(1)
    for told in (signal.SIGSTOP, signal.SIGINT, signal.SIGCONT):
        job.send_signal(told)
    time.sleep(0.02)
    job.send_signal(signal.SIGSTOP)
    time.sleep(1.2)
    for told in (signal.SIGINT, signal.SIGCONT):
        job.send_signal(told)
    code, said = ended(job)
    assert code == 128 + signal.SIGINT, said
