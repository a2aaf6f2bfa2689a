"""Run the probes: `python -m benchmarks.probes`."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import machine, report
from benchmarks.probes import distortions, heads, launches, networks, products, stacks, timeline
from benchmarks.probes.probe import MakeBackend, Probe, Row
from gpunn.backends import explain_cuda
from gpunn.backends.cuda.backend import Cuda

MODULES = launches, products, timeline, heads, networks, stacks, distortions
PROBES = {module.PROBE.name: module.PROBE for module in MODULES}
RESULTS = Path(__file__).parents[1] / "results"
FORMAT, VERSION = "gpunn-probes", 1
WIDTH = 140  # that every table has room in


def run(names: Sequence[str], make: MakeBackend, folder: Path, console: Console) -> list[str]:
    """Run the probes, print their tables, and write the results after each; return the names that failed."""
    start, found = time.monotonic(), dict[str, Any]()
    results = {
        "format": FORMAT,
        "version": VERSION,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks.probes", *sys.argv[1:]]),
        "seconds": 0.0,
        "device": make("float32").device.description,
        "machine": machine.describe(),
        "probes": found,
    }
    for name in names:
        found[name] = result(PROBES[name], make)
        console.print(table(found[name]), found[name]["error"] or "", sep="\n")
        results["seconds"] = round(time.monotonic() - start, 1)
        path = report.write(results, folder, "-probes")
    console.print(f"wrote {path}")
    return [name for name in names if found[name]["error"]]


def result(probe: Probe, make: MakeBackend) -> dict[str, Any]:
    """Run a probe. If it fails, the rows so far are kept, and the error is added."""
    start, rows, error = time.monotonic(), list[Row](), None
    try:
        for row in probe.measure(make):
            rows.append(row)  # those before a failure are kept
    except Exception as failure:  # the other probes still run
        error = f"{type(failure).__name__}: {failure}"
    return {
        "title": probe.title,
        "columns": dict(probe.columns),
        "rows": rows,
        "error": error,
        "seconds": round(time.monotonic() - start, 1),
    }


def table(found: Mapping[str, Any]) -> Table:
    """Make the table of a probe's rows; a cell that repeats the one above it in the first column is empty."""
    made = Table(title=found["title"], title_justify="left")
    for name in found["columns"]:
        words = all(isinstance(row[name], str) for row in found["rows"])
        made.add_column(name, justify="left" if words else "right", no_wrap=True)
    before = None
    for row in found["rows"]:
        first, *others = (cell(row[name]) for name in found["columns"])
        made.add_row("" if first == before else first, *others)
        before = first
    return made


def cell(value: Any) -> str:
    """Write a value of a row."""
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def on_cuda(precision: str) -> Cuda:
    """Return a new backend on a new device."""
    from gpunn.backends.cuda.cupy_device import CupyDevice

    return Cuda(CupyDevice(), precision)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the probes from the command line. The exit status is 1 without a GPU, or if a probe fails."""
    parser = argparse.ArgumentParser("python -m benchmarks.probes", description=__doc__)
    parser.add_argument(
        "probes", nargs="*", metavar="PROBE", help=f"{', '.join(PROBES)}; all if none is named"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.probes if name not in PROBES]:
        parser.error(f"unknown probe '{unknown[0]}': choose from {', '.join(PROBES)}")
    if reason := explain_cuda():
        raise SystemExit(f"no CUDA device: {reason}")
    console = Console(width=max(WIDTH, Console().width))
    if failed := run(options.probes or list(PROBES), on_cuda, options.output, console):
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
