"""The columns that drive a network for a table, as a report shows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gpunn.report.drawing import (
    BOTTOM,
    FAINT,
    HEIGHT,
    RIGHT,
    RUNS,
    TOP,
    WIDTH,
    Line,
    axes,
    percent_ticks,
    plain_ticks,
    plot,
    svg,
)
from gpunn.tables.dependence import Dependence
from gpunn.tables.drivers import Drivers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 15  # columns whose importance is shown
LONGEST = 16  # characters of a category
NAMES = 116  # px, the margin for the names of categories


def importances(drivers: Drivers) -> Iterator[tuple[str, str, str, float]]:
    """Yield each important column: its name, the loss of the score, its deviation, and a share for a bar."""
    largest = max((each.mean for each in drivers.importances), default=0.0)
    for each in drivers.importances[:MOST]:
        if each.mean > 0:
            yield each.column, f"{each.mean:.3g}", f"{each.std:.2g}", each.mean / largest


def describe(drivers: Drivers) -> str:
    """Describe how the importance was measured."""
    rows = "held-out rows" if drivers.held_out else "rows that it was trained on"
    few = len(drivers.importances) < drivers.columns
    which = f"one of the {len(drivers.importances):,} columns with the largest weights" if few else "a column"
    return (
        f"Permutation importance: by how much the {drivers.score}, {drivers.value:.4g} on {drivers.rows:,} "
        f"{rows}, falls if the values of {which} are shuffled. Columns with the same information share "
        "their importance."
    )


def legend(found: Dependence, target: str) -> tuple[tuple[str, str], ...]:
    """Return the colour of each line of a chart, and the class that it stands for."""
    return tuple((f"run-{k}", f"{target}: {name}") for k, name in enumerate(found.predicted))


def dependence(found: Dependence, percent: bool) -> str:
    """Chart how the mean prediction depends on a column. percent: the prediction is a probability."""
    draw = _by_category if found.kind == "category" else _by_value
    return svg(lambda figure: draw(figure, found, percent), "mean prediction by the value of a column")


def _by_value(figure: Figure, found: Dependence, percent: bool) -> None:
    ax = axes(figure, "", _ylabel(percent))
    values = [float(value) for value in found.values]
    lines = zip(found.predicted.values(), RUNS, strict=False)
    plot(ax, [Line(values, predicted, colour) for predicted, colour in lines])
    if found.kind == "date":
        from matplotlib.dates import AutoDateFormatter, AutoDateLocator

        locator: Any = AutoDateLocator(minticks=2, maxticks=4)  # type: ignore[no-untyped-call]
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(AutoDateFormatter(locator))  # type: ignore[no-untyped-call]
    else:
        ax.locator_params(axis="x", nbins=5)
        plain_ticks(ax.xaxis)
    _tick(ax.yaxis, percent)


def _by_category(figure: Figure, found: Dependence, percent: bool) -> None:
    box = NAMES / WIDTH, BOTTOM / HEIGHT, 1 - (NAMES + RIGHT) / WIDTH, 1 - (TOP + BOTTOM) / HEIGHT
    ax: Axes = figure.add_axes(box)
    ax.set_xlabel(_ylabel(percent))
    ax.grid(axis="x")
    places = range(len(found.values), 0, -1)
    for predicted, colour in zip(found.predicted.values(), RUNS, strict=False):
        ax.plot(predicted, places, "o", color=colour, markersize=6)
    names = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in map(str, found.values)]
    ax.set_yticks(list(places), names, parse_math=False)
    ax.set_ylim(0.4, len(names) + 0.6)
    ax.locator_params(axis="x", nbins=4)
    _tick(ax.xaxis, percent)
    ax.tick_params(axis="y", labelcolor=FAINT)


def _ylabel(percent: bool) -> str:
    return "mean probability" if percent else "mean prediction"


def _tick(axis: object, percent: bool) -> None:
    (percent_ticks if percent else plain_ticks)(axis)
