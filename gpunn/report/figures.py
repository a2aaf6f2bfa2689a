"""A report's charts: drawn by Matplotlib, as SVG whose colours the page chooses.

Matplotlib is loaded here alone, when a chart is drawn, and nothing of its global state is changed.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpunn.history import History
from gpunn.metrics import Calibration
from gpunn.report.findings import Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, LINE, ABOVE, BELOW = "#1d1c1a", "#6f6b63", "#e2dfd8", "#d9480f", "#1971c2"
RUNS = ("#d9480f", "#0b6e99", "#2b8a3e", "#9c36b5", "#b08900", "#c2255c", "#5f3dc4", "#087f5b")
# Where there are no such variables, as in a notebook, it is what can be read on light and dark.
VARIABLES = {
    INK: "var(--ink, currentColor)",
    FAINT: "var(--faint, #888)",
    LINE: "var(--line, #8884)",
    **{colour: f"var(--run-{k}, {colour})" for k, colour in enumerate(RUNS)},
    ABOVE: "var(--above, #e8590c)",
    BELOW: "var(--below, #228be6)",
}
WIDTH, HEIGHT, TALL = 360, 230, 300  # px, as are the margins
LEFT, RIGHT, TOP, BOTTOM = 46, 16, 30, 42
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
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.color": LINE,
    "ytick.labelcolor": FAINT,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}
DASHED: dict[str, Any] = {"color": FAINT, "linewidth": 1, "linestyle": (0, (2, 3))}
BARS = 60  # px, below the reliability diagram
FEW, MARKED = 12, 4  # points of a line that are marked one by one, where there are few lines
WIDE = 30  # times the least: beyond, an axis is logarithmic


@dataclass(frozen=True)
class Line:
    """A line of a chart."""

    x: Sequence[float]
    y: Sequence[float]
    colour: str


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib in the page's manner, whatever the user's own; without a word on its cache of fonts."""
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        from matplotlib import style

        with style.context(["default", STYLE]):
            yield
    finally:
        log.setLevel(level)


def svg(draw: Callable[[Figure], None], label: str, height: int = HEIGHT) -> str:
    """What is drawn on a figure, as an SVG element; label: what it shows, for those who cannot see it."""
    with style():
        from matplotlib import rcParams
        from matplotlib.figure import Figure

        rcParams["svg.hashsalt"] = label  # the names within are the same whenever it is drawn
        figure, file = Figure((WIDTH / 72, height / 72)), io.StringIO()
        draw(figure)
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _for_a_page(file.getvalue(), label)


def _for_a_page(drawn: str, label: str) -> str:
    """The SVG element alone, as large as its place, in the page's font and colours."""
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
    """Axes within the margins and so many pixels below, the y axis named above, where one can read it."""
    bottom = BOTTOM + below
    box = LEFT / WIDTH, bottom / height, 1 - (LEFT + RIGHT) / WIDTH, 1 - (TOP + bottom) / height
    found = figure.add_axes(box)
    found.set_xlabel(xlabel)
    figure.text(0.005, 1 - 6 / height, ylabel, color=FAINT, va="top")
    return found


def count_epochs(ax: Axes, epochs: int) -> None:
    """Ticks at whole epochs, 1 and the last within."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    margin = min(max(0.3, 0.03 * epochs), 0.9)
    ax.set_xlim(1 - margin, max(epochs, 1) + margin)


def in_percent(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")


def plain(axis: Any) -> None:
    """Numbers as they are, without an offset or a power apart; large ones short."""
    axis.set_major_formatter(lambda value, _: short(value).replace("-", "−"))


def short(value: float) -> str:
    """A number in as few letters as may be, such as 250k."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * unit or (abs(value) >= unit and unit > 1e3):
            return f"{value / unit:.6g}{letter}"
    return f"{value:.6g}"


def plot(ax: Axes, lines: Sequence[Line]) -> None:
    """The lines; points are marked where they are few."""
    for line in reversed(lines):
        marker = "o" if len(line.x) <= FEW and len(lines) <= MARKED else ""
        ax.plot(line.x, line.y, color=line.colour, marker=marker)


def fit_scale(ax: Axes, lines: Sequence[Line]) -> None:
    """A logarithmic y axis where the values are so far apart that the small ones could not be told."""
    from matplotlib.ticker import LogLocator, NullFormatter

    values = [value for line in lines for value in line.y]
    if min(values) > 0 and max(values) > WIDE * min(values):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        ax.yaxis.set_minor_formatter(NullFormatter())
    plain(ax.yaxis)


# charts


def measured_lines(history: History, name: str) -> list[Line]:
    """A measure of training and of validation by epoch, as far as it was taken."""
    lines = []
    for field, colour in ((name, FAINT), (f"validation_{name}", ABOVE)):
        known = [(r.epoch, getattr(r, field)) for r in history if getattr(r, field) is not None]
        if known:
            x, y = zip(*known, strict=True)
            lines.append(Line(x, y, colour))
    return lines


def curves(lines: Sequence[Line], ylabel: str, best: int | None = None, percent: bool = False) -> str:
    """Measures by epoch. best: the epoch whose weights were kept."""

    def draw(figure: Figure) -> None:
        draw_curves(axes(figure, "epoch", ylabel), lines, best, percent)

    return svg(draw, f"{ylabel} by epoch")


def draw_curves(ax: Axes, lines: Sequence[Line], best: int | None, percent: bool) -> None:
    if best is not None:
        ax.axvline(best, **DASHED)
    plot(ax, lines)
    count_epochs(ax, round(max(line.x[-1] for line in lines)))
    if percent:
        in_percent(ax.yaxis)
    else:
        fit_scale(ax, lines)


def by_seconds(lines: Sequence[Line], ylabel: str, percent: bool = False) -> str:
    """Measures by the time spent training."""

    def draw(figure: Figure) -> None:
        ax = axes(figure, "seconds of training", ylabel)
        plot(ax, lines)
        ax.set_xlim(left=0)
        plain(ax.xaxis)
        if percent:
            in_percent(ax.yaxis)
        else:
            fit_scale(ax, lines)

    return svg(draw, f"{ylabel} by seconds of training")


def times(history: History) -> str:
    """How long each epoch took."""
    unit, name = (1, "seconds") if max(r.seconds for r in history) >= 1 else (1000, "milliseconds")
    line = Line([r.epoch for r in history], [unit * r.seconds for r in history], BELOW)

    def draw(figure: Figure) -> None:
        ax = axes(figure, "epoch", name)
        plot(ax, [line])
        count_epochs(ax, len(history))
        ax.set_ylim(0, 1.15 * max(line.y))
        plain(ax.yaxis)

    return svg(draw, f"{name} by epoch")


def reliability(found: Calibration) -> str:
    """How often predictions of each confidence are right: the more there are the larger the dot."""
    total = sum(found.examples)

    def draw(figure: Figure) -> None:
        ax = axes(
            figure, "confidence, and its share of the examples", "share that is right", TALL, below=BARS
        )
        ax.plot([0, 1], [0, 1], **DASHED)
        areas = [10 + 80 * n / total for n in found.examples]
        ax.plot(found.confidence, found.accuracy, color=ABOVE, linewidth=1)
        ax.scatter(found.confidence, found.accuracy, areas, color=ABOVE, linewidth=0, zorder=3)
        ax.set_ylim(-0.04, 1.04)
        bars = figure.add_axes((LEFT / WIDTH, BOTTOM / TALL, 1 - (LEFT + RIGHT) / WIDTH, 0.7 * BARS / TALL))
        lefts = [min(int(10 * c), 9) / 10 + 0.005 for c in found.confidence]
        bars.bar(lefts, [n / total for n in found.examples], 0.09, align="edge", color=BELOW)
        bars.set_xlabel(ax.get_xlabel())
        bars.set_ylim(0, 1)
        bars.set_yticks([0.5, 1])
        ax.set_xlabel("")
        ax.tick_params(labelbottom=False)
        for each in (ax, bars):
            each.set_xlim(-0.02, 1.02)
            in_percent(each.yaxis)
            in_percent(each.xaxis)

    return svg(draw, "share of right predictions by confidence", TALL)


def agreement(found: Measured) -> str:
    """Predicted against actual numbers; on the dashed line they agree."""
    actual, predicted = zip(*found.pairs, strict=True)
    ends = min(*actual, *predicted), max(*actual, *predicted)

    def draw(figure: Figure) -> None:
        ax = axes(figure, "actual", "predicted", height=TALL)
        ax.plot(ends, ends, **DASHED)
        ax.plot(actual, predicted, "o", color=BELOW, markersize=4, alpha=0.5, markeredgewidth=0)
        ax.locator_params(nbins=5)
        plain(ax.xaxis)
        plain(ax.yaxis)

    return svg(draw, "predicted against actual numbers", height=TALL)


def residuals(found: Measured) -> str:
    """How far off the predictions are, and how often."""

    def draw(figure: Figure) -> None:
        ax = axes(figure, "predicted − actual", "examples", height=TALL)
        widths = [right - left for left, right in zip(found.edges, found.edges[1:], strict=False)]
        ax.bar(found.edges[:-1], found.counts, [0.9 * w for w in widths], align="edge", color=BELOW)
        ax.axvline(0, **DASHED)
        ax.locator_params(axis="x", nbins=5)
        plain(ax.xaxis)
        plain(ax.yaxis)

    return svg(draw, "histogram of predicted less actual numbers", height=TALL)
