"""Draw with Matplotlib, as SVG whose colours the page chooses.

Matplotlib is imported when something is drawn, and its global state stays unchanged.
"""

from __future__ import annotations

import io
import logging
import math
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, LINE, ABOVE, BELOW = "#1d1c1a", "#6f6b63", "#e2dfd8", "#d9480f", "#1971c2"
RUNS = (ABOVE, "#0072b2", "#009e73", "#b8608f")  # distinguishable for colour-blind readers (Okabe and Ito)
# The fallbacks, for pages without these variables such as notebooks, are legible on light and dark.
VARIABLES = {
    INK: "var(--ink, currentColor)",
    FAINT: "var(--faint, #888)",
    LINE: "var(--line, #8884)",
    **{colour: f"var(--run-{k}, {colour})" for k, colour in enumerate(RUNS)},
    ABOVE: "var(--above, #e8590c)",
    BELOW: "var(--below, #228be6)",
}
WIDTH, HEIGHT, TALL = 360, 234, 304  # px
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 30, 46  # margins, px
STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": FAINT,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 72,  # so that a point is a pixel of the SVG
    "figure.facecolor": "none",
    "font.size": 12,
    "grid.color": LINE,
    "lines.linewidth": 2,
    "lines.markersize": 5,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "xtick.color": LINE,
    "xtick.labelcolor": FAINT,
    "xtick.major.pad": 7,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.color": LINE,
    "ytick.labelcolor": FAINT,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}
DASHED: dict[str, Any] = {"color": FAINT, "linewidth": 1, "linestyle": (0, (2, 3))}
FEW_POINTS, FEW_LINES = 12, 4  # up to so many, each point gets a marker
THIN = 0.7  # px
DRAWING = threading.RLock()
WIDE = 20  # an axis is logarithmic if the largest value exceeds the smallest by this factor


@dataclass(frozen=True)
class Line:
    """A line of a chart."""

    x: Sequence[float]
    y: Sequence[float]
    colour: str
    dashed: bool = False
    thin: bool = False


@contextmanager
def page_style() -> Iterator[None]:
    """Use the page's Matplotlib style, whatever the user's own is, and silence font messages.

    Style, log level and warning filters belong to the whole process, so only one thread draws at a time. Two
    threads at once would restore each other's changes.
    """
    with _alone(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # missing glyphs
        from matplotlib import style

        with style.context(["default", STYLE]):
            yield


@contextmanager
def _alone() -> Iterator[None]:
    """Let no other thread draw, and log nothing about fonts."""
    log = logging.getLogger("matplotlib")
    with DRAWING:
        level = log.level
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)


def preload() -> None:
    """Import what `svg` needs, which takes as long as several drawings; any thread may do it."""
    with _alone():
        import matplotlib.backends.backend_svg
        import matplotlib.figure
        import matplotlib.style  # noqa: F401


def svg(draw: Callable[[Figure], None], label: str, height: int = HEIGHT) -> str:
    """Draw on a figure and return it as an SVG element. The label describes it to screen readers."""
    with page_style():
        from matplotlib import rcParams
        from matplotlib.figure import Figure

        rcParams["svg.hashsalt"] = label  # ids inside the SVG are reproducible
        figure, file = Figure((WIDTH / 72, height / 72)), io.StringIO()
        draw(figure)
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _for_a_page(file.getvalue(), label)


def _for_a_page(drawn: str, label: str) -> str:
    """Reduce an SVG file to its element, scaled to its container, in the page's font and colours."""
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>\s*", "", drawn, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', drawn)
    assert box
    drawn = re.sub(r"<svg[^>]*>", f'<svg {box[0]} role="img" aria-label="{label}">', drawn, count=1)
    drawn = re.sub(r" font-family: [^;\"]*;?", "", drawn)
    drawn = re.sub(r' transform="rotate\(-?0 [^"]*"', "", drawn)
    drawn = re.sub(r'<g id="[a-z]+[._][\w.]*">', "<g>", drawn)
    drawn = re.sub(r"\s*\n\s*", " ", drawn)
    return re.sub("|".join(VARIABLES), lambda match: VARIABLES[match[0]], drawn)


# axes


def axes(figure: Figure, xlabel: str, ylabel: str, height: int = HEIGHT, below: int = 0) -> Axes:
    """Add axes inside the margins, plus `below` px at the bottom, with a horizontal y label above."""
    bottom = BOTTOM + below
    box = LEFT / WIDTH, bottom / height, 1 - (LEFT + RIGHT) / WIDTH, 1 - (TOP + bottom) / height
    found = figure.add_axes(box)
    found.set_xlabel(xlabel)
    figure.text(0.005, 1 - 6 / height, ylabel, color=FAINT, va="top")
    return found


def count_epochs(ax: Axes, epochs: int) -> None:
    """Put ticks at whole epochs, and show the first and the last epoch."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    margin = min(max(0.3, 0.03 * epochs), 0.9)
    ax.set_xlim(1 - margin, max(epochs, 1) + margin)


def percent_ticks(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")


def plain_ticks(axis: Any) -> None:
    """Label ticks without a common offset or exponent; abbreviate large numbers."""
    axis.set_major_formatter(lambda value, _: short_number(value).replace("-", "−"))


def short_number(value: float) -> str:
    """A number in few characters, such as 250k or 2e-5."""
    if 0 < abs(value) < 1e-3:
        power = math.floor(math.log10(abs(value)) + 1e-9)
        return f"{value / 10.0**power:.3g}e{power}"
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * unit or (abs(value) >= unit and unit > 1e3):
            return f"{value / unit:.6g}{letter}"
    return f"{value:.6g}"


def plot(ax: Axes, lines: Sequence[Line]) -> None:
    """Plot lines, with markers if there are few points."""
    for line in reversed(lines):
        marker = "o" if len(line.x) <= FEW_POINTS and len(lines) <= FEW_LINES else ""
        width = THIN if line.thin else None
        kind = (0, (3, 2)) if line.dashed else "solid"
        ax.plot(line.x, line.y, color=line.colour, linestyle=kind, marker=marker, linewidth=width)


def fit_scale(ax: Axes, which: str, values: Sequence[float]) -> None:
    """Make an axis ("x" or "y") logarithmic if its values span more than a factor of WIDE."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis = getattr(ax, f"{which}axis")
    values = [value for value in values if math.isfinite(value)] or [0.0]
    if min(values) > 0 and max(values) > WIDE * min(values):
        getattr(ax, f"set_{which}scale")("log")
        low, high = axis.get_data_interval()
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,), numticks=8))
        axis.set_minor_formatter(NullFormatter())
    plain_ticks(axis)
