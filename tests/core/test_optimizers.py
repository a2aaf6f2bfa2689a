"""Every optimizer, regulariser and schedule by its published formula, on every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import by_the_book
import numpy as np
import pytest
from helpers import MakeBackend

import gpunn
from gpunn import Dense, Network, reference
from gpunn.core.optimizers import OPTIMIZERS
from gpunn.core.rules import Rule
from gpunn.training import schedules

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((5, 40)), RNG.integers(0, 3, 40)
STEPS, ETA = 5, 0.05
Theta = list[np.ndarray]

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "l2": {"l2": 0.3},
    "l1": {"l1": 0.2},
    "clip_norm": {"clip_norm": 0.1},
    "max_norm": {"max_norm": 0.9},
    "schedule": {"schedule": schedules.cosine()},
    "all": {"l2": 0.3, "l1": 0.02, "clip_norm": 0.1, "max_norm": 0.9, "schedule": schedules.cosine()},
}


def small() -> Network:
    return Network(5, [Dense(8, "tanh"), Dense(3, "softmax")], seed=0, dtype="float64")


def trained(optimizer: Any, **settings: Any) -> Theta:
    net = small()
    net.fit(X, Y, epochs=STEPS, batch_size=40, optimizer=optimizer, **settings)
    return net.weights + net.biases


def same(mine: Theta, theirs: Theta) -> None:
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_the_textbooks(backend: MakeBackend, name: str, settings: dict[str, Any]) -> None:
    """Two epochs of three mini-batches, the last one short."""
    net, how = small(), {"epochs": 2, "batch_size": 16}
    chosen = {"l2": 0.0, **settings}
    expected = by_the_book.train(net, X, Y, name, ETA, **how, **chosen)
    schedule = chosen.pop("schedule", None)
    optimizer = OPTIMIZERS[name](ETA, **chosen)
    net.fit(X, Y, optimizer=optimizer, schedule=schedule, shuffle=False, **how)
    for mine, theirs in zip(net.weights + net.biases, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)


def test_the_textbook_has_every_optimizer() -> None:
    assert list(reference.OPTIMIZERS) == list(OPTIMIZERS)


def test_every_rule_is_whole() -> None:
    """A rule's record has everything that backends read."""
    rules = [make() for make in OPTIMIZERS.values() if isinstance(make(), Rule)]
    assert rules
    for rule in rules:
        fields = {*rule.constants, *("l2", "learning_rate")}
        assert all(isinstance(getattr(rule, name), float) for name in fields)
        assert rule.cuda
        assert rule.formula.count("←") == len(rule.states) + 1


def test_regularisation_does_something() -> None:
    """The settings above are strong enough for the contract to notice a missing one."""
    plain = trained(gpunn.SGD(ETA))
    for name in ("l2", "l1", "clip_norm", "max_norm"):
        assert not np.allclose(trained(gpunn.SGD(ETA, **SETTINGS[name]))[0], plain[0], atol=1e-6), name


def test_a_short_gradient_is_not_clipped(backend: MakeBackend) -> None:
    same(trained(gpunn.SGD(ETA, clip_norm=1e9)), trained(gpunn.SGD(ETA)))


@pytest.mark.parametrize("momentum", [0, 0.9])
def test_l1_moves_weights_to_zero_and_no_further(backend: MakeBackend, momentum: float) -> None:
    assert np.mean(trained(gpunn.SGD(ETA, momentum, l1=0.7))[0] == 0) > 0.1


def test_max_norm_bounds_each_neurons_incoming_weights(backend: MakeBackend) -> None:
    lengths = np.linalg.norm(trained(gpunn.SGD(ETA, max_norm=0.6))[0], axis=1)
    assert 0.6 - 1e-12 <= lengths.max() <= 0.6 + 1e-12


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_a_schedule_sets_every_step(backend: MakeBackend, name: str) -> None:
    """Three mini-batches an epoch, the last one short: η must follow the step, not the epoch."""
    schedule = schedules.SCHEDULES[name]()
    net, book = small(), small()
    if name == "plateau":
        schedule = schedules.ReduceOnPlateau(0.5, patience=1, metric="loss")
    net.fit(X, Y, epochs=2, batch_size=16, optimizer=gpunn.SGD(ETA), schedule=schedule)
    factors = iter(schedules.get(name)(step / 6) for step in range(6))  # type: ignore[misc]
    for _ in range(2):
        order = book.rng.permutation(40)
        for start in range(0, 40, 16):
            batch = order[start : start + 16]
            eta = ETA * next(factors)
            gradients = book.gradients(X[:, batch], Y[batch])
            for w, b, (dw, db) in zip(book.weights, book.biases, gradients, strict=True):
                w -= eta * dw
                b -= eta * db
    same(net.weights + net.biases, book.weights + book.biases)


@pytest.mark.parametrize("make", [gpunn.Nesterov, gpunn.Adam, gpunn.AdamW, gpunn.RMSProp])
def test_a_constant_schedule_is_no_schedule(backend: MakeBackend, make: Any) -> None:
    optimizer = make(ETA, l2=0.1, l1=0.01)
    same(trained(optimizer, schedule=lambda progress: 1.0), trained(optimizer))


def test_the_shapes_of_the_schedules() -> None:
    ends = {name: (make()(0), make()(0.999999)) for name, make in schedules.SCHEDULES.items()}
    expected = {
        "constant": (1, 1), "step": (1, 1e-3), "exponential": (1, 0.01), "cosine": (1, 0),
        "warmup": (0, 1), "one-cycle": (0.04, 4e-6), "plateau": (1, 1),
    }  # fmt: skip
    for name, (first, last) in expected.items():
        assert ends[name] == pytest.approx((first, last), abs=1e-4), name
    assert schedules.one_cycle()(0.3) == pytest.approx(1)
    assert schedules.warmup(0.5, schedules.cosine())(0.75) == pytest.approx(0.5)


def test_reduce_on_plateau_waits_and_then_reduces() -> None:
    plateau, seen = schedules.ReduceOnPlateau(0.1, patience=2), []
    for epoch, loss in enumerate([3, 2, 2, 2, 1, 1, 1]):
        plateau.observe(gpunn.Record(epoch, 0, None, loss, None, 1, 1))
        seen.append(plateau(0))
    assert seen == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01])
    accuracy = schedules.ReduceOnPlateau(0.1, 1, "accuracy")
    for epoch, value in enumerate([0.5, 0.6, 0.6]):
        accuracy.observe(gpunn.Record(epoch, 0, value, None, None, 1, 1))
    assert accuracy(0) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gpunn.SGD(l1=-1), "l1 must be 0 or more, not -1"),
        (lambda: gpunn.Adam(max_norm=0), "max_norm must be above 0, not 0"),
        (lambda: gpunn.RMSProp(clip_norm=-2), "clip_norm must be above 0, not -2"),
        (lambda: gpunn.RMSProp(rho=1), r"rho must be in \[0, 1\), not 1"),
        (lambda: schedules.warmup(0), "share must be between 0 and 1, not 0"),
        (lambda: small().fit(X, Y, schedule="cosin"), "unknown schedule 'cosin': did you mean 'cosine'"),
        (
            lambda: small().fit(X, Y, schedule="plateau"),
            "validation_loss is not measured: pass validation to fit",
        ),
    ],
)
def test_wrong_names_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_one_set_of_scalars_is_enough() -> None:
    """Layers and mini-batch sizes share equal scalars."""
    net, optimizer = Network(3, [Dense(2) for _ in range(40)], seed=0), gpunn.Nesterov(l2=0.1)
    net.fit(RNG.random((3, 23)), RNG.random((2, 23)), epochs=1, batch_size=5, optimizer=optimizer)


EXACT = [  # values that every type of number represents exactly
    (gpunn.SGD, {"learning_rate": 0.25, "momentum": 0.5, "l2": 0.125}),
    (gpunn.SGD, {"learning_rate": 1, "max_norm": 2, "clip_norm": 1, "l1": 0}),
    (gpunn.Adam, {"learning_rate": 0.125, "beta1": 0.5, "beta2": 0.75, "epsilon": 1}),
    (gpunn.Adam, {"learning_rate": 0.125, "beta1": 0, "beta2": 0}),
    (gpunn.RMSProp, {"learning_rate": 0.125, "rho": 0.5, "epsilon": 1}),
]


@pytest.mark.parametrize("number", [np.float64, np.float32])
@pytest.mark.parametrize(("make", "settings"), EXACT)
def test_a_number_is_the_same_in_every_type(
    backend: MakeBackend, make: Any, settings: dict[str, float], number: Callable[[float], float]
) -> None:
    learnt = []
    for like, whole in ((float, int), (number, np.int64)):
        chosen = make(**{name: like(value) for name, value in settings.items()})
        layers = [Dense(whole(8), "tanh", dropout=like(0.25)), Dense(whole(3), "softmax")]
        net = Network(whole(5), layers, seed=0, input_dropout=like(0.125))
        how = {"label_smoothing": like(0.25), "epochs": whole(2), "batch_size": whole(16)}
        net.fit(X.astype(np.float32), Y, optimizer=chosen, **how)
        learnt.append((repr(chosen), net.theta))
    assert learnt[0][0] == learnt[1][0]
    np.testing.assert_array_equal(learnt[0][1], learnt[1][1])
