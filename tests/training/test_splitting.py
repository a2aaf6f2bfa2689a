"""The rows that are held out never change: models and results on file depend on them."""

from __future__ import annotations

import numpy as np
import pytest

from gpunn.training.splitting import sample_each_class, stratified_split


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(np.repeat([0, 1, 2, 3], [12, 6, 4, 1]), [2, 7, 9, 13, 14, 18]), (None, [2, 4, 10, 11, 18, 20])],
)
def test_the_draw_from_each_class_is_fixed(labels: np.ndarray | None, expected: list[int]) -> None:
    assert sample_each_class(0.25, labels, 23, np.random.default_rng(0)).tolist() == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(np.repeat([0, 1], [12, 8]), [6, 10, 11, 12, 14]), (None, [1, 3, 6, 14, 15])],
)
def test_the_stratified_draw_is_fixed(labels: np.ndarray | None, expected: list[int]) -> None:
    kept, held = stratified_split(0.25, labels, 20, np.random.default_rng(0))
    assert held.tolist() == expected
    assert sorted([*kept, *held]) == list(range(20))


def test_a_single_example_of_a_class_is_never_held_out() -> None:
    assert sample_each_class(0.9, np.array([0]), 1, np.random.default_rng(0)).tolist() == []
    held = sample_each_class(0.01, np.array([0, 0, 1]), 3, np.random.default_rng(0))
    assert held.tolist() in ([0], [1])
