"""The page of a sweep: the combinations of settings, the best first, and what makes the difference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from gpunn.files.writing import write_whole
from gpunn.names import counted
from gpunn.report.facts import format_seconds
from gpunn.report.page import Chart, template
from gpunn.report.sweep_figures import (
    Scale,
    heat_map,
    histogram,
    name_in_words,
    parallel,
    score_in_words,
    spread,
    written,
)
from gpunn.sweeps.result import SweepResult
from gpunn.sweeps.scoring import Metric
from gpunn.sweeps.settings import plain

LISTED = 100  # combinations in the table
SPREAD = 12  # combinations whose networks are drawn one by one
MAPS = 3  # heat maps
TRIED = 2 / 3  # of the cells of a heat map, at least
MANY = 8  # networks of a combination, from which on their histogram is drawn


@dataclass(frozen=True)
class Combination:
    """A combination of settings, and how its networks did.

    Attributes:
        settings: by name, as numbers and texts.
        scores: of the networks that have one.
        networks: how many there are.
        failed: how many diverged or failed.
        dropped: whether successive halving dropped it.
        metric: the measure that the scores are.
    """

    settings: dict[str, Any]
    scores: Sequence[float]
    networks: int
    failed: int
    dropped: bool
    metric: Metric

    @property
    def extremes(self) -> tuple[float, float]:
        """The worst and the best score."""
        in_order = sorted(self.scores, key=self.metric.loss)
        return in_order[-1], in_order[0]

    @property
    def mean(self) -> float:
        """The mean score; NaN if a network has none."""
        return fmean(self.scores) if len(self.scores) == self.networks else math.nan

    @property
    def deviation(self) -> float | None:
        return stdev(self.scores) if len(self.scores) > 1 else None

    @property
    def name(self) -> str:
        return ", ".join(written(value) for value in self.settings.values()) or "all"


@dataclass(frozen=True)
class BestRun:
    """The network that was trained on all examples with the best settings.

    Attributes:
        page: the path of its page, relative to that of the sweep.
        words: how it did.
    """

    page: str
    words: str


def write(result: SweepResult, data: str, path: Path, best: BestRun | None = None) -> None:
    """Write the page of a sweep, whole or not at all. data: the name of the data set."""
    write_whole(path, render(result, data, best).encode())


def render(result: SweepResult, data: str, best: BestRun | None = None) -> str:
    """Render the page as HTML."""
    metric, found = result.metric, ranked(result)
    names = list(dict.fromkeys(name for each in found for name in each.settings))
    seconds = sum(row["seconds"] for row in result.table)
    return template("sweep.html").render(
        data=data,
        best=best,
        networks=len(result),
        trained=sum(len(each.scores) for each in found),
        failed=sum(each.failed for each in found),
        interrupted=result.interrupted,
        seconds=format_seconds(seconds),
        metric=name_in_words(metric),
        found=found[:LISTED],
        hidden=max(0, len(found) - LISTED),
        names=names,
        charts=list(charts(found, metric)),
        in_words=lambda score: score_in_words(score, metric),
        written=written,
        name_in_words=name_in_words,
        known=math.isfinite,
        counted=counted,
    )


def ranked(result: SweepResult) -> list[Combination]:
    """Return the combinations, the best mean score first; those that were dropped follow."""
    metric, found = Metric(result.metric), []
    for candidate, settings in enumerate(result.settings):
        own = [member.index for member in result.members if member.candidate == candidate]
        rows = [result.table[index] for index in own]
        scores = [result.scores[index] for index in own if not math.isnan(result.scores[index])]
        found.append(
            Combination(
                {name: plain(value) for name, value in settings.items()},
                scores,
                len(own),
                sum(row["status"] in ("diverged", "failed") for row in rows),
                any(row["status"] == "dropped" for row in rows),
                metric,
            )
        )
    return sorted(found, key=lambda each: (each.dropped, metric.loss(each.mean)))


def charts(found: Sequence[Combination], metric: str) -> Iterator[Chart]:
    """Yield the charts that the combinations allow."""
    known = [each for each in found if math.isfinite(each.mean)]
    varying = {
        name: Scale([each.settings.get(name) for each in known]) for each in known for name in each.settings
    }
    varying = {name: scale for name, scale in varying.items() if len(scale.values) > 1}
    if len(known) > 1 and varying:
        settings = [{name: each.settings.get(name) for name in varying} for each in known]
        legend = (("above", "the best"), ("below", "the others"))
        note = "Each line is a combination of settings; it ends at its mean score."
        yield Chart(
            "Settings and score", parallel(settings, [each.mean for each in known], metric, 0), note, legend
        )
    most = sorted(varying, key=lambda name: -len(varying[name].values))[:3]
    for rows, columns in list(combinations(most, 2))[:MAPS]:
        cells = means(known, (rows, varying[rows]), (columns, varying[columns]))
        if np.isfinite(cells).mean() < TRIED:
            continue  # as of numbers that were drawn, which hardly occur twice
        note = "Mean over seeds, folds and all other settings." if len(varying) > 2 else ""
        title = f"{name_in_words(rows)} and {name_in_words(columns)}".capitalize()
        yield Chart(title, heat_map(cells, (rows, varying[rows]), (columns, varying[columns]), metric), note)
    yield from spreads(known, metric)


def spreads(known: Sequence[Combination], metric: str) -> Iterator[Chart]:
    """Yield how the scores of networks with equal settings differ, by seeds and folds."""
    several = [each for each in known if len(each.scores) > 1]
    if several and len(known) > 1:
        groups = [(each.name, each.scores) for each in several[:SPREAD]]
        note = "Networks with equal settings, which differ by random seed or fold. The line is their mean."
        yield Chart("Spread over seeds", spread(groups, metric), note)
    if several and len(several[0].scores) >= MANY:
        best = several[0]
        title = "The best settings" if len(known) > 1 else "Spread over seeds"
        yield Chart(
            title, histogram(best.scores, metric), f"{len(best.scores):,} networks; the line is their mean."
        )


def means(known: Sequence[Combination], rows: tuple[str, Scale], columns: tuple[str, Scale]) -> np.ndarray:
    """Return the mean score for each pair of values of two settings; NaN for a pair that was not tried."""
    cells = np.full((len(rows[1].values), len(columns[1].values)), np.nan)
    for i, row in enumerate(rows[1].values):
        for j, column in enumerate(columns[1].values):
            own = [
                each.mean
                for each in known
                if (each.settings.get(rows[0]), each.settings.get(columns[0])) == (row, column)
            ]
            if own:
                cells[i, j] = fmean(own)
    return cells
