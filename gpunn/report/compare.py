"""The page on which runs are held against each other, the best first; classes apart from numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path

from gpunn.files.writing import write_whole
from gpunn.report.drawing import FAINT, RUNS, Line
from gpunn.report.facts import MEASURES, Score, brief, in_words, score
from gpunn.report.figures import by_seconds, curves
from gpunn.report.page import Chart, template
from gpunn.report.run import Run

COLOURED = 2 * len(RUNS)  # runs: those of the second half are dashed


@dataclass(frozen=True)
class Entry:
    """A run with its score and place, 0 for the best. name: its folder, seen from the one that all are in."""

    run: Run
    name: str
    score: Score
    place: int

    @property
    def colour(self) -> str:
        """Of its lines, on the page."""
        return f"run-{self.place % len(RUNS)}" if self.place < COLOURED else "faint"

    @property
    def dashed(self) -> bool:
        """Whether another has its colour already."""
        return len(RUNS) <= self.place < COLOURED


@dataclass(frozen=True)
class Part:
    """Runs that are judged by the same measure, the best first, and what the page says of them."""

    entries: Sequence[Entry]

    @property
    def best(self) -> Entry:
        return self.entries[0]

    @property
    def notes(self) -> list[str]:
        return list(notes(self.entries))

    @property
    def settings(self) -> dict[str, list[str]]:
        return differing([entry.run for entry in self.entries])

    @property
    def charts(self) -> list[Chart]:
        return list(overlaid(self.entries))


def write(runs: Sequence[Run], path: Path) -> None:
    """Write the page of runs, the best first as `ranked` has them; whole or not at all."""
    write_whole(path, render_comparison(runs).encode())


def render_comparison(runs: Sequence[Run]) -> str:
    """The page as HTML: a part for each measure by which runs are judged."""
    judged = [(run, name, score(run.result)) for run, name in zip(runs, names(runs), strict=True)]
    parts = [
        Part([Entry(run, name, found, place) for place, (run, name, found) in enumerate(alike)])
        for _, alike in groupby(judged, lambda entry: entry[2].measure)
    ]
    return template("comparison.html").render(runs=len(runs), parts=parts, brief=brief)


def ranked(runs: Sequence[Run]) -> list[Run]:
    """Those that are judged by the same measure together, the best first."""

    def rank(run: Run) -> tuple[int, tuple[float, float]]:
        found = score(run.result)
        return MEASURES.index(found.measure), found.rank

    return sorted(runs, key=rank)


def names(runs: Sequence[Run]) -> list[str]:
    """Their folders, seen from the one that all are in."""
    folders = [run.folder.resolve() for run in runs]
    within = os.path.commonpath([folder.parent for folder in folders])
    return [str(folder.relative_to(within)) for folder in folders]


def notes(entries: Sequence[Entry]) -> Iterator[str]:
    """What makes the scores hard to compare."""
    data = sorted({str(entry.run.result["dataset"]) for entry in entries})
    if len(data) > 1:
        yield f"Mind that the runs are of different data: {', '.join(data)}."
    if len({entry.score.name for entry in entries}) > 1:
        yield "Some were tested by cross-validation, others on test examples."
    if len(entries) > COLOURED:
        yield f"The {COLOURED} best are drawn in colour."


def differing(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The settings, and what else was chosen, in which the runs are not all alike: by name, a value a run."""
    known = dict.fromkeys(name for run in runs for name in run.result["settings"])
    rows = {
        name.replace("_", " "): [written(run.result["settings"].get(name)) for run in runs] for name in known
    }
    rows["data"] = [str(run.result["dataset"]) for run in runs]
    rows["training examples"] = [f"{run.result['train_examples']:,}" for run in runs]
    rows["computed on"] = [run.result["device"] for run in runs]
    rows["gpunn"] = [run.versions["gpunn"] for run in runs]
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def written(value: object) -> str:
    """A setting, or a dash for none."""
    return "–" if value is None or value is False else in_words(value)


def overlaid(entries: Sequence[Entry]) -> Iterator[Chart]:
    """What validation, or else training, showed of each run, by epoch and by seconds."""
    trained = [entry for entry in entries if len(entry.run.history)]
    for name, words in (("accuracy", "share that is right"), ("loss", "loss")):
        for field, title in ((f"validation_{name}", f"Validation {name}"), (name, f"Training {name}")):
            known = [getattr(record, field) is not None for entry in trained for record in entry.run.history]
            if known and all(known):
                percent = name == "accuracy"
                by_epoch = [line(entry, field, timed=False) for entry in trained]
                by_time = [line(entry, field, timed=True) for entry in trained]
                yield Chart(f"{title} by epoch", curves(by_epoch, words, percent=percent))
                yield Chart(f"{title} by time", by_seconds(by_time, words, percent=percent))
                break


def line(entry: Entry, field: str, *, timed: bool) -> Line:
    """A measure of a run, by epoch or by the seconds spent until the end of each."""
    history = entry.run.history
    x = accumulate(record.seconds for record in history) if timed else range(1, len(history) + 1)
    colour = RUNS[entry.place % len(RUNS)] if entry.place < COLOURED else FAINT
    return Line([*x], [getattr(record, field) for record in history], colour, entry.dashed)
