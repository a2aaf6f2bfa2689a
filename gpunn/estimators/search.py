"""`gpunn.SweepSearchCV`: search the parameters of an estimator, all candidates and folds in one sweep."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from copy import copy
from numbers import Integral
from typing import Any, ClassVar, TypeAlias

from joblib import cpu_count, parallel_config
from joblib.parallel import get_active_backend
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils._param_validation import HasMethods

from gpunn.estimators.lockstep import Lockstep, on_cuda
from gpunn.estimators.spreading import Spread, devices_of

ParamGrid: TypeAlias = "Mapping[str, Any] | Sequence[Mapping[str, Any]]"


class SweepSearchCV(BaseSearchCV):
    """Search the parameters of an estimator by cross-validation, all candidates and folds at once.

    It takes the place of scikit-learn's GridSearchCV and RandomizedSearchCV: the same splits, scores and
    `cv_results_`, for a gpunn estimator or a pipeline with one. On a CPU, worker processes train one network
    a core, each with one thread, and share the data. If an estimator would use CUDA, this process trains
    all of them on the device, networks of one shape at the same time. With an executor, its workers train
    them, each on a device of its own; a copy by pickle or `deepcopy` has no executor.

    Args:
        estimator: an estimator with scikit-learn's interface, such as `gpunn.MLPClassifier` or a pipeline.
        param_grid: {parameter: values}, or a list of such dictionaries. With n_iter, values may be
            distributions of `scipy.stats`.
        n_iter: how many candidates to draw at random; None tries every combination.
        scoring: how to score, in any form that scikit-learn's GridSearchCV accepts; None for the estimator's
            own score.
        n_jobs: number of worker processes; −1 is one a core.
        refit: whether to train an estimator with the best parameters on all the data; with several scores,
            the name of the one that decides.
        cv: the number of folds, a splitter, or pairs of indices; None for 5 folds.
        verbose: how much to print.
        pre_dispatch: how many trainings to send to the workers ahead.
        random_state: the random seed of the candidates that are drawn.
        error_score: the score of a training that fails, or "raise".
        return_train_score: whether to score the training rows, too.
        executor: any `concurrent.futures.Executor`, such as a Dask client's, whose workers train the networks
            and get the data once; `n_jobs` and `pre_dispatch` then have no effect. The best estimator is
            trained here.

    Attributes after `fit`: cv_results_, best_estimator_, best_params_, best_score_, best_index_, scorer_,
    n_splits_, refit_time_, multimetric_, classes_, n_features_in_ and feature_names_in_, as scikit-learn
    documents them.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> mlp = gpunn.MLPClassifier((8,), solver="lbfgs", max_iter=2000, random_state=0)
    >>> search = gpunn.SweepSearchCV(mlp, {"alpha": [0.01, 1.0]}, cv=3, n_jobs=1).fit(X, y)
    >>> bool(search.best_score_ > 0.9), len(search.cv_results_["params"])
    (True, 2)
    """

    def __init__(
        self,
        estimator: Any,
        param_grid: ParamGrid,
        *,
        n_iter: int | None = None,
        scoring: Any = None,
        n_jobs: int | None = -1,
        refit: bool | str | Callable[..., Any] = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        random_state: Any = None,
        error_score: Any = math.nan,
        return_train_score: bool = False,
        executor: Executor | None = None,
    ) -> None:
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.param_grid = param_grid
        self.n_iter = n_iter
        self.random_state = random_state
        self.executor = executor

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {**state, "executor": None}

    def __sklearn_clone__(self) -> SweepSearchCV:
        """Return an unfitted copy with the same executor."""
        made: SweepSearchCV = BaseSearchCV.__sklearn_clone__(copy(self))  # which has no executor
        made.executor = self.executor
        return made

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseSearchCV._parameter_constraints,
        "param_grid": [dict, list],
        "n_iter": [Integral, None],
        "random_state": ["random_state"],
        "executor": [HasMethods("submit"), None],
    }

    def fit(self, X: Any, y: Any = None, **params: Any) -> SweepSearchCV:
        """Train every candidate on every fold, and the best one on all the data.

        Args:
            X: (m, n_features), as the estimator takes it.
            y: the targets.
            params: passed to the estimator's `fit`, the splitter and the scorer.

        Raises:
            ValueError: if a parameter is unknown or invalid, the data does not suit the estimator, or every
                training fails.
            RuntimeError: if the executor's workers end.
        """
        with workers(self, X):
            super().fit(X, y, **params)
        return self

    def _run_search(self, evaluate_candidates: Callable[..., Any]) -> None:
        """Evaluate all candidates in one go, as BaseSearchCV asks for it."""
        if self.n_iter is None:
            _refuse_distributions(self.param_grid)
            evaluate_candidates(ParameterGrid(self.param_grid))
        else:
            evaluate_candidates(
                ParameterSampler(self.param_grid, self.n_iter, random_state=self.random_state)
            )


def _refuse_distributions(param_grid: ParamGrid) -> None:
    """Raise ValueError if values are a distribution, which has no combinations to try."""
    for grid in [param_grid] if isinstance(param_grid, Mapping) else param_grid:
        for name, values in grid.items() if isinstance(grid, Mapping) else ():
            if hasattr(values, "rvs"):
                raise ValueError(
                    f"param_grid: {name} is a distribution: pass n_iter, the number of candidates to draw"
                )


@contextmanager
def workers(search: SweepSearchCV, X: Any) -> Iterator[None]:
    """Give each worker process one thread, or train in lockstep if the estimator uses CUDA.

    A backend of joblib that the caller has chosen, such as Dask's, stays as it is.
    """
    backend, _ = get_active_backend()
    if search.executor is not None:
        with parallel_config(Spread(search.executor, search.estimator)):
            yield
    elif uses_cuda(search):
        with parallel_config(Lockstep(X)):
            yield
    elif type(backend).__name__ == "LokyBackend" and cpu_count() > 1:
        with parallel_config("loky", inner_max_num_threads=1):
            yield
    else:
        yield


def uses_cuda(search: SweepSearchCV) -> bool:
    """Whether the estimator, or a part of it, would train on a CUDA device."""
    return any(on_cuda(device) for device in devices_of(search.estimator).values())
