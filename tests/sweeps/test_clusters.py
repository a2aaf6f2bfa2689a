"""Sweeps by the workers of Dask and of other executors: data are shipped once, and workers may die."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from clusters import Counted, Deadly, meet, run
from sweeping import X, Y, equal, sweep

import gpunn
from gpunn import backends
from gpunn.sweeps import devices, engine, executors
from gpunn.sweeps.executors import count_workers
from gpunn.sweeps.shipping import Shipment

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A Dask cluster of two processes, and a client of it."""
    distributed = pytest.importorskip("distributed")
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(2, **options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def dask(client: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An executor of two workers that are alive; a task is a network, and Dask does not try it again."""
    monkeypatch.setattr(engine, "TASK", 0)
    client.wait_for_workers(2)
    client.cluster.scheduler.allowed_failures = 0
    return client.get_executor()


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no worker find the file of the data, as on another machine."""
    monkeypatch.setattr(Shipment, "to_file", lambda self: None)


def test_dask_trains_the_same_networks(dask: Any) -> None:
    """The table has all but the times in common with that of a local sweep."""
    result, here = sweep(executor=dask, seeds=2, folds=2), sweep(seeds=2, folds=2)
    assert all(equal(result.network(i), here.network(i)) for i in range(8))
    rows = [[{**row, "seconds": 0} for row in table] for table in (result.table, here.table)]
    assert rows[0] == rows[1]


def test_dasks_workers_get_the_data_once_each(dask: Any, far_away: None, tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("data", "met")]
    for place in places:
        place.mkdir()
    data = Counted(places[0])
    pids = run(data, partial(meet, folder=places[1], workers=2), range(6), dask)
    assert data.arrivals() == dict.fromkeys(map(str, set(pids)), 1)


def test_other_workers_get_the_data_once_each(far_away: None, tmp_path: Path) -> None:
    """They keep them for the next sweep, and threads of this process take its own."""
    places = [tmp_path / name for name in ("data", "met")]
    for place in places:
        place.mkdir()
    data = Counted(places[0])
    pids = set[int]()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        for _ in range(2):  # the second time, one of the two may be quick enough to do everything
            pids |= set(run(data, partial(meet, folder=places[1], workers=2), range(6), executor))
            assert len(pids) == 2 and data.arrivals() == dict.fromkeys(map(str, pids), 1)
    with ThreadPoolExecutor(2) as threads:
        run(data, partial(meet, folder=places[1], workers=2), range(6), threads)
    assert len(data.arrivals()) == 2


def test_a_worker_that_dies_costs_its_networks_only(dask: Any, tmp_path: Path) -> None:
    score = Deadly(tmp_path, 1)
    result = sweep(executor=dask, seeds=3, validation=(X, Y), score=score)
    assert score.killed == 1
    assert result.table.column("status") == ["done"] * 6
    here = sweep(seeds=3, validation=(X, Y), score=score)
    assert all(equal(result.network(i), here.network(i)) for i in range(6))


def test_dask_itself_trains_lost_networks_again(dask: Any, far_away: None, tmp_path: Path) -> None:
    """The data, too, are made again if their worker dies."""
    dask._client.cluster.scheduler.allowed_failures = 3
    result = sweep(executor=dask, seeds=2, validation=(X, Y), score=Deadly(tmp_path, 2))
    assert result.table.column("status") == ["done"] * 4


def test_a_pool_that_breaks_keeps_what_is_finished(tmp_path: Path) -> None:
    """The sweep ends with a line, and goes on from its folder."""
    loky = pytest.importorskip("loky")
    folder, killed = tmp_path / "sweep", tmp_path / "killed"
    killed.mkdir()

    def third(end: gpunn.NetworkEnd) -> None:
        if end.done == 3:
            for pid in list(executor._processes):
                os.kill(pid, signal.SIGKILL)

    options = {"grid": {"epochs": [100_000, 1, 2, 3]}, "validation": (X, Y), "checkpoint": folder}
    with loky.ProcessPoolExecutor(2) as executor:
        with pytest.warns(RuntimeWarning, match="workers have ended: .*; 3 of 4 networks are finished"):
            result = sweep(**options, executor=executor, on_network_end=third)
        assert result.interrupted and result.broken and "\n" not in result.broken
        assert result.table.column("status") == ["interrupted", "done", "done", "done"]
        with pytest.raises(RuntimeError, match="workers have ended"):
            sweep(executor=executor)
    options["grid"] = {"epochs": [4, 1, 2, 3]}
    ends: list[int] = []
    again = sweep(**options, resume=True, on_network_end=lambda end: ends.append(end.examples) and None)
    assert again.table.column("status") == ["done"] * 4
    assert sorted(ends) == [0, 0, 0, 240]


def test_tasks_that_are_cancelled_elsewhere_end_the_sweep(dask: Any) -> None:
    """They are, if the scheduler ends."""
    distributed, client = pytest.importorskip("distributed"), dask._client

    def cancel(end: gpunn.NetworkEnd) -> None:
        client.cancel([distributed.Future(key, client) for key in client.futures])

    with pytest.warns(RuntimeWarning, match="their tasks were cancelled"):
        result = sweep(executor=dask, seeds=8, on_network_end=cancel)
    assert result.broken and 1 <= result.finished < 16


def test_workers_without_this_version_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "__version__", "9.9")
    with ThreadPoolExecutor(1) as threads, pytest.raises(ValueError, match=r"the workers have gpunn .*9\.9"):
        sweep(executor=threads)
    monkeypatch.setattr(executors, "VERSION", "__import__('gpunn_')")
    with ThreadPoolExecutor(1) as threads, pytest.raises(ValueError, match="cannot import gpunn: No module"):
        sweep(executor=threads)


class Duck:
    """An executor by its `submit` alone, as one that hands tasks to Ray."""

    def submit(self, function: Any, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future


def test_an_executor_needs_nothing_but_submit() -> None:
    duck: Any = Duck()
    assert sweep(executor=duck).table.column("status") == ["done", "done"]
    assert count_workers(duck) >= 1


# devices


@pytest.mark.parametrize(
    ("environment", "device", "expected"),
    [
        ({"MPI_LOCALRANKID": "6"}, "auto", "cuda:2"),
        ({"OMPI_COMM_WORLD_LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}, "cuda", "cuda:1"),
        ({"CUDA_VISIBLE_DEVICES": "3,0,1,2"}, "auto", "cuda:0"),
        ({"SLURM_LOCALID": "3"}, "cpu", "cpu"),
        ({"SLURM_LOCALID": "3"}, "cuda:1", "cuda:1"),
        ({}, "auto", "cuda:0"),
    ],
)
def test_each_worker_has_a_gpu_of_its_own(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], device: str, expected: str
) -> None:
    for name in (*devices.LOCAL_RANKS, "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(backends, "count_cuda", lambda: 4)
    monkeypatch.setattr(backends, "explain_cuda", lambda index: "")
    devices.own.cache_clear()
    try:
        assert devices.own(device) == expected
    finally:
        devices.own.cache_clear()
