"""Show the learning curve in a window, or write it as a PNG file if there is no display."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from gpunn.files.writing import write_whole
from gpunn.report.drawing import page_style
from gpunn.report.figures import draw_curves, measured_lines
from gpunn.training.history import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE, DPI = (10, 4), 144  # inches; dots per inch


def draw(history: History, title: str, path: Path) -> bool:
    """Draw the curves in a window, for `show`, and return True. Without a display, write the PNG file.

    Raises ValueError if no epoch was completed.
    """
    if not len(history):
        raise ValueError("no epoch was completed")
    with page_style():
        from matplotlib.figure import Figure

        window = open_window(f"gpunn: {title}")
        figure = window or Figure(SIZE)
        figure.set_facecolor("white")
        draw_on(figure, history, title)
        if not window:
            file = io.BytesIO()
            figure.savefig(file, format="png", dpi=DPI)
            write_whole(path, file.getvalue())
    return window is not None


def open_window(name: str) -> Figure | None:
    """Open a window of that name, or return None if Matplotlib finds no display."""
    from matplotlib import pyplot

    try:
        figure: Figure = pyplot.figure(name, figsize=SIZE, clear=True)
    except ImportError:  # the user's choice of GUI toolkit is not available here
        return None
    if figure.canvas.required_interactive_framework is None:
        pyplot.close(figure)
        return None
    return figure


def draw_on(figure: Figure, history: History, title: str) -> None:
    """Draw loss and, if it was measured, accuracy side by side."""
    known = {name: lines for name in ("loss", "accuracy") if (lines := measured_lines(history, name))}
    figure.suptitle(title, parse_math=False)
    for k, (name, lines) in enumerate(known.items(), start=1):
        ax = figure.add_subplot(1, len(known), k)
        draw_curves(ax, lines, None, percent=name == "accuracy")
        ax.set(xlabel="epoch", ylabel=name)
        ax.legend(ax.lines[::-1], ("training", "validation")[: len(lines)], frameon=False)
    figure.tight_layout()


def show() -> None:
    """Show the window that `draw` opened, and wait until it is closed."""
    from matplotlib import pyplot

    pyplot.show()
