"""`gpunn report`, and the report that every run gets."""

from __future__ import annotations

import json
import platform
import shlex
import warnings
import webbrowser
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from gpunn import History, Network, __version__
from gpunn.cli.job import Job
from gpunn.cli.runs import RUNS
from gpunn.cli.system import PACKAGES, cores, cpu_name, installed


def write_report(
    folder: Path,
    job: Job,
    net: Network,
    outputs: np.ndarray | None,
    history: History,
    result: dict[str, Any],
    options: Sequence[str],
) -> str | None:
    """Keep what came out besides the network, and write the report; its path.

    The run has been kept by then: whatever goes wrong here, even Ctrl-C, costs the report and a warning.
    """
    path = folder / "report.html"
    try:
        from gpunn.report import page
        from gpunn.report.run import Run

        command = shlex.join(["gpunn", "train", job.name, *options])
        ended = datetime.now(timezone.utc).isoformat(timespec="seconds")
        kept = {**result, "report": str(path)}
        found = job.examine(net, outputs)
        run = Run(folder, net, history, kept, found, job.words, command, ended, machine(), versions())
        run.save()
        page.write(run, path)
    except (Exception, KeyboardInterrupt) as error:
        why = str(error) or type(error).__name__
        warnings.warn(f"the run is saved, but there is no report: {why}", stacklevel=2)
        return None
    return str(path)


def machine() -> str:
    return f"{cpu_name()}, {cores()} cores"


def versions() -> dict[str, str]:
    """Of what computed it."""
    found = {name: installed(distributions) for name, distributions in PACKAGES.items()}
    known = {name: number for name, number in found.items() if number and name in ("NumPy", "SciPy", "CuPy")}
    return {"gpunn": __version__, "Python": platform.python_version(), **known}
