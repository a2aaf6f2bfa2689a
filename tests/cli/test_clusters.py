"""`gpunn sweep` on the workers of Dask and on MPI ranks."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import pytest
from clusters import ROOT, mpi, running
from command_line import wait_until
from reporting import RunCommand

from gpunn.cli import clusters
from gpunn.cli.clusters import Cluster
from gpunn.sweeps import engine

pytestmark = pytest.mark.timeout(300)
SWEEP = ["sweep", "digits", "--hidden", "8", "--epochs", "2", "--device", "cpu"]


def start(ranks: int, *arguments: object) -> subprocess.Popen[str]:
    """Start `gpunn` on MPI ranks."""
    pytest.importorskip("mpi4py")
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    return subprocess.Popen(mpi(ranks, "-m", "gpunn", *arguments), env=environment, **pipes)


def rows(folder: Path) -> list[dict[str, str]]:
    """Read the table of a sweep, without its times."""
    with open(folder / "sweep.csv") as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


def networks(folder: Path) -> dict[str, int]:
    """Return the networks on file, and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("networks/*.safetensors")}


def test_ranks_train_the_networks_of_a_local_sweep(gpunn_: RunCommand, tmp_path: Path) -> None:
    options = [*SWEEP, "--grid", "learning_rate=0.03,0.1", "--seeds", "2"]
    run = start(3, *options, "--output", tmp_path / "ranks", "--mpi")
    out, err = run.communicate()
    assert run.returncode == 0, err
    assert "4 networks, by 2 MPI ranks beside this one" in out
    assert gpunn_(*options, "--output", tmp_path / "here")[0] == 0
    assert rows(tmp_path / "ranks") == rows(tmp_path / "here")
    files = [(tmp_path / name / "best/model.safetensors").exists() for name in ("ranks", "here")]
    assert files == [True, True]
    assert sorted(path.suffix for path in (tmp_path / "ranks/networks").iterdir()) == [
        ".json", *[".safetensors"] * 4,
    ]  # fmt: skip
    assert "--mpi" not in (tmp_path / "ranks/best/run.json").read_text()
    assert not running(str(tmp_path))


@pytest.mark.parametrize(
    ("ranks", "options", "message"),
    [
        (2, ["--hiddn", "8"], "No such option: --hiddn. Did you mean --hidden?"),
        (1, [], "--mpi needs two ranks or more, of which the first hands out the work"),
    ],
)
def test_the_first_rank_alone_complains(ranks: int, options: list[str], message: str) -> None:
    run = start(ranks, *SWEEP, *options, "--mpi")
    _, err = run.communicate()
    lines = [line for line in err.splitlines() if line.startswith("gpunn: ")]
    assert run.returncode == 2
    assert len(lines) == 1 and message in lines[0]


def test_ctrl_c_keeps_what_the_ranks_have_finished(tmp_path: Path) -> None:
    """A rank that is training stops at once."""
    run = start(3, *SWEEP, "--grid", "epochs=1,2,100000000", "--output", tmp_path / "run", "--mpi")
    wait_until(lambda: len(networks(tmp_path / "run")) == 2, run)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate()
    assert run.returncode == 130, err
    assert f"interrupted after 2 of 3 networks; gpunn sweep --resume {tmp_path / 'run'}" in out
    assert [row["status"] for row in rows(tmp_path / "run")] == ["done", "done", "interrupted"]
    assert not running(str(tmp_path))


def test_a_rank_that_dies_ends_all_and_resuming_goes_on(gpunn_: RunCommand, tmp_path: Path) -> None:
    """The launcher ends the other ranks; the networks on file are not trained again."""
    run = start(3, *SWEEP, "--grid", "epochs=1,2,5000", "--output", tmp_path / "run", "--mpi")
    wait_until(lambda: len(networks(tmp_path / "run")) >= 2, run)
    for pid in running(str(tmp_path)):
        if psutil.Process(pid).environ().get("PMI_RANK") == "1":
            os.kill(pid, signal.SIGKILL)
    run.communicate()
    assert run.returncode != 0 and not running(str(tmp_path))
    before = networks(tmp_path / "run")
    code, _, err = gpunn_("sweep", "--resume", tmp_path / "run")
    assert code == 0, err
    assert [row["status"] for row in rows(tmp_path / "run")] == ["done"] * 3
    assert before.items() <= networks(tmp_path / "run").items()
    assert not list(tmp_path.glob("run/networks/gpunn-sweep-*"))


@pytest.fixture
def scheduler() -> Any:
    """A Dask cluster within this process."""
    distributed = pytest.importorskip("distributed")
    options = {"processes": False, "threads_per_worker": 1, "protocol": "tcp", "silence_logs": 50}
    with distributed.LocalCluster(2, **options, dashboard_address=":0") as cluster:
        yield cluster


def test_dask_trains_and_resumes(gpunn_: RunCommand, scheduler: Any, tmp_path: Path) -> None:
    address, options = scheduler.scheduler_address, [*SWEEP, "--grid", "learning_rate=0.03,0.1"]
    code, out, err = gpunn_(*options, "--output", tmp_path / "dask", "--dask", address)
    assert code == 0, err
    assert re.search(f"2 networks, by [12] workers? of {address}", out)
    assert gpunn_(*options, "--output", tmp_path / "here")[0] == 0
    assert rows(tmp_path / "dask") == rows(tmp_path / "here")
    assert "--dask" not in (tmp_path / "dask/best/run.json").read_text()
    assert gpunn_("sweep", "--resume", tmp_path / "dask", "--dask", address)[0] == 0


class Breaking(ThreadPoolExecutor):
    """An executor whose pool breaks after a few tasks."""

    def submit(self, *task: Any, **named: Any) -> Any:
        self.left = getattr(self, "left", 4) - 1
        if self.left == 0:
            raise BrokenExecutor("a worker died")
        return super().submit(*task, **named)


def test_a_pool_that_breaks_is_one_line(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = Cluster(Breaking(1), "by a thread")
    with monkeypatch.context() as patch, cluster.executor:
        patch.setattr(engine, "TASK", 0)
        patch.setattr(clusters, "connected", lambda *_: nullcontext(cluster))
        code, _, err = gpunn_(*SWEEP, "--seeds", "4", "--output", tmp_path / "run")
    done = len(networks(tmp_path / "run"))
    assert code == 1 and 1 <= done < 4
    assert err.splitlines()[-1] == (
        f"gpunn: error: the executor's workers have ended: a worker died; {done} of 4 networks are finished: "
        f"gpunn sweep --resume {tmp_path / 'run'}"
    )
    assert gpunn_("sweep", "--resume", tmp_path / "run")[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dask", "tcp://127.0.0.1:1"], "--dask tcp://127.0.0.1:1: no scheduler answers there: Timed out"),
        (["--dask", "nonsense"], "--dask nonsense: no scheduler answers there: "),
        (["--dask", "tcp://127.0.0.1:1", "--mpi"], "--dask and --mpi exclude each other"),
        (["--mpi"], "--mpi needs two ranks or more"),
    ],
)
def test_refused(
    refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(clusters, "SECONDS", 0.2)
    refused([*SWEEP, *options], message)
