"""Check the worker processes and how they recover from failures."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarking import DATA

from benchmarks import contestants, worker
from benchmarks.contestants.base import Skipped
from benchmarks.nets import SMALL, Problem


def test_cuda_contestants_are_not_started_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "gpu", lambda: None)
    monkeypatch.setattr(worker, "explain_cuda", lambda: "the driver does not answer")
    workers = worker.Workers(DATA)
    with pytest.raises(Skipped, match=r"no CUDA device: .*the driver does not answer"):
        workers["PyTorch CUDA"]
    assert not workers.workers


class Failing:
    """A contestant that loses its GPU with the first error, as a CUDA context does."""

    max_examples, batch_size, lost = 300, 10, False

    def __init__(self, problem: Problem) -> None:
        if Failing.lost:
            raise RuntimeError("the context is lost")

    def seconds(self, m: int, epochs: int) -> float:
        if m > 10:
            Failing.lost = True
            raise RuntimeError("an illegal memory access")
        return 1.0


def test_a_new_process_replaces_a_failed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "serve", serve_failing)
    with worker.Workers(DATA) as workers:
        workers["one"].prepare(SMALL)
        with pytest.raises(Skipped, match="failed: RuntimeError: an illegal memory access"):
            workers["one"].seconds(300, 1)
        workers["one"].process.join()
        with pytest.raises(Skipped, match="the process ended"):
            workers.workers["one"].prepare(SMALL)
        assert workers["one"].prepare(SMALL) == (300, 10)
        assert workers["one"].seconds(10, 1) == 1
        assert list(workers.threads()) == ["one"]


def serve_failing(connection: Any, name: str) -> None:
    contestants.CONTESTANTS[name] = Failing
    worker.serve(connection, name)
