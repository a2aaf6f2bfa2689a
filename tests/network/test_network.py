"""The public API: what a network is, learns, refuses and keeps. On every backend where it computes."""

from __future__ import annotations

import itertools
import json
import math
import pickle
import signal
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend, one_hot
from safetensors.numpy import load_file

import gpunn
from gpunn import Dense, Network
from gpunn.backends import Host
from gpunn.backends.cuda.backend import Cuda
from gpunn.core.inputs import check_X

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 40))
Y = RNG.integers(0, 3, 40)


def small(seed: int = 0, dtype: str = "float64", **settings: Any) -> Network:
    return Network(5, [Dense(8, "tanh"), Dense(3, "softmax")], seed=seed, dtype=dtype, **settings)


class TestWhatItIs:
    def test_three_blue_one_browns_network_has_13002_parameters(self) -> None:
        net = Network(784, [Dense(16), Dense(16), Dense(10)], cost="quadratic", seed=0)
        assert net.parameters == 13_002

    def test_the_books_short_form(self) -> None:
        short = Network([784, 30, 10], seed=0)
        layers = [Dense(30, "sigmoid", "normal"), Dense(10, "sigmoid", "normal")]
        long = Network(784, layers, "quadratic", seed=0)
        assert repr(short) == repr(long)
        assert np.array_equal(short.weights[0], long.weights[0])

    def test_shapes_and_views(self) -> None:
        net = small()
        assert [w.shape for w in net.weights] == [(8, 5), (3, 8)]
        assert [b.shape for b in net.biases] == [(8, 1), (3, 1)]
        before = net.forward(X)
        net.weights[0][:] = 0
        assert not np.allclose(net.forward(X), before)

    def test_layers_lie_column_major_on_256_byte_boundaries(self) -> None:
        net = small(dtype="float32")
        flat = net._theta.flat
        for w, b in zip(net.weights, net.biases, strict=True):
            assert w.flags.f_contiguous
            assert (w.ctypes.data - flat.ctypes.data) % 256 == 0
            assert b.ctypes.data == w.ctypes.data + w.nbytes

    def test_one_seed_one_network(self) -> None:
        assert np.array_equal(small(3).weights[0], small(3).weights[0])
        assert not np.array_equal(small(3).weights[0], small(4).weights[0])
        np.testing.assert_array_equal(small(3, "float32").weights[0], small(3).weights[0].astype("float32"))

    @pytest.mark.parametrize(("init", "deviation"), [("normal", 1), ("scaled", 0.1), ("he", math.sqrt(0.02))])
    def test_initial_deviation(self, init: str, deviation: float) -> None:
        w = Network(100, [Dense(400, init=init)], seed=0).weights[0]
        assert np.std(w) == pytest.approx(deviation, rel=0.02)

    def test_glorot_is_bounded(self) -> None:
        w = Network(100, [Dense(200, init="glorot")], seed=0).weights[0]
        assert np.abs(w).max() <= math.sqrt(6 / 300)
        assert np.abs(w).max() > 0.99 * math.sqrt(6 / 300)

    def test_zeros_warn_where_units_would_stay_equal(self) -> None:
        with pytest.warns(
            UserWarning, match="layers 1 and 2 begin with zeros: the 3 neurons between them will stay"
        ):
            net = Network(2, [Dense(3, init="zeros"), Dense(1, init="zeros")], seed=0)
        net.fit(X[:2], Y > 0, epochs=2, device="cpu")
        assert np.array_equal(net.weights[0][0], net.weights[0][2])
        Network(2, [Dense(1, init="zeros")])  # a single neuron has no symmetry to break
        Network(2, [Dense(3, init="zeros"), Dense(1)])  # and here the second layer breaks it

    def test_the_usual_cost_goes_with_the_output(self) -> None:
        costs = {f: Network(2, [Dense(2, f)]).cost.name for f in ("softmax", "sigmoid", "identity")}
        assert costs == {
            "softmax": "cross-entropy",
            "sigmoid": "binary-cross-entropy",
            "identity": "quadratic",
        }

    def test_a_doubtful_pairing_warns(self) -> None:
        with pytest.warns(UserWarning, match="cross-entropy is defined for outputs in \\(0, 1\\), but tanh"):
            Network(2, [Dense(2, "tanh")], cost="cross-entropy")

    def test_repr_says_what_it_is(self) -> None:
        expected = (
            "Network(5, [Dense(8, 'tanh'), Dense(3, 'softmax')], cost='cross-entropy', dtype='float64')"
        )
        assert repr(small()) == expected


class TestLearning:
    def test_it_learns_and_says_so(self, backend: MakeBackend) -> None:
        net, told = small(), []
        history = net.fit(
            X,
            Y,
            epochs=100,
            batch_size=8,
            optimizer=gpunn.Adam(0.05),
            validation=(X, Y),
            on_epoch_end=told.append,
        )
        assert (
            [record.epoch for record in history] == list(range(1, 101)) == [record.epoch for record in told]
        )
        assert history[-1].loss < history[0].loss / 4
        assert history[-1].validation_accuracy == np.mean(net.predict(X) == Y) > 0.9
        assert history[-1].validation_loss == pytest.approx(net.evaluate(X, Y)[0], rel=1e-6)
        kept = json.loads(history.to_json())
        assert kept["records"][0].keys() == {
            "epoch", "loss", "accuracy", "validation_loss", "validation_accuracy", "seconds",
            "examples_per_second", "validation_score",
        }  # fmt: skip

    def test_same_seed_same_weights(self, backend: MakeBackend) -> None:
        nets = [small(7), small(7)]
        for net in nets:
            net.fit(X, Y, epochs=2, batch_size=16)
        assert np.array_equal(nets[0].weights[0], nets[1].weights[0])

    def test_backends_agree_on_the_trajectory(self, backend: MakeBackend) -> None:
        nets = [small(7), small(7)]
        nets[0].fit(X, Y, epochs=3, batch_size=16, optimizer=gpunn.Adam(0.01))
        reference = _trajectory(nets[1])
        np.testing.assert_allclose(nets[0].weights[0], reference, atol=1e-12)

    def test_labels_and_one_hot_targets_are_the_same(self, backend: MakeBackend) -> None:
        nets = [small(), small()]
        for net, y in zip(nets, (Y, one_hot(Y, 3)), strict=True):
            net.fit(X, y, epochs=1)
        assert np.array_equal(nets[0].weights[1], nets[1].weights[1])

    def test_regression_has_no_accuracy(self, backend: MakeBackend) -> None:
        net = Network(5, [Dense(8, "tanh"), Dense(2, "identity")], seed=0)
        targets = np.stack([X[0] * X[1], np.sin(X[2])])
        history = net.fit(X, targets, epochs=100, batch_size=8, optimizer="adam")
        assert history[-1].accuracy is None
        assert history[-1].loss < history[0].loss / 2

    def test_a_single_output_classifies_at_one_half(self, backend: MakeBackend) -> None:
        net = Network(5, [Dense(1, "sigmoid", init="zeros")], seed=0)
        history = net.fit(X, X[0] > 0, epochs=50, optimizer=gpunn.SGD(1.0))
        assert history[-1].accuracy > 0.95
        assert set(net.predict(X)) == {0, 1}

    def test_bytes_are_pixels(self, backend: MakeBackend) -> None:
        pixels = RNG.integers(0, 256, (5, 40), dtype=np.uint8)
        nets = [small(), small()]
        nets[0].fit(pixels, Y, epochs=1)
        nets[1].fit(pixels / 255, Y, epochs=1)
        np.testing.assert_allclose(nets[0].weights[0], nets[1].weights[0], atol=1e-13)
        np.testing.assert_allclose(nets[0].forward(pixels), nets[0].forward(pixels / 255), atol=1e-13)

    @pytest.mark.parametrize("kind", ["C", "int64", "float64", "bool"])
    def test_any_layout_and_number_type(self, backend: MakeBackend, kind: str) -> None:
        whole = np.round(3 * X)
        other = (
            np.ascontiguousarray(whole)
            if kind == "C"
            else (whole > 0 if kind == "bool" else whole.astype(kind))
        )
        nets = [small(dtype="float32"), small(dtype="float32")]
        nets[0].fit(np.asfortranarray(other, "float32"), Y, epochs=1)
        nets[1].fit(other, Y, epochs=1)
        assert np.array_equal(nets[0].weights[0], nets[1].weights[0])

    def test_a_memory_map_is_read_where_it_lies(self, tmp_path: Path) -> None:
        rows = np.asfortranarray(X.T)
        np.save(tmp_path / "rows.npy", np.ascontiguousarray(X.T))
        mapped = np.load(tmp_path / "rows.npy", mmap_mode="r").T  # examples as columns, each contiguous
        assert np.shares_memory(Host("float64").data.examples(check_X(mapped, 5), None, None).X, mapped)
        nets = [small(), small()]
        nets[0].fit(mapped, Y, epochs=2, batch_size=8)
        nets[1].fit(rows.T, Y, epochs=2, batch_size=8)
        assert np.array_equal(nets[0].weights[0], nets[1].weights[0])

    def test_the_short_last_batch_is_trained(self, backend: MakeBackend) -> None:
        nets = [small(), small()]
        nets[0].fit(X[:, :33], Y[:33], epochs=1, batch_size=32)
        nets[1].fit(X[:, :33], Y[:33], epochs=1, batch_size=33)
        assert nets[0].fit(X[:, :33], Y[:33], epochs=1, batch_size=32)[0].examples_per_second > 0
        assert not np.array_equal(nets[0].weights[0], nets[1].weights[0])

    def test_many_chunks_and_a_tail(self, backend: MakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
        whole, parts = small(), small()
        whole.fit(X, Y, epochs=2, batch_size=3)
        for kind in (Host, Cuda):
            monkeypatch.setattr(kind, "chunk_bytes", 300)
        parts.fit(X, Y, epochs=2, batch_size=3)
        assert np.array_equal(whole.weights[0], parts.weights[0])

    def test_forward_in_parts(self, backend: MakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
        net = small()
        whole = net.forward(X)
        monkeypatch.setattr("gpunn.core.plan.FORWARD_BATCH", 7)
        np.testing.assert_allclose(net.forward(X), whole, atol=1e-15)
        assert whole.shape == (3, 40)
        np.testing.assert_allclose(whole.sum(0), 1)

    def test_fitting_again_goes_on(self) -> None:
        net = small()
        first = net.fit(X, Y, epochs=5, device="cpu")
        assert net.fit(X, Y, epochs=5, device="cpu")[0].loss < first[0].loss

    def test_your_own_activation_and_cost(self, backend: MakeBackend) -> None:
        softsign = (lambda z: z / (1 + np.abs(z)), lambda z: 1 / (1 + np.abs(z)) ** 2)
        mine = gpunn.Activation.from_functions(
            *softsign, "softsign", cuda=("z / (1 + fabs(z))", "1 / ((1 + fabs(z)) * (1 + fabs(z)))")
        )
        cubic = gpunn.Cost.from_functions(
            lambda a, y: np.abs(a - y) ** 3 / 3,
            lambda a, y: (a - y) * np.abs(a - y),
            "cubic",
            cuda=("fabs((a - y) * (a - y) * (a - y)) / 3", "(a - y) * fabs(a - y)"),
        )
        net = Network(5, [Dense(6, mine), Dense(3, "identity")], cubic, 0, "float64")
        assert gpunn.check_gradients(net, X, Y) < 1e-6
        assert net.fit(X, Y, epochs=30)[-1].loss < net.fit(X, Y, epochs=1)[0].loss * 3

    def test_functions_of_ones_own_keep_the_shape(self) -> None:
        def net(f: Any, loss: Any) -> Network:
            cost = gpunn.Cost.from_functions(loss, lambda a, y: a - y)
            return Network(5, [Dense(6, (f, np.cos)), Dense(3, "identity")], cost, seed=0)

        with pytest.raises(ValueError, match=r"the loss must return an array of shape \(3, 40\), not \(\)"):
            net(np.sin, lambda a, y: np.sum((a - y) ** 2)).fit(X, Y, device="cpu", batch_size=40)
        with pytest.raises(ValueError, match=r"an activation must return .* \(6, 40\), not \(1, 40\)"):
            net(lambda z: z[:1], np.subtract).forward(X)

    @pytest.mark.parametrize("too_large", ["X", "weights"])
    def test_outputs_that_are_no_numbers_are_no_prediction(self, too_large: str) -> None:
        net, examples = Network(5, [Dense(4, "relu"), Dense(3, "identity")], seed=0), X.copy()
        if too_large == "X":
            examples[2, 5] = 1e300
        else:
            net.weights[1][0, 0] = np.nan
        why = "X is too large" if too_large == "X" else "the network's weights are not, either"
        for predict in (net.predict, net.forward, lambda x: net.examine(x, Y)):
            with pytest.raises(ValueError, match=f"the outputs are not finite numbers: {why}"):
                predict(examples)

    def test_check_gradients_draws_a_sample(self) -> None:
        assert gpunn.check_gradients(small(dtype="float32"), X, Y, samples=5) < 1e-6


def _trajectory(net: Network) -> np.ndarray:
    """Three epochs of Adam, as published (algorithm 1), on the gradients of the CPU."""
    net.rng, theta = np.random.default_rng(), None
    seeded = small(7)
    theta = seeded.weights + seeded.biases
    m, v, t = [np.zeros_like(w) for w in theta], [np.zeros_like(w) for w in theta], 0
    for _ in range(3):
        order = seeded.rng.permutation(40)
        for start in range(0, 40, 16):
            batch = order[start : start + 16]
            gradients = seeded.gradients(X[:, batch], Y[batch])
            t += 1
            for i, g in enumerate([dw for dw, _ in gradients] + [db for _, db in gradients]):
                m[i] = 0.9 * m[i] + 0.1 * g
                v[i] = 0.999 * v[i] + 0.001 * g**2
                theta[i] -= 0.01 * (m[i] / (1 - 0.9**t)) / (np.sqrt(v[i] / (1 - 0.999**t)) + 1e-8)
    return seeded.weights[0]


def _steps(optimizer: gpunn.SGD, steps: int) -> list[np.ndarray]:
    """Full-batch steps by the formulas in the optimizer's docstring."""
    net = small()
    theta = net.weights + net.biases
    v = [np.zeros_like(w) for w in theta]
    for _ in range(steps):
        gradients = net.gradients(X, Y)
        flat = [dw + optimizer.l2 * w for (dw, _), w in zip(gradients, net.weights, strict=True)]
        for i, g in enumerate(flat + [db for _, db in gradients]):
            v[i] = optimizer.momentum * v[i] + g
            move = g + optimizer.momentum * v[i] if optimizer.nesterov else v[i]
            theta[i] -= optimizer.learning_rate * move
    return theta


@pytest.mark.parametrize("l2", [0, 0.01])
@pytest.mark.parametrize("make", [gpunn.SGD, gpunn.Momentum, gpunn.Nesterov])
def test_gradient_descent_by_its_formulas(backend: MakeBackend, make: Any, l2: float) -> None:
    optimizer, net = make(0.3, l2=l2), small()
    net.fit(X, Y, epochs=4, batch_size=40, optimizer=optimizer)
    for mine, theirs in zip(net.weights + net.biases, _steps(optimizer, 4), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-13)


def test_adam_with_weight_decay_adds_it_to_the_gradient(backend: MakeBackend) -> None:
    net, plain = small(), small()
    net.fit(X, Y, epochs=1, batch_size=40, optimizer=gpunn.Adam(0.01, epsilon=1.0, l2=0.5))
    g = plain.gradients(X, Y)[0][0] + 0.5 * plain.weights[0]
    np.testing.assert_allclose(net.weights[0], plain.weights[0] - 0.01 * g / (np.abs(g) + 1), atol=1e-13)


class TestRefusals:
    @pytest.mark.parametrize(
        ("X", "y", "message"),
        [
            (X[:4], Y, r"X must be \(5, m\), one example a column, not \(4, 40\)"),
            (X.T, Y, r"not \(40, 5\); transpose it, since examples are columns"),
            (X[:, :0], Y[:0], r"X has no examples: its shape is \(5, 0\)"),
            (np.where(X[2, 7] == X, np.nan, X), Y, r"X\[2, 7\] is nan: X must be finite"),
            (np.where(X[2, 7] == X, np.inf, X), Y, r"X\[2, 7\] is inf"),
            (X.astype(str), Y, "X must be numbers, not <U"),
            (X, Y[:9], r"y must be labels \(40,\) or targets \(3, 40\), not \(9,\)"),
            (X, Y + 1, r"labels must be in 0…2, but y\[\d+\] is 3"),
            (X, Y - 1, r"labels must be in 0…2, but y\[\d+\] is -1"),
            (X, Y + 0.5, "y must be whole numbers, since it holds class labels"),
        ],
    )
    def test_data_that_does_not_fit(self, X: np.ndarray, y: np.ndarray, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            small().fit(X, y)

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: Dense(3, "sigmod"), "unknown activation 'sigmod': did you mean 'sigmoid'"),
            (lambda: Dense(3, init="hee"), "unknown initializer 'hee': did you mean 'he'"),
            (lambda: Dense(0), "a layer needs at least one neuron, not 0"),
            (lambda: Network(0, [Dense(1)]), "at least one input, not 0"),
            (lambda: Network(3, []), "at least one layer"),
            (lambda: Network(3), "at least one layer"),
            (lambda: Network([3]), r"at least one input and one layer, not \[3\]"),
            (lambda: Network([]), "at least one input and one layer"),
            (lambda: Network(64, [30, 10]), r"a layer must be a Dense, such as Dense\(30, 'relu'\), not 30"),
            (lambda: Dense(3, np.tanh), "an activation must be a name, an Activation or a pair"),
            (lambda: small(cost=np.mean), "a cost must be a name or a Cost, not <function mean"),
            (lambda: small().fit(X, Y, optimizer=gpunn.Adam), "such as gpunn.Adam.0.001., not <class"),
            (lambda: small().fit(X, Y, schedule=0.1), "schedule must be a name or a function .*, not 0.1"),
            (lambda: gpunn.ReduceOnPlateau(3), "factor must be between 0 and 1, not 3"),
            (lambda: gpunn.ReduceOnPlateau(patience=-1), "patience must be at least 1, not -1"),
            (lambda: gpunn.ReduceOnPlateau(metric="los"), "unknown metric 'los': did you mean 'loss'"),
            (lambda: Network([3, 4], [Dense(2)]), "at least one input, not \\[3, 4\\]"),
            (lambda: small(cost="cross entropi"), "unknown cost .* did you mean 'cross-entropy'"),
            (lambda: small(dtype="float16"), "dtype must be float32 or float64, not float16"),
            (lambda: small().fit(X, Y, epochs=0), "epochs must be a whole number of at least 1, not 0"),
            (lambda: small().fit(X, Y, batch_size=2.5), "batch_size must be a whole number .* not 2.5"),
            (lambda: small().fit(X, Y, optimizer="adm"), "unknown optimizer 'adm': did you mean 'adam'"),
            (lambda: small().fit(X, Y, device="gpu"), "unknown device 'gpu': choose from auto, cpu, cuda"),
            (lambda: small().fit(X, Y, precision="bf16"), "unknown precision 'bf16' for a float64 network"),
            (lambda: gpunn.SGD(-1), "learning_rate must be above 0, not -1"),
            (lambda: gpunn.SGD(nesterov=True), "nesterov needs a momentum above 0"),
            (lambda: gpunn.Adam(beta1=1), "beta1 must be in \\[0, 1\\), not 1"),
        ],
    )
    def test_settings(self, make: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            make()

    @pytest.mark.parametrize("huge", [1e308, np.float32(3e38), np.float16(6e4)])
    def test_a_large_finite_sum_is_finite(self, huge: Any) -> None:
        small().forward(np.full((5, 40), huge, np.result_type(huge)))

    def test_divergence_stops_with_advice_and_the_epoch_before(self, backend: MakeBackend) -> None:
        net = Network(5, [Dense(8, "relu"), Dense(3, "identity")], seed=0)
        before = [w.copy() for w in net.weights]
        with pytest.raises(
            gpunn.Diverged, match=r"the cost became (inf|nan) in epoch 1, step \d+: try a smaller"
        ):
            net.fit(X, Y, epochs=5, batch_size=2, optimizer=gpunn.SGD(1e6))
        assert all(np.array_equal(w, b) for w, b in zip(net.weights, before, strict=True))

    def test_divergence_in_the_very_last_step(self, backend: MakeBackend) -> None:
        net = Network(5, [Dense(3, "identity")], seed=0)
        with pytest.raises(gpunn.Diverged, match="weights"):
            net.fit(X, Y, epochs=1, batch_size=40, optimizer=gpunn.SGD(1e39))


def test_losses_too_large_to_be_added_stop_training_too(backend: MakeBackend) -> None:
    net = Network(1, [Dense(1, "identity")], dtype="float64", seed=0)
    with pytest.raises(gpunn.Diverged, match=r"the cost became 7.2\d*e\+307 in epoch 1, step 1"):
        net.fit(np.ones((1, 4)), np.full((1, 4), 1.2e154), epochs=3, batch_size=4)


def test_ctrl_c_keeps_what_was_learnt() -> None:
    """Ctrl-C in the middle of the twelfth epoch, which has five steps."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background may ignore it
    steps = itertools.count(1)

    def f(z: np.ndarray) -> np.ndarray:
        if next(steps) == 11 * 5 + 3:
            signal.raise_signal(signal.SIGINT)
        return np.tanh(z)

    layers = [Dense(8, (f, lambda z: 1 - np.tanh(z) ** 2)), Dense(3, "softmax")]
    net, twin = Network(5, layers, seed=0), small(dtype="float32")
    history = net.fit(X, Y, epochs=50, batch_size=8, device="cpu")
    assert history.interrupted
    assert len(history) == 11
    twin.fit(X, Y, epochs=11, batch_size=8, device="cpu")
    for mine, theirs in zip(net.weights, twin.weights, strict=True):  # two steps further on
        assert not np.array_equal(mine, theirs)
        np.testing.assert_allclose(mine, theirs, atol=0.05)


class TestKeeping:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_round_trip_is_exact(self, tmp_path: Path, dtype: str) -> None:
        net = small(dtype=dtype, meta={"classes": ["a", "b", "c"]})
        net.save(tmp_path / "m.safetensors")
        again = Network.load(tmp_path / "m.safetensors")
        assert repr(again) == repr(net)
        assert again.meta == net.meta
        for mine, theirs in zip(net.weights + net.biases, again.weights + again.biases, strict=True):
            assert mine.tobytes() == theirs.tobytes()
        assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]

    def test_plain_safetensors_reads_it(self, tmp_path: Path) -> None:
        net = small()
        net.save(tmp_path / "m.safetensors")
        tensors = load_file(tmp_path / "m.safetensors")
        assert tensors.keys() == {"w1", "b1", "w2", "b2"}
        assert np.array_equal(tensors["w1"], net.weights[0])

    def test_a_damaged_file_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "m.safetensors"
        small().save(path)
        whole = path.read_bytes()
        for content in (b"", b"hello", whole[:-1], whole[:20], whole[::-1]):
            path.write_bytes(content)
            with pytest.raises(ValueError, match=r"m\.safetensors is not a readable model"):
                Network.load(path)

    def test_what_is_not_ours(self, tmp_path: Path) -> None:
        from safetensors.numpy import save_file

        path = tmp_path / "m.safetensors"
        with pytest.raises(ValueError, match="does not exist"):
            Network.load(path)
        save_file({"w1": np.zeros(3)}, path)
        with pytest.raises(ValueError, match="a safetensors file, but not a gpunn model"):
            Network.load(path)
        save_file({"w1": np.zeros(3)}, path, {"format": "gpunn", "version": "99"})
        with pytest.raises(ValueError, match="has version 99, but this gpunn reads version 1"):
            Network.load(path)
        save_file({"w1": np.zeros(3)}, path, {"format": "gpunn", "version": "1", "network": "{}"})
        with pytest.raises(ValueError, match="does not describe a network"):
            Network.load(path)

    def test_a_failed_write_leaves_the_good_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "m.safetensors"
        small(0).save(path)
        good = path.read_bytes()

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            small(1).save(path)
        assert path.read_bytes() == good
        assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]

    def test_your_own_activation_cannot_be_saved_by_name(self, tmp_path: Path) -> None:
        net = Network(5, [Dense(3, (np.sin, np.cos)), Dense(2, "softmax")], seed=0)
        with pytest.raises(ValueError, match="'custom' is your own"):
            net.save(tmp_path / "m.safetensors")
        assert not list(tmp_path.iterdir())


class TestHooks:
    """What fit leaves to its user."""

    def test_without_shuffling_the_examples_come_as_they_lie(self, backend: MakeBackend) -> None:
        net, book = small(), small()
        net.fit(X, Y, epochs=2, batch_size=8, shuffle=False)
        for _ in range(2):
            for start in range(0, 40, 8):
                part = slice(start, start + 8)
                book.fit(X[:, part], Y[part], epochs=1, batch_size=8)
        np.testing.assert_allclose(net.theta, book.theta, rtol=0, atol=1e-12)

    def test_a_function_of_ones_own_arranges_them(self) -> None:
        seen = []

        def backwards(order: np.ndarray) -> np.ndarray:
            seen.append(order)
            return order[::-1]

        net, book = small(), small()
        net.fit(X, Y, epochs=2, shuffle=backwards, device="cpu")
        book.fit(X[:, ::-1], Y[::-1], epochs=2, shuffle=False, device="cpu")
        assert np.array_equal(net.theta, book.theta)
        assert all(np.array_equal(order, np.arange(40)) for order in seen)

    @pytest.mark.parametrize(
        "answer",
        [
            lambda order: order + 1,
            lambda order: order - 1,
            lambda order: order + 10**15,
            lambda order: order[:-1],
            lambda order: np.append(order, 3),
            lambda order: order % 2 == 0,
            lambda order: order / 1,
            lambda order: np.where(order == 4, 5, order),  # which is held out
            lambda order: None,
        ],
    )
    def test_an_arrangement_of_other_examples_is_refused(self, answer: Any) -> None:
        with pytest.raises(ValueError, match="shuffle must return 39 of the indices that it was given"):
            small().fit(X, Y, validation=[5], shuffle=answer, device="cpu")

    def test_an_example_may_come_twice(self) -> None:
        small().fit(X, Y, shuffle=lambda order: order // 2, device="cpu")

    @pytest.mark.parametrize("swapped", [(0, 1), (1, 2), (0, 39), (7, 8)])
    def test_one_that_only_just_does_not_count_up(
        self, backend: MakeBackend, swapped: tuple[int, int]
    ) -> None:
        order = np.arange(40)
        order[[*swapped]] = swapped[::-1]
        net, book = small(), small()
        net.fit(X, Y, epochs=2, batch_size=8, shuffle=lambda _: order)
        book.fit(X[:, order], Y[order], epochs=2, batch_size=8, shuffle=False)
        assert np.array_equal(net.theta, book.theta)

    def test_a_score_of_ones_own_is_recorded_and_stops(self) -> None:
        outputs = []
        history = small().fit(
            X, Y, epochs=9, validation=(X[:, :7], Y[:7]), device="cpu",
            score=lambda a: outputs.append(a.copy()) or -float(len(outputs)),
            stop=gpunn.EarlyStopping("validation_score", patience=2),
        )  # fmt: skip
        assert [record.validation_score for record in history] == [-1, -2, -3]
        assert history.stopped == "early"
        assert outputs[0].shape == (3, 7)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"score": np.mean}, "score needs a validation set"),
            ({"validation": 0.2, "stop": gpunn.EarlyStopping("validation_score")}, "pass score to fit"),
            ({"validation": np.arange(40)}, "all 40 examples are held out"),
            ({"validation": np.array([3, 40])}, "whole numbers in 0…39"),
            ({"validation": [3, 40]}, "whole numbers in 0…39"),
            ({"validation": []}, "whole numbers in 0…39"),
        ],
    )
    def test_what_is_missing_is_named(self, settings: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            small().fit(X, Y, **settings)

    def test_examples_are_held_out_by_index(self) -> None:
        held = np.array([5, 3, 20])
        net, book = small(), small()
        record = net.fit(X, Y, epochs=1, validation=held, device="cpu")[0]
        kept = np.setdiff1d(np.arange(40), held)
        book.fit(X[:, kept], Y[kept], epochs=1, device="cpu")
        assert np.array_equal(net.theta, book.theta)
        assert record.validation_loss == pytest.approx(net.evaluate(X[:, held], Y[held])[0])
        by_list = small()
        by_list.fit(X, Y, epochs=1, validation=held.tolist(), device="cpu")
        assert np.array_equal(net.theta, by_list.theta)

    @pytest.mark.parametrize("optimizer", [gpunn.Momentum(0.1), gpunn.Adam(), gpunn.RMSProp()])
    def test_an_optimizer_goes_on_from_its_state(self, backend: MakeBackend, optimizer: Any) -> None:
        net, straight, state = small(), small(), {}
        for _ in range(3):
            net.fit(X, Y, epochs=2, optimizer=optimizer, optimizer_state=state)
        straight.fit(X, Y, epochs=6, optimizer=optimizer)
        np.testing.assert_allclose(net.theta, straight.theta, rtol=0, atol=1e-12)
        with pytest.raises(ValueError, match="belongs to another optimizer or another network"):
            net.fit(X, Y, optimizer="sgd", optimizer_state=state)

    def test_functions_of_ones_own_are_copied_and_pickled_with_it(self) -> None:
        layers = [Dense(4, (np.sin, np.cos)), Dense(3, "identity")]
        net = Network(5, layers, gpunn.Cost.from_functions(np.subtract, np.ones_like), seed=0)
        for copy in (deepcopy(net), pickle.loads(pickle.dumps(net))):
            assert np.array_equal(copy.forward(X), net.forward(X))
            assert copy.evaluate(X, Y) == net.evaluate(X, Y)
        relu = gpunn.ACTIVATIONS["relu"]
        assert deepcopy(relu) is relu and pickle.loads(pickle.dumps(relu)) is relu

    def test_networks_are_pickled(self) -> None:
        net = small()
        copy = pickle.loads(pickle.dumps(net))
        assert repr(copy) == repr(net)
        assert np.array_equal(copy.theta, net.theta)
        copy.weights[0][:] = 0  # its own, and still views of its θ
        assert not copy.theta[: copy.weights[0].size].any()
        assert net.weights[0].any()
