"""The benchmark of tables: halves, splits, runs that go on where they were, ranks and the paired test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

pytest.importorskip("pandas")

from benchmarks.tables import __main__ as command
from benchmarks.tables import contestants, runs, summary
from benchmarks.tables.drawing import show
from benchmarks.tables.scores import score
from benchmarks.tables.sets import SETS, chosen_on
from benchmarks.tables.splits import MOST_ROWS, splits

BY_NAME = {s.name: s for s in SETS}


def test_the_halves_are_fixed_by_the_names() -> None:
    chosen = {"abalone", "banknote", "breast_cancer", "churn", "digits", "german", "letter", "mpg", "phoneme"}
    assert chosen_on() == chosen | {"sacramento"}
    assert len(SETS) == len(BY_NAME) == 19


def test_the_halves_of_a_split_share_no_row_and_keep_the_classes() -> None:
    _, y = BY_NAME["wine"].load()
    found = list(splits(BY_NAME["wine"], y))
    assert [(s.repeat, s.fold) for s in found] == [(r, f) for r in range(5) for f in (0, 1)]
    for split in found:
        assert sorted([*split.train, *split.test]) == list(range(len(y)))
        assert np.abs(np.bincount(y[split.train]) - np.bincount(y[split.test])).max() <= 1
    large = list(splits(BY_NAME["letter"], np.arange(20_000) % 26))
    assert len(large) == 4
    assert all(len(split.train) == len(split.test) == MOST_ROWS for split in large)


@pytest.mark.parametrize("name", ["gpunn", "linear", "HistGradientBoosting"])
@pytest.mark.parametrize("classifies", [True, False])
def test_contestants_take_strings_and_gaps(monkeypatch: Any, name: str, classifies: bool) -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    x = rng.normal(size=100)
    y = (x > 0).astype(int) if classifies else x
    texts = np.array(["a", "b", None], object)[rng.integers(0, 3, 100)]
    X = pd.DataFrame(
        {"x": np.where(rng.random(100) < 0.1, np.nan, x), "t": pd.Series(texts, dtype="category")}
    )
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    task = contestants.Task(X[:60], y[:60], X[60:], classifies, 0)
    predicted = contestants.CONTESTANTS[name](task)
    assert predicted.shape == ((40, 2) if classifies else (40,))
    found = score(classifies, predicted, y[60:])
    assert found["accuracy" if classifies else "r2"] > 0.6


def test_a_benchmark_goes_on_where_it_was(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    def broken(task: contestants.Task) -> np.ndarray:
        raise MemoryError("too large")

    calls = []

    def counted(task: contestants.Task) -> np.ndarray:
        calls.append(task.seed)
        return contestants.CONTESTANTS["linear"](task)

    monkeypatch.setattr(command, "installed", lambda: {"gpunn": counted, "HistGradientBoosting": broken})
    arguments = ["--sets", "wine", "diabetes", "--output", str(tmp_path)]
    assert command.main([*arguments, "--repeats", "1"]) == 0
    assert command.main([*arguments, "--repeats", "2"]) == 0
    assert calls == [0, 1, 0, 1, 2, 3, 2, 3]
    kept = json.loads((tmp_path / "tables.json").read_text(encoding="utf-8"))
    assert len(kept["runs"]) == 16
    assert kept["runs"][1]["failed"] == "MemoryError: too large"
    reported = kept["summary"]["reported"]
    assert (reported["sets"], reported["mean_rank"]) == (
        ["wine", "diabetes"],
        {"HistGradientBoosting": 1.5, "gpunn": 1.5},
    )
    assert (tmp_path / "tables-ranks.svg").exists()
    assert command.main([*arguments, "--minutes", "0"]) == 0
    assert len(calls) == 8
    assert "reported: 2 sets" in capsys.readouterr().out


def run(name: str, contestant: str, split: int, **scores: float) -> runs.Run:
    place = {"set": name, "repeat": split // 2, "fold": split % 2, "contestant": contestant}
    return {**place, **scores, "cpu_seconds": 1.0 + split}


def test_ranks_wins_and_seconds() -> None:
    found = []
    for k in range(10):
        found += [run("wine", n, k, accuracy=a + k / 100) for n, a in (("gpunn", 0.9), ("linear", 0.8))]
        found += [
            run("pima", n, k, accuracy=0.7 + (k % 2 == a) / 10) for n, a in (("gpunn", 0), ("linear", 1))
        ]
        found += [
            run("mammography", n, k, roc_auc=a, accuracy=1 - a) for n, a in (("gpunn", 0.6), ("linear", 0.7))
        ]
    found.append(run("sonar", "gpunn", 0, accuracy=1.0))  # the others have not finished it
    reported = summary.summarise(found)["reported"]
    assert reported["sets"] == ["wine", "mammography", "pima"]
    assert reported["mean_rank"] == {"gpunn": pytest.approx(4.5 / 3), "linear": pytest.approx(4.5 / 3)}
    assert reported["against"]["linear"] == {"ahead": 1, "wins": 1, "ties": 1, "losses": 1}
    assert summary.summarise(found)["cpu_seconds"]["gpunn"] == {"median": 5.0, "largest": 10.0}
    show(summary.summarise(found), Console(width=200, quiet=True))


def test_the_paired_test_is_more_careful_than_students() -> None:
    difference = np.random.default_rng(0).normal(0.5, 1, 10)
    student = stats.ttest_1samp(difference, 0)
    t = student.statistic / np.sqrt(1 + 10)
    assert summary.p_value(difference) == pytest.approx(2 * stats.t.sf(abs(t), 9))
    assert summary.p_value(difference) > student.pvalue
    assert summary.p_value(np.ones(1)) == 1
    assert (summary.p_value(np.zeros(4)), summary.p_value(np.ones(4))) == (1, 0)
