"""The charts of a report, as SVG elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpunn.inspection.metrics import BINS, Calibration
from gpunn.report.drawing import (
    ABOVE,
    BELOW,
    BOTTOM,
    DASHED,
    FAINT,
    LEFT,
    RIGHT,
    RUNS,
    TALL,
    WIDTH,
    Line,
    axes,
    count_epochs,
    fit_scale,
    percent_ticks,
    plain_ticks,
    plot,
    svg,
)
from gpunn.report.findings import RegressionFindings
from gpunn.report.ranking import Curve, Points
from gpunn.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BARS = 60  # px, the height of the bars below the reliability diagram


def measured_lines(history: History, name: str) -> list[Line]:
    """A measure by epoch, in training and in validation; epochs without a finite value are left out."""
    lines = []
    for field, colour in ((name, FAINT), (f"validation_{name}", ABOVE)):
        measured = [(r.epoch, getattr(r, field, None)) for r in history]
        known = [(epoch, value) for epoch, value in measured if value is not None and math.isfinite(value)]
        if known:
            x, y = zip(*known, strict=True)
            lines.append(Line(x, y, colour))
    return lines


def curves(lines: Sequence[Line], ylabel: str, best: int | None = None, percent: bool = False) -> str:
    """Chart measures by epoch, with a dashed line at the best epoch, whose weights were kept."""

    def draw(figure: Figure) -> None:
        draw_curves(axes(figure, "epoch", ylabel), lines, best, percent)

    return svg(draw, f"{ylabel} by epoch")


def draw_curves(ax: Axes, lines: Sequence[Line], best: int | None, percent: bool) -> None:
    """Draw measures by epoch on any axes."""
    if best is not None:
        ax.axvline(best, **DASHED)
    count_epochs(ax, round(max(line.x[-1] for line in lines)))
    draw_lines(ax, lines, percent)


def draw_lines(ax: Axes, lines: Sequence[Line], percent: bool) -> None:
    """Draw lines, and fit the y axis to them."""
    plot(ax, lines)
    if percent:
        percent_ticks(ax.yaxis)
    else:
        fit_scale(ax, "y", [value for line in lines for value in line.y])


def by_seconds(lines: Sequence[Line], ylabel: str, percent: bool = False) -> str:
    """Chart measures by the time spent training."""

    def draw(figure: Figure) -> None:
        ax = axes(figure, "seconds of training", ylabel)
        draw_lines(ax, lines, percent)
        fit_scale(ax, "x", [line.x[-1] for line in lines])
        if ax.get_xscale() == "linear":
            ax.set_xlim(left=0)

    return svg(draw, f"{ylabel} by seconds of training")


def times(history: History) -> str:
    """Chart the duration of each epoch."""
    unit, name = (1, "seconds") if max(r.seconds for r in history) >= 1 else (1000, "milliseconds")
    line = Line([r.epoch for r in history], [unit * r.seconds for r in history], BELOW)

    def draw(figure: Figure) -> None:
        ax = axes(figure, "epoch", name)
        plot(ax, [line])
        count_epochs(ax, len(history))
        ax.set_ylim(0, 1.15 * max(line.y))
        plain_ticks(ax.yaxis)

    return svg(draw, f"{name} by epoch")


def reliability(found: Calibration) -> str:
    """Chart the accuracy of predictions by confidence. Dot areas and bars show how many there are."""
    total = sum(found.examples)

    def draw(figure: Figure) -> None:
        ax = axes(figure, "", "accuracy", TALL, below=BARS)
        ax.plot([0, 1], [0, 1], **DASHED)
        ax.plot(found.confidence, found.accuracy, color=ABOVE, linewidth=1)
        areas = [10 + 80 * n / total for n in found.examples]
        ax.scatter(found.confidence, found.accuracy, areas, color=ABOVE, linewidth=0, zorder=3)
        ax.set_ylim(-0.04, 1.04)
        ax.tick_params(labelbottom=False)
        bars = figure.add_axes((LEFT / WIDTH, BOTTOM / TALL, 1 - (LEFT + RIGHT) / WIDTH, 0.7 * BARS / TALL))
        lefts = [min(int(BINS * c), BINS - 1) / BINS + 0.005 for c in found.confidence]
        bars.bar(lefts, [n / total for n in found.examples], 1 / BINS - 0.01, align="edge", color=BELOW)
        bars.set(ylim=(0, 1), yticks=[0.5, 1], xlabel="confidence (bars: share of the examples)")
        for each in (ax, bars):
            each.set_xlim(-0.02, 1.02)
            percent_ticks(each.yaxis)
            percent_ticks(each.xaxis)

    return svg(draw, "accuracy by confidence", TALL)


def roc(found: Sequence[Curve]) -> str:
    """Chart the recall of each class by its false positive rate; chance is the dashed line."""

    def draw(figure: Figure) -> None:
        ax = axes(figure, "false positive rate", "recall", TALL)
        ax.plot([0, 1], [0, 1], **DASHED)
        draw_shares(ax, [curve.roc for curve in found])

    return svg(draw, "recall by false positive rate", TALL)


def precision_recall(found: Sequence[Curve]) -> str:
    """Chart the precision of each class by its recall; chance, for a single class, is the dashed line."""

    def draw(figure: Figure) -> None:
        ax = axes(figure, "recall", "precision", TALL)
        if len(found) == 1:
            ax.axhline(found[0].share, **DASHED)
        draw_shares(ax, [curve.recall for curve in found])

    return svg(draw, "precision by recall", TALL)


def draw_shares(ax: Axes, curves: Sequence[Points]) -> None:
    """Draw curves of shares, each in a colour of its own, on axes from 0% to 100%."""
    for points, colour in zip(curves, RUNS, strict=False):
        x, y = zip(*points, strict=True)
        ax.plot(x, y, color=colour)
    for axis in (ax.xaxis, ax.yaxis):
        percent_ticks(axis)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))


def agreement(found: RegressionFindings) -> str:
    """Chart predicted against actual values, which agree on the dashed line."""
    actual, predicted = zip(*found.pairs, strict=True)
    ends = min(*actual, *predicted), max(*actual, *predicted)

    def draw(figure: Figure) -> None:
        ax = axes(figure, "actual", "predicted", height=TALL)
        ax.plot(ends, ends, **DASHED)
        ax.plot(actual, predicted, "o", color=BELOW, markersize=4, alpha=0.5, markeredgewidth=0)
        ax.locator_params(nbins=5)
        plain_ticks(ax.xaxis)
        plain_ticks(ax.yaxis)

    return svg(draw, "predicted against actual values", height=TALL)


def residuals(found: RegressionFindings) -> str:
    """Chart a histogram of the residuals."""

    def draw(figure: Figure) -> None:
        ax = axes(figure, "predicted − actual", "examples", height=TALL)
        widths = [right - left for left, right in zip(found.edges, found.edges[1:], strict=False)]
        ax.bar(found.edges[:-1], found.counts, [0.9 * w for w in widths], align="edge", color=BELOW)
        ax.axvline(0, **DASHED)
        ax.locator_params(axis="x", nbins=5)
        plain_ticks(ax.xaxis)
        plain_ticks(ax.yaxis)

    return svg(draw, "histogram of predicted minus actual values", height=TALL)
