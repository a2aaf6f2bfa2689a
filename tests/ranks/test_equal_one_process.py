"""Several ranks learn what one process learns, with bitwise identical weights on all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threaded import Communicator, on_ranks

import gpunn
from gpunn import Augmentation, Dense, Network, backends
from gpunn.backends import Host
from gpunn.core.plan import Plan
from gpunn.core.ranks import positions, share_of
from gpunn.training.ranks import MpiRanks

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(16, 41)), RNG.integers(0, 4, 41)
OPTIMIZERS = {
    "sgd": gpunn.SGD(0.05, l2=1e-2, l1=1e-3),
    "momentum": gpunn.Momentum(0.02, l2=1e-2, max_norm=2.0),
    "nesterov": gpunn.Nesterov(0.02, l2=1e-2, l1=1e-3),
    "clipped": gpunn.Momentum(0.05, clip_norm=0.1),
    # the gradient of a bias before batch normalisation is rounding, which a smaller ε would amplify
    "adam": gpunn.Adam(0.01, l2=1e-2, epsilon=1e-2),
}


def network(**layer: Any) -> Network:
    layers = [Dense(9, "tanh", **layer), Dense(7, "relu", **layer), Dense(4, "softmax")]
    return Network(16, layers, seed=3, dtype="float64", input_dropout=layer.get("dropout", 0) / 2)


def learn(net: Network, **options: Any) -> tuple[Network, gpunn.History]:
    return net, net.fit(X, Y, **{"epochs": 2, "batch_size": 10, "device": "cpu", "threads": 1, **options})


def equal(size: int, make: Callable[[], Network], atol: float = 1e-12, **options: Any) -> None:
    """Compare a training on so many ranks with that of one process."""
    one, expected = learn(make(), **options)
    found = on_ranks(size, lambda communicator: learn(make(), communicator=communicator, **options))
    for error in found:
        if isinstance(error, Exception):
            raise error
    for net, history in found:
        np.testing.assert_array_equal(net.theta, found[0][0].theta)  # as bits
        np.testing.assert_allclose(net.theta, one.theta, rtol=0, atol=atol)
        assert history.records == found[0][1].records
        assert history.ranks == size
        for mine, theirs in zip(history, expected, strict=True):
            for name in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
                assert getattr(mine, name) == pytest.approx(getattr(theirs, name), abs=100 * atol)
        assert net.rng.bit_generator.state == one.rng.bit_generator.state


@settings(max_examples=25)
@given(
    st.sampled_from(list(OPTIMIZERS)),
    st.integers(2, 5),
    st.integers(5, 50),
    st.booleans(),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([None, 0.2]),
    st.sampled_from([None, Augmentation((4, 4), shift=1, rotate=10, elastic=3)]),
    st.sampled_from([None, "cosine", "plateau"]),
)
def test_any_number_of_ranks_learns_what_one_process_learns(
    optimizer: str,
    ranks: int,
    batch_size: int,
    batch_norm: bool,
    dropout: float,
    validation: float | None,
    augmentation: Augmentation | None,
    schedule: str | None,
) -> None:
    schedule = schedule if validation or schedule != "plateau" else None
    options = {"validation": validation, "augmentation": augmentation, "schedule": schedule}
    how = {"batch_norm": batch_norm, "dropout": dropout}
    equal(ranks, lambda: network(**how), optimizer=OPTIMIZERS[optimizer], batch_size=batch_size, **options)


@pytest.mark.parametrize("reaches_others", [True, False])
def test_the_emulated_device_sums_within_its_graph_or_through_the_host(
    monkeypatch: pytest.MonkeyPatch, reaches_others: bool
) -> None:
    emulated = pytest.importorskip("emulated")
    from gpunn.backends.cuda.backend import Cuda

    if not emulated.COMPILER:
        pytest.skip("no C++ compiler for the emulated device")
    monkeypatch.setattr(emulated.EmulatedDevice, "reaches_others", reaches_others)
    devices: list[Any] = []

    def choose(device: str, dtype: Any, *_: Any) -> Any:
        devices.append(emulated.EmulatedDevice())
        return Cuda(devices[-1], np.dtype(dtype).name)

    monkeypatch.setattr(backends, "choose", choose)
    shown = Augmentation((4, 4), shift=1, rotate=10, elastic=3)
    options = {"augmentation": shown, "validation": 0.2, "schedule": "cosine", "batch_size": 11}
    with warnings_of_the_host(not reaches_others):
        equal(2, lambda: network(batch_norm=True, dropout=0.3), optimizer=gpunn.Nesterov(0.1), **options)
    for device in devices:
        device.check()


def warnings_of_the_host(wanted: bool) -> AbstractContextManager[Any]:
    return pytest.warns(UserWarning, match="NCCL cannot be used on emulated") if wanted else nullcontext()


def test_blocks_scores_and_early_stopping_are_alike_on_all_ranks() -> None:
    blocks = [(X[:, :20], Y[:20]), (X[:, 20:], Y[20:])]
    score = gpunn.Score(lambda outputs, y: float((outputs.argmax(0) == y).mean()))

    def run(communicator: Communicator | None) -> tuple[np.ndarray, list[Any], str]:
        net = network()
        stop = gpunn.EarlyStopping("validation_score", patience=2)
        pair = X[:, :7], Y[:7]
        options = {"validation": pair, "score": score, "stop": stop, "epochs": 9, "batch_size": 8}
        history = net.fit(blocks, communicator=communicator, device="cpu", threads=1, **options)
        return net.theta, [record.validation_score for record in history], history.stopped

    expected = run(None)
    for theta, scores, stopped in on_ranks(3, run):
        np.testing.assert_allclose(theta, expected[0], rtol=0, atol=1e-12)
        assert (scores, stopped) == (expected[1], "early") == expected[1:]


class Halves:
    """All the examples in two blocks, as a stream."""

    shape, description, class_counts = X.shape, "halves", None

    def blocks(self, batch_size: int, rng: np.random.Generator | None) -> Iterator[tuple[Any, Any]]:
        order = np.arange(41) if rng is None else rng.permutation(41)
        for part in (order[: 2 * batch_size], order[2 * batch_size :]):
            yield X[:, part], Y[part]


def test_a_stream_is_shared_as_examples_in_memory_are() -> None:
    def run(communicator: Communicator | None) -> np.ndarray:
        net = network(dropout=0.3)
        net.fit(Halves(), epochs=2, batch_size=10, device="cpu", threads=1, communicator=communicator)
        return net.theta

    expected = run(None)
    first, second = on_ranks(2, run)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, expected, rtol=0, atol=1e-9)  # Adam amplifies rounding


def test_the_weights_are_bitwise_identical_at_every_step() -> None:
    def checksums(communicator: Communicator) -> list[str]:
        net, found = network(batch_norm=True, dropout=0.3), []
        gather = communicator.allgather

        def note(own: object) -> list[object]:
            if isinstance(own, dict) and "θ" in own:  # the ranks compare their weights
                found.append(own["θ"])
            return gather(own)

        communicator.allgather = note  # type: ignore[method-assign]
        learn(net, communicator=communicator, optimizer="adam", epochs=8, batch_size=41)  # one step an epoch
        return found

    first, *others = on_ranks(3, checksums)
    assert len(set(first)) == 8
    assert all(other == first for other in others)


def test_the_step_says_what_the_ranks_sum() -> None:
    def said(communicator: Communicator) -> str:
        net, be = network(), Host("float64")
        ranks = MpiRanks(communicator)
        model = replace(net.bind(be), ranks=ranks)
        update = gpunn.Momentum(0.1).bind(be, model.theta, ranks)
        return str(Plan(model, be.data.examples(X, Y, None), 41, 10, update=update, training=True))

    text = on_ranks(2, said)[0]
    assert "AllReduce    g ← Σ g over 2 ranks\nScale        v ← 0.9 v\n" in text


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 60))
def test_shares_divide_every_mini_batch(m: int, size: int, batch_size: int) -> None:
    class Ranks:
        def __init__(self, rank: int) -> None:
            self.rank, self.size = rank, size

    batch_size = min(batch_size, m)
    counted = []
    for rank in range(size):
        own, count = positions(m, batch_size, Ranks(rank))
        counted += list(own[:count])
        shares = [share_of(min(batch_size, m - start), Ranks(rank)) for start in range(0, m, batch_size)]
        assert len(own) == sum(share.m for share in shares)
        assert all(a.m >= b.m for a, b in pairwise(shares))
    assert sorted(counted) == list(range(m))
