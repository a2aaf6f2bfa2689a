"""Charts and notebook views: every label is legible, whatever the numbers."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from reporting import UNREADABLE, history

from gpunn import Dense, History, Network
from gpunn.report import notebook
from gpunn.report.drawing import BELOW, Line, short_number
from gpunn.report.figures import agreement, by_seconds, curves, residuals
from gpunn.report.findings import RegressionFindings


def test_importing_gpunn_in_a_notebook_adds_the_views() -> None:
    code = "import sys; sys.modules['IPython'] = sys; import gpunn; gpunn.Network([2, 1])._repr_html_()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_network_as_a_table() -> None:
    net = Network(4, [Dense(3, "relu", dropout=0.5, batch_norm=True), Dense(2, "softmax")], seed=0)
    html = notebook.network_html(net)
    rows = [
        re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in html.split("<tbody>")[1].split("</tr>")
    ]
    assert rows[0] == ["1", "4", "3", "relu", "21", "batch norm, dropout 0.5"]
    assert rows[1] == ["2", "3", "2", "softmax", "8", ""]
    assert sum(int(row[4]) for row in rows if row) == net.parameters
    assert "4-3-2: 29 parameters" in html


def test_a_history_as_curves(browser: Any) -> None:
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


@pytest.mark.parametrize("scale", [1e-12, 1e-5, 3e-4, 1.0, 1234.5, 9.9e5, 1e12])
def test_labels_fit_at_every_scale(browser: Any, scale: float) -> None:
    lines = [Line(range(1, 200), [scale * (1 + 0.5 * np.sin(k)) for k in range(1, 200)], BELOW)]
    pairs = [(-scale * k, scale * (k + 0.5)) for k in range(9)]
    drawn = RegressionFindings(pairs, [scale * k for k in range(-3, 4)], [5, 12000, 99, 7, 0, 1], [])
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
def test_tick_labels_are_short(value: float, words: str) -> None:
    assert short_number(value) == words
