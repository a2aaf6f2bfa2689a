"""Assign to the fitted weights, and read pickles of other versions."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from helpers import classes
from numpy.testing import assert_array_equal
from sklearn.exceptions import InconsistentVersionWarning

import gpunn
from gpunn import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fitted(**parameters: Any) -> MLPClassifier:
    return MLPClassifier((5,), max_iter=2, random_state=0, **parameters).fit(*classes(40))


def test_assigned_weights_are_used() -> None:
    est, X = fitted(), classes(40)[0]
    w = np.random.default_rng(0).standard_normal(est.coefs_[0].shape)
    est.coefs_[0] = w
    est.intercepts_[1] = [1, 2, 3]
    est.coefs_[-1] += 1
    assert_array_equal(est.network_.weights[0], w.T)
    assert_array_equal(est.network_.biases[1][:, 0], [1, 2, 3])
    by_hand = np.maximum(X @ w + est.intercepts_[0], 0) @ est.coefs_[1] + [1, 2, 3]
    assert_array_equal(est.predict(X), by_hand.argmax(1))


def test_whole_lists_can_be_assigned_and_averaged() -> None:
    one, two, X = fitted(), MLPClassifier((5,), max_iter=2, random_state=1).fit(*classes(40)), classes(40)[0]
    copied = copy.deepcopy(one)
    copied.coefs_, copied.intercepts_ = two.coefs_, two.intercepts_
    assert_array_equal(copied.predict_proba(X), two.predict_proba(X))
    mean = [(a + b) / 2 for a, b in zip(one.coefs_, two.coefs_, strict=True)]
    copied.coefs_ = mean
    for found, expected in zip(copied.coefs_, mean, strict=True):
        assert_array_equal(found, expected)


def test_weights_of_another_shape_are_refused_whole() -> None:
    est = fitted()
    before = [w.copy() for w in est.coefs_]
    with pytest.raises(ValueError, match=r"coefs_\[1\] must have shape \(5, 3\), not \(2,\): fit a new"):
        est.coefs_ = [np.zeros((7, 5)), np.zeros(2)]
    with pytest.raises(ValueError, match="intercepts_ has 2 arrays, one for each layer, not 1"):
        est.intercepts_ = [np.zeros(5)]
    with pytest.raises(IndexError):
        est.coefs_[2] = np.zeros(3)
    for found, expected in zip(est.coefs_, before, strict=True):
        assert_array_equal(found, expected)
    with pytest.raises(AttributeError, match="not fitted yet: call fit first"):
        MLPClassifier().coefs_ = before


def test_pickled_lists_are_ordinary_lists() -> None:
    coefs = fitted().coefs_
    for twin in (pickle.loads(pickle.dumps(coefs)), copy.copy(coefs), copy.deepcopy(coefs)):
        assert type(twin) is list
        assert_array_equal(twin[0], coefs[0])


def test_a_pickle_of_another_version_warns() -> None:
    est, X = fitted(), classes(40)[0]
    state = est.__getstate__()
    assert state["_gpunn_version"] == gpunn.__version__
    for version, words in (("0.0.1", "gpunn 0.0.1"), (None, "an older version")):
        old = {name: value for name, value in state.items() if name != "_gpunn_version"}
        twin = MLPClassifier.__new__(MLPClassifier)
        with pytest.warns(
            InconsistentVersionWarning, match=f"MLPClassifier was pickled by.*{words}"
        ) as caught:
            twin.__setstate__(old | ({"_gpunn_version": version} if version else {}))
        assert "\n" not in str(caught[0].message)
        assert_array_equal(twin.predict_proba(X), est.predict_proba(X))
    assert_array_equal(pickle.loads(pickle.dumps(est)).predict_proba(X), est.predict_proba(X))
