"""Reports: what they say is true, all of it is there, and it can be read on every screen."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpunn import Dense, History, Network, Record, callbacks, cli, datasets, trainer
from gpunn.report import page, window
from gpunn.report.drawing import BELOW, Line, short
from gpunn.report.figures import agreement, by_seconds, curves, residuals
from gpunn.report.findings import Measured
from gpunn.report.pictures import of_matrix, of_weights
from gpunn.report.run import Run

ROOT = Path(__file__).parent.parent
RunCommand = Callable[..., tuple[int, str, str]]
NASTY = ["<script>alert(1)</script>", 'Äpfel & "Birnen"', "{{ 7 * 7 }}"]
KINDS = {
    "images": ["digits", "--epochs", "3", "--hidden", "32"],
    "classes": [
        "fruit.csv",
        "--target",
        "kind",
        "--epochs",
        "30",
        "--ignore",
        "nothing",
        "--ignore",
        "empty",
    ],
    "numbers": ["homes.csv", "--target", "price", "--epochs", "12", "--seed", "3"],
    "folds": ["fruit.csv", "--target", "kind", "--cv", "3", "--epochs", "5", "--patience", "0"],
}


def write_tables() -> None:
    """Classes that overlap, with names that HTML, CSV and Jinja have their ways with; and numbers."""
    rng = np.random.default_rng(0)
    with open("fruit.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["size", "nothing", "kind", "empty"])
        for k in rng.integers(0, 3, 300):
            writer.writerow([f"{rng.normal(k, 0.8):.4f}", "0", NASTY[k], ""])
    with open("homes.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["rooms", "area", "price"])
        for rooms in rng.integers(1, 8, 400):
            area = 20 * rooms + rng.normal(0, 8)
            writer.writerow([rooms, f"{area:.2f}", f"{1000 * area + rng.normal(0, 9000):.0f}"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a run of each kind, in gpunn-runs; the working directory of the module."""
    pytest.importorskip("pyarrow")
    folder, before = tmp_path_factory.mktemp("report"), Path.cwd()
    os.chdir(folder)
    write_tables()
    for name, arguments in KINDS.items():
        command = ["train", *arguments, "--device", "cpu", "--output", f"gpunn-runs/{name}", "--json"]
        assert cli.main(command) == 0
    yield folder / "gpunn-runs"
    os.chdir(before)


@pytest.fixture(autouse=True)
def no_window(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would have been opened in the person's browser."""
    opened: list[str] = []
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setattr(webbrowser, "open", opened.append)
    return opened


def kept(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


# in a browser

PARTS = {
    "images": ["#result", "#curves", "#confusion", "#classes", "#mistakes", "#judging", "#weights"],
    "classes": ["#result", "#curves", "#confusion", "#classes", "#mistakes", "#judging"],
    "numbers": ["#result", "#curves", "#judging", "#mistakes"],
    "folds": ["#result", "#folds", "#curves"],
}
CHARTS = {"images": 4, "classes": 4, "numbers": 4, "folds": 3}
SCREENS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1100, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1100, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "is_mobile": True},
}
PAPER = {"light": "rgb(247, 246, 243)", "dark": "rgb(21, 20, 18)", "phone": "rgb(247, 246, 243)"}
UNREADABLE = """() => [...document.querySelectorAll("svg")].flatMap((svg) => {
  const place = svg.getBoundingClientRect();
  const within = (r) => r.left >= place.left - 1 && r.right <= place.right + 1 && r.top >= place.top - 1
    && r.bottom <= place.bottom + 1;
  const apart = (r, s) => r.right < s.left + 2 || s.right < r.left + 2 || r.bottom < s.top + 4
    || s.bottom < r.top + 4;
  const texts = [...svg.querySelectorAll("text")];
  const letters = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
  return letters.flatMap(([words, r], k) => [
    ...(within(r) ? [] : [`${words} is cut off`]),
    ...(r.height >= 11 ? [] : [`${words} is too small`]),
    ...letters.slice(k + 1).filter(([, s]) => !apart(r, s)).map(([other]) => `${words} overlaps ${other}`),
  ]);
})"""


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a file; in the end, nothing may have gone wrong in it, or have been fetched besides."""
    contexts, wrong = [], []

    def visit(path: Path, screen: str) -> Any:
        context = browser.new_context(**SCREENS[screen])
        contexts.append(context)
        opened = context.new_page()
        url = path.absolute().as_uri()
        opened.on("console", lambda message: wrong.append(message.text))
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        opened.on(
            "request", lambda request: request.url.startswith((url, "data:")) or wrong.append(request.url)
        )
        opened.goto(url)
        return opened

    yield visit
    for context in contexts:
        context.close()
    assert not wrong


def check_layout(opened: Any, screen: str) -> None:
    """The colours of the scheme, no sideways scrolling, and letters of charts that can be read."""
    width = SCREENS[screen]["viewport"]["width"]
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == PAPER[screen]
    assert opened.locator("svg text").count() > 10
    assert opened.evaluate(UNREADABLE) == []


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("kind", KINDS)
def test_all_parts_are_there_on_every_screen(
    runs: Path, visit: Callable[..., Any], kind: str, screen: str
) -> None:
    opened = visit(runs / kind / "report.html", screen)
    check_layout(opened, screen)
    for part in [*PARTS[kind], "#settings", "#again"]:
        assert opened.locator(part).is_visible(), part
    missing = set(PARTS["images"] + PARTS["folds"]) - set(PARTS[kind])
    assert [part for part in missing if opened.locator(part).count()] == []
    assert opened.locator("svg").count() == CHARTS[kind]
    pictures = opened.evaluate("[...document.images].map((image) => image.naturalWidth)")
    assert pictures == [8] * len(pictures) and bool(pictures) == (kind == "images")


@pytest.mark.parametrize("screen", SCREENS)
def test_a_comparison_on_every_screen(
    runs: Path, visit: Callable[..., Any], gpunn_: RunCommand, screen: str
) -> None:
    assert gpunn_("report", runs / "classes", runs / "folds", "--output", "both.html")[0] == 0
    opened = visit(Path("both.html"), screen)
    check_layout(opened, screen)
    assert opened.locator("svg").count() == 4  # of training alone: the folds have no validation
    assert opened.locator("#results tbody tr").count() == 2


def test_names_are_text_and_nothing_else(runs: Path, visit: Callable[..., Any]) -> None:
    opened = visit(runs / "classes" / "report.html", "light")
    assert opened.locator("#classes tbody th").all_inner_texts() == sorted(NASTY)
    assert opened.locator("script").count() == 0


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


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Ctrl-C within that epoch."""
    one_epoch = trainer.one_epoch

    def at(wanted: int) -> None:
        def broken(learner: Any, lessons: Any, epoch: int, *rest: Any) -> Record:
            if epoch == wanted:
                raise KeyboardInterrupt
            return one_epoch(learner, lessons, epoch, *rest)

        monkeypatch.setattr(trainer, "one_epoch", broken)

    return at


def text_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


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
    (tmp_path / "report.html").write_text("an earlier one")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, out, err = gpunn_("train", *KINDS["images"], "--output", tmp_path, "--json")
    assert code == 0 and json.loads(out)["report"] is None
    assert (
        err.startswith("gpunn: warning: the run is saved, but there is no report: ") and err.count("\n") == 1
    )
    assert Network.load(tmp_path).meta["test_accuracy"] == json.loads(out)["test_accuracy"]
    assert text_of(tmp_path) == "an earlier one"


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
    assert "its result has no score" in damaged(
        "run.json", json.dumps(whole | {"result": scoreless}).encode()
    )
    for changes in ({"version": 9}, {"result": {}}, {"findings": {"mistakes": 1}}, {"command": None}):
        assert "/run.json" in damaged("run.json", json.dumps(whole | changes).encode())
    assert "model.safetensors" in damaged("model.safetensors", b"")
    assert "compare runs that predict the same" in refused(runs / "numbers", runs / "classes")
    assert "RUN" in refused()


# the curve in a window, or as a picture


def test_without_a_display_the_curve_is_a_picture(runs: Path, gpunn_: RunCommand, tmp_path: Path) -> None:
    code, out, err = gpunn_("train", *KINDS["images"], "--plot", "--output", tmp_path)
    assert (code, err) == (0, "") and f"curve {tmp_path}/curve.png\n" in out
    with Image.open(tmp_path / "curve.png") as image:
        assert image.size == (1440, 576)
        assert len(image.convert("RGB").getcolors(1 << 20)) > 50
    result = json.loads(gpunn_("train", *KINDS["numbers"], "--plot", "--output", tmp_path, "--json")[1])
    assert result["curve"] == f"{tmp_path}/curve.png"


def test_no_epoch_no_curve(
    runs: Path, gpunn_: RunCommand, tmp_path: Path, interrupt: Callable[[int], None]
) -> None:
    interrupt(1)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, out, err = gpunn_("train", *KINDS["images"], "--plot", "--output", tmp_path)
    assert code == 130 and "report" in out and "\ncurve " not in out
    assert err == "gpunn: warning: the run is saved, but there is no curve: no epoch was finished\n"


def test_with_a_display_the_curve_is_in_a_window(
    runs: Path, gpunn_: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib import pyplot
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    shown: list[int] = []
    monkeypatch.setattr(FigureCanvasAgg, "required_interactive_framework", "a display", raising=False)
    monkeypatch.setattr(pyplot, "show", lambda: shown.extend(pyplot.get_fignums()))
    code, out, _ = gpunn_("train", *KINDS["images"], "--plot", "--output", tmp_path)
    assert code == 0 and "curve in a window\n" in out and not (tmp_path / "curve.png").exists()
    (number,) = shown
    axes = pyplot.figure(number).axes
    assert [ax.get_ylabel() for ax in axes] == ["loss", "accuracy"]
    history = Run.load(tmp_path).history
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes[0].lines}
    assert [record.loss for record in history] in drawn.values()
    assert [record.validation_loss for record in history] in drawn.values()
    pyplot.close(number)


SHOWN_AND_CLOSED = """
from pathlib import Path
from matplotlib import pyplot
from test_report import history, window
assert window.draw(history(2), "two epochs", Path("curve.png"))
canvas = pyplot.gcf().canvas
print(canvas.manager.get_window_title())
timer = canvas.new_timer(100, [(pyplot.close, (), {})])
timer.start()
window.show()
"""


@pytest.mark.skipif(not shutil.which("Xvfb"), reason="no Xvfb to show a window on")
def test_a_window_is_shown_until_it_is_closed(tmp_path: Path) -> None:
    pytest.importorskip("tkinter")
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    screen, told = ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x900x24"], subprocess.PIPE
    with subprocess.Popen(screen, stdout=told, stderr=subprocess.DEVNULL, text=True) as display:
        assert display.stdout
        environment = os.environ | {"DISPLAY": f":{display.stdout.readline().strip()}", "PYTHONPATH": paths}
        environment.pop("MPLBACKEND", None)
        command = [sys.executable, "-c", SHOWN_AND_CLOSED]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60
            )
        finally:
            display.terminate()
    assert (done.returncode, done.stdout, done.stderr) == (0, "gpunn: two epochs\n", "")
    assert not list(tmp_path.iterdir())


def test_windows_that_cannot_be_had_are_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from matplotlib import pyplot

    def figure(*_: Any, **__: Any) -> None:
        raise ImportError("Cannot load backend 'TkAgg'")

    monkeypatch.setattr(pyplot, "figure", figure)
    assert window.draw(history(2), "two epochs", tmp_path / "curve.png") is False
    assert (tmp_path / "curve.png").exists()


# in a notebook


def history(epochs: int, **changes: Any) -> History:
    records = [Record(k, 1 / k, 0.9, 1.5 / k, 0.8, 2.0, 100.0, **changes) for k in range(1, epochs + 1)]
    return History("cpu", records)


def test_a_network_in_a_notebook() -> None:
    net = Network(4, [Dense(3, "relu", dropout=0.5, batch_norm=True), Dense(2, "softmax")], seed=0)
    html = net._repr_html_()
    rows = [
        re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in html.split("<tbody>")[1].split("</tr>")
    ]
    assert rows[0] == ["1", "4", "3", "relu", "21", "batch norm, dropout 0.5"]
    assert rows[1] == ["2", "3", "2", "softmax", "8", ""]
    assert sum(int(row[4]) for row in rows if row) == net.parameters
    assert "4-3-2: 29 parameters" in html


def test_a_history_in_a_notebook(browser: Any) -> None:
    shown = history(5)
    assert repr(shown) == (
        "History(5 epochs; loss 0.2; accuracy 0.9; validation loss 0.3; validation accuracy 0.8; 10 s; "
        "on cpu)"
    )
    assert repr(History("cpu")) == "History(0 epochs; 0 s; on cpu)"
    assert repr(History("cpu", shown.records[:1], "early")).startswith(
        "History(1 epoch, stopped: early; loss 1;"
    )
    opened = browser.new_page()
    opened.set_content(f"<body>{shown._repr_html_()}")
    assert opened.locator("svg").count() == 2
    assert opened.evaluate(UNREADABLE) == []
    opened.set_content(f"<body>{History('cpu')._repr_html_()}")
    assert opened.locator("svg").count() == 0
    opened.close()


# one family


def test_it_has_the_colours_of_the_demo() -> None:
    def colours(path: str) -> list[dict[str, str]]:
        content = (ROOT / "gpunn" / path).read_text(encoding="utf-8")
        blocks = re.findall(r":root \{(.*?)\}", content, re.DOTALL)
        return [dict(re.findall(r"(--\w+): (#\w+)", block)) for block in blocks]

    for demo, report in zip(
        colours("demo/page/style.css"), colours("report/templates/style.css"), strict=True
    ):
        assert len(demo) == 8
        assert {name: report[name] for name in demo} == demo


def test_every_colour_of_a_chart_is_the_pages(runs: Path) -> None:
    for kind in KINDS:
        for svg in re.findall(r"<svg.*?</svg>", text_of(runs / kind), re.DOTALL):
            assert re.findall(r"(?<!, )#[0-9a-f]{6}", svg) == []


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    write = callbacks.JsonLines(path)
    for record in history(3, validation_score=0.5):
        write(record)
    assert callbacks.read_records(path) == history(3, validation_score=0.5).records


# charts of anything


@pytest.mark.parametrize("scale", [1e-12, 1e-5, 3e-4, 1.0, 1234.5, 9.9e5, 1e12])
def test_labels_find_room_whatever_the_numbers(browser: Any, scale: float) -> None:
    lines = [Line(range(1, 200), [scale * (1 + 0.5 * np.sin(k)) for k in range(1, 200)], BELOW)]
    pairs = [(-scale * k, scale * (k + 0.5)) for k in range(9)]
    drawn = Measured(pairs, [scale * k for k in range(-3, 4)], [5, 12000, 99, 7, 0, 1], [])
    timed = [Line([k * 10.0**x for k in range(1, 9)], range(1, 9), BELOW) for x in (-3, 0, 2)]
    charts = [curves(lines, "loss"), by_seconds(lines, "loss"), agreement(drawn), residuals(drawn)]
    charts += [by_seconds(timed[k:], "loss") for k in range(3)]
    opened = browser.new_page()
    opened.set_content(f"<body style='width: 360px; font-family: sans-serif'>{''.join(charts)}")
    assert opened.locator("svg text").count() > 30
    assert opened.evaluate(UNREADABLE) == []
    opened.close()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (-1250, "-1250"),
        (250_000, "250k"),
        (3e6, "3M"),
        (2e-5, "2e-5"),
        (1e-3, "0.001"),
    ],
)
def test_ticks_are_short(value: float, words: str) -> None:
    assert short(value) == words
