"""`gpunn.tables` in Python: train, predict, evaluate, save and load, in step with the command line."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tabular import columns_of_fruits, fruits, quantities, write

import gpunn
from gpunn import tables

pandas = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

FAST = {"epochs": 3, "hidden": [8], "device": "cpu", "patience": 0, "ensemble": 1}


@pytest.fixture
def fruit():
    write("fruits.csv", fruits())
    return pandas.DataFrame(columns_of_fruits(120))


def as_mapping(frame):
    return {name: frame[name].to_numpy() for name in frame}


def as_lists(frame):
    return {name: [None if v != v else v for v in frame[name].tolist()] for name in frame}


def as_polars(frame):
    return pytest.importorskip("polars").from_pandas(frame)


def as_arrow(frame):
    import pyarrow

    return pyarrow.table(frame)


KINDS = [lambda frame: frame, as_mapping, as_lists, as_polars, as_arrow]


@pytest.mark.parametrize("convert", KINDS, ids=["pandas", "mapping", "lists", "polars", "arrow"])
def test_all_kinds_of_data_train_the_network_of_the_file(fruit, convert):
    expected = tables.train("fruits.csv", "kind", **FAST)
    model = tables.train(convert(fruit), "kind", **FAST)
    assert np.array_equal(model.network.theta, expected.network.theta)
    assert model.preprocessing == expected.preprocessing and model.target == expected.target
    assert model.evaluate() == expected.evaluate()
    for data in ("fruits.csv", fruit, convert(fruit.drop(columns="kind"))):
        assert np.array_equal(model.predict(data), expected.predict(fruit))
        assert np.array_equal(model.predict_proba(data), expected.predict_proba(fruit))


def test_python_and_the_command_line_train_the_same_network(trained, fruit):
    result = trained("fruits.csv", "--target", "kind", "--seed", 3, "--device", "cpu", "--output", "run")
    model = tables.train("fruits.csv", "kind", seed=3, ensemble=1, device="cpu")
    assert np.array_equal(model.network.theta, gpunn.Network.load("run").theta)
    found = model.evaluate()
    assert {"accuracy": found["accuracy"], "loss": found["loss"], "baseline": found["baseline"]} == {
        "accuracy": result["test_accuracy"], "loss": result["test_loss"], "baseline": result["baseline"]
    }  # fmt: skip
    assert len(model.history) == result["epochs"]
    unlike = {"seconds", "resume"}
    kept, meta = gpunn.Network.load("run").meta, json.loads(json.dumps(model.network.meta))
    assert {k: kept[k] for k in kept.keys() - unlike} == {k: meta[k] for k in meta.keys() - unlike}


@pytest.mark.parametrize("target", ["kind", "length"])
def test_a_saved_model_is_the_same_in_python_and_on_the_command_line(gpunn_, fruit, target):
    model = tables.train("fruits.csv", target, **FAST)
    model.save("model.safetensors")
    again = tables.load_model("model.safetensors")
    assert repr(again) == repr(model)
    assert np.array_equal(again.predict(fruit), model.predict(fruit))
    assert again.settings == model.settings and again.history is None
    measures = {name: value for name, value in model.evaluate().items() if isinstance(value, float)}
    assert {name: again.evaluate()[name] for name in measures} == pytest.approx(measures, rel=1e-5)
    assert again.evaluate()["baseline"] == model.evaluate()["baseline"]
    code, out, err = gpunn_("evaluate", "model.safetensors", "--json")
    result = json.loads(out)
    assert (code, err, result["examples"]) == (0, "", 24)
    shown = {name: value for name, value in result.items() if name not in ("model", "dataset")}
    assert {name: again.evaluate()[name] for name in shown} == shown
    out = gpunn_("predict", "model.safetensors", "fruits.csv", "--json")[1]
    assert [row["prediction"] for row in json.loads(out)["predictions"]] == model.predict(fruit).tolist()


def test_python_loads_a_run_of_the_command_line(run_of_fruits):
    model = tables.load_model(run_of_fruits)
    result = model.evaluate()
    assert result["accuracy"] == model.network.meta["test_accuracy"]
    assert result["examples"] == 24 and result["baseline"] == {"accuracy": 0.5, "balanced_accuracy": 0.5}
    data = run_of_fruits.parent / "fruits.csv"
    assert model.evaluate(data)["examples"] == 120 and "baseline" not in model.evaluate(data)
    p = model.predict_proba(str(data))
    assert p.shape == (120, 2) and p.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(model.classes[p.argmax(axis=1)], model.predict(data))


def test_regression(trained):
    write("q.csv", quantities())
    result = trained("q.csv", "--target", "price", "--device", "cpu")
    model = tables.train("q.csv", "price", ensemble=1, device="cpu")
    found = model.evaluate()
    assert {f"test_{name}": found[name] for name in ("loss", "rmse", "mae", "r2")}.items() <= result.items()
    assert found["baseline"] == result["baseline"] and model.classes is None
    predicted = model.predict("q.csv")
    assert predicted.dtype == np.float64 and np.ptp(predicted) > 1000
    with pytest.raises(ValueError, match="predicts no probabilities: regression"):
        model.predict_proba("q.csv")


def test_cross_validation(trained, fruit, gpunn_):
    result = trained("fruits.csv", "--target", "kind", "--cv", 3, "--epochs", 5, "--device", "cpu")
    model = tables.train(fruit, "kind", cv=3, epochs=5, ensemble=1, device="cpu")
    assert model.cv == result["cv"] and model.folds == result["cv"]["folds"]
    assert model.network.meta["folds"] == model.folds
    model.save("model.safetensors")
    assert tables.load_model("model.safetensors").cv == model.cv
    with pytest.raises(ValueError, match="was trained on all rows of its table; name another table"):
        model.evaluate()
    assert model.evaluate("fruits.csv")["baseline"] == {"accuracy": 0.5, "balanced_accuracy": 0.5}


def test_a_test_table_in_memory(trained, fruit, gpunn_):
    write("more.csv", fruits(40, seed=1))
    more = pandas.DataFrame(columns_of_fruits(40, seed=1))
    expected = tables.train("fruits.csv", "kind", test="more.csv", **FAST)
    model = tables.train("fruits.csv", "kind", test=more, **FAST)
    assert model.evaluate() == expected.evaluate() == model.evaluate(more)
    assert model.evaluate()["examples"] == 40
    for each in (model, expected):
        each.save("model.safetensors")
        again = tables.load_model("model.safetensors")
        if each is expected:
            del (found := expected.evaluate())["baseline"]
            assert again.evaluate() == found
        else:
            with pytest.raises(ValueError, match=r"model.safetensors was tested on data in memory; name a"):
                again.evaluate()


def test_a_model_of_data_in_memory_asks_for_a_table(fruit, gpunn_):
    tables.train(fruit, "kind", **FAST).save("model.safetensors")
    assert gpunn_("predict", "model.safetensors", "fruits.csv")[0] == 0
    assert gpunn_("evaluate", "model.safetensors", "fruits.csv")[0] == 0
    code, _, err = gpunn_("evaluate", "model.safetensors")
    assert code == 2
    assert err == (
        "gpunn: error: model.safetensors was tested on data in memory; name a table to evaluate it on\n"
    )


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [([0, 1], np.int64), ([1.5, 2.5], np.float64), ([False, True], bool), (["no", "yes"], np.dtype("<U3"))],
)
def test_labels_are_as_python_has_them(labels, dtype):
    X = np.random.default_rng(0).normal(size=(60, 2))
    y = [labels[int(x > 0)] for x in X[:, 0]]
    model = tables.train(pandas.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": y}), "y", task="classification",
                         device="cpu", epochs=30)  # fmt: skip
    assert model.classes.tolist() == labels and model.classes.dtype == dtype
    assert np.mean(model.predict({"a": X[:, 0], "b": X[:, 1]}) == y) > 0.8


def test_the_types_of_pandas(fruit):
    n = len(fruit)
    frame = pandas.DataFrame(
        {
            "ints": pandas.array([None if i % 7 == 0 else i % 5 for i in range(n)], dtype="Int64"),
            "objects": pandas.Series([None if i % 9 == 0 else i * 37 % 11 for i in range(n)], dtype=object),
            "truth": pandas.array([None if i % 5 == 0 else i % 3 == 0 for i in range(n)], dtype="boolean"),
            "category": pandas.Categorical(fruit["colour"]),
            "string": fruit["colour"].astype("string"),
            "arrow": fruit["colour"].astype("string[pyarrow]"),
            "when": pandas.date_range("2020-01-01", periods=3)[np.arange(n) % 3],
            3: fruit["length"].astype("float32"),
            "kind": fruit["kind"],
        }
    )
    fitted = tables.train(frame, "kind", **FAST).preprocessing
    assert fitted.kinds == dict.fromkeys(["ints", "objects"], "number") | {
        "truth": "text", "category": "text", "string": "text", "arrow": "text", "3": "number",
        **{column: "number" for column in fitted.kinds if column.startswith("when ")},
    }  # fmt: skip
    categories = {
        column.name: column.categories for column in fitted.columns if fitted.kinds[column.name] == "text"
    }
    assert categories["truth"] == ("False", "True", None)
    assert categories["category"] == categories["string"] == categories["arrow"]
    assert "when days" in fitted.kinds


def test_the_types_of_polars():
    polars, n = pytest.importorskip("polars"), 60
    colours = [["red", None, "blue", ""][i % 4] for i in range(n)]
    columns = {
        "int8": polars.Series([None if i % 7 == 0 else i % 5 for i in range(n)], dtype=polars.Int8),
        "decimal": polars.Series([i * 37 % 11 for i in range(n)], dtype=polars.Decimal(10, 2)),
        "null": polars.Series([None] * n, dtype=polars.Null),
        "truth": [None if i % 5 == 0 else i % 3 == 0 for i in range(n)],
        "string": colours,
        "category": polars.Series([colour or None for colour in colours], dtype=polars.Categorical),
        "enum": polars.Series([colour or None for colour in colours], dtype=polars.Enum(["red", "blue"])),
        "day": [datetime.date(2020, 1, 1 + i % 3) for i in range(n)],
    }
    frame = polars.DataFrame({**columns, "kind": [["apple", "pear"][i % 2] for i in range(n)]})
    fitted = tables.train(frame, "kind", **FAST).preprocessing
    numbers = {column.name for column in fitted.numbers}
    assert numbers == {"int8", "decimal", "day weekday", "day days"}
    dropped = {"null": "empty", "day year": "always 2020", "day month": "always 1"}
    assert fitted.dropped == dropped
    categories = {column.name: column.categories for column in fitted.columns if column.name not in numbers}
    assert categories == {
        "truth": ("False", "True", None),
        **dict.fromkeys(["string", "category", "enum"], ("blue", "red", None)),
    }
    for column in ([[i] for i in range(n)], [b"\xff"] * n):
        with pytest.raises(ValueError, match=r"the DataFrame.* column 'bad'"):
            tables.train(frame.with_columns(bad=polars.Series(column)), "kind")


def test_pandas_needs_no_pyarrow():
    """A separate process, in which pyarrow cannot be imported."""
    code = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'pyarrow':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import pandas, gpunn\n"
        "frame = pandas.DataFrame({'x': [1.5, 2.5, None] * 20, 'y': ['a', 'b', 'b'] * 20})\n"
        "print(gpunn.tables.train(frame, 'y', epochs=1, device='cpu').predict(frame)[0])\n"
    )
    environment = os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(gpunn.__file__))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() in ("a", "b"), done.stderr


def test_the_error_for_polars_without_pyarrow(fruit, monkeypatch):
    frame = as_polars(fruit)
    monkeypatch.setitem(sys.modules, "pyarrow.lib", None)
    with pytest.raises(ValueError, match=r'the DataFrame: reading this .* pip install "gpunn\[tables\]"'):
        tables.train(frame, "kind")


def test_unknown_categories_are_a_warning(fruit):
    model = tables.train(fruit, "kind", **FAST)
    with pytest.warns(UserWarning, match=r"not in the training data: colour 2") as caught:
        model.predict({"weight": [150, 150], "length": [8.0, 9.0], "colour": ["blue", "grey"]})
    assert caught[0].filename == __file__


def test_numpy_numbers_and_single_values_are_options(fruit):
    options = {**FAST, "seed": np.int64(3), "hidden": 8, "held_out": np.float64(0.25), "drop": "colour"}
    model = tables.train(fruit, "kind", **options)
    assert model.network.name == "27-8-2"
    model.save("model.safetensors")
    assert tables.load_model("model.safetensors").settings == model.settings
    assert (model.settings.seed, model.settings.hidden, model.options.drop) == (3, [8], ("colour",))
    assert tables.train(fruit, "kind", **{**FAST, "hidden": 0}).network.name == "31-2"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epoch": 3}, r"unknown option 'epoch': did you mean 'epochs'\?"),
        ({"shift": 2.0}, "unknown option 'shift'"),
        ({"checkpoint_every": 2}, "unknown option 'checkpoint_every'"),
    ],
)
def test_unknown_options(fruit, options, words):
    with pytest.raises(TypeError, match=words):
        tables.train(fruit, "kind", **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "Kind"}, "the DataFrame: unknown column 'Kind': did you mean 'kind'"),
        (
            {},
            "the DataFrame: choose the target with --target NAME; the columns are weight, colour, length, k",
        ),
        ({"target": "kind", "drop": "size"}, "unknown column 'size'"),
        ({"target": "kind", "cv": 1}, "--cv must be at least 2 folds, not 1"),
        ({"target": "kind", "cv": 3, "held_out": 0.3}, "--cv and --held-out exclude each other"),
    ],
)
def test_wrong_options_are_one_line(fruit, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        tables.train(fruit, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.zeros((3, 2)), "the ndarray is not a table; expected the path of a file, a DataFrame, or"),
        (
            {"x": [1, 2], "y": [1]},
            r"the mapping: found x \(2,\), y \(1,\); expected as many rows in each array",
        ),
        ({"x": [], "y": []}, "the mapping has no rows"),
        ({}, "the mapping: found no arrays"),
        ({"x": [{}, {}], "y": [0, 1]}, "the mapping: 'x' holds"),
        ({"x": np.array([1j, 2j]), "y": [0, 1]}, "'x' is complex128"),
        (pandas.DataFrame([[1, 2], [3, 4]], columns=["y", "y"]), "the DataFrame: 2 columns are named 'y'"),
        (pandas.DataFrame({"x": [[1], [2]], "y": [0, 1]}), "the DataFrame: 'x' holds"),
        (pandas.DataFrame({"x": [1j, 2j], "y": [0, 1]}), "the DataFrame: 'x' holds values of type complex"),
        (pandas.DataFrame({"x": [], "y": []}), "the DataFrame has no rows"),
        ("nowhere.csv", "nowhere.csv does not exist"),
    ],
)
def test_bad_data_are_one_line(data, words):
    with pytest.raises(ValueError, match=words) as caught:
        tables.train(data, "y")
    assert "\n" not in str(caught.value)


def test_wrong_tables_to_predict(fruit):
    model = tables.train(fruit, "kind", **FAST)
    with pytest.raises(ValueError, match="the DataFrame lacks the columns 'weight', 'length'"):
        model.predict(fruit[["colour"]])
    with pytest.raises(ValueError, match="'weight' holds strings, but the model was trained on numbers"):
        model.predict(fruit.assign(weight="heavy"))
    with pytest.raises(ValueError, match="row 1: unknown class 'pear': choose from apple, banana"):
        model.evaluate(fruit.assign(kind="pear"))


def test_a_changed_table_is_a_warning():
    write("q.csv", quantities(100))
    tables.train("q.csv", "price", **FAST).save("model.safetensors")
    assert tables.load_model("model.safetensors").evaluate()["examples"] == 20
    write("q.csv", quantities(101))
    with pytest.warns(UserWarning, match=r"q.csv has changed since training: its held-out rows") as caught:
        found = tables.load_model("model.safetensors").evaluate()
    assert found["examples"] == 101 and "baseline" not in found
    assert caught[0].filename == __file__


def test_damaged_models_are_refused(fruit):
    net = tables.train(fruit, "kind", **FAST).network
    table = net.meta["table"]
    for change, words in (
        ({"columns": table["columns"][1:]}, "is not a network for its table"),
        ({"columns": [{"name": "weight"}]}, "model is damaged: meta.table.columns"),
        ({"fingerprint": "none"}, "model is damaged: meta.table.fingerprint"),
    ):
        net.meta["table"] = {**table, **change}
        net.save("model")
        with pytest.raises(ValueError, match=words):
            tables.load_model("model")


def test_other_models_are_refused():
    gpunn.Network([2, 3], seed=0).save("plain")
    with pytest.raises(ValueError, match="plain was not trained on a table"):
        tables.load_model("plain")


def test_digests_tell_data_in_memory_apart(fruit):
    def digest(data):
        return tables.train(data, "kind", **FAST).fingerprint

    other = fruit.assign(weight=fruit["weight"] + 1)
    for convert in KINDS:
        assert digest(convert(fruit)) == digest(convert(fruit)) != digest(convert(other))
