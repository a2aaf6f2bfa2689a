"""Importance, partial dependence, leaks, and the rows of mistakes of a network for a table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tabular import QUICK, fruits, quantities, write

from gpunn.report.run import Run
from gpunn.tables import drivers as drivers_module
from gpunn.tables.cells import read_cells
from gpunn.tables.dependence import representatives
from gpunn.tables.drivers import estimator, features_of, rows_to_measure
from gpunn.tables.explaining import Explanation, explain
from gpunn.tables.leaks import find_leaks
from gpunn.tables.opening import open_task
from gpunn.tables.options import TableOptions
from gpunn.tables.reading import Format, open_table
from gpunn.tables.target import Classes, Quantity
from gpunn.training.settings import Settings

pytest.importorskip("pyarrow")

TRAIN = "--device", "cpu", "--epochs", "40", "--hidden", "16"


def visits(m=400, seed=0):
    """Make a table in which the colour matters most, then the weekday. Each row has a name."""
    rng = np.random.default_rng(seed)
    lines = ["name,day,colour,x,y"]
    for i in range(m):
        day, colour, x = rng.integers(1, 29), rng.choice(["red", "<b>$x$", "blue"]), rng.normal()
        weekend = (day + 4) % 7 > 4  # the 1st of March 2024 was a Friday
        y = 2.0 * (colour == "red") + 1.0 * weekend + rng.normal() * 0.6 > 1.2
        lines.append(f'Visit {i},"March {day}, 2024",{colour},{x:.3f},{["no", "yes"][int(y)]}')
    return "\n".join(lines) + "\n"


def run_of(gpunn_, *arguments):
    code, out, err = gpunn_("train", *arguments, *TRAIN, "--output", "run")
    assert code == 0, err
    return Run.load(Path("run")), out


def test_the_report_shows_what_drives_a_classifier(gpunn_):
    write("t.csv", visits())
    run, out = run_of(gpunn_, "t.csv", "--target", "y")
    found = run.explanation
    assert isinstance(found, Explanation)
    names = [each.column for each in found.drivers.importances]
    assert names[:2] == ["colour", "day"] and set(names) == {"colour", "day", "x"}
    assert (found.drivers.score, found.drivers.held_out, found.drivers.rows) == ("ROC AUC", True, 80)
    assert found.drivers.leaks == () and "almost perfectly" not in out
    line = next(
        line for line in out.splitlines() if line.startswith("most important columns (loss of ROC AUC")
    )
    assert line.partition(": ")[2].startswith("colour 0.")
    colour, day = found.dependences[:2]
    assert (colour.kind, day.kind) == ("category", "date")
    assert sorted(colour.values) == ["<b>$x$", "blue", "red"] and list(colour.predicted) == ["yes"]
    likely = dict(zip(colour.values, colour.predicted["yes"], strict=True))
    assert likely["red"] > likely["blue"] + 0.2
    assert 19783 <= min(day.values) < max(day.values) <= 19810  # days since 1970
    page = Path("run/report.html").read_text(encoding="utf-8")
    assert '<section id="driving">' in page and "<b>$x$" not in page and "y: yes" in page


def test_mistakes_have_the_cells_of_their_rows(gpunn_):
    write("t.csv", visits())
    run, _ = run_of(gpunn_, "t.csv", "--target", "y")
    lines = Path("t.csv").read_text().splitlines()
    assert run.findings.mistakes
    for mistake in run.findings.mistakes:
        row = lines[int(mistake.place.removeprefix("row "))]
        assert list(mistake.cells)[:2] == ["name", "colour"]
        assert row.startswith(f"{mistake.cells['name']},")
        assert f'"{mistake.cells["day"]}",{mistake.cells["colour"]},' in row
        assert row.endswith(f",{mistake.true}")


def test_regression_and_another_table_to_test_on(gpunn_):
    write("t.csv", quantities())
    write("u.csv", quantities(m=100, seed=1))
    run, out = run_of(gpunn_, "t.csv", "--target", "price", "--test", "u.csv")
    assert run.explanation.drivers.score == "R²" and "loss of R²" in out
    a = run.explanation.dependences[0]
    assert (a.column, a.kind, list(a.predicted)) == ("a", "number", ["price"])
    assert a.predicted["price"][-1] > a.predicted["price"][0] + 2000
    lines = Path("u.csv").read_text().splitlines()
    worst = run.findings.mistakes[0]
    assert lines[int(worst.place.removeprefix("row "))].startswith(f"{worst.cells['a']},{worst.cells['b']},")


def test_cross_validation_measures_on_the_rows_of_training(gpunn_):
    write("t.csv", fruits())
    run, _ = run_of(gpunn_, "t.csv", "--target", "kind", "--cv", "3")
    assert not run.explanation.drivers.held_out and run.explanation.dependences
    assert "rows that it was trained on" in Path("run/report.html").read_text(encoding="utf-8")


def test_the_json_has_importances_and_leaks(trained):
    rows = [f"{i * 37 % 101},{i * 53 % 89},{i * 37 % 101 * 3 + 1}" for i in range(300)]
    write("t.csv", "a,b,y\n" + "\n".join(rows) + "\n")
    result = trained("t.csv", "--target", "y", "--task", "regression", *TRAIN)
    assert result["importance"]["score"] == "R²" and "a" in result["importance"]["columns"]
    assert [leak["column"] for leak in result["leaks"]] == ["a"]


def test_a_leak_is_told_at_the_end_and_on_top_of_the_report(gpunn_):
    rng = np.random.default_rng(0)
    rows = [f"{rng.normal():.3f},{'done' if i % 3 else 'open'},{'np'[i % 3 > 0]}" for i in range(300)]
    write("t.csv", "x,status,y\n" + "\n".join(rows) + "\n")
    _, out = run_of(gpunn_, "t.csv", "--target", "y")
    line = (
        "Column 'status' alone predicts the target almost perfectly (ROC AUC 1): if it is not known before "
        "the target is, leave it out with --drop 'status'"
    )
    assert line in out.splitlines()
    page = Path("run/report.html").read_text(encoding="utf-8")
    assert page.index("alone predicts the target") < page.index('class="tiles"')


def test_a_few_rows_and_interrupted_explanations_have_none(gpunn_, monkeypatch):
    write("t.csv", "a,y\n" + "".join(f"{i % 7},{'np'[i % 2]}\n" for i in range(30)))
    run, _ = run_of(gpunn_, "t.csv", "--target", "y")
    assert run.explanation is None

    def interrupt(*arguments):
        raise KeyboardInterrupt

    write("t.csv", visits())
    monkeypatch.setattr("gpunn.cli.tables.explain", interrupt)
    code, out, err = gpunn_("train", "t.csv", "--target", "y", *QUICK, "--output", "other")
    assert code == 0 and "report other/report.html" in out
    assert "interrupted: the report does not say what drives the network" in err


@pytest.mark.parametrize("y", ["class", "number"])
def test_leaks_are_columns_that_alone_predict(y):
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, 600) if y == "class" else rng.normal(size=600)
    noise, near = rng.normal(size=600), target + 0.3 * rng.normal(size=600)
    X = np.array([noise, near, -2.0 * target + 1, target**2 + target])
    suspects = {name: np.array([k]) for k, name in enumerate(["noise", "near", "copy", "curve"])}
    kind = Classes("y", "text", ("a", "b", "c")) if y == "class" else Quantity("y")
    found = [leak.column for leak in find_leaks(kind, X, target, suspects)]
    assert found == (["copy", "curve"] if y == "class" else ["copy"])
    assert list(find_leaks(kind, X[:, :40], target[:40], suspects)) == []


def test_rare_classes_are_no_leak():
    y = np.array([0] * 300 + [1] * 6)
    assert (
        list(find_leaks(Classes("y", "text", ("a", "b")), y[None].astype(float), y, {"x": np.array([0])}))
        == []
    )


def test_substituted_rows_are_predicted_as_if_they_were_so():
    data = {"c": ["u", "v", "w"] * 20, "x": np.linspace(0, 1, 60), "y": ["a", "b"] * 30}
    task = open_task(data, Settings(hidden=[4], device="cpu"), TableOptions(target="y"))
    net = task.build_network(Settings(hidden=[4], seed=1).with_defaults(task.defaults))
    features = features_of(task.prepared.preprocessing, task.table.source)
    assert sum(map(len, features.values())) == task.prepared.preprocessing.features
    X = task.prepared.train.X
    model = estimator(net, task.prepared.target, X, list(features.values()))
    P = np.repeat(np.arange(X.shape[1], dtype=float)[:, None], 2, axis=1)
    assert np.array_equal(model.predict_proba(P).T, net.forward(X))
    P[:, 0] = 5
    changed = X.copy(order="F")
    changed[features["c"]] = X[np.ix_(features["c"], [5])]
    assert np.array_equal(model.predict_proba(P).T, net.forward(changed))


def test_of_very_many_columns_those_with_large_weights_are_measured(monkeypatch):
    monkeypatch.setattr(drivers_module, "MOST_COLUMNS", 3)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 8))
    data = {"X": X, "y": np.where(X[:, 6] > 0, "p", "n")}
    settings = Settings(hidden=[8], device="cpu", epochs=60)
    task = open_task(data, settings, TableOptions(target="y"))
    settings = settings.with_defaults(task.defaults)
    net = task.build_network(settings)
    settings = settings.with_choices(net.cost.name, settings.build_optimizer())
    found = explain(task, task.fit(net, settings).predictor, 0).drivers
    assert len(found.importances) == 3 and found.columns == 8
    assert found.importances[0].column.endswith("7")


def test_the_work_decides_the_number_of_rows():
    assert rows_to_measure(100, 5) == 2000
    assert rows_to_measure(1_000_000, 20) == 200
    assert 200 < rows_to_measure(600_000, 10) < 2000


def test_values_for_partial_dependence():
    assert representatives(["1", "", "3", "2", "x", "1"], lambda t: None if t == "x" else float(t)) == [
        (1.0, 0),
        (2.0, 3),
        (3.0, 2),
    ]
    assert representatives(["b", "a", "", "b"], None) == [("b", 0), ("a", 1), ("(missing)", 2)]
    many = representatives([str(k) for k in range(1000)], float)
    assert len(many) == 20 and 10 < many[0][0] < 30 and 970 < many[-1][0] < 990
    assert representatives(["", ""], float) == []


def test_cells_are_read_as_written(monkeypatch):
    monkeypatch.setattr("gpunn.tables.sources.csv.BLOCK", 64)
    write("t.csv", "a,b\n" + "".join(f'"€{i},000.50",{i % 3 or ""}\n' for i in range(50)))
    source = open_table("t.csv", Format())
    assert read_cells(source, ["b", "a"], np.array([49, 3, 3])) == {
        "b": ["1", "", ""],
        "a": ["€49,000.50", "€3,000.50", "€3,000.50"],
    }


def test_a_table_that_has_changed_has_no_cells(gpunn_, monkeypatch):
    write("t.csv", visits())
    task = open_task("t.csv", Settings(device="cpu"), TableOptions(target="y"))
    write("t.csv", visits(seed=1))
    net = task.build_network(Settings(hidden=[4]).with_defaults(task.defaults))
    assert explain(task, net, 0).dependences == ()


def test_older_runs_have_neither_columns_nor_an_explanation(gpunn_):
    write("t.csv", fruits())
    run_of(gpunn_, "t.csv", "--target", "kind")
    path = Path("run/run.json")
    kept = json.loads(path.read_text(encoding="utf-8"))
    for name in ("columns", "explanation", "digest"):
        del kept[name]
    path.write_text(json.dumps(kept), encoding="utf-8")
    assert gpunn_("report", "run", "--no-browser")[0] == 0
    assert 'id="driving"' not in Path("run/report.html").read_text(encoding="utf-8")
