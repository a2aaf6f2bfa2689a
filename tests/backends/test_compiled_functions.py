"""The functions of the compiled kernels: activations and rules, beside NumPy and exact values.

A vectorised loop computes its last elements, and each thread's, one by one. Their bits have to be the same as
in the middle of the loop.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernel_operations import activation, derivative, run

from gpunn.backends import Host
from gpunn.backends.host.backend import LOWER
from gpunn.backends.host.compiled import source
from gpunn.backends.host.compiled.operations import Program
from gpunn.backends.host.memory import Columns
from gpunn.core.equations import Activate, Equation, HiddenError, lower
from gpunn.core.optimizers import OPTIMIZERS
from gpunn.core.parameters import Layout, Parameters
from gpunn.core.pass_equations import Measure
from gpunn.core.scalars import Scalar
from gpunn.core.vector_equations import Step
from gpunn.functions.activations import ACTIVATIONS
from gpunn.functions.costs import COSTS

pytestmark = pytest.mark.usefixtures("kernels")

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
ELEMENTWISE = [
    name for name, f in ACTIVATIONS.items() if source.place_of_activation(f) is not None and not f.by_column
]


def compute(be: Host, equation: Equation, threads: int = 1) -> None:
    """Compute an equation with compiled kernels, which must have it."""
    (program,) = be.plan([equation])
    assert isinstance(program, Program)
    run(program, threads)


def numbers(dtype: str, largest: float = 1e4) -> np.ndarray:
    """Return numbers of all sizes, in random order, with the special ones."""
    tiny, rng = float(np.finfo(dtype).tiny), np.random.default_rng(0)
    sizes = np.concatenate(
        [np.geomspace(tiny, largest, 2000), rng.uniform(0, 20, 2000), rng.uniform(0, 1, 2000)]
    )
    found = np.concatenate([sizes, -sizes, [0.0, -0.0, np.inf, -np.inf, np.nan]])
    return rng.permutation(found).astype(dtype)


def activated(dtype: str, f: str, z: np.ndarray) -> np.ndarray:
    """Return f(z) by the compiled kernels; z is a vector, or a matrix if f sees whole columns."""
    be, z = Host(dtype), np.asfortranarray(z[:, None] if z.ndim == 1 else z)
    a = np.zeros_like(z)
    compute(be, Activate(1, ACTIVATIONS[f], z, Columns(a, None)))
    return a.squeeze()


def derived(dtype: str, f: str, a: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return f′(z) by the compiled kernels, as the error of a layer whose weights and errors are 1."""
    be, out = Host(dtype), np.zeros((len(z), 1), dtype)
    theta = Parameters(Layout((len(z), 1), (False,)), np.ones(len(z) + 1, dtype), out.itemsize)
    delta, a, z = np.ones((1, 1), dtype), a[:, None], z[:, None]
    compute(be, HiddenError(1, theta, delta, ACTIVATIONS[f], z, Columns(a, None), None, out))
    return out[:, 0]


def ulps(found: np.ndarray, exact: np.ndarray) -> float:
    """Return the largest error in units in the last place, which are at least the smallest normal number."""
    unit = np.maximum(np.spacing(abs(exact).astype(found.dtype)), np.finfo(found.dtype).tiny)
    return float((abs(found - exact) / unit).max())


def wider(dtype: str) -> Any:
    """Return a dtype for exact values; skip the test if there is none."""
    found = np.longdouble if dtype == "float64" else np.float64
    if np.finfo(found).eps >= np.finfo(dtype).eps:
        pytest.skip("no wider numbers to compare with")
    return found


@DTYPES
@pytest.mark.parametrize(("f", "exact"), [("exp", np.exp), ("tanh", np.tanh), ("elu", np.expm1)])
def test_exponentials_are_exact_to_2_units(f: str, exact: Any, dtype: str) -> None:
    z, largest = numbers(dtype), 0 if f == "elu" else np.log(np.finfo(dtype).max) - 1e-3
    z = z[np.isfinite(z) & (z < largest)]
    assert ulps(activated(dtype, f, z), exact(z.astype(wider(dtype)))) <= 2


def losses(dtype: str, cost: str, a: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the losses of outputs a (n, m) by the compiled kernels."""
    be, m = Host(dtype), a.shape[1]
    p, y = be.data.new_pass(m), np.asfortranarray(np.eye(len(a), dtype=dtype)[:, labels])
    softmax, a = ACTIVATIONS["softmax"], np.asfortranarray(a)
    compute(be, Measure(COSTS[cost], softmax, a, Columns(a, None), y, labels, p, one_hot=True))
    return be.data.results(p)[0]


@DTYPES
def test_logarithms_are_exact_to_3_units(dtype: str) -> None:
    a = numbers(dtype, 1)
    a = a[(a > 0) & (a < np.inf)]
    found = losses(dtype, "cross-entropy", np.array([a, a]), np.zeros(len(a), int))
    assert ulps(found, -np.log(a.astype(wider(dtype)))) <= 3


@DTYPES
@pytest.mark.parametrize("cost", COSTS)
def test_the_loss_of_nan_is_nan(cost: str, dtype: str) -> None:
    """Training stops when it diverges."""
    a = np.full((3, 20), 0.3, dtype)
    a[0, 7] = np.nan
    found = losses(dtype, cost, a, np.zeros(20, int))
    np.testing.assert_array_equal(np.isnan(found), np.arange(20) == 7)


@DTYPES
@pytest.mark.parametrize("f", ELEMENTWISE)
def test_activations(f: str, dtype: str) -> None:
    """f and f′ agree with NumPy for numbers of all sizes."""
    z, eps = numbers(dtype), np.finfo(dtype).eps
    with np.errstate(all="ignore"):
        a = activation(f, z[:, None])[:, 0]
        expected = derivative(f, a[:, None], z[:, None])[:, 0]
    found = activated(dtype, f, z)
    finite = np.isfinite(z) & np.isfinite(a)
    np.testing.assert_array_equal(found[~finite], a[~finite])
    # NumPy's swish is z times a rounded sigmoid
    error = 8 * eps * abs(a[finite]) + 2 * eps * np.maximum(1, abs(z[finite]))
    np.testing.assert_array_less(abs(found[finite] - a[finite]), error)
    a_number = ~np.isnan(z)  # after NaN, f′ does not matter
    np.testing.assert_allclose(
        derived(dtype, f, a, z)[a_number], expected[a_number], rtol=32 * eps, atol=2 * eps
    )


@DTYPES
@pytest.mark.parametrize("f", ELEMENTWISE)
def test_bits_of_activations_do_not_depend_on_the_place(f: str, dtype: str) -> None:
    z, rng = numbers(dtype), np.random.default_rng(1)
    a = activated(dtype, f, z)
    prime = derived(dtype, f, a, z)
    for n in (1, 7, 15, 100, len(z)):
        some = rng.permutation(len(z))[:n]
        np.testing.assert_array_equal(activated(dtype, f, z[some]), a[some].squeeze())
        np.testing.assert_array_equal(derived(dtype, f, a[some], z[some]), prime[some])


@DTYPES
@pytest.mark.parametrize("n", [1, 2, 10, 33])
def test_softmax_of_large_numbers(n: int, dtype: str) -> None:
    rng = np.random.default_rng(n)
    z = (rng.standard_normal((n, 50)) * np.geomspace(1e-3, 1e30, 50)).astype(dtype)
    z[0, 3], z[-1, 4] = -np.inf, np.nan
    with np.errstate(invalid="ignore"):
        expected = activation("softmax", np.asfortranarray(z.astype(float)))
    found = activated(dtype, "softmax", z).reshape(z.shape)
    np.testing.assert_allclose(
        found, expected, rtol=1e-5 if dtype == "float32" else 1e-13, atol=4 * np.finfo(dtype).tiny
    )


class Stepping:
    """A step of a rule over n parameters, whose numbers are those at the same places of a long list."""

    def __init__(self, dtype: str, name: str, places: np.ndarray) -> None:
        self.be, n, rule = Host(dtype), len(places), OPTIMIZERS[name](0.01)
        layout = Layout((n - 1, 1), (False,))
        vectors = [np.zeros_like(layout.zeros(dtype)) for _ in range(2 + len(rule.states))]
        for k, x in enumerate(vectors):
            x[:n] = np.random.default_rng(k).standard_normal(1000)[places]
        if rule.states:
            vectors[-1][:] = abs(vectors[-1])  # of squares, in most rules
        self.moved, self.n = vectors[:1] + vectors[2:], n
        theta, g, *states = (Parameters(layout, x, x.itemsize) for x in vectors)
        steps = np.array([4.0, 0, 0]) if rule.counts_steps else None
        eta = Scalar(self.be.memory.scalars(0.01), 0, 1)
        self.equation = Step(rule, theta, g, tuple(states), eta, steps)

    def result(self) -> list[np.ndarray]:
        return [x[: self.n] for x in self.moved]


RULES = [name for name, rule in OPTIMIZERS.items() if getattr(rule, "cuda", None)]


@DTYPES
@pytest.mark.parametrize("name", RULES)
def test_rules(name: str, dtype: str) -> None:
    compiled, numpy = (Stepping(dtype, name, np.arange(777)) for _ in range(2))
    compute(compiled.be, compiled.equation)
    for call in lower([numpy.equation], LOWER, numpy.be.context):
        call()
    eps = np.finfo(dtype).eps
    for mine, theirs in zip(compiled.result(), numpy.result(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=8 * eps, atol=8 * eps)


@DTYPES
@pytest.mark.parametrize("name", RULES)
def test_bits_of_rules_do_not_depend_on_the_place(name: str, dtype: str) -> None:
    whole, rng = Stepping(dtype, name, np.arange(1000)), np.random.default_rng(2)
    compute(whole.be, whole.equation)
    for n, threads in ((2, 1), (15, 2), (100, 3), (777, 5), (1000, 8)):
        places = rng.permutation(1000)[:n]
        some = Stepping(dtype, name, places)
        compute(some.be, some.equation, threads)
        for mine, theirs in zip(some.result(), whole.result(), strict=True):
            np.testing.assert_array_equal(mine, theirs[places])
