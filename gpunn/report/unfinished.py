"""The page of a run that is still training or was killed, from its history and its newest checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpunn.files.writing import check_not_input, write_whole
from gpunn.inspection.metrics import UNITS, figure
from gpunn.names import counted
from gpunn.report.facts import Tile, format_seconds, split_settings
from gpunn.report.figures import curves, measured_lines, times
from gpunn.report.page import Chart, template
from gpunn.training.callbacks import read_complete_records
from gpunn.training.checkpoint_files import Checkpoints, newest
from gpunn.training.history import MEASURES, History

HISTORIES = (
    "history.new.jsonl",
    "history.jsonl",
)  # the first one, if the folder has the model of an earlier run


@dataclass(frozen=True)
class UnfinishedRun:
    """A run without a test: it is still training, or was ended before its end.

    Attributes:
        source: the file with the history.
        meta: the metadata of the newest checkpoint, with the data and the settings; empty without one.
    """

    folder: Path
    source: Path
    history: History
    meta: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path) -> UnfinishedRun:
        """Read the folder of a run. Raises ValueError, in one line, if it has no history or a damaged one."""
        found = [folder / name for name in HISTORIES if (folder / name).is_file()]
        if not found:
            missing = "is not the folder of a run: it has neither run.json nor history.jsonl"
            raise ValueError(f"{folder} {missing if folder.is_dir() else 'does not exist'}")
        meta: dict[str, Any] = {}
        with suppress(ValueError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged checkpoints matter only when training is resumed
            saved = newest(folder / "checkpoints")
            meta = saved.state["meta"] if saved else {}
        device = meta.get("device_description", "")
        return cls(folder, found[0], History(str(device), read_complete_records(found[0])), meta)


def write(run: UnfinishedRun, path: Path) -> None:
    """Write the page whole or not at all. Raises ValueError if the path is one of the run's own files."""
    check_not_input(path, [run.source, *Checkpoints(run.folder / "checkpoints").files()])
    write_whole(path, render(run).encode())


def render(run: UnfinishedRun) -> str:
    """Render the page as HTML."""
    settings = run.meta.get("settings")
    return template("unfinished.html").render(
        name=run.folder.resolve().name,
        data=Path(str(run.meta["dataset"])).name if "dataset" in run.meta else "",
        epochs=counted(len(run.history), "epoch"),
        tiles=list(tiles(run.history)),
        charts=list(charts(run.history)),
        settings=split_settings(settings) if isinstance(settings, dict) else None,
    )


def tiles(history: History) -> Iterator[Tile]:
    """The last epoch's measures, and the time so far."""
    if not len(history):
        return
    for name in MEASURES:
        value = getattr(history[-1], name)
        if value is not None:
            words = name.replace("_", " ")
            yield Tile(words, figure(name.removeprefix("validation_"), value), "in the last epoch")
    each = f"{format_seconds(history.seconds / len(history))} per epoch"
    yield Tile("training time", format_seconds(history.seconds), each)


def charts(history: History) -> Iterator[Chart]:
    """Loss and accuracy by epoch, and the duration of each epoch."""
    for name in ("loss", "accuracy"):
        if lines := measured_lines(history, name):
            legend = (("faint", "training"), ("above", "validation"))[: len(lines)]
            title = UNITS.get(name, name).capitalize()
            yield Chart(title, curves(lines, name, percent=name == "accuracy"), legend=legend)
    if len(history):
        yield Chart("Time", times(history))
