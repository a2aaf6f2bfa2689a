"""Costs equal their formulas and PyTorch's, and can be saved."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend
from problems import OF_CLASS, TARGETS, WEIGHTS, X, Y, close, linear

import gpunn
from gpunn import Dense, Network
from gpunn.functions import costs


@pytest.mark.parametrize("delta", [0.3, 2])
def test_huber_with_another_delta(backend: MakeBackend, delta: float) -> None:
    net = linear(gpunn.costs.huber(delta))
    e = net.forward(X) - TARGETS
    losses = np.where(np.abs(e) <= delta, e**2 / 2, delta * (np.abs(e) - delta / 2))
    close(net.evaluate(X, TARGETS)[0], losses.sum(0).mean())
    close(net.gradients(X, TARGETS)[0][0], np.clip(e, -delta, delta) @ X.T / 12)


@pytest.mark.parametrize("tau", [0.1, 0.8])
def test_quantile_with_another_tau(backend: MakeBackend, tau: float) -> None:
    net = linear(gpunn.costs.quantile(tau))
    a = net.forward(X)
    losses = np.where(a < TARGETS, tau * (TARGETS - a), (1 - tau) * (a - TARGETS))
    close(net.evaluate(X, TARGETS)[0], losses.sum(0).mean())
    close(net.gradients(X, TARGETS)[0][0], np.where(a < TARGETS, -tau, 1 - tau) @ X.T / 12)


@pytest.mark.parametrize("spread", [0.5, 0.9])
def test_each_output_has_a_quantile_of_its_own(backend: MakeBackend, spread: float) -> None:
    net = linear(f"quantiles({spread})")
    a, tau = net.forward(X), np.array([[0.5 - spread / 2], [0.5], [0.5 + spread / 2]])
    losses = np.where(a < TARGETS, tau * (TARGETS - a), (1 - tau) * (a - TARGETS))
    close(net.evaluate(X, TARGETS)[0], losses.sum(0).mean())
    close(net.gradients(X, TARGETS)[0][0], np.where(a < TARGETS, -tau, 1 - tau) @ X.T / 12)


def test_quantile_finds_the_quantile(backend: MakeBackend) -> None:
    net = linear(gpunn.costs.quantile(0.9), n_out=1)
    y = np.random.default_rng(1).exponential(size=(1, 500))
    net.fit(np.zeros((5, 500)), y, epochs=30, optimizer=gpunn.SGD(0.05))
    assert np.mean(y < net.biases[0]) == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("cost", ["mae", "quantile"])
def test_the_gradient_is_0_on_the_kink(backend: MakeBackend, cost: str) -> None:
    net = linear(cost)
    dw, db = net.gradients(X, net.forward(X))[0]
    assert not dw.any()
    assert not db.any()


def test_poisson_is_level_outside_its_domain(backend: MakeBackend) -> None:
    with pytest.warns(
        UserWarning,
        match="poisson is defined for outputs above 0, but identity can leave .*: use sig",
    ):
        net = linear("poisson")
    net.biases[0][:] = -100
    close(net.gradients(X, Y)[0][0], 0)
    assert np.isfinite(net.evaluate(X, Y)[0])


@pytest.mark.parametrize(
    ("cost", "output", "y", "message"),
    [
        (
            "poisson",
            "softplus",
            [[1.0, 2.0, -1.0]],
            r"poisson needs targets of 0 or more, but y\[0, 2\] is -1",
        ),
        ("binary-cross-entropy", "sigmoid", [[0.5, 1.5, 0]], r"targets in \[0, 1\], but y\[0, 1\] is 1.5"),
    ],
)
def test_targets_outside_the_domain_are_refused(cost: str, output: str, y: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Network(2, [Dense(1, output)], cost).fit(np.zeros((2, 3)), y)


def test_poisson_finds_the_rate(backend: MakeBackend) -> None:
    net = linear("poisson", n_out=1, output="softplus")
    y = np.random.default_rng(1).poisson(3, (1, 300))
    net.fit(np.zeros((5, 300)), y, epochs=100, batch_size=300, optimizer=gpunn.SGD(0.5))
    assert net.forward(np.zeros((5, 1)))[0, 0] == pytest.approx(y.mean(), abs=1e-3)


def test_multi_label_classification(backend: MakeBackend) -> None:
    """Binary cross-entropy takes targets (n_out, m) with any number of labels in a column."""
    several = (np.random.default_rng(3).standard_normal((3, 5)) @ X > 0).astype(float)
    assert set(several.sum(0)) - {1}
    net = linear("binary-cross-entropy", output="sigmoid")
    a = net.forward(X)
    loss, accuracy = net.evaluate(X, several)
    close(loss, -np.sum(several * np.log(a) + (1 - several) * np.log(1 - a), 0).mean())
    close(net.gradients(X, several)[0][0], (a - several) @ X.T / 12)
    assert accuracy is None
    net.fit(X, several, epochs=300, optimizer=gpunn.SGD(1.0))
    assert np.array_equal(net.forward(X) > 0.5, several)


class TestHinge:
    def test_the_example_of_cs231n(self, backend: MakeBackend) -> None:
        """https://cs231n.github.io/linear-classify: scores 13, −7, 11 for class 0; Δ = 10 scaled to 1."""
        net = linear("hinge")
        net.weights[0][:], net.biases[0][:] = 0, np.array([[1.3], [-0.7], [1.1]])
        assert net.evaluate(X[:, :1], [0])[0] == pytest.approx(0.8)
        close(net.gradients(X[:, :1], [0])[0][1], [[-1], [0], [1]])

    def test_a_single_output_is_class_1_above_0(self, backend: MakeBackend) -> None:
        net, y = linear("hinge", n_out=1), (X[0] > 0).astype(int)
        history = net.fit(X, y, epochs=100, optimizer=gpunn.SGD(0.5))
        assert history[-1].accuracy == net.evaluate(X, y)[1] == 1
        assert np.array_equal(net.predict(X), y)
        assert np.array_equal(net.predict(X), net.forward(X)[0] > 0)
        assert net.evaluate(X, y)[0] == pytest.approx(
            np.maximum(0, 1 - (2 * y - 1) * net.forward(X)[0]).mean()
        )

    def test_it_learns(self, backend: MakeBackend, digits: gpunn.datasets.Dataset) -> None:
        net = Network(64, [Dense(10, "identity")], "hinge", 0)
        net.fit(digits.train.X, digits.train.y, epochs=5)
        assert net.evaluate(digits.test.X, digits.test.y)[1] > 0.9

    @pytest.mark.parametrize("verb", ["fit", "gradients", "evaluate"])
    def test_it_needs_labels(self, verb: str) -> None:
        with pytest.raises(ValueError, match=r"hinge needs class labels \(12,\), not targets"):
            getattr(linear("hinge"), verb)(X, TARGETS)


@pytest.mark.parametrize("cost", gpunn.COSTS)
def test_a_nan_is_not_hidden(backend: MakeBackend, cost: str) -> None:
    net = linear(cost, output="sigmoid")
    net.biases[0][:] = math.nan
    assert math.isnan(net._evaluation(X, Y, "cpu")()[0])
    with pytest.raises(ValueError, match="not finite numbers: the network's weights are not, either"):
        net.evaluate(X, Y)


class TestNames:
    @pytest.mark.parametrize(
        "name", [*gpunn.COSTS, "huber(2.5)", "quantile(0.9)", "huber(1e-05)", "quantiles(0.5)"]
    )
    def test_a_file_holds_the_cost(self, tmp_path: Path, name: str) -> None:
        net = linear(name, output="sigmoid")
        net.save(tmp_path / "m.safetensors")
        again = Network.load(tmp_path / "m.safetensors")
        assert again.cost == net.cost
        assert again.cost.name == name
        assert again.evaluate(X, Y) == net.evaluate(X, Y)

    def test_a_parameter_is_part_of_the_name(self) -> None:
        assert costs.huber(2).name == "huber(2.0)"
        assert costs.huber(1).name == "huber"
        assert costs.get("quantile(0.25)") is costs.quantile(0.25)

    def test_an_own_cost_is_not_saved_under_a_built_in_name(self, tmp_path: Path) -> None:
        own = gpunn.Cost.from_functions(lambda a, y: a - y, lambda a, y: np.ones_like(a), "huber(3.0)")
        with pytest.raises(ValueError, match=r"'huber\(3.0\)' is your own"):
            linear(own).save(tmp_path / "m.safetensors")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("huber(x)", "huber's parameter must be a number, not 'x'"),
            ("huber(-1)", "huber's delta must be above 0 and finite, not -1"),
            ("huber(nan)", "huber's delta must be above 0 and finite, not nan"),
            ("quantile(1)", "quantile's tau must be between 0 and 1, not 1"),
            ("quantiles(1)", "the spread of quantiles must be between 0 and 1, not 1"),
            ("hubert(1)", "unknown cost with a parameter 'hubert': did you mean 'huber'"),
        ],
    )
    def test_wrong_names_are_refused(self, name: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            linear(name)


# PyTorch

SEVERAL = (TARGETS > 0).astype(float)


def step(net: Network, y: np.ndarray, **settings: Any) -> tuple[float, np.ndarray, np.ndarray]:
    """Compute (loss, dw, db) of a network of one layer by one step of `fit` with η = 1."""
    w, b = net.weights[0].copy(), net.biases[0].copy()
    history = net.fit(X, y, epochs=1, batch_size=12, optimizer=gpunn.SGD(1.0), **settings)
    return history[0].loss, w - net.weights[0], b - net.biases[0]


def torchs(net: Network, output: str, cost: Any, y: Any) -> tuple[float, np.ndarray, np.ndarray]:
    """Compute `step` by PyTorch: cost(a, y), with examples in rows, over the number of examples."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    w, b = (torch.tensor(x.copy(), requires_grad=True) for x in (net.weights[0], net.biases[0]))
    z = (w @ torch.tensor(X) + b).T
    a = {"identity": lambda z: z, "sigmoid": torch.sigmoid, "softplus": torch.nn.functional.softplus}[output]
    loss = cost(a(z), torch.tensor(y.T)) / 12
    loss.backward()
    return loss.item(), w.grad.numpy(), b.grad.numpy()


TORCHS: dict[str, tuple[str, str, Any, dict[str, Any], Any]] = {
    # PyTorch's name: (gpunn's cost, output activation, y, settings, PyTorch's cost)
    "L1Loss": ("mae", "identity", TARGETS, {}, lambda nn: nn.L1Loss(reduction="sum")),
    "HuberLoss": ("huber", "identity", TARGETS, {}, lambda nn: nn.HuberLoss("sum")),
    "HuberLoss of 0.3": ("huber(0.3)", "identity", TARGETS, {}, lambda nn: nn.HuberLoss("sum", 0.3)),
    "PoissonNLLLoss": (
        "poisson", "softplus", np.floor(np.abs(3 * TARGETS)), {},
        lambda nn: nn.PoissonNLLLoss(log_input=False, eps=0, reduction="sum"),
    ),
    "MultiMarginLoss": (  # PyTorch's divides by the number of classes
        "hinge", "identity", Y, {}, lambda nn: lambda a, y: 3 * nn.MultiMarginLoss(reduction="sum")(a, y)
    ),
    "MultiMarginLoss, weighted": (
        "hinge", "identity", Y, {"class_weight": OF_CLASS},
        lambda nn: lambda a, y: 3 * nn.MultiMarginLoss(weight=_tensor(OF_CLASS), reduction="sum")(a, y),
    ),
    "BCELoss": (
        "binary-cross-entropy", "sigmoid", SEVERAL, {}, lambda nn: nn.BCELoss(reduction="sum")
    ),
    "BCELoss, weighted": (
        "binary-cross-entropy", "sigmoid", SEVERAL, {"sample_weight": WEIGHTS},
        lambda nn: nn.BCELoss(_tensor(WEIGHTS[:, None]), reduction="sum"),
    ),
    "CrossEntropyLoss": (
        "cross-entropy", "softmax", Y, {}, lambda nn: nn.CrossEntropyLoss(reduction="sum")
    ),
    "CrossEntropyLoss, smoothed": (
        "cross-entropy", "softmax", Y, {"label_smoothing": 0.1},
        lambda nn: nn.CrossEntropyLoss(label_smoothing=0.1, reduction="sum"),
    ),
    "CrossEntropyLoss, weighted": (
        "cross-entropy", "softmax", Y, {"class_weight": OF_CLASS},
        lambda nn: nn.CrossEntropyLoss(_tensor(OF_CLASS), reduction="sum"),
    ),
}  # fmt: skip


def _tensor(array: np.ndarray) -> Any:
    import torch

    return torch.tensor(array)


@pytest.mark.parametrize("what", TORCHS)
def test_pytorch_agrees(backend: MakeBackend, what: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    cost, output, y, settings, theirs = TORCHS[what]
    net = linear(cost, output=output)
    # PyTorch's cross-entropy contains the softmax
    expected = torchs(net, output.replace("softmax", "identity"), theirs(torch.nn), y)
    for mine, other in zip(step(net, y, **settings), expected, strict=True):
        close(mine, other)
