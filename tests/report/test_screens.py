"""Reports in a browser: every section is visible and legible on every screen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reporting import KINDS, NASTY, UNREADABLE, RunCommand, kept, text_of

from gpunn import tables

ROOT = Path(__file__).parents[2]
TABLE = ["#driving", "#columns"]
PARTS = {
    "images": ["#result", "#curves", "#confusion", "#classes", "#mistakes", "#judging", "#weights"],
    "classes": ["#result", "#curves", "#confusion", "#classes", "#mistakes", "#judging", *TABLE],
    "numbers": ["#result", "#curves", "#judging", "#mistakes", *TABLE],
    "folds": ["#result", "#folds", "#curves", *TABLE],
}
CHARTS = {"images": 4, "classes": 7, "numbers": 6, "folds": 4}
SCREENS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1100, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1100, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "is_mobile": True},
}
PAPER = {"light": "rgb(247, 246, 243)", "dark": "rgb(21, 20, 18)", "phone": "rgb(247, 246, 243)"}


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open files in a browser. Any error or request to elsewhere fails the test."""
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
    """Check the colour scheme, that nothing scrolls sideways, and that chart labels are legible."""
    width = SCREENS[screen]["viewport"]["width"]
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == PAPER[screen]
    assert opened.locator("svg text").count() > 10
    assert opened.evaluate(UNREADABLE) == []


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_section_is_visible_on_every_screen(
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


def test_ten_classes_fit_beside_their_confusion_matrix(runs: Path, visit: Callable[..., Any]) -> None:
    opened = visit(runs / "images" / "report.html", "light")
    matrix, classes = (opened.locator(name).bounding_box() for name in ("#confusion", "#classes"))
    assert matrix["y"] == classes["y"] and matrix["x"] + matrix["width"] < classes["x"]


@pytest.mark.parametrize("screen", SCREENS)
def test_a_comparison_on_every_screen(
    runs: Path, visit: Callable[..., Any], gpunn_: RunCommand, screen: str
) -> None:
    assert gpunn_("report", runs / "classes", runs / "folds", "--output", "both.html")[0] == 0
    opened = visit(Path("both.html"), screen)
    check_layout(opened, screen)
    assert opened.locator("svg").count() == 4  # training only, because the folds have no validation
    assert opened.locator("#results tbody tr").count() == 2


CUT = "(place) => { const box = document.querySelector(place); return box.scrollWidth - box.clientWidth; }"
LONG = [
    "a class that is called by very many words, of which not all can stand in a single line " * 2,
    "b" * 99,
]


@pytest.mark.parametrize("screen", ["light", "dark"])
def test_no_column_of_the_results_is_cut_off(
    runs: Path, visit: Callable[..., Any], gpunn_: RunCommand, tmp_path: Path, screen: str
) -> None:
    deep = ["--hidden", *("200",) * 12, "--epochs", "1", "--output", tmp_path / f"{'long-name-' * 6}1"]
    assert gpunn_("train", "digits", *deep)[0] == 0
    assert gpunn_("report", "gpunn-runs", tmp_path, "--output", "all.html")[0] == 0
    opened = visit(Path("all.html"), screen)
    check_layout(opened, screen)
    for place in ("#results .scroll", "#results-2 .scroll"):
        assert opened.evaluate(CUT, place) == 0


@pytest.mark.parametrize("screen", ["light", "dark"])
def test_long_class_names_cut_nothing_off(
    visit: Callable[..., Any], gpunn_: RunCommand, tmp_path: Path, screen: str
) -> None:
    pytest.importorskip("pyarrow")
    rows = [f'{k % 7},{k % 5},"{LONG[k % 2]}"' for k in range(80)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,kind", *rows]))
    arguments = [tmp_path / "t.csv", "--target", "kind", "--epochs", "1", "--output", tmp_path / "run"]
    assert gpunn_("train", *arguments)[0] == 0
    opened = visit(tmp_path / "run" / "report.html", screen)
    check_layout(opened, screen)
    for place in ("#classes .scroll", "#mistakes .scroll"):
        assert opened.evaluate(CUT, place) == 0


def test_the_confusion_matrix_follows_the_slider(
    visit: Callable[..., Any], gpunn_: RunCommand, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{rng.normal(k % 4 == 0, 0.7):.3f},{'yes' if k % 4 == 0 else 'no'}" for k in range(400)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *rows]))
    run = tmp_path / "run"
    assert gpunn_("train", tmp_path / "t.csv", "--target", "y", "--epochs", "9", "--output", run)[0] == 0
    opened = visit(run / "report.html", "light")
    cells, slider = opened.locator("#confusion .matrix tbody td"), opened.locator("#threshold input")
    static = cells.all_inner_texts(), opened.locator("#classes tbody").inner_text()
    slider.fill("501")  # a step beside
    slider.fill("500")
    assert (cells.all_inner_texts(), opened.locator("#classes tbody").inner_text()) == static
    slider.fill("0")
    assert cells.all_inner_texts() == ["·", "60", "·", "20"]
    slider.fill("200")
    p = tables.load_model(run).predict_proba({"x": [float(row.split(",")[0]) for row in rows]})[:, 1]
    found = kept(run)["findings"]["ranking"]
    assert found["threshold"] == 0.5 and found["hits"][0] == 20 and found["alarms"][0] == 60
    assert [int(n) for n in cells.all_inner_texts()] == [
        60 - found["alarms"][200], found["alarms"][200], 20 - found["hits"][200], found["hits"][200],
    ]  # fmt: skip
    assert found["hits"][200] + found["alarms"][200] <= np.sum(p > 0.2)
    assert opened.locator("#threshold output").inner_text() == "0.200"
    assert opened.locator("#threshold .metrics").inner_text().startswith("accuracy ")


def test_names_are_escaped(runs: Path, visit: Callable[..., Any]) -> None:
    opened = visit(runs / "classes" / "report.html", "light")
    assert opened.locator("#classes tbody th").all_inner_texts() == sorted(NASTY)
    assert opened.locator("script").count() == 0


def test_reports_and_the_demo_share_colours() -> None:
    def colours(path: str) -> list[dict[str, str]]:
        content = (ROOT / "gpunn" / path).read_text(encoding="utf-8")
        blocks = re.findall(r":root \{(.*?)\}", content, re.DOTALL)
        return [dict(re.findall(r"(--\w+): (#\w+)", block)) for block in blocks]

    for demo, report in zip(
        colours("demo/page/style.css"), colours("report/templates/style.css"), strict=True
    ):
        assert len(demo) == 8
        assert {name: report[name] for name in demo} == demo


def test_chart_colours_are_css_variables(runs: Path) -> None:
    for kind in KINDS:
        for svg in re.findall(r"<svg.*?</svg>", text_of(runs / kind), re.DOTALL):
            assert re.findall(r"(?<!, )#[0-9a-f]{6}", svg) == []
