"""JAX; an epoch is one compiled lax.scan over shuffled mini-batches, with donated parameters."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any

import numpy as np

from benchmarks.contestants.base import Skipped, Weights, library, timed
from benchmarks.nets import Net, Problem

MATMUL = {"float32": "highest", "tf32": "tensorfloat32", "bf16": "bfloat16"}


def loss_of(jax: Any, net: Net, precision: str) -> Any:
    """Return loss(params, x, labels), the mean over the rows of x; bf16 covers everything before z[L]."""
    jnp = jax.numpy
    f = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid}
    dtype = jnp.bfloat16 if precision == "bf16" else jnp.float32

    def loss(params: Any, x: Any, labels: Any) -> Any:
        x, params = jax.tree.map(lambda array: array.astype(dtype), (x, params))
        for (w, b), name in zip(params[:-1], net.activations, strict=False):
            x = f[name](x @ w + b)
        z = (x @ params[-1][0] + params[-1][1]).astype(jnp.float32)
        y = jax.nn.one_hot(labels, net.sizes[-1])
        if net.classic:
            return jnp.sum((f[net.output](z) - y) ** 2) / (2 * len(labels))
        return -jnp.sum(jax.nn.log_softmax(z) * y) / len(labels)

    return loss


def epoch_of(jax: Any, net: Net, precision: str) -> Any:
    """Return epoch(params, X, labels, order) → (params, mean loss), with order (steps, batch_size)."""
    loss = loss_of(jax, net, precision)

    @partial(jax.jit, donate_argnums=0)
    def epoch(params: Any, X: Any, labels: Any, order: Any) -> Any:
        def step(params: Any, batch: Any) -> Any:
            x = X[batch].astype(jax.numpy.float32) * (1 / 255)
            value, gradient = jax.value_and_grad(loss)(params, x, labels[batch])
            return jax.tree.map(lambda p, g: p - net.learning_rate * g, params, gradient), value

        params, losses = jax.lax.scan(step, params, order)
        return params, losses.mean()

    return epoch


def training_of(jax: Any, target: Any) -> Any:
    """Return run(params, X, labels, order, rates) → params, by SGD, perhaps with Nesterov's momentum."""
    loss, jnp, mu = loss_of(jax, target, "float32"), jax.numpy, target.momentum

    @partial(jax.jit, donate_argnums=0)
    def run(params: Any, X: Any, labels: Any, order: Any, rates: Any) -> Any:
        def step(state: Any, each: Any) -> Any:
            (params, velocity), (batch, eta) = state, each
            x = X[batch].astype(jnp.float32) * (1 / 255)
            ahead = gradient = jax.grad(loss)(params, x, labels[batch])
            if mu:
                velocity = jax.tree.map(lambda v, g: mu * v + g, velocity, gradient)
                ahead = jax.tree.map(lambda v, g: g + mu * v, velocity, gradient)
            return (jax.tree.map(lambda p, g: p - eta * g, params, ahead), velocity), None

        velocity = jax.tree.map(jnp.zeros_like, params) if mu else None
        return jax.lax.scan(step, (params, velocity), (order, rates))[0][0]

    return run


class Jax:
    """JAX with its data as bytes on the CPU or GPU. Compilation is not timed.

    The next epoch's order is drawn while the device works.
    """

    def __init__(self, problem: Problem, device: str = "cpu", precision: str = "float32") -> None:
        # Leave memory for the other contestants.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        self.jax = jax = library("jax")
        try:
            place = jax.devices(device)[0]
        except RuntimeError as error:
            raise Skipped(f"no CUDA device: {str(error).splitlines()[0]}") from None
        jax.config.update("jax_default_matmul_precision", MATMUL[precision])
        self.batch_size, self.data = problem.net.batch_size, problem.data
        self.net: Any = problem.net
        self.X = jax.device_put(np.ascontiguousarray(problem.data.X.T), place)
        self.labels = jax.device_put(problem.data.labels.astype(np.int32), place)
        self.max_examples = len(self.labels)
        self.params = jax.device_put([(w.T.copy(), b) for w, b in problem.start], place)
        self.rng = np.random.default_rng(problem.seed)
        self.run, self.place, self.drawn = epoch_of(jax, problem.net, precision), place, (0, None)

    def draw(self, m: int) -> tuple[int, Any]:
        """Draw an order of m examples and put it on the device."""
        order = self.rng.permutation(m).astype(np.int32).reshape(-1, self.batch_size)
        return m, self.jax.device_put(order, self.place)

    def epoch(self, m: int) -> float:
        """Train for one epoch and return the mean loss."""
        drawn = self.drawn if self.drawn[0] == m else self.draw(m)
        self.params, loss = self.run(self.params, self.X, self.labels, drawn[1])
        self.drawn = self.draw(m)
        self.jax.block_until_ready(self.params)
        return float(loss)

    def seconds(self, m: int, epochs: int) -> float:
        return timed(lambda: self.epoch(m), epochs)

    def reach(self) -> tuple[float, float]:
        """Train a `Target` on whole mini-batches; return the seconds and the test accuracy."""
        target, m = self.net, self.max_examples // self.batch_size * self.batch_size
        drawn = [self.draw(m)[1] for _ in range(target.epochs)]
        order = self.jax.numpy.concatenate(drawn)
        rates = self.jax.device_put(target.rates(m).astype(np.float32), self.place)
        given = self.params, self.X, self.labels, order, rates
        run = training_of(self.jax, target).lower(*given).compile()
        start = time.perf_counter()
        self.params = self.jax.block_until_ready(run(*given))
        seconds = time.perf_counter() - start
        a = self.data.X_test.T / np.float32(255)
        for w, b in self.weights()[:-1]:
            a = np.maximum(a @ w.T + b, 0)
        w, b = self.weights()[-1]
        return seconds, float(np.mean((a @ w.T + b).argmax(axis=1) == self.data.labels_test))

    def weights(self) -> Weights:
        return [(np.asarray(w).T, np.asarray(b)) for w, b in self.params]
