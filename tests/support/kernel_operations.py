"""Single equations computed by the compiled kernels, on memory whose surroundings are watched."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from gpunn.backends import Host
from gpunn.backends.host.compiled import operations
from gpunn.backends.host.compiled.operations import Program
from gpunn.backends.host.memory import Columns
from gpunn.backends.host.pool import Pool
from gpunn.core.equations import Equation, Forward, Gradient, HiddenError
from gpunn.core.parameters import Layout, Parameters
from gpunn.core.scalars import Scalar
from gpunn.functions.activations import ACTIVATIONS

Allocate = Callable[[tuple[int, ...], Any], np.ndarray]
ZONE, UNTOUCHED = 264, 0xFF  # bytes beside an array, not a multiple of 16; read as numbers, they are NaN


class Zones:
    """Allocates column-major arrays between zones of bytes that nothing may write."""

    def __init__(self) -> None:
        self.buffers: list[np.ndarray] = []

    def __call__(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        self.buffers.append(np.full(size + 2 * ZONE, UNTOUCHED, np.uint8))
        return self.buffers[-1][ZONE : ZONE + size].view(dtype).reshape(shape, order="F")

    def check(self) -> None:
        """Fail if anything has been written beside an array."""
        for buffer in self.buffers:
            assert (buffer[:ZONE] == UNTOUCHED).all(), "something was written before an array"
            assert (buffer[-ZONE:] == UNTOUCHED).all(), "something was written after an array"


@dataclass
class Case:
    """An equation, what it writes, and what that has to be, with the largest error of each element.

    Attributes:
        read: arrays that must not change.
    """

    equation: Equation
    written: list[np.ndarray]
    expected: list[np.ndarray]
    errors: list[np.ndarray]
    read: list[np.ndarray]


class Maker:
    """Makes equations of a layer (n, n_in) for m examples, with random operands.

    Args:
        spoil: puts special numbers into an array.
    """

    def __init__(
        self,
        dtype: str,
        shape: tuple[int, int, int],
        allocate: Allocate,
        seed: int = 0,
        spoil: Callable[[np.ndarray], None] = lambda x: None,
    ) -> None:
        self.be, self.shape, self.allocate, self.spoil = Host(dtype, threads=1), shape, allocate, spoil
        self.rng, self.eps = np.random.default_rng(seed), np.finfo(dtype).eps

    def array(self, *shape: int) -> np.ndarray:
        found = self.allocate(shape, self.be.memory.dtype)
        found[...] = self.rng.standard_normal(shape)
        self.spoil(found)
        return found

    def theta(self, n: int, n_in: int) -> Parameters:
        flat = self.array(n * (n_in + 1))
        return Parameters(Layout((n_in, n), (False,)), flat, flat.itemsize)

    def ones(self, n: int, m: int, scale: float) -> np.ndarray:
        x = self.array(n + 1, m)
        x[-1] = 1 / scale
        return x

    def forward(self, f: str = "identity", scale: float = 1) -> Case:
        n, n_in, m = self.shape
        theta, x, z = self.theta(n, n_in), self.ones(n_in, m, scale), self.array(n, m)
        a, ones = z if f == "identity" else self.array(n, m), self.ones(n, m, 1)
        w, x_ = theta.wb[1].astype(float), x.astype(float)
        expected, error = scale * (w @ x_), self.error(n_in + 1, abs(scale) * (abs(w) @ abs(x_)))
        activated = activation(f, expected)
        # none of these activations is steeper than 1, and their own error is a few units in the last place
        error_of_f = error + 16 * self.eps * (1 + abs(activated))
        equation = Forward(1, theta, ACTIVATIONS[f], Columns(None, x, scale), z, Columns(a, ones))
        return Case(
            equation,
            [z, a, ones[:-1], ones[-1:]],
            [expected, activated, activated, np.ones((1, m))],
            [error, error_of_f, error_of_f, np.zeros((1, m))],
            [theta.flat, x],
        )

    def hidden_error(self, f: str = "tanh", scale: float = 1, masked: bool = False) -> Case:
        n, n_in, m = self.shape
        theta, delta, z, a = self.theta(n, n_in), self.array(n, m), self.array(n_in, m), self.array(n_in, m)
        out, mask = self.array(n_in, m), self.array(n_in, m) if masked else None
        a[...] = activation(f, z)
        if mask is not None:
            mask[...] = mask > 0
        prime = derivative(f, a.astype(float), z.astype(float))
        by = scale * prime * (1 if mask is None else mask)
        w, d = theta.w[1].astype(float), delta.astype(float)
        equation = HiddenError(1, theta, delta, ACTIVATIONS[f], z, Columns(a, None, scale), mask, out)
        error = self.error(n, abs(by) * (abs(w).T @ abs(d))) + 16 * self.eps * abs(scale) * (
            abs(w).T @ abs(d)
        )
        read = [theta.flat, delta, z, a, *([] if mask is None else [mask])]
        return Case(equation, [out], [by * (w.T @ d)], [error], read)

    def gradient(self, alpha: float = 0.5, beta: float = 0.75) -> Case:
        n, n_in, m = self.shape
        into, delta, x = self.theta(n, n_in), self.array(n, m), self.ones(n_in, m, 1)
        scalars = self.be.memory.scalars(0.1)
        old, d, x_ = into.wb[1].astype(float), delta.astype(float), x.astype(float)
        expected = alpha * (d @ x_.T) + beta * old
        error = self.error(m + 2, abs(alpha) * (abs(d) @ abs(x_).T) + abs(beta * old))
        equation = Gradient(1, delta, Columns(None, x), Scalar(scalars, alpha), Scalar(scalars, beta), into)
        return Case(equation, [into.wb[1]], [expected], [error], [delta, x])

    def error(self, k: int, size: np.ndarray) -> np.ndarray:
        """Return the largest error of sums of k products: Higham 2002, section 3.1."""
        return (k + 4) * self.eps * size

    def programs(self, case: Case) -> list[Program]:
        return [call for call in self.be.plan([case.equation]) if isinstance(call, Program)]


def activation(f: str, z: np.ndarray) -> np.ndarray:
    """Return f(z) by NumPy."""
    a = z.copy(order="F")
    for call in ACTIVATIONS[f].f(a, np.empty_like(a)):
        call()
    return a


def derivative(f: str, a: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return f′(z) by NumPy; a = f(z)."""
    prime = np.ones_like(z, order="F")
    for call in ACTIVATIONS[f].backward(prime, a.copy("F"), z.copy("F"), np.empty_like(prime)):
        call()
    return prime


def run(program: Program, threads: int) -> None:
    """Run a program with that many threads, however small it is."""
    kernels = program.kernels
    before, kernels.threads, program.most = kernels.threads, threads, threads
    try:
        program()
    finally:
        kernels.threads = before


def let_threads_share_everything(patch: pytest.MonkeyPatch) -> None:
    """Let as many threads as are asked for share all programs, however few cores there are."""
    limit = Pool.limit
    patch.setattr(operations, "WORTH_SHARING", 1)
    patch.setattr(Pool, "limit", lambda self: max(16, limit(self)))


EQUATIONS: dict[str, Callable[[Maker], Case]] = {
    "forward": lambda make: make.forward(),
    "forward of bytes": lambda make: make.forward("relu", 1 / 255),
    "forward, tanh": lambda make: make.forward("tanh"),
    "forward, softmax": lambda make: make.forward("softmax"),
    "hidden error": lambda make: make.hidden_error(),
    "hidden error, dropped": lambda make: make.hidden_error("relu", 2, masked=True),
    "gradient": lambda make: make.gradient(),
}
