"""The page that compares runs, the best first; classification runs and regression runs are kept apart."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path

from gpunn.files.writing import check_not_input, write_whole
from gpunn.report.drawing import FAINT, RUNS, Line
from gpunn.report.facts import MEASURES, Headline, format_seconds, format_setting, headline
from gpunn.report.figures import by_seconds, curves
from gpunn.report.page import Chart, template
from gpunn.report.run import Run

COLOURED = 2 * len(RUNS)  # runs drawn in colour; the second half of them is dashed


@dataclass(frozen=True)
class Entry:
    """A run with its headline and its place.

    Attributes:
        name: the run's folder, relative to the folder that all runs are in.
        place: the rank, 0 for the best run.
    """

    run: Run
    name: str
    headline: Headline
    place: int

    @property
    def colour(self) -> str:
        """The name of the colour of the run's lines on the page."""
        return f"run-{self.place % len(RUNS)}" if self.place < COLOURED else "faint"

    @property
    def dashed(self) -> bool:
        """Whether a better run already uses this colour."""
        return len(RUNS) <= self.place < COLOURED


@dataclass(frozen=True)
class Group:
    """Runs that are judged by the same measure, the best first."""

    entries: Sequence[Entry]

    @property
    def best(self) -> Entry:
        return self.entries[0]

    @property
    def notes(self) -> list[str]:
        return list(notes(self.entries))

    @property
    def settings(self) -> dict[str, list[str]]:
        return differences([entry.run for entry in self.entries])

    @property
    def charts(self) -> list[Chart]:
        return list(overlaid_curves(self.entries))


def write(runs: Sequence[Run], path: Path) -> None:
    """Write the page that compares runs in the order of `ranked`, whole or not at all.

    Raises ValueError if the path is one of the runs' files.
    """
    check_not_input(path, [file for run in runs for file in run.files])
    write_whole(path, render_comparison(runs).encode())


def render_comparison(runs: Sequence[Run]) -> str:
    """Render the page as HTML, with a group for each measure by which runs are judged."""
    judged = [(run, name, headline(run.result)) for run, name in zip(runs, short_names(runs), strict=True)]
    groups = [
        Group([Entry(run, name, found, place) for place, (run, name, found) in enumerate(alike)])
        for _, alike in groupby(judged, lambda entry: entry[2].measure)
    ]
    page = template("comparison.html")
    return page.render(runs=len(runs), groups=groups, format_seconds=format_seconds)


def ranked(runs: Sequence[Run]) -> list[Run]:
    """Sort runs by the measure that judges them, and then the best first."""

    def rank(run: Run) -> tuple[int, tuple[float, float]]:
        found = headline(run.result)
        return MEASURES.index(found.measure), found.rank

    return sorted(runs, key=rank)


def short_names(runs: Sequence[Run]) -> list[str]:
    """The runs' folders, relative to the folder that all of them are in."""
    folders = [run.folder.resolve() for run in runs]
    within = os.path.commonpath([folder.parent for folder in folders])
    return [str(folder.relative_to(within)) for folder in folders]


def notes(entries: Sequence[Entry]) -> Iterator[str]:
    """Say what makes the scores hard to compare."""
    data = sorted({str(entry.run.result["dataset"]) for entry in entries})
    if len(data) > 1:
        yield f"Note that the runs were trained on different data: {', '.join(data)}."
    if len({entry.headline.name for entry in entries}) > 1:
        yield "Some runs were tested by cross-validation, others on test examples."
    if len(entries) > COLOURED:
        yield f"Only the {COLOURED} best runs are drawn in colour."


def differences(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Settings and circumstances in which the runs differ: by name, a value for each run."""
    known = dict.fromkeys(name for run in runs for name in run.result["settings"])
    rows = {
        name.replace("_", " "): [format_choice(run.result["settings"].get(name)) for run in runs]
        for name in known
    }
    rows["data"] = [str(run.result["dataset"]) for run in runs]
    rows["training examples"] = [f"{run.result['train_examples']:,}" for run in runs]
    rows["computed on"] = [run.result["device"] for run in runs]
    rows["gpunn"] = [run.versions["gpunn"] for run in runs]
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def format_choice(value: object) -> str:
    """A setting's value, or a dash if the setting is off."""
    return "–" if value is None or value is False else format_setting(value)


def overlaid_curves(entries: Sequence[Entry]) -> Iterator[Chart]:
    """Accuracy and loss by epoch and by time, in validation if every run has it, otherwise in training."""
    trained = [entry for entry in entries if len(entry.run.history)]
    for name in ("accuracy", "loss"):
        for field, title in ((f"validation_{name}", f"Validation {name}"), (name, f"Training {name}")):
            known = [getattr(record, field) is not None for entry in trained for record in entry.run.history]
            if known and all(known):
                percent = name == "accuracy"
                by_epoch = [line(entry, field, timed=False) for entry in trained]
                by_time = [line(entry, field, timed=True) for entry in trained]
                yield Chart(f"{title} by epoch", curves(by_epoch, name, percent=percent))
                yield Chart(f"{title} by time", by_seconds(by_time, name, percent=percent))
                break


def line(entry: Entry, field: str, *, timed: bool) -> Line:
    """A run's measure, by epoch or by the seconds of training until the end of each epoch."""
    history = entry.run.history
    x = accumulate(record.seconds for record in history) if timed else range(1, len(history) + 1)
    colour = RUNS[entry.place % len(RUNS)] if entry.place < COLOURED else FAINT
    return Line([*x], [getattr(record, field) for record in history], colour, entry.dashed)
