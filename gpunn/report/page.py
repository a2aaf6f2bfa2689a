"""The page of a run: one file, which fetches nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.files.writing import write_whole
from gpunn.inspection.metrics import UNITS, figure, most_confused
from gpunn.report.facts import brief, chosen, notes, score, subject, tiles, validated
from gpunn.report.figures import agreement, curves, measured_lines, reliability, residuals, times
from gpunn.report.findings import Classified, Measured
from gpunn.report.pictures import of_matrix, of_weights
from gpunn.report.run import Run

WEIGHTS = 40  # neurons whose weights are shown
MATRIX = 20  # classes, whose confusion matrix can be read
LISTED = 12  # mistakes in tables


@dataclass(frozen=True)
class Chart:
    """An SVG element with its caption; legend: (colour's name on the page, what it is)."""

    title: str
    svg: str
    note: str = ""
    legend: tuple[tuple[str, str], ...] = ()


def write(run: Run, path: Path) -> None:
    """Write the page of a run; whole or not at all."""
    write_whole(path, render_report(run).encode())


def render_report(run: Run) -> str:
    """The page as HTML."""
    judged, found = score(run.result), run.findings
    return template("report.html").render(
        run=run,
        result=run.result,
        score=judged,
        subject=subject(run),
        tiles=list(tiles(run, judged)),
        notes=list(notes(run)),
        folds=run.result.get("cv", {}).get("folds", []),
        charts=list(learning_curves(run)),
        classified=found if isinstance(found, Classified) else None,
        measured=found if isinstance(found, Measured) else None,
        judging=list(judging(run)),
        confusions=most_confused(found.confusion, [row["class"] for row in found.classes])
        if isinstance(found, Classified)
        else [],
        heat=of_matrix(found.confusion) if isinstance(found, Classified) else None,
        weights=list(first_layer(run)),
        settings=chosen(run),
    )


@lru_cache
def template(name: str) -> Any:
    """One of the package's pages. Names that come from users are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gpunn.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["figure"] = lambda value, name: figure(name, value)
    environment.filters["measure"] = lambda name: UNITS.get(name, name)
    environment.globals |= {"MATRIX": MATRIX, "LISTED": LISTED}
    return environment.get_template(name)


# charts


def learning_curves(run: Run) -> Iterator[Chart]:
    """Loss and accuracy by epoch, and time where it has no better neighbour."""
    history, best = run.history, run.result["best_epoch"]
    if not len(history):
        return
    dropped = ", with dropout" if any(run.net.dropout) else ""
    before = f"Training loss is the mean over an epoch, each example just before its step{dropped}."
    for name, words in (("loss", run.net.cost.name), ("accuracy", "share that is right")):
        lines = measured_lines(history, name)
        if not lines:
            continue
        legend = [("faint", "training"), ("above", validated(run))][: len(lines)]
        svg = curves(lines, words, best, percent=name == "accuracy")
        yield Chart(name.capitalize(), svg, before if name == "loss" else "", tuple(legend))
    if not isinstance(run.findings, Classified):
        yield time_chart(run)


def time_chart(run: Run) -> Chart:
    """How long an epoch took."""
    fastest, slowest = (brief(f(r.seconds for r in run.history)) for f in (min, max))
    note = f"From {fastest} to {slowest} an epoch, shuffling included, validation not."
    return Chart("Time", times(run.history), note)


def judging(run: Run) -> Iterator[Chart]:
    """Calibration and time, or how numbers were predicted."""
    found = run.findings
    if isinstance(found, Classified) and found.calibration:
        note = (
            f"Expected calibration error {found.calibration.error:.2%}: the mean distance from the dashed "
            "line, on which predictions of 80% confidence are right in 80% of all cases."
        )
        yield Chart("Calibration", reliability(found.calibration), note)
    if isinstance(found, Classified) and len(run.history):
        yield time_chart(run)
    if isinstance(found, Measured):
        some = run.result["test_examples"] > len(found.pairs)
        note = f"{len(found.pairs):,} of {run.result['test_examples']:,} test rows." if some else ""
        yield Chart("Predicted against actual", agreement(found), note)
        yield Chart("Residuals", residuals(found))


def first_layer(run: Run) -> Iterator[str]:
    """Pictures of the weights of the neurons whose weights are largest, of a network of images."""
    shape, w = run.net.meta.get("image_shape"), run.net.weights[0]
    if not shape or math.prod(shape) != w.shape[1]:
        return
    largest = np.argsort(-np.linalg.norm(w, axis=1), kind="stable")[:WEIGHTS]
    most = float(np.quantile(np.abs(w[largest]), 0.995)) or 1.0
    for k in largest:
        yield of_weights(w[k].reshape(shape), most)
