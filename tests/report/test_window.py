"""The curve of `gpunn train --plot`, in a window or as a PNG file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from reporting import KINDS, RunCommand, history

from gpunn.report import window
from gpunn.report.run import Run


def test_without_a_display_the_curve_is_a_file(runs: Path, gpunn_: RunCommand, tmp_path: Path) -> None:
    code, out, err = gpunn_("train", *KINDS["images"], "--plot", "--output", tmp_path)
    assert (code, err) == (0, "") and f"curve {tmp_path}/curve.png\n" in out
    with Image.open(tmp_path / "curve.png") as image:
        assert image.size == (1440, 576)
        assert len(image.convert("RGB").getcolors(1 << 20)) > 50
    result = json.loads(
        gpunn_("train", *KINDS["numbers"], "--plot", "--output", tmp_path, "--overwrite", "--json")[1]
    )
    assert result["curve"] == f"{tmp_path}/curve.png"


def test_no_curve_without_an_epoch(
    runs: Path, gpunn_: RunCommand, tmp_path: Path, interrupt: Callable[[int], None]
) -> None:
    interrupt(1)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, out, err = gpunn_("train", *KINDS["images"], "--plot", "--output", tmp_path)
    assert code == 130 and "report" in out and "\ncurve " not in out
    assert err == "gpunn: warning: the run is saved, but without a curve: no epoch was completed\n"


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
from gpunn.report import window
from reporting import history
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
            done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        finally:
            display.terminate()
    assert (done.returncode, done.stdout, done.stderr) == (0, "gpunn: two epochs\n", "")
    assert not list(tmp_path.iterdir())


def test_an_unavailable_gui_toolkit_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from matplotlib import pyplot

    def figure(*_: Any, **__: Any) -> None:
        raise ImportError("Cannot load backend 'TkAgg'")

    monkeypatch.setattr(pyplot, "figure", figure)
    assert window.draw(history(2), "two epochs", tmp_path / "curve.png") is False
    assert (tmp_path / "curve.png").exists()
