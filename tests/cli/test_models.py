"""`gpunn evaluate`, `gpunn predict` and `gpunn export`: saved networks."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import DIGITS, change_metadata, write_idx_folder
from PIL import Image
from reporting import RunCommand

from gpunn import Dense, Network
from gpunn.backends.host import threads


def test_a_model_without_metadata_predicts_arrays(
    gpunn_: RunCommand, refused: Callable[..., None], model: Path
) -> None:
    change_metadata(model / "model.safetensors", Path("bare.safetensors"), meta="{}")
    np.save("x.npy", DIGITS.test.X[:, 0])
    Image.new("L", (8, 8)).save("x.png")
    assert gpunn_("predict", "bare.safetensors", "x.npy")[0] == 0
    refused(["predict", "bare.safetensors", "x.png"], "x.png", "bare.safetensors")
    refused(["evaluate", "bare.safetensors"], "bare.safetensors", "data set")
    assert gpunn_("evaluate", "bare.safetensors", "digits")[0] == 0


@pytest.mark.parametrize(
    ("weight", "words"), [(1e38, "outputs are not finite"), (np.nan, "its weights are not finite numbers")]
)
def test_a_model_that_overflows_is_named(
    refused: Callable[..., None], model: Path, weight: float, words: str
) -> None:
    net = Network.load(model)
    net.theta[:] = weight
    net.save("m.safetensors")
    np.save("x.npy", DIGITS.test.X[:, :1])
    for arguments in (["predict", "m.safetensors", "x.npy"], ["evaluate", "m.safetensors", "digits"]):
        refused([*arguments], "m.safetensors", words)


def test_evaluate_agrees_with_training(gpunn_: RunCommand, model: Path) -> None:
    result = json.loads(gpunn_("evaluate", model, "--json")[1])
    matrix = np.array(result["confusion_matrix"])
    assert result["dataset"] == "digits"
    assert result["examples"] == matrix.sum() == 360
    assert result["accuracy"] == pytest.approx(matrix.trace() / 360)
    assert result["accuracy"] == Network.load(model).meta["test_accuracy"]
    assert [row["support"] for row in result["classes"]] == matrix.sum(axis=1).tolist()
    recall = matrix.diagonal() / matrix.sum(axis=1)
    assert [row["recall"] for row in result["classes"]] == pytest.approx(recall.tolist())
    again = json.loads(gpunn_("evaluate", model / "model.safetensors", "digits", "--json")[1])
    assert {**again, "model": str(model)} == result


@pytest.mark.parametrize("before", [None, "2"])
def test_threads_hold_for_a_command(
    gpunn_: RunCommand, model: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    """--threads takes the place of GPUNN_THREADS until the command ends."""
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    if before:
        monkeypatch.setenv(threads.VARIABLE, before)
    found: list[int | None] = []
    read = threads.from_environment
    monkeypatch.setattr(threads, "from_environment", lambda: (found.append(read()), read())[1])
    np.save("x.npy", DIGITS.test.X)
    for arguments in (["evaluate", model], ["predict", model, "x.npy"]):
        assert gpunn_(*arguments, "--threads", 3)[0] == 0
        assert found.pop() == 3
    assert os.environ.get(threads.VARIABLE) == before


def test_tables_are_aligned_and_fit_60_columns(
    gpunn_: RunCommand, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    code, out, err = gpunn_("evaluate", model)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert max(map(len, lines[1:])) <= 60
    assert sum(bool(re.fullmatch(r"\d( +\d+){10}", line.strip())) for line in lines) == 10
    assert sum(bool(re.fullmatch(r"\d +[\d.]+% +[\d.]+% +\d+", line.strip())) for line in lines) == 10


def test_a_confusion_matrix_that_is_too_wide_becomes_a_list(
    gpunn_: RunCommand, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    out = gpunn_("evaluate", model)[1]
    assert "most frequent confusions" in out
    assert " taken for " in out


def test_images_of_another_size_are_refused(
    refused: Callable[..., None], model: Path, tmp_path: Path
) -> None:
    write_idx_folder(tmp_path / "shapes")
    refused(["evaluate", model, "shapes/"], "64", "20", "shapes")


def test_export_prints_inputs_and_outputs_in_one_line(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("pyarrow")
    X = np.random.default_rng(0).standard_normal((40, 12))
    columns = ['"in\ntwo lines"', *(f"c{k}" for k in range(1, 12))]
    np.savetxt("t.csv", X, delimiter=",", header=",".join(columns), comments="")
    options = ["--target", "c11", "--task", "regression", "--epochs", 1, "--output", "run"]
    assert gpunn_("train", "t.csv", *options)[0] == 0
    code, out, err = gpunn_("export", "run", "m.onnx")
    named = ", ".join(f"{name} float32 (N, 1)" for name in ["in two lines", *(f"c{k}" for k in range(1, 8))])
    assert (code, err) == (0, "")
    assert out == f"saved m.onnx: {named}, … (11 in all) → prediction float32 (N, 1)\n"
    assert len(json.loads(gpunn_("export", "run", "m.onnx", "--json")[1])["inputs"]) == 11


def test_predict_prints_a_line_for_each_example(gpunn_: RunCommand, model: Path) -> None:
    np.save("four.npy", DIGITS.test.X[:, :4])
    Image.fromarray(DIGITS.test.X[:, 0].reshape(8, 8)).save("a digit.png")
    code, out, err = gpunn_("predict", model, "four.npy", "a digit.png")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"(four\.npy\[\d\]  \d  [ \d.]{6}%\n){4}a digit\.png  \d  [ \d.]{6}%\n", out)
    found = json.loads(gpunn_("predict", model, "four.npy", "--json")[1])["predictions"]
    outputs = Network.load(model).forward(DIGITS.test.X[:, :4])
    assert [p["label"] for p in found] == [str(k) for k in outputs.argmax(axis=0)]
    assert [p["probability"] for p in found] == pytest.approx(outputs.max(axis=0).tolist())


def test_a_bad_file_does_not_hide_the_good_ones(gpunn_: RunCommand, model: Path) -> None:
    np.save("good.npy", DIGITS.test.X[:, 0])
    np.save("nan.npy", np.full(64, np.nan, np.float32))
    np.save("short.npy", np.zeros(63))
    Path("text.png").write_text("not a picture")
    bad = ["nan.npy", "short.npy", "text.png", "missing.jpg"]
    code, out, err = gpunn_("predict", model, *bad, "good.npy")
    assert code == 2
    assert out.startswith("good.npy  ")
    assert out.count("\n") == 1
    assert [name for name, line in zip(bad, err.splitlines(), strict=True) if name in line] == bad


def test_class_names_and_outputs_that_are_not_probabilities(gpunn_: RunCommand) -> None:
    meta = {"classes": ["cat", "dog"]}
    Network(3, [Dense(1, "tanh")], "quadratic", 0, meta=meta).save("one")
    Network(3, [Dense(1, "sigmoid")], seed=0, meta=meta).save("two")
    np.save("x.npy", np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    for name, has_probability in (("one", False), ("two", True)):
        found = json.loads(gpunn_("predict", name, "x.npy", "--json")[1])["predictions"]
        assert {p["label"] for p in found} <= {"cat", "dog"}
        assert all((p["probability"] is not None) == has_probability for p in found)
        assert all(p["probability"] >= 0.5 for p in found if has_probability)
