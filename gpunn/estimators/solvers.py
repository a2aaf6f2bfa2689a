"""The two ways to learn: by mini-batches, and over all examples at once."""

from __future__ import annotations

import math
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

from gpunn.core.optimizers import Optimizer
from gpunn.estimators.course import Course
from gpunn.estimators.judging import judging
from gpunn.estimators.objective import Objective
from gpunn.estimators.rows import Rows
from gpunn.estimators.settings import batch_size, callbacks, optimizer
from gpunn.training.history import Record
from gpunn.training.loop import Diverged
from gpunn.training.sources import Arrange

if TYPE_CHECKING:
    from gpunn.estimators.base import BaseMLP

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
    " preprocessed."
)


def by_batches(
    est: BaseMLP, rows: Rows, held: Rows | None, random: np.random.RandomState, *, epochs: int
) -> Course:
    """solver sgd or adam, from where the network and the optimizer stand."""
    chosen = judging(est, rows, held, random)
    m, mean, net = len(chosen.train), rows.mean_weight(chosen.train), est.network_
    size = batch_size(est, m)
    l2 = est.alpha / (size * mean)
    course = Course(est, net, m, -(-m // size), l2, est._loss_of(rows))
    given: dict[str, Any] = {
        "batch_size": size,
        "shuffle": _arranging(chosen.train, random if est.shuffle else None),
        "validation": chosen.validation,
        "score": chosen.score,
        "sample_weight": rows.relative_weights(mean),
        "device": est.device,
        "precision": est.precision,
    }
    try:
        while est.n_iter_ < epochs and not course.stopped:
            _at_one_rate(est, course, rows, epochs, optimizer(est, l2), given)
    except Diverged as error:
        if course.best is None:
            raise ValueError(f"{NOT_FINITE} {error}") from None
        course.stopped = "diverged"
        course.scored(math.nan)
        not_converged(f"training diverged, and the best weights before that are kept: {error}")
    return course


def _at_one_rate(
    est: BaseMLP, course: Course, rows: Rows, epochs: int, chosen: Optimizer, given: dict[str, Any]
) -> None:
    """Train until the learning rate changes, or to the end.

    scikit-learn's velocity has the rates within, that of each step: ours is brought to the next rate.
    """
    state = est._optimizer_states.setdefault((est.solver, est.momentum > 0), {})
    rate, over = est.learning_rate_, False

    def after(record: Record) -> bool:
        nonlocal over
        answers = [course(record), *(callback(record) for callback in callbacks(est))]
        over = any(answer is True for answer in answers)
        return over or est.learning_rate_ != rate

    history = est.network_.fit(
        rows.X.T,
        rows.targets,
        epochs=epochs - est.n_iter_,
        optimizer=chosen,
        on_epoch_end=after,
        optimizer_state=state,
        **given,
    )
    if est.learning_rate_ != rate:
        state |= {name: array * (rate / est.learning_rate_) for name, array in state.items()}
    course.stopped = history.stopped if over or history.stopped != "callback" else ""


def _arranging(train: np.ndarray, random: np.random.RandomState | None) -> Arrange:
    """Each epoch's order is a permutation of the last one's, drawn as scikit-learn draws it."""
    now = train

    def arrange(_: np.ndarray) -> np.ndarray:
        nonlocal now
        if random is not None:
            permutation = np.arange(len(now))
            random.shuffle(permutation)
            now = now[permutation]
        return now

    return arrange


def whole(est: BaseMLP, rows: Rows) -> None:
    """solver lbfgs: SciPy's L-BFGS-B on the cost of all examples."""
    net, mean, loss_of, start = est.network_, rows.mean_weight(), est._loss_of(rows), time.perf_counter()
    objective = Objective(
        net,
        rows.X.T,
        rows.targets,
        sample_weight=rows.relative_weights(mean),
        l2=est.alpha / (rows.m * mean),
        device=est.device,
        precision=est.precision,
    )

    def arrived(found: Any) -> None:
        net.theta[:], penalty = found.x, objective.penalty(found.x)
        est.loss_ = loss_of(found.fun - penalty) + penalty

    def told(intermediate_result: Any) -> None:
        arrived(intermediate_result)
        est.loss_curve_.append(est.loss_)
        seconds = time.perf_counter() - start
        record = Record(len(est.loss_curve_), est.loss_, None, None, None, seconds, rows.m / seconds)
        if est.verbose:
            print(f"Iteration {record.epoch}, loss = {est.loss_:.8f}")
        answers = [callback(record) for callback in callbacks(est)]
        if any(answer is True for answer in answers):
            raise StopIteration

    options = {"maxfun": est.max_fun, "maxiter": est.max_iter, "gtol": est.tol}
    theta = net.theta.astype(np.float64)
    found = scipy.optimize.minimize(
        objective, theta, method="L-BFGS-B", jac=True, callback=told, options=options
    )
    if not np.isfinite(found.x).all():
        raise ValueError(NOT_FINITE)
    arrived(found)
    est.n_iter_ = min(found.nit, est.max_iter)
    if found.status in (1, 2):  # max_iter or max_fun reached, or no way further down found
        not_converged(f"lbfgs failed to converge after {found.nit} iterations: {found.message}")


def not_converged(why: str) -> None:
    """scikit-learn's warning of that."""
    warnings.warn(f"{why}; increase max_iter, or scale the data", ConvergenceWarning, stacklevel=5)
