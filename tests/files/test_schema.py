"""Model files conform to the shipped JSON schema."""

from __future__ import annotations

import copy
import json
import warnings
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import schema_names
from safetensors.numpy import load_file, save_file

from gpunn import ACTIVATIONS, COSTS, INITIALIZERS, Dense, Network, cli

SCHEMA = json.loads(files("gpunn").joinpath("files/schema/model.json").read_text(encoding="utf-8"))
IMAGES = {"image_shape": (2, 2), "classes": ["a", "b"], "digit": False, "dataset": "here", "more": None}


def header(path: Path) -> dict[str, Any]:
    """Read a safetensors file's header as the schema describes it."""
    content = path.read_bytes()
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def check(head: dict[str, Any]) -> None:
    """Validate a header, and the JSON in its strings, against the schema."""
    jsonschema.Draft202012Validator(SCHEMA).validate(head)
    strings = SCHEMA["properties"]["__metadata__"]["properties"]
    for name in ("network", "meta"):
        content = json.loads(head["__metadata__"][name])
        within = {"$defs": SCHEMA["$defs"], **strings[name]["contentSchema"]}
        jsonschema.Draft202012Validator(within).validate(content)


@pytest.mark.parametrize("name", ["model", "run", "history", "checkpoint", "sweep"])
def test_the_schemas_are_valid(name: str) -> None:
    schema = json.loads(files("gpunn").joinpath(f"files/schema/{name}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)


def test_the_schema_lists_every_function() -> None:
    schema = schema_names.PATH.read_text(encoding="utf-8")
    hint = "update the schema: PYTHONPATH=. python tests/support/schema_names.py"
    assert schema_names.updated(schema) == schema, hint


NAMES = [*((f, "quadratic") for f in ACTIVATIONS), *(("sigmoid", cost) for cost in COSTS)]


@pytest.mark.parametrize(("f", "cost"), [*NAMES, ("tanh", "huber(0.25)"), ("exp", "quantile(0.9)")])
def test_every_activation_and_cost_is_valid(tmp_path: Path, f: str, cost: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Network(4, [Dense(3, f), Dense(2, f)], cost, 0, meta=IMAGES).save(tmp_path / "m")
    check(header(tmp_path / "m"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("init", INITIALIZERS)
@pytest.mark.filterwarnings("ignore:.*begin with zeros")
def test_every_layer_setting_is_valid(tmp_path: Path, dtype: str, init: str) -> None:
    layers = [Dense(3, "relu", init, 0.5, batch_norm=True), Dense(1, init=init)]
    Network(4, layers, seed=0, dtype=dtype, input_dropout=0.25).save(tmp_path / "m")
    check(header(tmp_path / "m"))


def test_a_model_trained_on_the_command_line_is_valid(tmp_path: Path) -> None:
    assert cli.main(["train", "digits", "--epochs", "1", "--json", "--output", str(tmp_path / "run")]) == 0
    check(header(tmp_path / "run" / "model.safetensors"))


@pytest.mark.parametrize("target", ["kind", "size"])
def test_a_model_for_tables_is_valid(tmp_path: Path, target: str) -> None:
    pytest.importorskip("pyarrow")
    rows = [f"{i % 7 + 0.5},{'ab'[i % 2] if i % 9 else ''},{'xyz'[i % 3]},5" for i in range(60)]
    (tmp_path / "t.csv").write_text("size,colour,kind,five\n" + "\n".join(rows))
    asked = ["--target", target, "--task", "regression"][: 4 if target == "size" else 2]
    arguments = ["train", str(tmp_path / "t.csv"), *asked, "--epochs", "1", "--ensemble", "1", "--json"]
    assert cli.main([*arguments, "--output", str(tmp_path / "run")]) == 0
    check(header(tmp_path / "run" / "model.safetensors"))


def test_the_schema_suffices_to_read_a_file(tmp_path: Path) -> None:
    layers = [Dense(3, "tanh", batch_norm=True), Dense(2, "identity")]
    net = Network(4, layers, seed=0, dtype="float64")
    X = np.random.default_rng(0).standard_normal((4, 9))
    net.fit(X, X[:2], epochs=2)
    net.save(tmp_path / "m")
    head, content = header(tmp_path / "m"), (tmp_path / "m").read_bytes()
    data = content[8 + int.from_bytes(content[:8], "little") :]
    t = {
        name: np.frombuffer(data[slice(*of["data_offsets"])], "<f8").reshape(of["shape"])
        for name, of in head.items()
        if name != "__metadata__"
    }
    z = t["gamma1"] * (t["w1"] @ X + t["b1"] - t["mean1"]) / np.sqrt(t["variance1"] + 1e-5) + t["beta1"]
    np.testing.assert_allclose(t["w2"] @ np.tanh(z) + t["b2"], net.forward(X), rtol=1e-12)


def test_other_headers_are_invalid(tmp_path: Path) -> None:
    Network(4, [Dense(3), Dense(2)], seed=0).save(tmp_path / "m")
    head = header(tmp_path / "m")
    check(head)

    def changed(**changes: Any) -> dict[str, Any]:
        other = copy.deepcopy(head)
        network = json.loads(other["__metadata__"]["network"])
        other["__metadata__"]["network"] = json.dumps(network | changes)
        return other

    layer = {"n": 3, "activation": "sigmoid", "init": "glorot", "dropout": 0.0, "batch_norm": False}
    wrong = [
        {**head, "__metadata__": {**head["__metadata__"], "version": "2"}},
        {**head, "w1": {**head["w1"], "dtype": "I8"}},
        {**head, "b1": {**head["b1"], "shape": [3, 2]}},
        {**head, "velocity1": head["w1"]},
        {name: tensor for name, tensor in head.items() if name != "b1"},
        changed(cost="cubic"),
        changed(n_in=0),
        changed(layers=[]),
        changed(layers=[{**layer, "activation": "leaky-relu"}]),
        changed(layers=[{**layer, "dropout": 1}]),
        changed(layers=[{"n": 3}]),
        changed(momentum=0.9),
    ]
    for other in wrong:
        with pytest.raises(jsonschema.ValidationError):
            check(other)


TABLE = {
    "columns": [
        {"name": "x", "fill": 0.5, "mean": 0, "scale": 2.0},
        {"name": "c", "categories": ["a", None]},
    ],
    "dropped": {},
    "target": {"task": "classification", "name": "y", "kind": "text", "classes": ["p", "q"]},
    "options": {"header": True},
    "fingerprint": "0123456789abcdef" * 2,
}
META: dict[str, Any] = {"dataset": "t.csv", "settings": {"seed": 0}, "table": TABLE}
LAYER = {"n": 2, "activation": "softmax", "init": "glorot", "dropout": 0.0, "batch_norm": False}


def written(path: Path, layer: dict[str, Any] | None = None, **meta: Any) -> Path:
    """Write a model of three inputs and two outputs, with this layer and meta instead of its own."""
    net = Network(3, [Dense(2, "softmax")], seed=0)
    net.save(path)
    tensors, metadata = load_file(path), header(path)["__metadata__"]
    del metadata["digest"]
    network = {**json.loads(metadata["network"]), "layers": [LAYER | (layer or {})]}
    save_file(tensors, path, {**metadata, "network": json.dumps(network), "meta": json.dumps(meta)})
    return path


@pytest.mark.parametrize(
    "layer",
    [
        {"activation": None},
        {"activation": "rleu"},
        {"dropout": None},
        {"n": "2"},
        {"n": 2.0},
        {"n": 10**15},
        {"batch_norm": True},
        {"more": 1},
    ],
)
def test_a_model_without_a_valid_network_is_refused(tmp_path: Path, layer: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"m does not describe a network: ") as error:
        Network.load(written(tmp_path / "m", layer))
    assert "\n" not in str(error.value)
    written(tmp_path / "m")
    Network.load(tmp_path / "m")
    metadata, tensors = header(tmp_path / "m")["__metadata__"], load_file(tmp_path / "m")
    save_file({**tensors, "b1": tensors["b1"].astype(np.float64)}, tmp_path / "m", metadata)
    with pytest.raises(ValueError, match="m does not describe a network: its arrays"):
        Network.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("meta", "place"),
    [
        ({"image_shape": [1.0, 3.0]}, "meta.image_shape"),
        ({"image_shape": [[1], 3]}, "meta.image_shape"),
        ({"classes": 5}, "meta.classes"),
        ({"dataset": 5}, "meta.dataset"),
        ({"table": 5}, "meta"),
        ({"table": TABLE}, "meta"),
        ({**META, "settings": {"seed": "0"}}, "meta.settings.seed"),
        ({**META, "table": {}}, "meta.table"),
        ({**META, "table": {**TABLE, "columns": [{"name": "x"}]}}, "meta.table.columns"),
        (
            {**META, "table": {**TABLE, "columns": TABLE["columns"][:1]}},
            "its network 3-2 does not fit its table",
        ),
        ({**META, "table": {**TABLE, "target": {"task": "guessing"}}}, "meta.table.target"),
        ({**META, "table": {**TABLE, "options": {"test": 5}}}, "meta.table.options.test"),
    ],
)
def test_commands_refuse_a_model_whose_meta_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], meta: dict[str, Any], place: str
) -> None:
    path = str(written(tmp_path / "m", **meta))
    commands = [["evaluate", path], ["predict", path, "x.png"], ["export", path, str(tmp_path / "m.onnx")]]
    for command in [*commands, ["demo", path, "--no-browser"]]:
        assert cli.main(command) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith(f"gpunn: error: {path} is damaged: {place}"), err
        assert err.count("\n") == 1
    assert Network.load(path).meta == meta  # Python users may keep any JSON


def test_the_unchanged_model_is_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx")
    path = written(tmp_path / "m", **META)
    check(header(path))
    assert cli.main(["export", str(path), str(tmp_path / "m.onnx")]) == 0
