"""Train on all examples at once: the solver lbfgs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import scipy.optimize

from gpunn.estimators.fit import NOT_FINITE, Fit, Outcome
from gpunn.estimators.objective import Objective
from gpunn.training.history import Record


def minimise(fit: Fit) -> Outcome:
    """Minimise the cost of all examples by SciPy's L-BFGS-B."""
    parameters, net, progress = fit.parameters, fit.network, fit.progress
    objective, start = _objective(fit), time.perf_counter()

    def accept(found: Any) -> float:
        net.theta[:], penalty = found.x, objective.penalty(found.x)
        progress.loss = loss = fit.to_reported_loss(found.fun - penalty) + penalty
        progress.best_loss = loss if progress.best_loss is None else min(loss, progress.best_loss)
        return loss

    def after(intermediate_result: Any) -> None:
        _end_iteration(fit, accept(intermediate_result), time.perf_counter() - start)

    options = {"maxfun": parameters.max_fun, "maxiter": parameters.max_iter, "gtol": parameters.tol}
    theta = net.theta.astype(np.float64)
    found = scipy.optimize.minimize(
        objective, theta, method="L-BFGS-B", jac=True, callback=after, options=options
    )
    if not np.isfinite(found.x).all():
        raise ValueError(NOT_FINITE)
    accept(found)
    progress.n_iter = min(found.nit, parameters.max_iter)
    fit.publish(progress)
    if found.status in (1, 2):  # 1: max_iter or max_fun reached; 2: the line search found no descent
        return Outcome(
            not_converged=f"lbfgs failed to converge after {found.nit} iterations: {found.message}"
        )
    return Outcome("converged")


def _end_iteration(fit: Fit, loss: float, seconds: float) -> None:
    """Record the loss; raise StopIteration, which ends SciPy's loop, if a callback ends training."""
    curve = fit.progress.loss_curve
    curve.append(loss)
    if fit.parameters.verbose:
        print(f"Iteration {len(curve)}, loss = {loss:.8f}")
    if fit.ends_after(Record(len(curve), loss, None, None, None, seconds, fit.rows.m / seconds)):
        raise StopIteration


def _objective(fit: Fit) -> Objective:
    mean_weight = fit.rows.mean_weight()
    return Objective(
        fit.network,
        fit.rows.X.T,
        fit.rows.targets,
        sample_weight=fit.rows.relative_weights(mean_weight),
        l2=fit.parameters.alpha / (fit.rows.m * mean_weight),
        device=fit.parameters.device,
        precision=fit.parameters.precision,
    )
