"""The model of how training scales, and its picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import RESULTS
from benchmarks.nets import MIDDLE
from benchmarks.scaling import drawing, measure, model
from benchmarks.scaling.networks import NETS, parameters


def test_a_sum_is_latency_for_few_bytes_and_bandwidth_for_many() -> None:
    nvlink, infiniband = model.LINKS
    assert nvlink.all_reduce(10**9, 1) == 0
    assert nvlink.all_reduce(4, 2) == pytest.approx((3.6 + 2 * 0.47) * 1e-6, rel=1e-4)
    n, nbytes = 8, 10**10
    ring = 2 * (n - 1) / n * nbytes / (model.SHARE * infiniband.bandwidth)
    assert infiniband.all_reduce(nbytes, n) == pytest.approx(ring, rel=1e-3)
    times = [infiniband.all_reduce(10**6, n) for n in model.RANKS]
    assert times == sorted(times)


def test_a_step_keeps_what_was_measured() -> None:
    for task in model.tasks(RESULTS):
        for m, seconds in task.steps.items():
            assert task.step(m) == pytest.approx(seconds)
        assert 0 < task.step(task.batch_size / 64) < task.step(task.batch_size)


def test_the_kept_prediction_is_that_of_the_model(tmp_path: Path) -> None:
    kept = json.loads((RESULTS / "scaling.json").read_text(encoding="utf-8"))
    predicted = model.predict(RESULTS)
    for new, old in zip(predicted, kept["predicted"], strict=True):
        for link, before in zip(new["links"], old["links"], strict=True):
            assert link["same_mini_batch"] == pytest.approx(before["same_mini_batch"])
    assert kept["assumptions"] == drawing.assumptions()
    for path in drawing.draw(predicted, tmp_path / "scaling.json"):
        assert path.stat().st_size > 10_000


def test_the_best_round_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = iter([3.0, 1.0, 1.5, 2.0, 4.0, 1.5])  # each way in turn, twice

    def run(ranks: int, seconds: float, options: list[str]) -> dict[str, Any]:
        slow = next(rounds)
        rates = {
            str(b): [1e6 * ranks / slow] * 3 for net in NETS for b in (net.batch_size, net.batch_size // 2)
        }
        sums = {str(4**k): slow * (1e-6 + 4**k * 1e-9) for k in range(13)}
        return {"rates": {net.name: rates for net in NETS}, "sums": sums if ranks > 1 else {}}

    monkeypatch.setattr(measure, "run", run)
    found = measure.measure(2, 0.1, lambda way: None)
    first = found["nets"][0]
    assert (first["net"], first["parameters"]) == (MIDDLE.name, parameters(MIDDLE)) == ("784-128-10", 101_770)
    assert first["speedup"] == pytest.approx(2 * 2.0)
    assert found["beta_bytes_per_second"] == pytest.approx(4e9)
