"""Searches whose candidates are fitted by the workers of an executor."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import classes
from numpy.testing import assert_array_equal
from roomy import roomy_device
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gpunn import MLPClassifier, SweepSearchCV
from gpunn.sweeps import executors
from gpunn.sweeps.shipping import Shipment

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
X, Y = classes(60)
GRID = {"mlpclassifier__alpha": [1e-4, 1.0], "mlpclassifier__hidden_layer_sizes": [(4,), (5, 3)]}


def search(executor: Executor | None, **arguments: Any) -> SweepSearchCV:
    """Search the parameters of a pipeline."""
    mlp = MLPClassifier(max_iter=4, random_state=0, device="cpu")
    made = make_pipeline(StandardScaler(), mlp)
    arguments = {"cv": 2, "n_jobs": 1} | arguments
    return SweepSearchCV(made, arguments.pop("grid", GRID), executor=executor, **arguments)


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        yield executor


@pytest.mark.parametrize("far_away", [False, True])
def test_workers_score_as_this_process_does(
    processes: Executor, monkeypatch: pytest.MonkeyPatch, far_away: bool
) -> None:
    if far_away:  # no worker finds the file of the data
        monkeypatch.setattr(Shipment, "to_file", lambda self: None)
    weights = {"mlpclassifier__sample_weight": np.linspace(0.5, 1, len(Y))}
    with ThreadPoolExecutor(2) as threads:
        found = [search(each).fit(X, Y, **weights) for each in (None, processes, threads)]
    for other in found[1:]:
        assert other.best_params_ == found[0].best_params_
        assert_array_equal(other.cv_results_["mean_test_score"], found[0].cv_results_["mean_test_score"])
        assert_array_equal(other.predict(X), found[0].predict(X))


def test_rows_are_sent_once_a_worker(processes: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight fits of rows that no worker has take one or two tasks with the rows."""
    sent: list[int] = []
    submit = executors.ExecutorPool.submit

    def counted(self: Any, work: Any, items: Any, *, again: bool = False) -> Any:
        sent.append(again)
        return submit(self, work, items, again=again)

    monkeypatch.setattr(Shipment, "to_file", lambda self: None)
    monkeypatch.setattr(executors.ExecutorPool, "submit", counted)
    search(processes).fit(X + 1, Y)
    assert 1 <= sum(sent) <= 2 and len(sent) == 8 + sum(sent)
    before = len(sent)
    search(processes).fit(X + 1, Y)
    assert len(sent) == before + 8


def test_a_clone_keeps_the_executor_and_a_pickle_does_not(processes: Executor) -> None:
    found = search(processes)
    assert clone(found).executor is processes
    assert pickle.loads(pickle.dumps(found)).executor is None
    assert np.isfinite(cross_val_score(found, X, Y, cv=2)).all()


@pytest.mark.filterwarnings(
    "ignore:One or more of the test scores", "ignore::sklearn.exceptions.FitFailedWarning"
)
def test_a_fit_that_fails_costs_the_others_nothing(processes: Executor) -> None:
    grid = {"mlpclassifier__alpha": [1e-4, -1.0]}
    found = search(processes, grid=grid).fit(X, Y)
    assert_array_equal(np.isnan(found.cv_results_["mean_test_score"]), [False, True])
    with pytest.raises(ValueError, match="alpha"):
        search(processes, grid=grid, error_score="raise").fit(X, Y)
    with pytest.raises(ValueError, match="Invalid parameter 'nothing'"):
        search(processes, grid={"nothing": [1]}).fit(X, Y)
    with pytest.raises(ValueError, match="'executor' parameter"):
        search(1).fit(X, Y)  # type: ignore[arg-type]


def test_a_pool_that_breaks_is_one_line(tmp_path: Path) -> None:
    def kill(estimator: Any, X: Any, y: Any) -> float:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0.0

    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor,
        pytest.raises(RuntimeError, match=r"the executor's workers have ended: .*$"),
    ):
        search(executor, scoring=kill).fit(X, Y)


def test_a_worker_with_a_gpu_trains_its_share_together(monkeypatch: pytest.MonkeyPatch) -> None:
    device = roomy_device(monkeypatch)
    mlp = MLPClassifier((4,), max_iter=2, batch_size=8, random_state=0)
    grid = {"alpha": [0.0, 0.1, 1.0], "learning_rate_init": [0.001, 0.01]}
    with ThreadPoolExecutor(1) as executor:
        found = SweepSearchCV(mlp, grid, cv=2, executor=executor, refit=False).fit(X, Y)
    assert np.isfinite(found.cv_results_["mean_test_score"]).all()
    assert device.launches["train"] < 12 * 2
