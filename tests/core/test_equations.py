"""The equations of a step: what they print, and what they refuse, before any backend sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend

import gpunn
from gpunn.backends import Host
from gpunn.core.equations import Affine, Forward, Gradient, HiddenError, OutputError
from gpunn.core.parameters import Part
from gpunn.core.plan import Plan
from gpunn.core.ranks import Share
from gpunn.core.vector_equations import Add, Scale

M = 12


def plan_of(layers: list[gpunn.Dense], optimizer: Any, **how: Any) -> Plan:
    be, net = Host(), gpunn.Network(5, layers, seed=0)
    model, update = net.bind(be), None
    examples = be.data.examples(np.zeros((5, M), np.float32), np.zeros(M, int), None)
    if optimizer:
        update = optimizer.bind(be, model.theta)
    return Plan(model, examples, M, 8, update=update, **how)


def test_a_plan_prints_as_the_book() -> None:
    plan = plan_of([gpunn.Dense(4), gpunn.Dense(3)], gpunn.SGD(0.5))
    assert str(plan) == (
        "Gather       a[0], y ← the next m examples of the pass\n"
        "Round        the bfloat16 copy of θ ← θ, if products read one\n"
        "Forward      a[1] = f(w[1] a[0] + b[1])\n"
        "Forward      a[2] = f(w[2] a[1] + b[2])\n"
        "BP1          δ[2] = ∇C ⊙ f′(z[2])\n"
        "BP2          δ[1] = (w[2]ᵀ δ[2]) ⊙ f′(z[1])\n"
        "BP3, BP4     [w b][2] ← α δ[2] [a[1]; 1]ᵀ + β [w b][2]\n"
        "BP3, BP4     [w b][1] ← α δ[1] [a[0]; 1]ᵀ + β [w b][1]\n"
        "Measure      C and, if there are labels, whether each example is a hit\n"
        "Advance      the pass has come m examples further"
    )


def test_a_plan_that_learns_nothing_is_feedforward() -> None:
    names = [line[:13].strip() for line in str(plan_of([gpunn.Dense(3)], None)).splitlines()]
    assert names == ["Gather", "Round", "Forward", "Measure", "Advance"]


@pytest.mark.parametrize(
    ("optimizer", "lines"),
    [
        (gpunn.SGD(0.5, l2=0.25), ["Scale        w[1] ← (1 − 0.25 η) w[1]"]),
        (
            gpunn.Nesterov(0.1),
            [
                "Add          [w b][1] ← [w b][1] + 0.9 η v[1]",
                "BP3, BP4     v[1] ← α δ[1] [a[0]; 1]ᵀ + β v[1]",
                "Add          θ ← θ − 1.9 η v",
            ],
        ),
        (
            gpunn.RMSProp(clip_norm=2, l2=0.5, l1=0.125, max_norm=3),
            [
                "BP3, BP4     g[1] ← α δ[1] [a[0]; 1]ᵀ + β g[1]",
                "Clip         g ← g · min(1, 2/‖g‖)",
                "Add          g[1] ← g[1] + 0.5 w[1]",
                "Step         v ← ρ v + (1 − ρ) g²,  θ ← θ − η g / (√v + ε)",
                "L1           w[1] ← w[1] − min(max(w[1], −0.125 η), 0.125 η)",
                "Max-norm     w[1] ← each row of w[1], scaled down to a length of at most 3",
            ],
        ),
    ],
)
def test_how_theta_moves_is_printed_with_its_numbers(optimizer: Any, lines: list[str]) -> None:
    text = str(plan_of([gpunn.Dense(3)], optimizer))
    assert "\n".join(lines) in text


def test_dropout_and_batch_norm_are_printed() -> None:
    layers = [gpunn.Dense(4, dropout=0.5, batch_norm=True), gpunn.Dense(3)]
    text = str(plan_of(layers, gpunn.SGD(), training=True, scheduled=True))
    for line in (
        "Schedule     η ← the learning rate of this step",
        "Normalise    z[1] ← γ (z[1] − μ)/√(σ² + ε) + β",
        "Dropout      a[1] ← a[1] ⊙ mask[1]",
        "Next step    t ← t + 1",
    ):
        assert line in text.splitlines()


class TestShapes:
    """Wrong shapes are refused when a record is made, whatever the backend."""

    @pytest.fixture
    def parts(self, backend: MakeBackend) -> Any:
        """A network of 5-4-3 on a backend, its update, and a maker of matrices."""
        be = backend("float32")
        net = gpunn.Network(5, [gpunn.Dense(4), gpunn.Dense(3)], seed=0)
        model = net.bind(be)
        return model, gpunn.Momentum().bind(be, model.theta), be.memory.matrix

    def test_forward(self, parts: Any) -> None:
        model, _, matrix = parts
        with pytest.raises(ValueError, match=r"Forward: a must be \(5, 7\), not \(4, 7\)"):
            Forward(1, model.theta, model.f[1], matrix(4, 7), matrix(4, 7), matrix(4, 7))
        with pytest.raises(ValueError, match=r"Forward: out must be \(4, 7\), not \(4, 6\)"):
            Affine(1, model.theta, matrix(5, 7), matrix(4, 6))

    def test_errors(self, parts: Any) -> None:
        model, _, matrix = parts
        with pytest.raises(ValueError, match=r"BP1: a must be \(3, 7\), not \(3, 6\)"):
            OutputError(2, model.cost, model.f[2], matrix(3, 7), matrix(3, 6), matrix(3, 7), matrix(3, 7))
        before = model.f[1], matrix(4, 7), matrix(4, 7), None
        with pytest.raises(ValueError, match=r"BP2: delta must be \(3, 7\), not \(4, 7\)"):
            HiddenError(2, model.theta, matrix(4, 7), *before, matrix(4, 7))

    def test_gradient_and_vectors(self, parts: Any) -> None:
        model, update, matrix = parts
        with pytest.raises(ValueError, match=r"BP3, BP4: delta must be \(4, 7\), not \(3, 7\)"):
            Gradient(1, matrix(3, 7), matrix(5, 7), update.alpha(Share(7, 0, 7)), update.scalar(1), update.v)
        with pytest.raises(ValueError, match=r"Add: x must be \(12,\), not \(20,\)"):
            Add(update.scalar(1), Part(model.theta, "w", 1), Part(update.v, "w", 2))


def test_an_equation_that_a_backend_does_not_know_is_an_error(backend: MakeBackend) -> None:
    class Unknown(Scale):
        """Unknown: x ← x"""

    be = backend("float32")
    theta = be.memory.new_parameters(gpunn.Network([2, 1]).layout)
    update = gpunn.SGD().bind(be, theta)
    with pytest.raises(NotImplementedError, match="no way to compute 'Unknown "):
        be.plan([Unknown(update.scalar(1), Part(theta))])
