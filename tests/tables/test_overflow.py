"""A value that overflows is named by its place, and does not cost a finished training."""

from __future__ import annotations

import numpy as np
import pytest
from tabular import QUICK, write

import gpunn
from gpunn.tables.options import TableOptions
from gpunn.tables.task import open_task
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
    with pytest.raises(ValueError, match=r"t\.csv, line 9, column 'b'"):
        gpunn.tables.train("t.csv", target, cv=3, epochs=1, device="cpu")
