"""The page of a run: a single file that loads nothing from the network."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.files.strict_json import dump_json
from gpunn.files.writing import check_not_input, write_whole
from gpunn.inspection.metrics import figure, most_confused
from gpunn.network import Network
from gpunn.report import driving
from gpunn.report.drawing import ABOVE, BELOW, FAINT, Line
from gpunn.report.facts import (
    NAMES,
    format_seconds,
    headline,
    notes,
    score_name,
    split_settings,
    subtitle,
    tiles,
    validation_examples,
    verdict,
)
from gpunn.report.figures import (
    agreement,
    curves,
    measured_lines,
    precision_recall,
    reliability,
    residuals,
    roc,
    times,
)
from gpunn.report.findings import ClassificationFindings, RegressionFindings
from gpunn.report.pictures import of_matrix, of_weights
from gpunn.report.ranking import Ranking
from gpunn.report.run import Run

WEIGHTS = 40  # neurons whose weights are shown
MATRIX = 20  # up to so many classes, the confusion matrix is a table; beyond, it is a picture
LISTED = 12  # mistakes in a table
COLUMNS = 40  # columns of a table that are shown at once


@dataclass(frozen=True)
class Chart:
    """An SVG element with its caption, and a legend of (the colour's name on the page, meaning)."""

    title: str
    svg: str
    note: str = ""
    legend: tuple[tuple[str, str], ...] = ()


def write(run: Run, path: Path) -> None:
    """Write the page of a run, whole or not at all. Raises ValueError if the path is a file of the run."""
    check_not_input(path, run.files)
    write_whole(path, render_report(run).encode())


def render_report(run: Run) -> str:
    """Render the page as HTML."""
    top, found = headline(run.result), run.findings
    classification = found if isinstance(found, ClassificationFindings) else None
    return template("report.html").render(
        run=run,
        result=run.result,
        headline=top,
        subtitle=subtitle(run),
        tiles=list(tiles(run, top)),
        verdict=verdict(run.result),
        notes=list(notes(run)),
        folds=run.result.get("cv", {}).get("folds", []),
        charts=list(learning_curves(run)),
        classification=classification,
        counts=threshold_counts(classification) if classification else "",
        script=script("threshold.js"),
        regression=found if isinstance(found, RegressionFindings) else None,
        prediction_charts=list(prediction_charts(run)),
        confusions=confusions(classification) if classification else [],
        heat=of_matrix(classification.confusion) if classification else None,
        weights=list(first_layer(run)),
        settings=split_settings(run.result["settings"]),
        leaks=[leak.describe() for leak in run.explanation.drivers.leaks] if run.explanation else [],
        driving=driving,
        dependences=list(dependence_charts(run)),
    )


def confusions(found: ClassificationFindings) -> list[tuple[int, str, str]]:
    """The most frequent confusions, as (count, true class, predicted class)."""
    return most_confused(found.confusion, [row["class"] for row in found.classes])


@lru_cache
def template(name: str) -> Any:
    """Load one of the package's templates, which escape all text from users."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gpunn.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["figure"] = lambda value, name: figure(name, value)
    environment.filters["measure"] = lambda name: NAMES.get(name, name)
    environment.globals |= {"MATRIX": MATRIX, "LISTED": LISTED, "COLUMNS": COLUMNS}
    return environment.get_template(name)


# charts


def learning_curves(run: Run) -> Iterator[Chart]:
    """Loss, accuracy and score by epoch; also time, unless the section on predictions shows it."""
    history, best = run.history, run.result["best_epoch"]
    if not len(history):
        return
    dropped = ", with dropout active" if any(run.net.dropout) else ""
    note = f"Training loss is averaged over the epoch, measured on each mini-batch before its step{dropped}."
    score = score_name(run)
    for name, ylabel in (("loss", run.net.cost.name), ("accuracy", "accuracy"), ("score", score)):
        lines, legend = (ensemble_lines if run.members else network_lines)(run, name)
        if not lines:
            continue
        svg = curves(lines, ylabel, best, percent=name == "accuracy")
        title = f"{ylabel[0].upper()}{ylabel[1:]}" if name == "score" else name.capitalize()
        yield Chart(title, svg, note if name == "loss" else "", tuple(legend))
    if not isinstance(run.findings, ClassificationFindings) and not run.members:
        yield time_chart(run)


def network_lines(run: Run, name: str) -> tuple[list[Line], list[tuple[str, str]]]:
    """A measure in training and in validation, as lines and their legend."""
    lines = measured_lines(run.history, name)
    known = [("faint", "training"), ("above", validation_examples(run))]
    return lines, known[: len(lines)] if name != "score" else known[1:]


def ensemble_lines(run: Run, name: str) -> tuple[list[Line], list[tuple[str, str]]]:
    """A measure of each network of an ensemble, faint, and of their mean, as lines and their legend.

    It is measured in validation, or in training if there is no validation.
    """
    mean = measured_lines(run.history, name)
    if not mean:
        return [], []
    each = [lines[-1] for history in run.members if (lines := measured_lines(history, name))]
    lines = [replace(mean[-1], colour=ABOVE)]
    trained = len(mean) == 1 and name != "score"
    legend = [("above", f"mean, {'training' if trained else validation_examples(run)}")]
    if len(mean) == 2:
        lines.append(replace(mean[0], colour=BELOW))
        legend.append(("below", "mean, training"))
    lines += [replace(line, colour=FAINT, thin=True) for line in each]
    return lines, [*legend, ("faint", "each network")]


def time_chart(run: Run) -> Chart:
    """The duration of each epoch."""
    fastest, slowest = (format_seconds(f(r.seconds for r in run.history)) for f in (min, max))
    note = f"{fastest} to {slowest} per epoch, including shuffling and excluding validation."
    return Chart("Time", times(run.history), note)


def prediction_charts(run: Run) -> Iterator[Chart]:
    """Ranking, calibration and time of a classifier, or the errors of a regressor."""
    found = run.findings
    if isinstance(found, ClassificationFindings) and found.ranking:
        yield from ranking_charts(found.ranking)
    if isinstance(found, ClassificationFindings) and found.calibration:
        note = (
            f"Expected calibration error {found.calibration.error:.2%}: the mean distance from the dashed "
            "line, where predictions with 80% confidence are correct 80% of the time."
        )
        yield Chart("Calibration", reliability(found.calibration), note)
    if isinstance(found, ClassificationFindings) and len(run.history) and not run.members:
        yield time_chart(run)
    if isinstance(found, RegressionFindings):
        some = run.result["test_examples"] > len(found.pairs)
        note = f"Showing {len(found.pairs):,} of {run.result['test_examples']:,} test rows." if some else ""
        yield Chart("Predicted against actual", agreement(found), note)
        yield Chart("Residuals", residuals(found))


def ranking_charts(found: Ranking) -> Iterator[Chart]:
    """ROC and precision by recall, of the second of two classes or of some of more classes."""
    curves, legend = found.curves, []
    if found.of_two:
        area = f"Of {curves[0].name}. ROC AUC {curves[0].roc_auc:.4f}; the dashed line is chance."
        precision = f"Average precision {curves[0].average_precision:.4f}; chance is {curves[0].share:.2%}."
    else:
        legend = [(f"run-{k}", curve.name) for k, curve in enumerate(curves)]
        area = "Each class against all others, the hardest ones first. The dashed line is chance."
        precision = "; ".join(f"{curve.name}: {curve.average_precision:.4f}" for curve in curves)
        precision = f"Average precision: {precision}."
    yield Chart("ROC", roc(curves), area, tuple(legend))
    yield Chart("Precision by recall", precision_recall(curves), precision, tuple(legend))


def threshold_counts(found: ClassificationFindings) -> str:
    """Return the predictions at each threshold, as JSON for the page's slider; "" without two classes."""
    if not found.ranking or not found.ranking.of_two:
        return ""
    totals = [row["support"] for row in found.classes]
    return dump_json({"hits": found.ranking.hits, "alarms": found.ranking.alarms, "totals": totals})


@lru_cache
def script(name: str) -> tuple[str, str]:
    """A script of the page, and its digest, which allows the browser to run it."""
    text = (resources.files("gpunn.report") / "templates" / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return text, f"sha256-{digest}"


def dependence_charts(run: Run) -> Iterator[Chart]:
    """How the mean prediction depends on the most important columns of a table."""
    percent = isinstance(run.findings, ClassificationFindings) or "classes" in run.net.meta
    for found in run.explanation.dependences if run.explanation else ():
        legend = driving.legend(found, run.result["target"]) if percent else ()
        yield Chart(found.column, driving.dependence(found, percent), legend=legend)


def first_layer(run: Run) -> Iterator[str]:
    """Pictures of a network's largest first-layer weights, one per neuron, if the inputs are images."""
    if not isinstance(run.net, Network):
        return
    shape, w = run.net.meta.get("image_shape"), run.net.weights[0]
    if not shape or math.prod(shape) != w.shape[1]:
        return
    largest = np.argsort(-np.linalg.norm(w, axis=1), kind="stable")[:WEIGHTS]
    limit = float(np.quantile(np.abs(w[largest]), 0.995)) or 1.0
    for k in largest:
        yield of_weights(w[k].reshape(shape), limit)
