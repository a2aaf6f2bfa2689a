"""What a report says of a run, in words and figures; the page only lays it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gpunn.inspection.metrics import UNITS, figure
from gpunn.names import counted
from gpunn.report.run import Run

ALWAYS = {"accuracy": "the most frequent class", "rmse": "the mean"}
MEASURES = ("accuracy", "rmse")  # by which runs are judged, the first that there is


@dataclass(frozen=True)
class Tile:
    """A figure, what it is, and what to know of it."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Score:
    """What a run is judged by. value: the mean over the folds where there was cross-validation.

    spread: their standard deviation. baseline: the same of no network. others: the other measures.
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
        """Less is better; where they are level the loss decides."""
        return -self.value if self.measure == "accuracy" else self.value, self.others["loss"]

    def words(self, value: float) -> str:
        return figure(self.measure, value)


def score(result: Mapping[str, Any]) -> Score:
    """From what `gpunn train` found."""
    spread: Mapping[str, float] = {}
    if folds := len(result["cv"]["folds"]) if "cv" in result else 0:
        found, spread, baseline = (result["cv"][name] for name in ("mean", "std", "baseline"))
    else:
        found = {name.removeprefix("test_"): v for name, v in result.items() if name.startswith("test_")}
        baseline = result.get("baseline", {})
    measure = next(name for name in MEASURES if found.get(name) is not None)
    others = {n: found[n] for n in ("r2", "mae", "loss") if found.get(n) is not None}
    return Score(measure, found[measure], baseline.get(measure), others, spread.get(measure), folds)


def subject(run: Run) -> str:
    """What was trained on what."""
    result = run.result
    return (
        f"{counted(result['train_examples'], 'example')}, {result['parameters']:,} parameters, "
        f"{result['settings']['optimizer']}, on {result['device']}"
    )


def tiles(run: Run, judged: Score) -> Iterator[Tile]:
    """The figures beside the result."""
    if judged.baseline is not None:
        always = f"always {ALWAYS[judged.measure]}"
        yield Tile("baseline", judged.words(judged.baseline), always)
    for name, value in judged.others.items():
        yield Tile(UNITS.get(name, f"{'' if judged.folds else 'test '}{name}"), figure(name, value))
    epochs = len(run.history)
    yield Tile("epochs", f"{epochs:,}", ended(run))
    if epochs:
        each = f"{brief(run.history.seconds / epochs)} an epoch"
        yield Tile("training time", brief(run.history.seconds), each)
        yield Tile("throughput", f"{run.history.examples_per_second:,.0f}", "examples a second")


def ended(run: Run) -> str:
    asked = run.result["settings"]["epochs"]
    how = {"early": f"stopped early, at most {asked}", "interrupted": f"interrupted, of {asked}"}
    return how.get(run.history.stopped, "")


def brief(seconds: float) -> str:
    """A time, in the unit that suits it."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def notes(run: Run) -> Iterator[str]:
    """What one should know before one believes the figures."""
    result, settings = run.result, run.result["settings"]
    if not len(run.history):
        yield "No epoch was finished: the figures are of the weights as they were then."
    elif run.history.interrupted:
        yield "Training was interrupted: the figures are of the weights that were saved."
    if result["best_epoch"]:
        yield (
            f"The weights are those of epoch {result['best_epoch']}, the best on held-out training data; "
            f"{settings['patience']} epochs without a better one end training."
        )
    if "cv" in result:
        parts = len(result["cv"]["folds"])
        yield (
            f"Tested by cross-validation in {parts} parts, and then trained on all rows. "
            "What follows is of that last training, for which there are no rows left to test on."
        )


def validated(run: Run) -> str:
    """What the validation examples are."""
    if run.result["settings"]["patience"]:
        return "held-out tenth"
    return "test examples"


def chosen(run: Run) -> tuple[dict[str, str], list[str]]:
    """Those that do something, by name, and the names of the others."""
    on, off = {}, []
    for name, value in run.result["settings"].items():
        words = name.replace("_", " ")
        if value is None or value is False or (value == 0 and name != "seed"):
            off.append(words)
        else:
            on[words] = in_words(value)
    return on, off


def in_words(value: Any) -> str:
    """A setting's value."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "yes" if value is True else f"{value:g}" if isinstance(value, float) else str(value)
