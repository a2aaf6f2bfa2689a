"""`gpunn report`, and the report of every run."""

from __future__ import annotations

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

from gpunn.cli.job import Job
from gpunn.cli.runs import RUNS
from gpunn.cli.system import PACKAGES, cores, cpu_name, installed
from gpunn.files.strict_json import dump_json
from gpunn.network import Network
from gpunn.report.run import Run
from gpunn.training.history import History
from gpunn.version import __version__

WINDOW = "in a window"

# reports of `gpunn train`, written after the run is saved


@contextmanager
def warn_on_error(what: str) -> Iterator[None]:
    """Turn any error in this block, even Ctrl-C, into a warning, because the run is saved already."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        why = str(error) or type(error).__name__
        warnings.warn(f"the run is saved, but without a {what}: {why}", stacklevel=3)


def write_report(
    folder: Path,
    job: Job,
    net: Network,
    outputs: np.ndarray | None,
    history: History,
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
        found = job.findings(net, outputs)
        run = Run(folder, net, history, kept, found, job.words, command, ended, machine(), versions())
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


def machine() -> str:
    """Describe the machine, as in "AMD EPYC 7B13, 4 cores"."""
    return f"{cpu_name()}, {cores()} cores"


def versions() -> dict[str, str]:
    """Return the versions of gpunn, Python and the array libraries."""
    found = {name: installed(distributions) for name, distributions in PACKAGES.items()}
    known = {name: number for name, number in found.items() if number and name in ("NumPy", "SciPy", "CuPy")}
    return {"gpunn": __version__, "Python": platform.python_version(), **known}


# `gpunn report`


def report(paths: Sequence[Path], output: Path | None, open_browser: bool, as_json: bool) -> None:
    """Write the report of a run, or a comparison of several runs, and open it."""
    from gpunn.report import compare, page

    runs = compare.ranked([Run.load(folder) for folder in folders(paths)])
    path = output or (RUNS / "comparison.html" if len(runs) > 1 else runs[0].folder / "report.html")
    path.parent.mkdir(parents=True, exist_ok=True)
    if len(runs) > 1:
        compare.write(runs, path)
    else:
        page.write(runs[0], path)
    if as_json:
        print(dump_json({"report": str(path), "runs": [str(run.folder) for run in runs]}))
    else:
        print(f"report {path}")
    if open_browser and not as_json:
        webbrowser.open(path.absolute().as_uri())


def folders(paths: Sequence[Path]) -> list[Path]:
    """Return the folder of each run once; a path may be a run or a folder of several runs."""
    found: dict[Path, Path] = {}
    for path in paths:
        path = path.parent if path.name == "model.safetensors" else path
        is_run = (path / "run.json").exists()
        within = [] if is_run else sorted(kept.parent for kept in path.glob("*/run.json"))
        found |= {folder.resolve(): folder for folder in within or [path]}
    return list(found.values())
