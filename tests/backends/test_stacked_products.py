"""Products of a stack of networks are strided batches of cuBLASLt; on stand-ins for CuPy and nvmath."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import emulated
import numpy as np
import pytest
from fake_cupy import Machine

import gpunn
from gpunn import Dense, backends
from gpunn.backends.cuda.allocating import AtOnce
from gpunn.backends.cuda.cublaslt import Problem
from gpunn.backends.cuda.device import Product
from gpunn.training import together
from gpunn.training.candidates import Candidate
from gpunn.training.history import History

pytestmark = pytest.mark.skipif(not emulated.COMPILER, reason="no C++ compiler for the emulated device")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(6, 24)), RNG.integers(0, 3, 24)


def candidates(count: int, hidden: str, **options: Any) -> list[Candidate]:
    """Return networks with learning rates of their own."""
    layers = [Dense(5, hidden), Dense(3, "softmax")]
    chosen = gpunn.FitOptions(epochs=2, batch_size=8, device="cuda", **options)
    return [
        Candidate(
            gpunn.Network(6, layers, seed=seed), X, Y, replace(chosen, optimizer=gpunn.SGD(0.1 * (seed + 1)))
        )
        for seed in range(count)
    ]


@pytest.mark.parametrize(("precision", "atol"), [("float32", 1e-6), ("tf32", 1e-3)])
@pytest.mark.parametrize("hidden", ["relu", "sigmoid"])
def test_networks_equal_those_trained_alone(
    machine: Machine, hidden: str, precision: str, atol: float
) -> None:
    """Rectified layers have their bias and their bits in the batch, too. TF32 rounds δ times −η/m."""
    given = candidates(3, hidden, precision=precision)
    assert together.fit(given) is not None
    for own, alone in zip(given, candidates(3, hidden, precision=precision), strict=True):
        gpunn.Network.fit(alone.net, alone.X, alone.y, alone.options)  # type: ignore[arg-type]
        np.testing.assert_allclose(own.net.theta, alone.net.theta, rtol=0, atol=atol)


def test_products_do_not_grow_with_the_networks(machine: Machine) -> None:
    counts = []
    for count in (2, 7):
        together.fit(candidates(count, "relu"))  # tries the algorithms
        machine.log.clear()
        machine.ran.clear()
        assert together.fit(candidates(count, "relu"))
        counts.append((machine.log.count("graph"), len(machine.ran)))
    assert counts[0] == counts[1]


def test_every_network_says_which_algorithms_it_used(machine: Machine) -> None:
    results = together.fit(candidates(2, "relu"))
    assert results
    noted = [result.algorithms for result in results if isinstance(result, History)]
    assert noted[0] == noted[1]
    assert any("stack=(2, " in name for name in noted[0])


def test_a_product_alone_keeps_its_name() -> None:
    """Choices of algorithms that were kept before there were stacks hold."""
    problem = Problem(((2, 3), (3, 4), (2, 4)), (2, 3, 2), (False, False), "float32", (0, 0, 0), (16, 16, 16))
    assert problem.name == (
        "Problem(shapes=((2, 3), (3, 4), (2, 4)), ld=(2, 3, 2), trans=(False, False), precision='float32', "
        "types=(0, 0, 0), alignment=(16, 16, 16), bias=False, relu=False, ld_bits=0)"
    )
    assert replace(problem, stack=(5, 64, 64, 0, 0, 0)).name == f"{problem.name}, stack=(5, 64, 64, 0, 0, 0)"


def test_a_batch_of_products(machine: Machine) -> None:
    """Operands that networks share have a distance of 0."""
    be: Any = backends.choose("cuda", np.dtype("float32"))
    memory, a = be.memory, np.asfortranarray(RNG.normal(size=(4, 5)), np.float32)
    shared = memory.put(a)
    with memory.using(AtOnce(be.device, 3)):
        b, c = memory.matrix(5, 2), memory.matrix(4, 2)
    given = [np.asfortranarray(RNG.normal(size=(5, 2)), np.float32) for _ in range(3)]
    for network, values in enumerate(given):
        be.device.write(b.of(network).pointer, values)
    product = Product(memory.one, shared, b, memory.zero, c, networks=3)
    call = be.device.product(product, "float32")
    assert call
    call()
    for network, values in enumerate(given):
        np.testing.assert_allclose(memory.download(c.of(network)), a @ values, rtol=1e-6)
