"""Reports: what they say is true, and writing one costs no run."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from reporting import KINDS, RunCommand, history, kept, text_of

from gpunn import Network, datasets
from gpunn.report import page
from gpunn.report.pictures import of_matrix, of_weights
from gpunn.report.run import Run
from gpunn.training import callbacks

ROOT = Path(__file__).parents[2]


# what it says is true


def test_the_findings_are_those_of_evaluate(runs: Path, gpunn_: RunCommand) -> None:
    for kind in ("images", "classes"):
        found, result = kept(runs / kind)["findings"], kept(runs / kind)["result"]
        evaluated = json.loads(gpunn_("evaluate", runs / kind, "--json")[1])
        assert found["confusion"] == evaluated["confusion_matrix"]
        assert found["classes"] == evaluated["classes"]
        assert result["test_accuracy"] == evaluated["accuracy"]
        assert found["wrong"] == round((1 - evaluated["accuracy"]) * evaluated["examples"])
        text = (runs / kind / "report.html").read_text(encoding="utf-8")
        assert f"<strong>{evaluated['accuracy']:.2%}</strong>" in text


def test_mistakes_are_the_rows_that_they_say(runs: Path, gpunn_: RunCommand) -> None:
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


def test_rows_of_a_table_of_its_own_count_from_1(runs: Path, gpunn_: RunCommand) -> None:
    assert gpunn_("train", *KINDS["classes"], "--test", "fruit.csv", "--output", "apart", "--json")[0] == 0
    with open("fruit.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    mistakes = kept(Path("apart"))["findings"]["mistakes"]
    places = [int(mistake["place"].removeprefix("row ")) for mistake in mistakes]
    assert [rows[place - 1]["kind"] for place in places] == [mistake["true"] for mistake in mistakes]


def test_pictures_of_mistakes_are_the_test_images(runs: Path, digits: Any) -> None:
    for mistake in kept(runs / "images")["findings"]["mistakes"]:
        k = int(mistake["place"].removeprefix("image ")) - 1
        assert pixels(mistake["picture"]).ravel().tolist() == (255 - digits.test.X[:, k]).tolist()
        assert str(digits.test.y[k]) == mistake["true"]


def pixels(uri: str, mode: str = "L") -> np.ndarray:
    content = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)).convert(mode))


def test_weights_are_orange_above_0_and_blue_below() -> None:
    shown = pixels(of_weights(np.array([[0.0, 0.5, -1.0], [1.0, -0.5, 9.0]]), 1.0), "RGBA").astype(int)
    assert shown[..., 3].tolist() == [[0, 129, 255], [255, 129, 255]]
    red_over_blue = shown[..., 0] > shown[..., 2]
    assert red_over_blue.tolist() == [[False, True, False], [True, False, True]]


def test_a_matrix_of_many_classes_is_a_picture() -> None:
    shown = pixels(of_matrix([[3, 1, 0], [4, 0, 0], [0, 0, 0]]), "RGBA").astype(int)
    assert shown[..., 3].tolist() == [[191, 64, 0], [255, 0, 0], [0, 0, 0]]
    assert (shown[..., 0] > shown[..., 2]).tolist() == [
        [False, True, False],
        [True, False, False],
        [False, False, False],
    ]


def test_numbers_are_held_against_the_actual_ones(runs: Path, gpunn_: RunCommand) -> None:
    found, result = kept(runs / "numbers")["findings"], kept(runs / "numbers")["result"]
    actual, predicted = np.array(found["pairs"]).T
    assert len(actual) == result["test_examples"] == sum(found["counts"]) == 80
    assert np.sqrt(np.mean((actual - predicted) ** 2)) == pytest.approx(result["test_rmse"])
    worst = found["mistakes"][0]
    true, taken_for = (float(worst[name].replace(",", "")) for name in ("true", "predicted"))
    assert abs(true - taken_for) == pytest.approx(np.abs(actual - predicted).max(), rel=1e-3)
    with open("homes.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[int(worst["place"].removeprefix("row ")) - 1]["price"]) == true


@pytest.mark.parametrize("kind", KINDS)
def test_its_command_trains_the_same_again(runs: Path, gpunn_: RunCommand, tmp_path: Path, kind: str) -> None:
    program, *arguments = shlex.split(kept(runs / kind)["command"])
    assert program == "gpunn"
    assert gpunn_(*arguments, "--output", tmp_path / "again", "--json")[0] == 0
    again, first = (Network.load(folder) for folder in (tmp_path / "again", runs / kind))
    np.testing.assert_array_equal(again.theta, first.theta)


def test_flags_and_their_opposites_are_in_the_command(runs: Path, gpunn_: RunCommand) -> None:
    np.savetxt("plain.csv", np.random.default_rng(0).standard_normal((40, 3)), delimiter=";")
    options = ["--no-header", "--batch-norm", "--hidden", "8", "4", "--epochs", "2", "--delimiter", ";"]
    assert gpunn_("train", "plain.csv", "--target", "3", *options, "--output", "plain", "--json")[0] == 0
    command = kept(Path("plain"))["command"]
    for part in ("--no-header", "--batch-norm", "--hidden 8 --hidden 4", "--delimiter ';'", "--target 3"):
        assert part in command
    assert "--output" not in command and "--json" not in command
    assert gpunn_(*shlex.split(command)[1:], "--output", "plain-again")[0] == 0


# runs that went otherwise


@pytest.mark.parametrize(("epoch", "words"), [(1, "No epoch was finished"), (3, "Training was interrupted")])
def test_interrupted_runs_say_so(
    runs: Path, gpunn_: RunCommand, tmp_path: Path, interrupt: Callable[[int], None], epoch: int, words: str
) -> None:
    interrupt(epoch)
    code, out, _ = gpunn_("train", *KINDS["images"], "--output", tmp_path)
    assert code == 130 and f"report {tmp_path}/report.html" in out
    assert words in text_of(tmp_path)
    assert ('id="curves"' in text_of(tmp_path)) == (epoch > 1)
    assert len(Run.load(tmp_path).history) == epoch - 1
    assert gpunn_("report", tmp_path)[0] == 0


def test_a_folder_that_held_another_run_shows_the_last(
    runs: Path, gpunn_: RunCommand, tmp_path: Path, interrupt: Callable[[int], None]
) -> None:
    assert gpunn_("train", *KINDS["images"], "--output", tmp_path)[0] == 0
    interrupt(1)
    assert gpunn_("train", *KINDS["images"], "--output", tmp_path)[0] == 130
    assert len(Run.load(tmp_path).history) == 0


def test_early_stopping_names_the_epoch_whose_weights_were_kept(
    runs: Path, gpunn_: RunCommand, tmp_path: Path
) -> None:
    options = ["--epochs", "60", "--patience", "3", "--output", tmp_path, "--json"]
    result = json.loads(gpunn_("train", "digits", "--hidden", "16", *options)[1])
    assert result["stopped"] == "early"
    history = Run.load(tmp_path).history
    assert result["best_epoch"] == len(history) - 3
    best = max(record.validation_accuracy for record in history)
    assert history[result["best_epoch"] - 1].validation_accuracy == best
    assert f"The weights are those of epoch {result['best_epoch']}," in text_of(tmp_path)
    assert "held-out tenth" in text_of(tmp_path) and "test examples" not in text_of(tmp_path)


def test_a_resumed_run_reports_all_of_it(
    runs: Path, gpunn_: RunCommand, tmp_path: Path, interrupt: Callable[[int], None]
) -> None:
    folder, options = tmp_path / "run", ["--checkpoint-every", "1"]
    interrupt(3)
    assert gpunn_("train", *KINDS["images"], *options, "--output", folder)[0] == 130
    command = kept(folder)["command"]
    interrupt(0)
    assert gpunn_("train", "--resume", folder, "--json")[0] == 0
    run = Run.load(folder)
    assert len(run.history) == 3 and run.command == command and "interrupted" not in text_of(folder)


def test_outputs_that_are_no_probabilities_have_no_calibration(
    runs: Path, gpunn_: RunCommand, tmp_path: Path
) -> None:
    options = ["--output-activation", "identity", "--cost", "hinge", "--output", tmp_path, "--json"]
    assert gpunn_("train", *KINDS["classes"], *options)[0] == 0
    found = kept(tmp_path)["findings"]
    assert found["calibration"] is None
    assert {mistake["probability"] for mistake in found["mistakes"]} == {None}
    assert "Calibration" not in text_of(tmp_path) and "nan" not in text_of(tmp_path)


@pytest.mark.parametrize("classes", [1, 30])
def test_one_class_and_many(runs: Path, gpunn_: RunCommand, tmp_path: Path, classes: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (90, 5, 4), np.uint8)
    for name in datasets.folder.FILES:
        array = images if "images" in name else np.arange(90, dtype=np.uint8) % classes
        header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        (tmp_path / name).write_bytes(header + array.tobytes())
    sigmoid = ["--output-activation", "sigmoid"] if classes == 1 else []
    options = ["--epochs", "2", "--hidden", "8", "--output", tmp_path / "run", "--json"]
    assert gpunn_("train", tmp_path, *sigmoid, *options)[0] == 0
    text = text_of(tmp_path / "run")
    assert ("All 30 classes" in text) == ("Most often these were confused" in text) == (classes == 30)


# writing it costs no run


@pytest.mark.parametrize("error", [OSError("the disk is full"), KeyboardInterrupt(), RuntimeError("odd")])
def test_a_report_that_fails_costs_a_warning(
    runs: Path, gpunn_: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(page, "render_report", fail)
    (tmp_path / "report.html").write_text("of an earlier run")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, out, err = gpunn_("train", *KINDS["images"], "--output", tmp_path, "--json")
    assert code == 0 and json.loads(out)["report"] is None
    assert (
        err.startswith("gpunn: warning: the run is saved, but there is no report: ") and err.count("\n") == 1
    )
    assert Network.load(tmp_path).meta["test_accuracy"] == json.loads(out)["test_accuracy"]
    assert not (tmp_path / "report.html").exists()


def test_the_first_drawing_ever_says_nothing(tmp_path: Path) -> None:
    """Matplotlib makes a cache of fonts then; nothing of Matplotlib is loaded before training."""
    code = (
        "import sys; from gpunn.cli import training\n"
        "loaded = [m for m in ('matplotlib', 'jinja2', 'PIL', 'sklearn') if m in sys.modules]\n"
        "from gpunn import cli; code = cli.main(sys.argv[1:]); print(loaded, code)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(tmp_path / "fonts")}
    arguments = ["train", *KINDS["images"], "--output", str(tmp_path / "run")]
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == "" and done.stdout.splitlines()[-1] == "[] 0"
    assert (tmp_path / "run" / "report.html").exists() and any((tmp_path / "fonts").iterdir())


def test_a_report_of_mnist_is_small(gpunn_: RunCommand, tmp_path: Path, mnist: Any) -> None:
    options = ["--epochs", "1", "--hidden", "64", "--output", tmp_path, "--json"]
    assert gpunn_("train", "mnist", *options)[0] == 0
    assert (tmp_path / "report.html").stat().st_size < 300_000
    assert (tmp_path / "run.json").stat().st_size < 50_000


# gpunn report


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_can_be_written_again(
    runs: Path, gpunn_: RunCommand, no_window: list[str], kind: str
) -> None:
    path = runs / kind / "report.html"
    first = path.read_bytes()
    path.unlink()
    assert gpunn_("report", f"gpunn-runs/{kind}") == (0, f"report gpunn-runs/{kind}/report.html\n", "")
    assert path.read_bytes() == first
    assert no_window == [path.as_uri()]
    code, out, _ = gpunn_("report", runs / kind / "model.safetensors", "--output", "deep/r.html", "--json")
    assert code == 0 and json.loads(out) == {"report": "deep/r.html", "runs": [str(runs / kind)]}
    assert Path("deep/r.html").read_bytes() == first
    assert len(no_window) == 1


def test_the_best_run_comes_first(runs: Path, gpunn_: RunCommand, tmp_path: Path) -> None:
    more = {"sgd": ["--optimizer", "sgd", "--learning-rate", "0.001"], "longer": ["--epochs", "9"]}
    for name, options in more.items():
        options = [*KINDS["images"], *options, "--device", "cpu", "--output", tmp_path / name]
        assert gpunn_("train", *options)[0] == 0
    code, out, err = gpunn_("report", runs / "images", tmp_path / "sgd", tmp_path, "--json")
    assert (code, err) == (0, "")
    names = [Path(run).name for run in json.loads(out)["runs"]]
    assert names == ["longer", "images", "sgd"]
    text = Path("gpunn-runs/comparison.html").read_text(encoding="utf-8")
    places = [text.index(f"/{name}</th>") for name in names]
    assert places == sorted(places)
    differing = re.findall(r"<th>([^<]*)</th>", text[text.index('id="settings"') :].split("</thead>")[0])
    assert differing == ["optimizer", "learning rate", "epochs"]


def test_classes_and_numbers_stand_apart_on_one_page(runs: Path, gpunn_: RunCommand) -> None:
    code, out, err = gpunn_("report", "gpunn-runs", "--json", "--output", "all.html")
    assert (code, err) == (0, "")
    names = [Path(run).name for run in json.loads(out)["runs"]]
    assert sorted(names) == sorted(KINDS) and names[-1] == "numbers"
    text = Path("all.html").read_text(encoding="utf-8")
    by_accuracy, by_rmse = text.split("Results by RMSE")
    assert "Results by accuracy" in by_accuracy and "The best by RMSE is numbers, " in by_accuracy
    assert f"The best by accuracy is {names[0]}, " in by_accuracy
    rows = [
        re.findall(r"</i>([^<]*)</th>", part.split("</section>")[0]) for part in text.split("<h2>Results")
    ]
    assert rows[1:] == [names[:3], ["numbers"]]
    assert "<th>RMSE</th>" not in by_accuracy and "<th>test RMSE</th>" in by_rmse
    ids = re.findall(r'<section id="([^"]*)"', text)
    assert len(set(ids)) == len(ids) == 5  # one run differs from none


def test_runs_of_the_same_settings_differ_in_nothing(runs: Path, gpunn_: RunCommand, tmp_path: Path) -> None:
    for name in "ab":
        assert gpunn_("train", *KINDS["images"], "--output", tmp_path / name)[0] == 0
    assert gpunn_("report", tmp_path, "--no-browser", "--output", tmp_path / "c.html")[0] == 0
    assert "they were trained with the same settings" in (tmp_path / "c.html").read_text(encoding="utf-8")


def test_bad_input_is_one_line(runs: Path, gpunn_: RunCommand, tmp_path: Path) -> None:
    def refused(*arguments: object) -> str:
        code, out, err = gpunn_("report", *arguments)
        assert (code, out) == (2, "") and err.startswith("gpunn: error: ") and err.count("\n") == 1
        return err

    def damaged(name: str, content: bytes | None) -> str:
        folder = tmp_path / f"damaged-{len(os.listdir(tmp_path))}"
        folder.mkdir()
        for file in (runs / "images").iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
        return refused(folder).removeprefix(f"gpunn: error: {folder}")

    whole = kept(runs / "images")
    assert "nowhere does not exist" in refused("nowhere")
    (tmp_path / "empty").mkdir()
    assert "empty is not the folder of a run: it has no run.json" in refused(tmp_path / "empty")
    assert "fruit.csv is no folder of a run" in refused("fruit.csv")
    assert "history.jsonl" in damaged("history.jsonl", None)
    assert damaged("history.jsonl", b'{"epoch": 1}\n').startswith("/history.jsonl, line 1: ")
    assert damaged("run.json", None).startswith(" is not the folder of a run")
    assert damaged("run.json", b"\xff{").startswith("/run.json is damaged: ")
    assert damaged("run.json", b"[]").startswith("/run.json is not what gpunn train writes")
    scoreless = {name: value for name, value in whole["result"].items() if name != "test_accuracy"}
    unset = {**whole["result"], "settings": {}}
    rows = {**whole["findings"], "confusion": whole["findings"]["confusion"][1:]}
    wrong = [{"version": 9}, {"result": {}}, {"result": scoreless}, {"result": unset}, {"versions": {}}]
    wrong += [{"command": None}, {"findings": {"mistakes": 1}}, {"findings": rows}]
    for changes in wrong:
        assert "/run.json" in damaged("run.json", json.dumps(whole | changes).encode())
    assert "model.safetensors" in damaged("model.safetensors", b"")
    assert "are of different runs" in damaged("run.json", (runs / "classes" / "run.json").read_bytes())
    assert "history.jsonl are of different" in damaged(
        "history.jsonl", (runs / "numbers" / "history.jsonl").read_bytes()
    )
    lines = (runs / "images" / "history.jsonl").read_bytes().splitlines(keepends=True)
    assert "history.jsonl are of different" in damaged("history.jsonl", b"".join(lines[::-1]))
    assert "RUN" in refused()


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    write = callbacks.JsonLines(path)
    for record in history(3, validation_score=0.5):
        write(record)
    assert callbacks.read_records(path) == history(3, validation_score=0.5).records
