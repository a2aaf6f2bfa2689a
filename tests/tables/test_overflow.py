"""A value that overflows is named by its place, and does not cost a finished training."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tabular import QUICK, write

import gpunn
from gpunn.tables.options import TableOptions
from gpunn.tables.task import TableTask, open_task
from gpunn.training.loop import Diverged
from gpunn.training.settings import Settings

pytest.importorskip("pyarrow")

PLACE = "far.csv, line 3, column 'b': the value is too far from those trained on"


@pytest.fixture(params=["kind", "size"])
def target(request):
    """Write a table, and another one with a value that overflows in float32, and return the target."""
    names = "a,b,size,kind\n"
    rows = (f"{'xyz'[i % 3]},0.{i % 7},{i * 1.5},{'np'[i % 2]}\n" for i in range(60))
    write("t.csv", names + "".join(rows))
    write("far.csv", f"{names}x,0.2,3,n\ny,3e38,4,p\nx,0.1,2,n\n")
    return request.param


def test_the_test_of_a_trained_network_names_the_row(target):
    settings = Settings(epochs=1, device="cpu")
    task = open_task("t.csv", settings, TableOptions(target=target, test="far.csv"))
    settings = settings.with_defaults(task.defaults)
    net = task.build_network(settings)
    task.fit(net, settings)
    with pytest.raises(ValueError, match=PLACE):
        task.test(net, [])


def test_training_from_python_keeps_the_model(target):
    with pytest.warns(UserWarning, match=f"the model was not tested: {PLACE}"):
        model = gpunn.tables.train("t.csv", target, test="far.csv", epochs=1, device="cpu")
    assert len(model.predict("t.csv")) == 60


def test_prediction_and_evaluation_name_the_row(target, trained, refused):
    trained("t.csv", "--target", target, *QUICK, "--output", "run")
    for command in "predict", "evaluate":
        refused([command, "run", "far.csv"], PLACE)


def test_a_model_whose_outputs_overflow_is_named_with_its_table(target, trained, refused):
    trained("t.csv", "--target", target, *QUICK, "--output", "run")
    net = gpunn.Network.load("run")
    net.theta[:] = 1e38
    net.save("run/model.safetensors")
    for command in "predict", "evaluate":
        refused([command, "run", "t.csv"], "run on t.csv: ", "not finite")


def test_held_out_rows_and_folds_name_the_row(target):
    rows = [f"{'xyz'[i % 3]},{'3e38' if i == 7 else i % 7 / 10},{i * 1.5},{'np'[i % 2]}\n" for i in range(60)]
    write("t.csv", "a,b,size,kind\n" + "".join(rows))
    seeds = 0
    for seed in range(30):
        settings = Settings(epochs=1, device="cpu", seed=seed)
        task = open_task("t.csv", settings, TableOptions(target=target))
        test = task.prepared.test
        assert test
        assert test.extreme == ("t.csv, line 9, column 'b'" if 7 in np.asarray(test.rows) else "")
        seeds += bool(test.extreme)
    assert seeds
    with pytest.warns(UserWarning, match=r"fold \d failed: t\.csv, line 9, column 'b'"):
        model = gpunn.tables.train("t.csv", target, cv=3, epochs=1, device="cpu")
    good = [fold for fold in model.folds if "failed" not in fold]
    measure = "accuracy" if target == "kind" else "rmse"
    assert (len(model.folds), len(good)) == (3, 2)
    assert model.cv["mean"][measure] == pytest.approx(sum(fold[measure] for fold in good) / 2)


def test_a_fold_that_fails_does_not_end_the_run(target, gpunn_):
    rows = [f"{'xyz'[i % 3]},{'3e38' if i == 7 else i % 7 / 10},{i * 1.5},{'np'[i % 2]}\n" for i in range(60)]
    write("t.csv", "a,b,size,kind\n" + "".join(rows))
    code, out, err = gpunn_("train", "t.csv", "--target", target, *QUICK, "--cv", 3, "--output", "run")
    assert code == 0
    assert re.fullmatch(r"gpunn: warning: fold \d failed: t\.csv, line 9, column 'b': .*\n", err)
    assert "3 folds, 1 of which failed: " in out
    assert gpunn_("report", "run", "--no-browser")[0] == 0
    assert Path("run/report.html").read_text(encoding="utf-8").count("failed: t.csv, line 9") == 1


def test_all_folds_may_fail(gpunn_, monkeypatch):
    def diverge(*_, **__):
        raise Diverged("the cost became nan in epoch 1")

    write("t.csv", "a,y\n" + "".join(f"{i % 7},{'np'[i % 2]}\n" for i in range(60)))
    monkeypatch.setattr(TableTask, "fit", diverge)  # of folds; the command line trains on its own
    code, out, err = gpunn_("train", "t.csv", "--target", "y", *QUICK, "--cv", 3, "--output", "run")
    assert (code, err.count("failed: the cost became nan in epoch 1\n")) == (0, 3)
    assert "all 3 folds failed; trained on all rows: " in out
    assert gpunn_("report", "run", "--no-browser")[0] == 0
