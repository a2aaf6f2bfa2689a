"""The charts of a sweep, as SVG elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.report.drawing import (
    ABOVE,
    BELOW,
    FAINT,
    HEIGHT,
    INK,
    LINE,
    WIDE,
    WIDTH,
    axes,
    percent_ticks,
    plain_ticks,
    short_number,
    svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 20  # of a histogram
FEW = 8  # different values of a setting that stand side by side
HUGE = 1e9  # settings from here on are written with an exponent
LETTER = 6.6  # px, the width of a letter beside a row of dots
ROW = 22  # px, the height of a row of dots
WRITTEN = 30  # cells of a heat map whose numbers are written in them


def name_in_words(name: str) -> str:
    return name.replace("_", " ")


def written(value: Any) -> str:
    """Write a setting's value in few characters, and numbers with three digits if they are not whole."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "none" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if abs(value) >= HUGE else short_number(float(f"{value:.3g}"))


def score_ticks(axis: Any, metric: str) -> None:
    """Label the ticks of a score, accuracies in per cent."""
    (percent_ticks if metric.endswith("accuracy") else plain_ticks)(axis)


def score_in_words(score: float, metric: str) -> str:
    return f"{score:.2%}" if metric.endswith("accuracy") else f"{score:.4g}"


class Scale:
    """The places, 0 to 1, of a setting's values on an axis: many numbers to scale, others side by side."""

    def __init__(self, values: Sequence[Any]) -> None:
        found = list(dict.fromkeys(values))
        numbers = [v for v in found if isinstance(v, int | float) and not isinstance(v, bool)]
        ordered = len(numbers) == len(found) and len(found) > 1
        self.values = sorted(found) if ordered else found
        self.numeric = ordered and len(found) > FEW
        self.log = self.numeric and min(numbers) > 0 and max(numbers) > WIDE * min(numbers)

    def place(self, value: Any) -> float:
        """Return the place of a value."""
        if not self.numeric:
            return self.values.index(value) / (len(self.values) - 1) if len(self.values) > 1 else 0.5
        low, high, at = (math.log(v) if self.log else v for v in (self.values[0], self.values[-1], value))
        return (at - low) / (high - low)

    def ticks(self, most: int = 6) -> list[Any]:
        """Return the values to write beside the axis."""
        chosen = np.unique(np.linspace(0, len(self.values) - 1, most).round().astype(int))
        return [self.values[k] for k in chosen]


def parallel(settings: Sequence[dict[str, Any]], scores: Sequence[float], metric: str, best: int) -> str:
    """Draw parallel coordinates: a line for each combination, through its settings to its score."""
    names = list(dict.fromkeys(name for each in settings for name in each))
    columns = [[each.get(name) for each in settings] for name in names]
    scales = [Scale(column) for column in columns]
    low, high = min(scores), max(scores)

    def draw(figure: Figure) -> None:
        ax = axes(figure, "", "")
        ax.grid(False)
        ax.set(xlim=(-0.1, len(names) + 0.1), ylim=(-0.05, 1.05), yticks=[])
        labels = [*map(name_in_words, names), name_in_words(metric)]
        ax.set_xticks(range(len(labels)), [label.replace(" ", "\n") for label in labels])
        for k in sorted(range(len(settings)), key=lambda k: k == best):
            top = 0.5 if high == low else (scores[k] - low) / (high - low)
            y = [*(scale.place(column[k]) for scale, column in zip(scales, columns, strict=True)), top]
            if k == best:
                ax.plot(range(len(y)), y, color=ABOVE, linewidth=2)
            else:
                ax.plot(range(len(y)), y, color=BELOW, linewidth=1, alpha=0.35)
        for x, scale in enumerate(scales):
            _write_axis(ax, x, [(scale.place(value), written(value)) for value in scale.ticks()])
        ends = [(0.0, low), (1.0, high)] if high > low else [(0.5, high)]
        _write_axis(ax, len(names), [(y, score_in_words(score, metric)) for y, score in ends])

    return svg(draw, f"{name_in_words(metric)} by settings, as parallel coordinates")


def _write_axis(ax: Axes, x: int, ticks: Sequence[tuple[float, str]]) -> None:
    """Draw a vertical axis at x, with words beside it."""
    ax.axvline(x, color=LINE, linewidth=1, zorder=0)
    for y, word in ticks:
        ax.text(x - 0.03, y, word, ha="right", va="center", color=FAINT, fontsize=10)


def heat_map(cells: np.ndarray, rows: tuple[str, Scale], columns: tuple[str, Scale], metric: str) -> str:
    """Draw the mean score for each pair of two settings' values; cells (rows, columns), NaN if untried."""

    def draw(figure: Figure) -> None:
        ax = axes(figure, name_in_words(columns[0]), name_in_words(rows[0]))
        ax.grid(False)
        known = cells[np.isfinite(cells)]
        low, high = float(known.min()), float(known.max())
        for (i, j), score in np.ndenumerate(cells):
            if not math.isfinite(score):
                continue
            share = 0.5 if high == low else (score - low) / (high - low)
            ax.add_patch(_cell(j, i, share))
            if cells.size <= WRITTEN:
                words = score_in_words(score, metric)
                ax.text(j, i, words, ha="center", va="center", color=INK, fontsize=10)
        ax.set(xlim=(-0.5, cells.shape[1] - 0.5), ylim=(-0.5, cells.shape[0] - 0.5))
        ax.set_xticks(range(cells.shape[1]), [written(v) for v in columns[1].values])
        ax.set_yticks(range(cells.shape[0]), [written(v) for v in rows[1].values])

    height = max(HEIGHT, 90 + ROW * len(cells))
    return svg(draw, f"mean {name_in_words(metric)} by {rows[0]} and {columns[0]}", height)


def _cell(x: int, y: int, share: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, color=BELOW, alpha=0.05 + 0.75 * share, linewidth=0)


def spread(groups: Sequence[tuple[str, Sequence[float]]], metric: str) -> str:
    """Draw the scores of each combination's networks as dots in a row, with their mean as a line."""
    height = 80 + ROW * len(groups)

    def draw(figure: Figure) -> None:
        ax = axes(figure, name_in_words(metric), "", height)
        box, left = (
            ax.get_position(),
            min(0.5, LETTER * max(len(words) for words, _ in groups) / WIDTH + 0.04),
        )
        ax.set_position((left, box.y0, box.x1 - left, box.height))
        ax.grid(True, axis="x")
        for y, (_, scores) in enumerate(reversed(groups)):
            ax.plot(scores, [y] * len(scores), "o", color=BELOW, alpha=0.5, markersize=5, markeredgewidth=0)
            ax.plot([np.mean(scores)] * 2, [y - 0.35, y + 0.35], color=ABOVE, linewidth=2)
        ax.set(ylim=(-0.6, len(groups) - 0.4))
        ax.set_yticks(range(len(groups)), [words for words, _ in reversed(groups)])
        ax.locator_params(axis="x", nbins=5)
        score_ticks(ax.xaxis, metric)

    return svg(draw, f"{name_in_words(metric)} of each combination's networks", height)


def histogram(scores: Sequence[float], metric: str) -> str:
    """Draw a histogram of the networks' scores."""

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        ax = axes(figure, name_in_words(metric), "networks")
        counts, edges = np.histogram(scores, min(BINS, max(5, len(scores) // 3)))
        ax.bar(edges[:-1], counts, 0.92 * np.diff(edges), align="edge", color=BELOW)
        ax.axvline(float(np.mean(scores)), color=ABOVE, linewidth=2)
        ax.locator_params(axis="x", nbins=5)
        ax.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        score_ticks(ax.xaxis, metric)

    return svg(draw, f"histogram of the networks' {name_in_words(metric)}")
