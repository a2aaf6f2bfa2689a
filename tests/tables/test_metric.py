"""`--metric`: the measure that decides when to stop, and which epoch to keep."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tabular import QUICK, quantities, rare, write

from gpunn import tables

pytest.importorskip("pyarrow")
BRIEF = ["--epochs", "12", "--hidden", "8", "--device", "cpu", "--patience", "12", "--learning-rate", "0.05"]


def records(run="run"):
    return [json.loads(line) for line in Path(run, "history.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("name", "sign"), [("roc_auc", 1), ("brier", -1), ("balanced_accuracy", 1)])
def test_the_epoch_with_the_best_score_is_kept(trained, name, sign):
    write("rare.csv", rare())
    result = trained("rare.csv", "--target", "y", "--metric", name, *BRIEF, "--output", "run")
    scores = [record["validation_score"] for record in records()]
    assert result["best_epoch"] == 1 + int(np.argmax(scores)) and np.all(sign * np.array(scores) > 0)
    text = Path("run/report.html").read_text(encoding="utf-8")
    words = {"roc_auc": "ROC AUC", "brier": "minus Brier score", "balanced_accuracy": "balanced accuracy"}
    assert f"the best on held-out training data by {words[name]}" in text
    model = tables.train(
        "rare.csv",
        "y",
        metric=name,
        ensemble=1,
        epochs=12,
        hidden=8,
        patience=12,
        learning_rate=0.05,
        device="cpu",
    )
    assert [record.validation_score for record in model.history] == scores


def test_numbers_have_measures_of_their_own(trained):
    write("q.csv", quantities())
    trained("q.csv", "--target", "price", "--metric", "mae", *BRIEF, "--output", "run")
    assert all(record["validation_score"] < 0 for record in records())


def test_each_network_of_an_ensemble_scores_its_own_rows(gpunn_):
    write("rare.csv", rare())
    asked = ["rare.csv", "--target", "y", "--metric", "roc_auc", *BRIEF, "--ensemble", 2]
    code, out, _ = gpunn_("train", *asked, "--output", "run", "--json")
    assert code == 0
    kept = json.loads(Path("run/run.json").read_text())
    for member, epochs in zip(json.loads(out)["members"], kept["members"], strict=True):
        scores = [record["validation_score"] for record in epochs]
        assert member["best_epoch"] == 1 + int(np.argmax(scores))
    first, second = ([record["validation_score"] for record in epochs] for epochs in kept["members"])
    assert first != second


def test_a_sweep_compares_networks_by_the_metric(gpunn_):
    write("rare.csv", rare())
    grid = ["--grid", "learning_rate=0.0001,0.05", "--metric", "roc_auc", "--seeds", 2]
    code, out, err = gpunn_("sweep", "rare.csv", "--target", "y", *QUICK, *grid, "--json", "--output", "s")
    assert code == 0, err
    result = json.loads(out)
    assert result["metric"] == "validation_score" and 0.5 < result["score"] <= 1
    p = tables.load_model("s/best").predict_proba("rare.csv")[:, 1]
    truth = [line.endswith("yes") for line in rare().splitlines()[1:]]
    assert roc_auc_score(truth, p) > 0.6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--metric", "auc"], "unknown metric 'auc'"),
        (["--metric", "rmse"], "choose from loss, accuracy, balanced_accuracy"),
        (["--metric", "roc_auc", "--patience", "0"], "chooses the epoch to keep: choose --patience as well"),
    ],
)
def test_other_metrics_are_refused(refused, arguments, words):
    write("rare.csv", rare())
    refused(["train", "rare.csv", "--target", "y", *arguments], words)


def test_images_stop_by_a_metric(gpunn_, trained):
    asked = ["digits", "--hidden", 16, "--epochs", 4, "--device", "cpu", "--output", "run"]
    result = trained(*asked, "--metric", "log_loss", "--patience", 3)
    scores = [record["validation_score"] for record in records()]
    assert result["best_epoch"] == 1 + int(np.argmax(scores))
