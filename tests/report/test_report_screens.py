"""Reports and charts in a browser: all of it is there, and it can be read on every screen."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reporting import KINDS, NASTY, UNREADABLE, RunCommand, history, text_of

from gpunn import Dense, History, Network
from gpunn.report import notebook
from gpunn.report.drawing import BELOW, Line, short
from gpunn.report.figures import agreement, by_seconds, curves, residuals
from gpunn.report.findings import Measured

ROOT = Path(__file__).parents[2]
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
def test_long_names_of_classes_cut_nothing_off(
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


def test_names_are_text_and_nothing_else(runs: Path, visit: Callable[..., Any]) -> None:
    opened = visit(runs / "classes" / "report.html", "light")
    assert opened.locator("#classes tbody th").all_inner_texts() == sorted(NASTY)
    assert opened.locator("script").count() == 0


# in a notebook


def test_a_notebook_gets_the_views() -> None:
    code = "import sys; sys.modules['IPython'] = sys; import gpunn; gpunn.Network([2, 1])._repr_html_()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_network_in_a_notebook() -> None:
    net = Network(4, [Dense(3, "relu", dropout=0.5, batch_norm=True), Dense(2, "softmax")], seed=0)
    html = notebook.network_html(net)
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
    opened.set_content(f"<body>{notebook.history_html(shown)}")
    assert opened.locator("svg").count() == 2
    assert opened.evaluate(UNREADABLE) == []
    opened.set_content(f"<body>{notebook.history_html(History('cpu'))}")
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
