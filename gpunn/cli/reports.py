"""`gpunn report`, and the report of every run."""

from __future__ import annotations

import os
import platform
import shlex
import warnings
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.backends.host.pool import cores
from gpunn.cli import ensembles
from gpunn.cli.job import Job
from gpunn.cli.locking import is_locked
from gpunn.cli.output import say
from gpunn.cli.runs import HISTORY, LOCK, MODEL, NEW_HISTORY, REPORT, RUN, RUNS
from gpunn.cli.system import PACKAGES, cpu_name, installed
from gpunn.core.backend import CPU
from gpunn.files.strict_json import dump_json
from gpunn.files.tensors import digest
from gpunn.names import counted
from gpunn.report.run import Run
from gpunn.sweeps.averaging import Trained
from gpunn.training.callbacks import read_complete_records
from gpunn.training.history import History
from gpunn.training.progress import in_words
from gpunn.version import __version__

WINDOW = "in a window"

# reports of `gpunn train`, written after the run is saved


@contextmanager
def warn_on_error(what: str) -> Iterator[None]:
    """Turn any error in this block into a warning, because the run is saved already."""
    try:
        yield
    except Exception as error:
        why = str(error) or type(error).__name__
        if isinstance(error, OSError) and error.filename:
            why = f"{error.filename}: {error.strerror}"
        warnings.warn(f"the run is saved, but without a {what}: {why}", stacklevel=3)


def write_report(
    folder: Path,
    job: Job,
    trained: Trained,
    outputs: np.ndarray | None,
    result: dict[str, Any],
    options: Sequence[str],
) -> str | None:
    """Save the results of a run, write its report and return the report's path, or None if that failed."""
    path, written = folder / "report.html", None
    with warn_on_error("report"):
        from gpunn.report import page

        command = shlex.join(["gpunn", "train", job.name, *options])
        ended = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
        kept = {**result, "report": str(path)}
        net, history = trained.predictor, trained.history
        found, members = job.findings(net, outputs), tuple(trained.members.values())
        here = machine(history), versions(history)
        run = Run(
            folder,
            net,
            history,
            kept,
            found,
            job.notes,
            command,
            ended,
            *here,
            members,
            job.columns,
            job.explanation,
        )
        run.save()
        page.write(run, path)
        written = str(path)
    return written


def draw_curve(folder: Path, history: History, title: str) -> str | None:
    """Draw the learning curve; return WINDOW if `show_window` can show it, or the path of the file."""
    path, drawn = folder / "curve.png", None
    with warn_on_error("curve"):
        from gpunn.report import window

        drawn = WINDOW if window.draw(history, title, path) else str(path)
    return drawn


def show_window() -> None:
    """Show the window until the user closes it."""
    from gpunn.report import window

    window.show()


def machine(history: History) -> str:
    """Describe the machine and its use, as in "AMD EPYC 7B13, 4 cores, 4 threads"."""
    known = sorted({record.threads or 0 for record in history})  # 0: it changed, or there is no such number
    words = f", {counted(known[0], 'thread')}" if known and known[0] == known[-1] else ""
    if len(known) > 1:
        words = ", a changing number of threads"
    return f"{cpu_name()}, {cores()} cores{words if any(known) else ''}"


def versions(history: History) -> dict[str, str]:
    """Return the versions of gpunn, Python and the array libraries, and what else the last bits depend on."""
    found = {name: installed(distributions) for name, distributions in PACKAGES.items()}
    known = {name: number for name, number in found.items() if number and name in ("NumPy", "SciPy", "CuPy")}
    chosen = dict(history.algorithms)
    if computed := chosen.pop(CPU, None):
        known["computed by"] = computed
    if chosen:
        known["cuBLASLt algorithms"] = digest({}, dump_json(sorted(chosen.items())))[:12]
    return {"gpunn": __version__, "Python": platform.python_version(), **known}


# `gpunn report`


def report(paths: Sequence[Path], output: Path | None, open_browser: bool, as_json: bool) -> None:
    """Write the report of a run, or a comparison of several runs, and open it.

    A run that is running or was killed has a line, and a page of its own, but no place in a comparison.
    """
    from gpunn.report import compare

    found = folders(paths)
    begun = {folder: line for folder in found if (line := describe_unfinished(folder))}
    runs = compare.ranked([Run.load(folder) for folder in found if folder not in begun])
    if begun and not as_json:
        say(*begun.values())
    only = runs[0].folder if runs else found[0]
    path = output or (RUNS / "comparison.html" if len(runs) > 1 else only / REPORT)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = write_page(runs, list(begun), path)
    if as_json:
        result = {"report": str(path) if written else None, "runs": [str(run.folder) for run in runs]}
        say(dump_json(result | ({"unfinished": list(map(str, begun))} if begun else {})))
    elif written:
        say(f"report {path}")
        if open_browser:
            webbrowser.open(path.absolute().as_uri())


def write_page(runs: Sequence[Run], begun: Sequence[Path], path: Path) -> bool:
    """Write the page that suits these runs; return False if they have none.

    Several unfinished runs have no page, nor has an unfinished ensemble.
    """
    from gpunn.report import compare, page, unfinished

    if len(runs) > 1:
        compare.write(runs, path)
    elif runs:
        page.write(runs[0], path)
    elif len(begun) == 1 and not ensembles.exists(begun[0]):
        unfinished.write(unfinished.UnfinishedRun.load(begun[0]), path)
    else:
        return False
    return True


def folders(paths: Sequence[Path]) -> list[Path]:
    """Return the folder of each run once; a path may be a run or a folder of several runs."""
    found: dict[str, Path] = {}
    for path in paths:
        path = path.parent if path.name == MODEL else path
        within = [] if is_run(path) else sorted(each for each in path.glob("*") if is_run(each))
        found |= {os.path.realpath(folder): folder for folder in within or [path]}
    return list(found.values())


def is_run(folder: Path) -> bool:
    """Whether a run has begun in the folder."""
    return any((folder / name).exists() for name in (RUN, HISTORY, NEW_HISTORY)) or ensembles.exists(folder)


def describe_unfinished(folder: Path) -> str | None:
    """Describe a run that is running or was killed in a line; return None for a finished run."""
    if not is_run(folder) or (folder / RUN).exists():
        return None
    if ensembles.exists(folder):
        return _describe_unfinished_ensemble(folder)
    path = next(path for name in (NEW_HISTORY, HISTORY) if (path := folder / name).exists())
    records = read_complete_records(path)
    epochs = counted(len(records), "epoch")
    last = f" ({in_words(records[-1])})" if records else ""
    if is_locked(folder / LOCK):
        return f"{folder}: running, {epochs} so far{last}"
    line = f"{folder}: stopped after {epochs}{last}"
    if (folder / MODEL).exists():
        return f"{line}; its model is saved, but not the result of its test"
    if (folder / "checkpoints").exists():
        return f"{line}; continue it with gpunn train --resume {shlex.quote(str(folder))}"
    return line


def _describe_unfinished_ensemble(folder: Path) -> str:
    done = ensembles.describe_unfinished(folder)
    if is_locked(folder / LOCK):
        return f"{folder}: running, {done} so far"
    return f"{folder}: stopped after {done}; continue it with gpunn train --resume {shlex.quote(str(folder))}"
