"""`--class-weight`: weights of the classes in training, by name."""

from __future__ import annotations

import numpy as np
import pytest
from tabular import QUICK, quantities, rare, write

from gpunn import Network, tables
from gpunn.training.class_weights import parse, spell

pytest.importorskip("pyarrow")
ASKED = ["rare.csv", "--target", "y", *QUICK, "--ensemble", "1"]


@pytest.mark.parametrize("weights", [{"yes": 5.0}, {"no": 0.5, "yes": 2}])
def test_weights_by_name_are_the_sample_weights_of_their_rows(trained, weights):
    write("rare.csv", rare())
    trained(*ASKED, "--class-weight", spell(weights), "--output", "run")
    given = {"epochs": 3, "hidden": 8, "patience": 0, "ensemble": 1, "device": "cpu"}
    model = tables.train("rare.csv", "y", class_weight=weights, **given)
    loaded = Network.load("run")
    assert np.array_equal(model.network.theta, loaded.theta)
    plain = tables.train("rare.csv", "y", **given)
    assert not np.array_equal(plain.network.theta, loaded.theta)
    ones = tables.train("rare.csv", "y", class_weight=dict.fromkeys(("no", "yes"), 1.0), **given)
    assert np.array_equal(plain.network.theta, ones.network.theta)


def test_a_weighted_rare_class_is_found_more_often(trained):
    write("rare.csv", rare())
    asked = [*ASKED, "--epochs", 40]
    plain, weighted = (trained(*asked, *more) for more in ([], ["--class-weight", "balanced"]))
    assert weighted["test_balanced_accuracy"] > plain["test_balanced_accuracy"] + 0.05


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("yes=5", {1: 5.0}),
        ("no = 0.5, yes=2", {0: 0.5, 1: 2.0}),
        ("a,b=2,a=b=3", {2: 2.0, 3: 3.0}),
        ("balanced", "balanced"),
        (None, None),
    ],
)
def test_names_may_hold_commas_and_equals_signs(text, weights):
    assert parse(text, ["no", "yes", "a,b", "a=b"]) == weights


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("balancd", "--class-weight must be balanced or NAME=W,NAME=W,…, not balancd"),
        ("maybe=2", "unknown class 'maybe': choose from no, yes"),
        ("yes=-1", "'yes' needs a weight of 0 or more, not '-1'"),
        ("yes=many", "'yes' needs a weight of 0 or more, not 'many'"),
        ("yes=1,yes=2", "'yes' is named twice"),
    ],
)
def test_other_weights_are_refused(refused, text, words):
    write("rare.csv", rare())
    refused(["train", *ASKED, "--class-weight", text], words)


def test_regression_has_no_classes_to_weigh(refused):
    write("q.csv", quantities())
    refused(["train", "q.csv", "--target", "price", "--class-weight", "balanced"], "needs class labels")
