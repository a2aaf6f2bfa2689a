"""The words and numbers of a report; the templates only lay them out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpunn.inspection.choosing import LOSSES
from gpunn.inspection.metrics import UNITS, figure
from gpunn.inspection.scores import INTERVALS, SCORES
from gpunn.names import counted
from gpunn.report.run import Run

BASELINES = dict.fromkeys(("accuracy", "balanced_accuracy"), "the most frequent class") | {"rmse": "the mean"}
ALONE = ("ensemble", 1)  # the setting of a single network
MEASURES = ("accuracy", "rmse")  # a run is judged by the first of these that it has
NAMES = UNITS | SCORES | INTERVALS
RANKS = 0.6  # a ROC AUC above this says that the classes can be told apart


@dataclass(frozen=True)
class Tile:
    """A number beside the headline: its name, its value and a remark."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Headline:
    """The measure by which a run is judged, and the measures beside it.

    Attributes:
        value: the measure on the test examples, or its mean over the folds of cross-validation; NaN if it was
            not finite.
        baseline: the measure of always predicting the most frequent class or the mean.
        others: the other measures by name.
        spread: the standard deviation over the folds.
        folds: the number of folds, 0 without cross-validation.
    """

    measure: str
    value: float
    baseline: float | None
    others: Mapping[str, float]
    spread: float | None = None
    folds: int = 0

    @property
    def name(self) -> str:
        return f"{'cross-validated' if self.folds else 'test'} {UNITS[self.measure]}"

    @property
    def rank(self) -> tuple[float, float]:
        """A sort key: smaller is better, the loss breaks ties, and a measure that is not finite is last."""
        value = -self.value if self.measure == "accuracy" else self.value
        return math.inf if math.isnan(value) else value, self.others.get("loss", math.inf)

    def format(self, value: float) -> str:
        return figure(self.measure, value)


def headline(result: Mapping[str, Any]) -> Headline:
    """The headline of the result that `gpunn train --json` prints."""
    found, spread, baseline = tested(result)
    known = [name for name in MEASURES if found.get(name) is not None]
    measure = known[0] if known else "rmse"
    others = {n: found[n] for n in ("r2", "mae", *INTERVALS, *SCORES, "loss") if found.get(n) is not None}
    value = found[measure] if known else math.nan
    folds = len(result["cv"]["folds"]) if "cv" in result else 0
    return Headline(measure, value, baseline.get(measure), others, spread.get(measure), folds)


def tested(result: Mapping[str, Any]) -> tuple[Mapping[str, float], Mapping[str, float], Mapping[str, float]]:
    """The measures of the test by name, their standard deviations over folds, and those of the baseline."""
    if "cv" in result:
        return result["cv"]["mean"], result["cv"]["std"], result["cv"]["baseline"]
    found = {name.removeprefix("test_"): v for name, v in result.items() if name.startswith("test_")}
    return found, {}, result.get("baseline", {})


def verdict(result: Mapping[str, Any]) -> str:
    """A line that says so if a model is no better than its baseline; "" if it is better, or unknown.

    A classifier with weighted classes or a threshold is judged by its balanced accuracy, which is what
    these are for.
    """
    found, _, baseline = tested(result)
    weighted = result["settings"].get("class_weight") is not None or "threshold" in result
    names = ("balanced_accuracy",) if weighted and "balanced_accuracy" in found else MEASURES
    name = next((name for name in names if None not in (found.get(name), baseline.get(name))), None)
    if name is None:
        return ""
    value, constant = found[name], baseline[name]
    if value < constant if name == "rmse" else value > constant:
        return ""
    line = f"No better than always predicting {BASELINES[name]}: {NAMES[name]} {figure(name, value)} against "
    line += figure(name, constant)
    auc = found.get("roc_auc") or 0.0
    if auc <= RANKS:
        return line
    hint = "try --threshold best or --class-weight balanced"
    return f"{line}. It ranks the rows better than chance (ROC AUC {auc:.3g}): {hint}"


def subtitle(run: Run) -> str:
    """The line below the title: examples, parameters, optimizer and device."""
    result = run.result
    return (
        f"{counted(result['train_examples'], 'training example')}, {result['parameters']:,} parameters, "
        f"{result['settings']['optimizer']}, on {result['device']}"
    )


def tiles(run: Run, top: Headline) -> Iterator[Tile]:
    """The numbers beside the headline."""
    result = run.result
    if top.baseline is not None:
        yield Tile("baseline", top.format(top.baseline), f"always predicting {BASELINES[top.measure]}")
    if alone := single_networks(result):
        yield Tile("single networks", alone, f"the {len(result['members'])} networks by themselves")
    for name, value in top.others.items():
        if name == "loss" and "log_loss" in top.others:
            continue
        yield Tile(NAMES.get(name, f"{'' if top.folds else 'test '}{name}"), figure(name, value))
    epochs, fewest = len(run.history), min(map(len, run.members), default=len(run.history))
    yield Tile("epochs", f"{epochs:,}" if fewest == epochs else f"{fewest:,} to {epochs:,}", ending(run))
    if epochs:
        each = f"{format_seconds(run.history.seconds / epochs)} per epoch"
        how = "of all networks together" if run.members else each
        yield Tile("training time", format_seconds(run.history.seconds), how)
        yield Tile("throughput", f"{run.history.examples_per_second:,.0f}", "examples per second")


def single_networks(result: Mapping[str, Any]) -> str:
    """The measure of an ensemble's networks by themselves, as in "96.11% to 97.22%"; "" if unknown.

    result: what `gpunn train --json` prints.
    """
    tested: Sequence[Mapping[str, Any]] = result.get("members", ())
    for name in MEASURES:
        values = [each[f"test_{name}"] for each in tested if each.get(f"test_{name}") is not None]
        if values:
            return f"{figure(name, min(values))} to {figure(name, max(values))}"
    return ""


def ending(run: Run) -> str:
    """How training ended, if not after the last epoch."""
    asked = run.result["settings"]["epochs"]
    how = {"early": f"stopped early, limit {asked:,}", "interrupted": f"interrupted, {asked:,} planned"}
    return how.get(run.history.stopped, "")


def format_seconds(seconds: float) -> str:
    """A duration in the unit that suits it.

    >>> format_seconds(0.0123), format_seconds(7.25), format_seconds(3725)
    ('12.3 ms', '7.25 s', '1 h 2 min')
    """
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def notes(run: Run) -> Iterator[str]:
    """Remarks that a reader needs to judge the results."""
    result, settings = run.result, run.result["settings"]
    by = f" by {score_name(run)}" if settings.get("metric") else ""
    if not len(run.history):
        yield "No epoch was completed: the results are for the weights at that point."
    elif run.members and (few := len(run.members)) < settings["ensemble"]:
        why = "Training was interrupted" if run.history.interrupted else "Networks diverged and are left out"
        yield f"{why}: the ensemble has {few:,} of {settings['ensemble']:,} networks."
    elif run.history.interrupted:
        yield "Training was interrupted: the results are for the weights that were saved."
    if result["best_epoch"]:
        yield (
            f"The weights are those of epoch {result['best_epoch']}, the best on held-out training data{by}. "
            f"Training stops after {counted(settings['patience'], 'epoch')} without improvement."
        )
    if run.members:
        yield "The prediction is the mean of the networks' outputs. Only their random seeds differ."
    if run.members and settings["patience"]:
        yield (
            "The weights of each network are those of its best epoch on held-out training data of its own. "
            f"It stops after {counted(settings['patience'], 'epoch')} without improvement; the mean curves "
            "go on with its best epoch."
        )
    if "cv" in result:
        yield (
            f"Tested by {len(result['cv']['folds'])}-fold cross-validation, then trained on all rows. "
            "Everything below describes that final training, for which no test rows are left."
        )


def score_name(run: Run) -> str:
    """The measure that `--metric` chose, in words, with a minus if less of it is better."""
    name = run.result["settings"].get("metric") or "score"
    return f"{'minus ' if name in LOSSES else ''}{NAMES.get(name, name.replace('_', ' '))}"


def validation_examples(run: Run) -> str:
    """The name of the examples that validation used."""
    if run.result["settings"]["patience"]:
        return "held-out training data"
    return "test examples"


def split_settings(settings: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The settings that are in use, with their values, and the names of the others."""
    on, off = {}, []
    for name, value in settings.items():
        words = name.replace("_", " ")
        if value is None or value is False or (value == 0 and name != "seed") or (name, value) == ALONE:
            off.append(words)
        else:
            on[words] = format_setting(value)
    return on, off


def format_setting(value: Any) -> str:
    """A setting's value."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "yes" if value is True else f"{value:g}" if isinstance(value, float) else str(value)
