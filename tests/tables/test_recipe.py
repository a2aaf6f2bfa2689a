"""The default settings for tables: several networks, each stopped on rows of its own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tabular import columns_of_fruits, fruits, quantities, write

import gpunn
from gpunn.tables import recipe
from gpunn.tables.target import Classes, Quantity

pytest.importorskip("pyarrow")

KIND, SIZE = Classes("kind", "text", ("a", "b", "c")), Quantity("size")


@given(y=st.lists(st.integers(0, 2), min_size=5, max_size=60), first=st.integers(0, 3))
def test_networks_of_consecutive_seeds_stop_on_parts_that_do_not_overlap(y, first):
    y = np.array(y)
    parts = [recipe.stopping_rows(y, KIND, seed) for seed in range(5 * first, 5 * first + 5)]
    together = np.concatenate(parts)
    counts = np.bincount(y)
    assert sorted(together) == np.flatnonzero(counts[y] > 1).tolist()
    for part in parts:
        held = np.bincount(y[part], minlength=len(counts))
        assert (held <= np.ceil(counts / 5)).all() and (held >= counts // 5 * (counts > 1)).all()


def test_quantities_are_held_out_at_random():
    y = np.arange(100.0)
    first, again, other = (recipe.stopping_rows(y, SIZE, seed) for seed in (0, 0, 5))
    assert len(first) == 20 and np.array_equal(first, again) and not np.array_equal(first, other)


def test_the_default_is_an_ensemble(gpunn_):
    write("fruits.csv", fruits(60))
    asked = "fruits.csv", "--target", "kind", "--epochs", 2, "--device", "cpu", "--output", "run", "--json"
    code, out, _ = gpunn_("train", *asked)
    result = json.loads(out)
    assert (code, result["network"], len(result["members"])) == (0, "8 × 31-256-256-2", 8)
    assert result["settings"]["ensemble"] == 8 and result["settings"]["optimizer"] == "adamw"
    model = gpunn.tables.train("fruits.csv", "kind", epochs=2, device="cpu")
    loaded = gpunn.tables.load_model("run")
    assert np.array_equal(model.predict_proba("fruits.csv"), loaded.predict_proba("fruits.csv"))


@pytest.mark.parametrize("option", [("--ensemble", 1), ("--checkpoint-every", 1)])
def test_a_single_network_is_trained_if_asked_for(gpunn_, option):
    write("fruits.csv", fruits(60))
    asked = "fruits.csv", "--target", "kind", "--epochs", 1, "--device", "cpu", "--json"
    assert json.loads(gpunn_("train", *asked, *option)[1])["network"] == "31-256-256-2"


def test_chosen_settings_replace_those_of_the_recipe():
    table = columns_of_fruits()
    options = {"hidden": 8, "optimizer": "sgd", "patience": 0, "epochs": 1, "ensemble": 2, "batch_size": 7}
    settings = gpunn.tables.train(table, "kind", device="cpu", **options).settings
    assert {name: getattr(settings, name) for name in options} == {**options, "hidden": [8]}
    assert settings.dropout == 0.15


def test_gaps_are_told_from_the_median(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    x[::2] = np.nan
    table = {"x": x, "noise": rng.normal(size=200), "y": np.isnan(x).astype(int)}
    model = gpunn.tables.train(table, "y", ensemble=1, epochs=30, device="cpu")
    assert model.evaluate()["accuracy"] == 1


def test_few_rows_are_trained_without_stopping():
    table = {"x": np.arange(5.0), "y": np.arange(5.0) + 0.5}
    assert gpunn.tables.train(table, "y", ensemble=1, epochs=1, device="cpu").settings.patience == 0


def test_a_quantity_is_learnt_by_default(tmp_path):
    path = write(tmp_path / "q.csv", quantities(150))
    assert gpunn.tables.train(path, "price", ensemble=2, epochs=60, device="cpu").evaluate()["r2"] > 0.8


def test_a_chosen_optimizer_keeps_its_own_rates():
    table = columns_of_fruits()
    usual = gpunn.tables.train(table, "kind", epochs=1, ensemble=1, device="cpu").settings
    assert (usual.learning_rate, usual.l2, usual.schedule) == (0.004, 0.03, "cosine")
    chosen = gpunn.tables.train(table, "kind", optimizer="sgd", epochs=1, ensemble=1, device="cpu").settings
    assert (chosen.learning_rate, chosen.l2) == (0.1, 0)


def test_the_chosen_settings_are_printed(gpunn_):
    write("fruits.csv", fruits(60))
    asked = "fruits.csv", "--target", "kind", "--device", "cpu", "--ensemble", 2
    told = "trained with adamw 0.004 (cosine), dropout 0.15, mini-batches of 16, 5 epochs; "
    assert f"{told}each keeps its best on a fifth of its own\n" in gpunn_("train", *asked, "--epochs", 5)[1]
    out = gpunn_("train", *asked, "--epochs", 5, "--patience", 0, "--optimizer", "sgd")[1]
    assert "trained with sgd 0.1 (cosine), dropout 0.15, mini-batches of 16, 5 epochs\n" in out
