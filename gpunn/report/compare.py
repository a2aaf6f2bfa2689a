"""The page on which runs are held against each other, the best first."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from gpunn.modelfile import write_whole
from gpunn.report.drawing import FAINT, RUNS, Line
from gpunn.report.facts import Score, brief, in_words, score
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


def write(runs: Sequence[Run], path: Path) -> None:
    """Write the page of runs, the best first as `ranked` has them; whole or not at all."""
    write_whole(path, render_comparison(runs).encode())


def render_comparison(runs: Sequence[Run]) -> str:
    """The page as HTML."""
    entries = [
        Entry(run, name, score(run.result), place)
        for place, (run, name) in enumerate(zip(runs, names(runs), strict=True))
    ]
    return template("comparison.html").render(
        entries=entries,
        best=entries[0],
        notes=list(notes(entries)),
        settings=differing(runs),
        charts=list(overlaid(entries)),
        brief=brief,
    )


def ranked(runs: Sequence[Run]) -> list[Run]:
    """The best first. ValueError where classes stand beside numbers."""
    scores = {run: score(run.result) for run in runs}
    for run in runs[1:]:
        one, other = scores[runs[0]].measure, scores[run].measure
        if one != other:
            raise ValueError(
                f"{runs[0].folder} is judged by its {one} and {run.folder} by its {other}: compare runs that "
                "predict the same"
            )
    return sorted(runs, key=lambda run: scores[run].rank)


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
