"""Every optimizer, regulariser and schedule by its published formula, on every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend

import gpunn
from gpunn import Dense, Network
from gpunn.training import schedules

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((5, 40)), RNG.integers(0, 3, 40)
STEPS, ETA = 5, 0.05
Theta = list[np.ndarray]


def small() -> Network:
    return Network(5, [Dense(8, "tanh"), Dense(3, "softmax")], seed=0, dtype="float64")


def by_hand(move: Callable[[int, Theta, Theta], None], steps: int = STEPS) -> Theta:
    """Full-batch steps: move(t, θ, g) changes the arrays of θ, weights first, from t = 1."""
    net = small()
    theta = net.weights + net.biases
    for t in range(1, steps + 1):
        gradients = net.gradients(X, Y)
        move(t, theta, [dw for dw, _ in gradients] + [db for _, db in gradients])
    return theta


def trained(optimizer: Any, **settings: Any) -> Theta:
    net = small()
    net.fit(X, Y, epochs=STEPS, batch_size=40, optimizer=optimizer, **settings)
    return net.weights + net.biases


def same(mine: Theta, theirs: Theta) -> None:
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def adam_step(t: int, m: np.ndarray, v: np.ndarray, g: np.ndarray) -> np.ndarray:
    m[:], v[:] = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    return ETA * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)


def zeros() -> Theta:
    net = small()
    return [np.zeros_like(x) for x in net.weights + net.biases]


def test_adamw_decays_the_weights_themselves(backend: MakeBackend) -> None:
    m, v = zeros(), zeros()

    def move(t: int, theta: Theta, g: Theta) -> None:
        for i, x in enumerate(theta):
            decay = ETA * 0.3 * x if i < 2 else 0
            x -= decay + adam_step(t, m[i], v[i], g[i])

    same(trained(gpunn.AdamW(ETA, l2=0.3)), by_hand(move))


def test_rmsprop(backend: MakeBackend) -> None:
    v = zeros()

    def move(t: int, theta: Theta, g: Theta) -> None:
        for i, x in enumerate(theta):
            v[i] = 0.9 * v[i] + 0.1 * g[i] ** 2
            x -= ETA * g[i] / (np.sqrt(v[i]) + 1e-8)

    same(trained(gpunn.RMSProp(ETA)), by_hand(move))


@pytest.mark.parametrize(("momentum", "nesterov"), [(0, False), (0.8, False), (0.8, True)])
def test_a_long_gradient_is_clipped(backend: MakeBackend, momentum: float, nesterov: bool) -> None:
    v, lengths = zeros(), []

    def move(t: int, theta: Theta, g: Theta) -> None:
        lengths.append(np.sqrt(sum(np.sum(x**2) for x in g)))
        factor = min(1, 0.1 / lengths[-1])
        for i, x in enumerate(theta):
            gradient = factor * g[i] + (0.1 * x if i < 2 else 0)
            v[i] = momentum * v[i] + gradient
            x -= ETA * (gradient + momentum * v[i] if nesterov else v[i])

    expected = by_hand(move)
    assert max(lengths) > 0.1
    same(trained(gpunn.SGD(ETA, momentum, nesterov, clip_norm=0.1, l2=0.1)), expected)


def test_a_short_gradient_is_not_clipped(backend: MakeBackend) -> None:
    same(trained(gpunn.SGD(ETA, clip_norm=1e9)), trained(gpunn.SGD(ETA)))


@pytest.mark.parametrize("momentum", [0, 0.9])
def test_l1_moves_weights_to_zero_and_no_further(backend: MakeBackend, momentum: float) -> None:
    v = zeros()

    def move(t: int, theta: Theta, g: Theta) -> None:
        for i, x in enumerate(theta):
            v[i] = momentum * v[i] + g[i]
            x -= ETA * v[i]
            if i < 2:
                x[:] = np.sign(x) * np.maximum(np.abs(x) - ETA * 0.7, 0)

    mine = trained(gpunn.SGD(ETA, momentum, l1=0.7))
    same(mine, by_hand(move))
    assert np.mean(mine[0] == 0) > 0.1


def test_max_norm_bounds_each_neurons_incoming_weights(backend: MakeBackend) -> None:
    def move(t: int, theta: Theta, g: Theta) -> None:
        for i, x in enumerate(theta):
            x -= ETA * g[i]
            if i < 2:
                x *= np.minimum(1, 0.6 / np.linalg.norm(x, axis=1, keepdims=True))

    mine = trained(gpunn.SGD(ETA, max_norm=0.6))
    same(mine, by_hand(move))
    assert np.linalg.norm(mine[0], axis=1).max() <= 0.6 + 1e-12


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


def test_one_batch_of_scalars_is_enough() -> None:
    """Different layers and mini-batch sizes share what is the same."""
    net, optimizer = Network(3, [Dense(2) for _ in range(40)], seed=0), gpunn.Nesterov(l2=0.1)
    net.fit(RNG.random((3, 23)), RNG.random((2, 23)), epochs=1, batch_size=5, optimizer=optimizer)


EXACT = [  # in every type of number
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
