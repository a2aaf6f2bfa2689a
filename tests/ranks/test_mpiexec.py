"""Training under mpiexec, with two processes: few starts, each with several checks and a limit of time."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mpi_script
import numpy as np
import pytest
from reporting import RunCommand

import gpunn
from gpunn.training.checkpoint_files import newest

MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
LIMIT = 300  # seconds, since a test that hangs is one that has failed
HOUSE = Path(__file__).parents[2]
GPUNN = [sys.executable, "-m", "gpunn"]
TABLE = "x,y\n" + "".join(f"{k * 7 % 13},{k % 2}\n" for k in range(60))

pytestmark = pytest.mark.skipif(not MPIEXEC, reason="no mpiexec: pip install mpich")


def start(*words: object, cwd: Path) -> subprocess.Popen[str]:
    """Start mpiexec, in a group of its own."""
    environment = {**os.environ, "PYTHONPATH": str(HOUSE)}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [str(MPIEXEC), *map(str, words)]
    return subprocess.Popen(command, cwd=cwd, env=environment, text=True, **pipes)  # type: ignore[call-overload]


def mpiexec(*words: object, cwd: Path) -> tuple[int, str, str]:
    """Run mpiexec: (exit code, stdout, stderr)."""
    process = start(*words, cwd=cwd)
    try:
        out, err = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    return process.returncode, out, err


def test_python_on_two_ranks(tmp_path: Path) -> None:
    rows = np.ascontiguousarray(mpi_script.X.T)
    np.save(tmp_path / "X.npy", rows)
    rows[30, 2] = np.nan
    np.save(tmp_path / "bad.npy", rows)
    code, out, err = mpiexec("-n", 2, sys.executable, mpi_script.__file__, tmp_path, cwd=tmp_path)
    assert code == 0, err
    found = json.loads(out)
    assert max(found["apart"].values()) < 1e-12
    assert set(found["copies"].values()) == {1}
    assert found["mapped"] == 0
    errors = found["errors"]
    assert errors.pop("data").startswith("rank 1 of 2 has another data set than rank 0: ")
    assert errors == {
        "settings": "rank 1 of 2 has another batch size than rank 0: 20, not 10",
        "epochs": "rank 1 of 2 has another number of epochs than rank 0: 2, not 1",
        "examples": "1 example cannot be shared by 2 ranks: start at most one for each example",
        "batch": "mini-batches of 1 cannot be shared by 2 ranks: use larger mini-batches or fewer ranks",
        "one rank": "rank 1 of 2: X must be (16, m), one example a column, not (4, 41)",
        "not finite": "rank 1 of 2: X[2, 30] is nan: X must be finite",
        "file": f"rank 1 of 2: {tmp_path / 'nothing.npy'}: No such file or directory",
        "callback": "a callback that fails",
        "none": "no error",
    }


@pytest.mark.filterwarnings("default:the run so far used")
def test_a_rank_that_is_killed_ends_all_and_the_checkpoint_goes_on(
    tmp_path: Path, gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = ["digits", "--hidden", 16, "--epochs", 10**6, "--checkpoint-every", 1, "--precision", "float64"]
    process = start("-n", 2, *GPUNN, "train", *how, "--output", "run", cwd=tmp_path)
    try:
        checkpoints = tmp_path / "run" / "checkpoints"
        wait_until(process, lambda: any(checkpoints.glob("epoch-*.safetensors")))
        os.kill(rank_of(process.pid, 1), signal.SIGKILL)
        process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    assert process.returncode != 0
    saved = newest(checkpoints)
    assert saved and saved.state["ranks"] == 2
    epochs = len(saved.state["records"]) + 1
    monkeypatch.chdir(tmp_path)
    code, _, err = gpunn_("train", "--resume", "run", "--epochs", epochs, "--json")
    assert code == 0, err
    assert "the run so far used 2 ranks, and 1 from now on" in err
    alone = train_alone(epochs)
    np.testing.assert_allclose(gpunn.Network.load("run").theta, alone.theta, rtol=0, atol=1e-12)
    lines = Path("run/history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, epochs + 1))


def train_alone(epochs: int) -> gpunn.Network:
    """Train what `gpunn train digits` trains, in one go."""
    digits = gpunn.datasets.load("digits").train
    layers = [gpunn.Dense(16, "relu"), gpunn.Dense(10, "softmax")]
    net = gpunn.Network(64, layers, seed=0, dtype="float64")
    net.fit(digits.X, digits.y, epochs=epochs, batch_size=16, optimizer="nesterov", threads=1)
    return net


def test_ctrl_c_saves_what_all_ranks_learnt(tmp_path: Path) -> None:
    how = ["digits", "--hidden", 16, "--epochs", 10**6, "--output", "run"]
    process = start("-n", 2, *GPUNN, "train", *how, cwd=tmp_path)
    try:
        wait_until(process, lambda: (tmp_path / "run" / "history.jsonl").exists())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "saved run/model.safetensors" in out
    result = json.loads((tmp_path / "run" / "run.json").read_text())["result"]
    assert (result["ranks"], result["interrupted"]) == (2, True)


def test_bad_input_is_one_line_of_rank_0(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
    (tmp_path / "a" / "t.csv").write_text(TABLE)
    table = [*GPUNN, "train", "t.csv", "--target", "y"]
    where = "-n", 1, "-wdir", tmp_path / "a", *table, ":", "-n", 1, "-wdir", tmp_path / "b", *table
    code, out, err = mpiexec(*where, cwd=tmp_path)
    assert (code, out, err) == (2, "", "gpunn: error: rank 1 of 2: t.csv does not exist\n")
    digits = [*GPUNN, "train", "digits", "--epochs"]
    code, out, err = mpiexec("-n", 1, *digits, 1, ":", "-n", 1, *digits, 2, cwd=tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("gpunn: error: rank 1 of 2 has another command than rank 0: digits --epochs 2")
    assert err.count("\n") == 1
    code, out, err = mpiexec("-n", 2, *digits, 1, "--batch-size", 1, cwd=tmp_path)
    assert code == 2
    assert (
        err.startswith("gpunn: error: mini-batches of 1 cannot be shared by 2 ranks") and err.count("\n") == 1
    )
    assert not list(tmp_path.glob("gpunn-runs/*"))


def test_a_streamed_table_is_learnt_as_by_one_process(
    tmp_path: Path, gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rng = np.random.default_rng(0)
    (tmp_path / "d").mkdir()
    for name in "ab":
        x = rng.normal(size=(3, 8000))
        columns = {f"x{k}": x[k] for k in range(3)} | {"y": np.where(x[0] > x[1], "yes", "no")}
        pq.write_table(pa.table(columns), tmp_path / "d" / f"{name}.parquet", row_group_size=1000)
    how = ["d/*.parquet", "--target", "y", "--hidden", 8, "--epochs", 1, "--precision", "float64"]
    how += ["--memory", "2M", "--ensemble", 1, "--device", "cpu", "--output"]
    code, out, err = mpiexec("-n", 2, *GPUNN, "train", *how, "two", cwd=tmp_path)
    assert code == 0, err
    assert "streamed from 2 files" in out
    monkeypatch.chdir(tmp_path)
    assert gpunn_("train", *how, "one")[0] == 0
    one, two = (gpunn.Network.load(f"{name}/model.safetensors").theta for name in ("one", "two"))
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-9)


def test_mpiexec_without_mpi4py_and_settings_that_ranks_cannot_share(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", "0")
    code, _, err = gpunn_("train", "digits")  # a process that another MPI has started
    assert code == 2
    assert err.startswith("gpunn: error: mpiexec started 2 processes, but mpi4py finds one")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    code, _, err = gpunn_("train", "digits")
    assert code == 2
    assert err.startswith("gpunn: error: mpiexec started 2 processes, but mpi4py cannot be used (")
    assert err.endswith("): pip install 'gpunn[mpi]'\n")
    assert err.count("\n") == 1


def wait_until(process: subprocess.Popen[str], done: Any) -> None:
    """Wait until something has happened, as long as the process runs."""
    while not done():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes that a process has started, directly or not."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        children = [int(child) for child in (task / "children").read_text().split()]
        yield from itertools.chain(children, *map(descendants, children))


def rank_of(pid: int, rank: int) -> int:
    """Return the process of a rank that this mpiexec has started."""
    for child in descendants(pid):
        if f"PMI_RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return child
    raise AssertionError(f"no process of rank {rank}")
