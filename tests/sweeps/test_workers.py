"""The places where networks are trained: in this process, in worker processes, or by an executor."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from scipy.sparse import csc_array
from sweeping import X, Y, alone, equal, sweep
from threadpoolctl import threadpool_info

import gpunn
from gpunn.sweeps import engine
from gpunn.sweeps.engine import Job, Workers


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use two worker processes for any work, and one task a network."""
    monkeypatch.setattr(engine, "SHORT", 0)
    monkeypatch.setattr(engine, "TASK", 0)
    monkeypatch.setattr(engine, "cpu_count", lambda: 2)


def run(
    work: Callable[..., Iterator[Any]], items: Sequence[Any], executor: Executor | None = None
) -> list[Any]:
    """Do a job on the data 5; return the results in the order of the items."""
    found: dict[Any, Any] = {}
    job = Job(work, lambda item: 1.0, found.__setitem__, lambda item, reason: f"lost: {reason}")
    with Workers(5, executor) as workers:
        workers.run(job, items)
    return [found[item] for item in items]


def add(data: int, items: Sequence[Any]) -> Iterator[tuple[int, int]]:
    yield from ((data + item, os.getpid()) for item in items)


def count_threads(data: int, items: Sequence[int]) -> Iterator[set[int]]:
    yield from ({pool["num_threads"] for pool in threadpool_info()} for _ in items)


def die(data: int, items: Sequence[int], folder: Path, times: int) -> Iterator[int]:
    """Let the process die on the item 3, for the first few times. A file for each attempt is left."""
    for item in items:
        attempts = len(list(folder.glob(f"{item}-*")))
        (folder / f"{item}-{attempts}").touch()
        if item == 3 and attempts < times:
            os.kill(os.getpid(), signal.SIGKILL)
        yield item


def leave(data: int, items: Sequence[int]) -> Iterator[int]:
    """Let the process end after the task, as it does if nothing comes for long."""
    threading.Timer(0.05, os._exit, [0]).start()
    yield from items


def meet(data: int, items: Sequence[int], folder: Path) -> Iterator[int]:
    """Let the process die at the first attempt, and wait for the other item at the second."""
    for item in items:
        if not (folder / f"{item}-1").exists():
            (folder / f"{item}-1").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        (folder / f"{item}-2").touch()
        while len(list(folder.glob("*-2"))) < 2:
            time.sleep(0.01)
        yield item


def test_processes_that_have_started_do_shorter_work(monkeypatch: pytest.MonkeyPatch) -> None:
    started: set[str] = set()
    monkeypatch.setattr(engine, "cpu_count", lambda: 2)
    monkeypatch.setattr(engine, "local_processes", lambda: SimpleNamespace(workers=started))
    workers, job = Workers(5), Job(add, float, print, lambda item, reason: (0, 0))
    assert workers._pays(job, [1, 1]) and not workers._pays(job, [0.5, 0.5])
    started.add("a process")
    assert workers._pays(job, [0.5, 0.5]) and not workers._pays(job, [0.1, 0.1])


def test_processes_do_the_work_and_stay_warm(processes: None) -> None:
    first, second = run(add, range(6)), run(add, range(6))
    assert [result for result, _ in first] == [5, 6, 7, 8, 9, 10]
    assert os.getpid() not in {pid for _, pid in first}
    assert {pid for _, pid in second} & {pid for _, pid in first}


def test_every_worker_has_one_blas_thread(processes: None) -> None:
    assert run(count_threads, range(4)) == [{1}] * 4


def test_little_work_stays_in_this_process() -> None:
    pids: list[int] = []
    job = Job(add, lambda item: 0.01, lambda item, result: pids.append(result[1]), lambda *_: None)
    with Workers(5) as workers:
        workers.run(job, range(4))
    assert pids == [os.getpid()] * 4


@pytest.mark.parametrize("times", [1, 2])
def test_a_worker_that_dies_costs_its_item_only(processes: None, tmp_path: Path, times: int) -> None:
    results = run(partial(die, folder=tmp_path, times=times), range(8))
    expected: list[Any] = list(range(8))
    if times == 2:
        assert results[3] == "lost: it was killed, as when memory runs out"
        expected[3] = results[3]
    assert results == expected
    attempts = [len(list(tmp_path.glob(f"{item}-*"))) for item in range(8)]
    assert attempts == [1, 1, 1, 2, 1, 1, 1, 1]


def test_what_was_lost_is_done_again_on_all_cores(processes: None, tmp_path: Path) -> None:
    assert run(partial(meet, folder=tmp_path), [0, 1]) == [0, 1]


def test_a_worker_that_ended_for_want_of_work(processes: None) -> None:
    run(leave, range(2))
    for worker in engine.local_processes().workers:
        worker.process.join()
    assert [result for result, _ in run(add, range(4))] == [5, 6, 7, 8]


def test_a_worker_that_died_while_idle_costs_nothing(processes: None) -> None:
    before = {pid for _, pid in run(add, range(4))}
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert [result for result, _ in run(add, range(4))] == [5, 6, 7, 8]


@pytest.mark.parametrize(
    "make",
    [
        lambda: ThreadPoolExecutor(2),
        lambda: ProcessPoolExecutor(2, mp_context=get_context("spawn")),
        lambda: get_reusable_executor(2),
    ],
    ids=["threads", "spawn", "loky"],
)
def test_any_executor_gives_the_same_networks(make: Callable[[], Executor]) -> None:
    def own(progress: float) -> float:  # which the standard pickle refuses
        return 1 - progress / 2

    with make() as executor:
        result = sweep(executor=executor, folds=2, seeds=2, schedule=own)
    assert result.table.column("status") == ["done"] * 8
    here = sweep(folds=2, seeds=2, schedule=own)
    assert all(equal(result.network(i), here.network(i)) for i in range(8))


def test_processes_train_the_same_networks(processes: None) -> None:
    result = sweep(seeds=3, validation=(X, Y), score=np.mean)
    here = [alone(seed=seed, optimizer=gpunn.SGD(rate)) for rate in (0.1, 0.5) for seed in range(3)]
    assert all(equal(result.network(i), net) for i, net in enumerate(here))


@pytest.mark.parametrize("kind", ["sparse", "bytes", "rows", "float64"])
def test_any_kind_of_data_reaches_the_workers(processes: None, kind: str) -> None:
    data: Any = {
        "sparse": csc_array(np.where(X > 0, X, 0)),
        "bytes": (X * 40 + 128).clip(0, 255).astype(np.uint8),
        "rows": np.ascontiguousarray(X),
        "float64": X,
    }[kind]
    dtype = "float64" if kind == "float64" else "float32"
    result = sweep(X=data, seeds=2, folds=2, dtype=dtype, sample_weight=np.arange(60.0))
    with ThreadPoolExecutor(1) as executor:
        here = sweep(X=data, seeds=2, folds=2, dtype=dtype, sample_weight=np.arange(60.0), executor=executor)
    assert all(equal(result.network(i), here.network(i)) for i in range(8))


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let SIGINT interrupt, which the children of a background job ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_keeps_what_is_finished(processes: None, ctrl_c: None) -> None:
    def press(end: gpunn.NetworkEnd) -> None:
        if end.done == 2:
            main = threading.main_thread().ident
            threading.Timer(0.05, signal.pthread_kill, [main, signal.SIGINT]).start()

    result = sweep(grid={"epochs": [1, 1_000_000, 2]}, on_network_end=press)
    assert result.interrupted
    assert result.table.column("status") == ["done", "interrupted", "done"]
    assert sweep(seeds=2).table.column("status") == ["done"] * 4  # by new workers


def test_ctrl_c_in_this_process(interrupt: Callable[[int], None]) -> None:
    interrupt(2)
    result = sweep(grid={"epochs": [1, 3]})
    assert result.interrupted
    assert result.table.column("status") == ["done", "interrupted"]
