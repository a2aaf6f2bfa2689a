"""A report states the facts: its numbers, mistakes, pictures and command are those of the run."""

from __future__ import annotations

import base64
import csv
import io
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from reporting import KINDS, RunCommand, kept

from gpunn import Network
from gpunn.report.pictures import of_matrix, of_weights

ROOT = Path(__file__).parents[2]


def test_findings_agree_with_evaluate(runs: Path, gpunn_: RunCommand) -> None:
    for kind in ("images", "classes"):
        found, result = kept(runs / kind)["findings"], kept(runs / kind)["result"]
        evaluated = json.loads(gpunn_("evaluate", runs / kind, "--json")[1])
        assert found["confusion"] == evaluated["confusion_matrix"]
        assert found["classes"] == evaluated["classes"]
        assert result["test_accuracy"] == evaluated["accuracy"]
        assert found["wrong"] == round((1 - evaluated["accuracy"]) * evaluated["examples"])
        text = (runs / kind / "report.html").read_text(encoding="utf-8")
        assert f"<strong>{evaluated['accuracy']:.2%}</strong>" in text


def test_mistakes_name_the_right_rows(runs: Path, gpunn_: RunCommand) -> None:
    with open("fruit.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    predicted = json.loads(gpunn_("predict", runs / "classes", "fruit.csv", "--json")[1])["predictions"]
    mistakes = kept(runs / "classes")["findings"]["mistakes"]
    assert len(mistakes) > 3
    for mistake in mistakes:
        row = int(mistake["place"].removeprefix("row ")) - 1
        assert rows[row]["kind"] == mistake["true"] != mistake["predicted"]
        assert predicted[row]["prediction"] == mistake["predicted"]
        assert predicted[row]["probability"] == pytest.approx(mistake["probability"], rel=1e-5)
    sure = [mistake["probability"] for mistake in mistakes]
    assert sure == sorted(sure, reverse=True)


def test_rows_of_a_separate_test_table_count_from_1(runs: Path, gpunn_: RunCommand) -> None:
    assert gpunn_("train", *KINDS["classes"], "--test", "fruit.csv", "--output", "apart", "--json")[0] == 0
    with open("fruit.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    mistakes = kept(Path("apart"))["findings"]["mistakes"]
    places = [int(mistake["place"].removeprefix("row ")) for mistake in mistakes]
    assert [rows[place - 1]["kind"] for place in places] == [mistake["true"] for mistake in mistakes]


def test_pictures_of_mistakes_are_test_images(runs: Path, digits: Any) -> None:
    for mistake in kept(runs / "images")["findings"]["mistakes"]:
        k = int(mistake["place"].removeprefix("image ")) - 1
        assert pixels(mistake["picture"]).ravel().tolist() == (255 - digits.test.X[:, k]).tolist()
        assert str(digits.test.y[k]) == mistake["true"]


def pixels(uri: str, mode: str = "L") -> np.ndarray:
    content = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)).convert(mode))


def test_positive_weights_are_orange_and_negative_weights_blue() -> None:
    shown = pixels(of_weights(np.array([[0.0, 0.5, -1.0], [1.0, -0.5, 9.0]]), 1.0), "RGBA").astype(int)
    assert shown[..., 3].tolist() == [[0, 129, 255], [255, 129, 255]]
    red_over_blue = shown[..., 0] > shown[..., 2]
    assert red_over_blue.tolist() == [[False, True, False], [True, False, True]]


def test_a_confusion_matrix_as_a_picture() -> None:
    shown = pixels(of_matrix([[3, 1, 0], [4, 0, 0], [0, 0, 0]]), "RGBA").astype(int)
    assert shown[..., 3].tolist() == [[191, 64, 0], [255, 0, 0], [0, 0, 0]]
    assert (shown[..., 0] > shown[..., 2]).tolist() == [
        [False, True, False],
        [True, False, False],
        [False, False, False],
    ]


def test_regression_findings_agree_with_the_data(runs: Path, gpunn_: RunCommand) -> None:
    found, result = kept(runs / "numbers")["findings"], kept(runs / "numbers")["result"]
    actual, predicted = np.array(found["pairs"]).T
    assert len(actual) == result["test_examples"] == sum(found["counts"]) == 80
    assert np.sqrt(np.mean((actual - predicted) ** 2)) == pytest.approx(result["test_rmse"])
    worst = found["mistakes"][0]
    true, predicted_value = (float(worst[name].replace(",", "")) for name in ("true", "predicted"))
    assert abs(true - predicted_value) == pytest.approx(np.abs(actual - predicted).max(), rel=1e-3)
    with open("homes.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[int(worst["place"].removeprefix("row ")) - 1]["price"]) == true


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_reproduces_the_run(runs: Path, gpunn_: RunCommand, tmp_path: Path, kind: str) -> None:
    program, *arguments = shlex.split(kept(runs / kind)["command"])
    assert program == "gpunn"
    assert gpunn_(*arguments, "--output", tmp_path / "again", "--json")[0] == 0
    again, first = (Network.load(folder) for folder in (tmp_path / "again", runs / kind))
    np.testing.assert_array_equal(again.theta, first.theta)


def test_the_command_contains_flags_and_negated_flags(runs: Path, gpunn_: RunCommand) -> None:
    np.savetxt("plain.csv", np.random.default_rng(0).standard_normal((40, 3)), delimiter=";")
    options = [
        "--no-header",
        "--ensemble",
        "1",
        "--batch-norm",
        "--hidden",
        "8",
        "4",
        "--epochs",
        "2",
        "--delimiter",
        ";",
    ]
    assert gpunn_("train", "plain.csv", "--target", "3", *options, "--output", "plain", "--json")[0] == 0
    command = kept(Path("plain"))["command"]
    for part in ("--no-header", "--batch-norm", "--hidden 8 --hidden 4", "--delimiter ';'", "--target 3"):
        assert part in command
    assert "--output" not in command and "--json" not in command
    assert gpunn_(*shlex.split(command)[1:], "--output", "plain-again")[0] == 0
