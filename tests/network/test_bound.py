"""Predictions are bound once: they follow weights and inputs, and no two calls disturb each other."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import gpunn
from gpunn.backends.host import forward
from gpunn.backends.host.backend import Host
from gpunn.backends.host.pool import Pool
from gpunn.core.plan import Plan, forward_batch

LAYERS = [gpunn.Dense(30, "relu", batch_norm=True), gpunn.Dense(20, "elu"), gpunn.Dense(3, "softmax")]


def network(dtype: str = "float32") -> gpunn.Network:
    return gpunn.Network(8, LAYERS, seed=0, dtype=dtype)


def drawn(m: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(m).integers(0, 256, (m, 8)).astype(dtype).T


def by_a_plan(net: gpunn.Network, X: np.ndarray) -> np.ndarray:
    """Compute the outputs by a plan of their own, as evaluations do."""
    be, m = Host(net.dtype.name), X.shape[1]
    outputs = be.memory.matrix(3, m)
    Plan(net.bind(be), be.data.examples(X, None, None), m, forward_batch(m, 8), outputs=outputs)(np.arange(m))
    return outputs


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
@pytest.mark.parametrize("m", [1, 2, 512, 701, 1024])
def test_outputs_are_those_of_a_plan(m: int, dtype: str) -> None:
    net, X = network(), drawn(m, dtype)
    for _ in range(2):
        np.testing.assert_array_equal(net.forward(X), by_a_plan(net, X))
    np.testing.assert_array_equal(net.forward(np.ascontiguousarray(X)), by_a_plan(net, X))
    np.testing.assert_array_equal(net.forward(X[:, ::-1]), by_a_plan(net, X[:, ::-1].copy("F")))


def test_outputs_follow_the_weights_and_are_the_callers_own() -> None:
    net, X = network(), drawn(5)
    before = net.forward(X)
    kept = before.copy()
    net.theta[:] *= 2
    np.testing.assert_array_equal(net.forward(X), by_a_plan(net, X))
    np.testing.assert_array_equal(before, kept)
    net.fit(X, [0, 1, 2, 0, 1], epochs=2, device="cpu")
    np.testing.assert_array_equal(net.forward(X), by_a_plan(net, X))


def test_copies_and_pickles_predict_by_their_own_weights() -> None:
    net, X = network(), drawn(5)
    outputs = net.forward(X)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        other.theta[:] = 0
        assert np.ptp(other.forward(X)) < 1e-6
    np.testing.assert_array_equal(net.forward(X), outputs)


def test_threads_predict_at_once() -> None:
    net = network("float64")
    inputs = [drawn(m, "float64") for m in (3, 3, 3, 40, 40, 1024) * 20]
    expected = [by_a_plan(net, X) for X in inputs]
    with ThreadPoolExecutor(8) as executor:
        for found, outputs in zip(executor.map(net.forward, inputs), expected, strict=True):
            np.testing.assert_array_equal(found, outputs)


def test_one_thread_predicts_few_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUNN_COMPILED", "0")  # the kernels have threads of their own
    net, used = network(), list[int]()
    monkeypatch.setattr(Pool, "use", lambda self, who, n: used.append(n))
    monkeypatch.setattr(Pool, "leave", lambda self, who: None)
    monkeypatch.setattr(Pool, "limit", lambda self: 3)
    net.forward(drawn(1024))
    assert used == [1]
    monkeypatch.setattr(forward, "SHARED", 8 * 30 * 1024)
    net.forward(drawn(1024))
    assert used == [1, 3]


@pytest.mark.parametrize("m", [1, 300, 1024])
def test_doubles(m: int) -> None:
    net = gpunn.Network(60, [gpunn.Dense(90, "tanh"), gpunn.Dense(2, "softmax")], seed=0, dtype="float64")
    X = np.random.default_rng(0).standard_normal((m, 60)).T
    hidden = np.tanh(net.weights[0] @ X + net.biases[0])
    z = net.weights[1] @ hidden + net.biases[1]
    np.testing.assert_allclose(net.forward(X), np.exp(z) / np.exp(z).sum(0), rtol=1e-12)


def test_little_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    for m in range(1, 40):
        net.forward(drawn(m))
    assert [len(bound.kept) for bound in net._idle["cpu"]] == [forward.BOUND]
    assert not net._idle["cpu"][0].alone.context._scratches
    monkeypatch.setattr(forward, "KEPT_BYTES", 100)
    other = network()
    other.forward(drawn(20))
    assert [bound.kept for bound in other._idle["cpu"]] == [{}]
