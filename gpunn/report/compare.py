"""The page on which runs are held against each other, the best first."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpunn.modelfile import write_whole
from gpunn.report.drawing import FAINT, RUNS, Line
from gpunn.report.facts import Score, brief, in_words, score
from gpunn.report.figures import by_seconds, curves
from gpunn.report.page import Chart, template
from gpunn.report.run import Run


@dataclass(frozen=True)
class Entry:
    """A run with its score. name: its folder, seen from the one that all are in. colour: of its lines."""

    run: Run
    name: str
    score: Score
    colour: str


def write(runs: Sequence[Run], path: Path) -> None:
    """Write the page of runs, the best first as `ranked` has them; whole or not at all."""
    write_whole(path, render_comparison(runs).encode())


def render_comparison(runs: Sequence[Run]) -> str:
    """The page as HTML."""
    entries = [
        Entry(run, name, score(run.result), f"run-{k}" if k < len(RUNS) else "faint")
        for k, (run, name) in enumerate(zip(runs, names(runs), strict=True))
    ]
    return template("comparison.html").render(
        entries=entries,
        best=entries[0],
        notes=list(notes(entries)),
        settings=differing(runs),
        charts=list(overlaid(runs)),
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
    if len(entries) > len(RUNS):
        yield f"The {len(RUNS)} best are drawn in colour."


def differing(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The settings, and what else was chosen, in which the runs are not all alike: by name, a value a run."""
    names = dict.fromkeys(name for run in runs for name in run.result["settings"])
    rows = {
        name.replace("_", " "): [written(run.result["settings"].get(name)) for run in runs] for name in names
    }
    rows["data"] = [str(run.result["dataset"]) for run in runs]
    rows["training examples"] = [f"{run.result['train_examples']:,}" for run in runs]
    rows["computed on"] = [run.result["device"] for run in runs]
    rows["gpunn"] = [run.versions["gpunn"] for run in runs]
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def written(value: object) -> str:
    """A setting, or a dash for none."""
    return "–" if value is None or value is False else in_words(value)


def overlaid(runs: Sequence[Run]) -> Iterator[Chart]:
    """What validation, or else training, showed of each run, by epoch and by seconds."""
    runs = [run for run in runs if len(run.history)]
    for name, words in (("accuracy", "share that is right"), ("loss", "loss")):
        for field, title in ((f"validation_{name}", f"Validation {name}"), (name, f"Training {name}")):
            values = [[getattr(record, field) for record in run.history] for run in runs]
            if not values or any(value is None for line in values for value in line):
                continue
            epochs = [[float(record.epoch) for record in run.history] for run in runs]
            for x, draw, over in ((epochs, curves, "epoch"), ([*map(seconds, runs)], by_seconds, "time")):
                colours = [*RUNS, *[FAINT] * len(runs)]
                lines = [Line(*line) for line in zip(x, values, colours, strict=False)]
                yield Chart(f"{title} by {over}", draw(lines, words, percent=name == "accuracy"))
            break


def seconds(run: Run) -> list[float]:
    """The time spent until the end of each epoch."""
    total, found = 0.0, []
    for record in run.history:
        total += record.seconds
        found.append(total)
    return found
