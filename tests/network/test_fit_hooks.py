"""The order of examples, validation and scores, chosen by the user of `fit`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend
from small_network import X, Y, small

import gpunn


def test_without_shuffling_the_examples_keep_their_order(backend: MakeBackend) -> None:
    net, book = small(), small()
    net.fit(X, Y, epochs=2, batch_size=8, shuffle=False, optimizer="sgd")
    for _ in range(2):
        for start in range(0, 40, 8):
            part = slice(start, start + 8)
            book.fit(X[:, part], Y[part], epochs=1, batch_size=8, optimizer="sgd")
    np.testing.assert_allclose(net.theta, book.theta, rtol=0, atol=1e-12)


def test_a_custom_function_orders_the_examples() -> None:
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
        lambda order: np.where(order == 4, 5, order),  # 5 is held out
        lambda order: None,
    ],
)
def test_an_order_of_other_examples_is_refused(answer: Any) -> None:
    with pytest.raises(ValueError, match="shuffle must return 39 of the indices that it was given"):
        small().fit(X, Y, validation=[5], shuffle=answer, device="cpu")


def test_an_example_may_occur_twice() -> None:
    small().fit(X, Y, shuffle=lambda order: order // 2, device="cpu")


@pytest.mark.parametrize("swapped", [(0, 1), (1, 2), (0, 39), (7, 8)])
def test_an_order_that_is_almost_ascending(backend: MakeBackend, swapped: tuple[int, int]) -> None:
    order = np.arange(40)
    order[[*swapped]] = swapped[::-1]
    net, book = small(), small()
    net.fit(X, Y, epochs=2, batch_size=8, shuffle=lambda _: order)
    book.fit(X[:, order], Y[order], epochs=2, batch_size=8, shuffle=False)
    assert np.array_equal(net.theta, book.theta)


def test_a_custom_score_is_recorded_and_stops_training() -> None:
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
def test_options_that_need_others_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().fit(X, Y, **settings)


def test_examples_are_held_out_by_index() -> None:
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
