"""Train on all examples at once: the solver lbfgs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import scipy.optimize

from gpunn.estimators.curvature import Curvature
from gpunn.estimators.fit import NOT_FINITE, Fit, Outcome
from gpunn.estimators.objective import Objective
from gpunn.training.fit_options import OptimizerState
from gpunn.training.history import Record


def minimise(fit: Fit, state: OptimizerState | None = None) -> Outcome:
    """Minimise the cost of all examples by SciPy's L-BFGS-B.

    state: holds L-BFGS's memory of an earlier minimisation, if it is not empty, and is updated at the end.
    The memory is only used if θ is still where that minimisation ended.
    """
    parameters, descent = fit.parameters, Descent(fit, state or {})
    continued = bool(descent.curvature.s)
    options = {
        "maxfun": parameters.max_fun,
        "maxiter": parameters.max_iter,
        "gtol": 0.0 if continued else parameters.tol,  # `Descent.after` checks the gradient of θ itself
    }
    found = scipy.optimize.minimize(
        descent, descent.start, method="L-BFGS-B", jac=True, callback=descent.after, options=options
    )
    if not np.isfinite(found.x).all():
        raise ValueError(NOT_FINITE)
    descent.accept(found)
    fit.progress.n_iter = min(found.nit, parameters.max_iter)
    fit.publish(fit.progress)
    if state is not None:
        state.update(descent.memory())
    if found.status in (1, 2):  # 1: max_iter or max_fun reached; 2: the line search found no descent
        return Outcome(
            not_converged=f"lbfgs failed to converge after {found.nit} iterations: {found.message}"
        )
    return Outcome("converged")


class Descent:
    """The cost as a function of SciPy's variables, with what happens between its iterations.

    SciPy's variables are θ itself, or u in θ = θ₀ + S u if there is a memory to continue with.
    """

    def __init__(self, fit: Fit, state: OptimizerState) -> None:
        self.fit, self.objective, self.begin = fit, _objective(fit), time.perf_counter()
        self.curvature, theta = Curvature(), fit.network.theta.astype(np.float64)
        self.origin, self.start = np.zeros_like(theta), theta
        if state and np.array_equal(state["theta"], fit.network.theta):
            self.curvature = Curvature(list(state["s"]), list(state["y"]))
        if self.curvature.s:
            self.origin, self.start = theta, np.zeros_like(theta)
        self.seen = self.accepted = theta, self.objective(theta)[1]
        self.map = self.curvature.change_of_variables(self.seen[1])

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the cost and its gradient at SciPy's point x."""
        theta = self.origin + self.map(x)
        loss, gradient = self.objective(theta)
        self.seen = theta, gradient
        return loss, self.map(gradient)

    def accept(self, found: Any) -> float:
        """Copy SciPy's point into the network and return its loss."""
        theta, progress = self.origin + self.map(found.x), self.fit.progress
        self.fit.network.theta[:], penalty = theta, self.objective.penalty(theta)
        progress.loss = loss = self.fit.to_reported_loss(found.fun - penalty) + penalty
        progress.best_loss = loss if progress.best_loss is None else min(loss, progress.best_loss)
        return loss

    def after(self, intermediate_result: Any) -> None:
        """Record an iteration; raise StopIteration, which ends SciPy's loop, to end training."""
        fit, loss = self.fit, self.accept(intermediate_result)
        (theta, gradient), (before, gradient_before) = self.seen, self.accepted
        self.accepted = self.seen
        self.curvature.add(theta - before, gradient - gradient_before)
        curve, seconds = fit.progress.loss_curve, time.perf_counter() - self.begin
        curve.append(loss)
        if fit.parameters.verbose:
            print(f"Iteration {len(curve)}, loss = {loss:.8f}")
        ended = fit.ends_after(Record(len(curve), loss, None, None, None, seconds, fit.rows.m / seconds))
        if ended or np.max(np.abs(gradient)) <= fit.parameters.tol:
            raise StopIteration

    def memory(self) -> OptimizerState:
        """Return the state to continue from."""
        s, y = np.array(self.curvature.s), np.array(self.curvature.y)
        return {"s": s, "y": y, "theta": self.fit.network.theta.copy()}


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
