"""The learning curve in a window, or as a PNG file where there is no display."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from gpunn.files.writing import write_whole
from gpunn.report.drawing import style
from gpunn.report.figures import draw_curves, measured_lines
from gpunn.training.history import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE, DENSITY = (10, 4), 144  # inches, dots an inch


def draw(history: History, title: str, path: Path) -> bool:
    """Open a window with the curves, for `show`, and return True; else write them to the PNG file.

    ValueError where there is no epoch to draw.
    """
    if not len(history):
        raise ValueError("no epoch was finished")
    with style():
        from matplotlib.figure import Figure

        window = open_window(f"gpunn: {title}")
        figure = window or Figure(SIZE)
        figure.set_facecolor("white")
        draw_on(figure, history, title)
        if not window:
            file = io.BytesIO()
            figure.savefig(file, format="png", dpi=DENSITY)
            write_whole(path, file.getvalue())
    return window is not None


def open_window(name: str) -> Figure | None:
    """A figure of a window of that name, where Matplotlib finds a display."""
    from matplotlib import pyplot

    try:
        figure: Figure = pyplot.figure(name, figsize=SIZE, clear=True)
    except ImportError:  # of a user's choice of windows that cannot be had here
        return None
    if figure.canvas.required_interactive_framework is None:
        pyplot.close(figure)
        return None
    return figure


def draw_on(figure: Figure, history: History, title: str) -> None:
    """Loss, and accuracy where it was measured, side by side."""
    known = {name: lines for name in ("loss", "accuracy") if (lines := measured_lines(history, name))}
    figure.suptitle(title, parse_math=False)
    for k, (name, lines) in enumerate(known.items(), start=1):
        ax = figure.add_subplot(1, len(known), k)
        draw_curves(ax, lines, None, percent=name == "accuracy")
        ax.set(xlabel="epoch", ylabel=name)
        ax.legend(ax.lines[::-1], ("training", "validation")[: len(lines)], frameon=False)
    figure.tight_layout()


def show() -> None:
    """Show the window that `draw` opened, until it is closed."""
    from matplotlib import pyplot

    pyplot.show()
