"""`python -m benchmarks.tables`: gpunn's recipe for tables beside other libraries.

The results are written to tables.json after every run, so an interrupted benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")  # gpunn, too, trains in this process alone
os.environ.setdefault("OMP_NUM_THREADS", "1")

from rich.console import Console
from tqdm import tqdm

from benchmarks import machine
from benchmarks.tables import runs, splits
from benchmarks.tables.contestants import installed
from benchmarks.tables.drawing import draw, show
from benchmarks.tables.sets import SETS, chosen_on
from benchmarks.tables.summary import LEVEL, summarise

RESULTS = Path(__file__).parents[1] / "results"
PROTOCOL = {
    "splits": f"{splits.REPEATS} × 2-fold cross-validation, {splits.LARGE_REPEATS} × for tables of more than "
    f"{splits.LARGE:,} rows; at most {splits.MOST_ROWS:,} rows to train on and to test on",
    "ranked by": "accuracy; ROC AUC if imbalanced; R² for numbers: the mean over the splits",
    "test": f"corrected resampled t-test (Nadeau and Bengio 2003), two-sided, level {LEVEL}",
    "halves": "settings of the recipe were chosen on one half of the sets and frozen before the other half "
    "was run",
    "threads": "one",
}


def main(arguments: list[str] | None = None) -> int:
    """Run what is not in the file yet, print the summary and draw the chart."""
    options = _parse(arguments)
    contestants = {name: f for name, f in installed().items() if name in (options.contestants or installed())}
    sets = [s for s in SETS if s.name in options.sets]
    path = options.output / "tables.json"
    wanted = list(runs.turns(sets, list(contestants), options.repeats))
    until, described = time.monotonic() + 60 * options.minutes, machine.describe()
    with tqdm(total=len(wanted), leave=False, disable=None) as bar:

        def keep(found: list[runs.Run]) -> None:
            bar.update()
            runs.write(path, _content(found, described))

        found = runs.run_all(wanted, contestants, runs.read(path), keep, until)
    content = _content(found, described)
    runs.write(path, content)
    show(content["summary"], Console(width=200 if options.wide else None))
    print(*(f"wrote {each}" for each in (path, *draw(content["summary"], path))), sep="\n")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.tables", description="Tables beside other libraries."
    )
    parser.add_argument("--sets", nargs="+", default=[s.name for s in SETS], metavar="NAME")
    parser.add_argument("--contestants", nargs="+", choices=list(installed()), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=splits.REPEATS, help="divisions of each set at most")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after so long")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for tables.json and the chart")
    parser.add_argument("--wide", action="store_true", help="print the tables 200 columns wide")
    return parser.parse_args(arguments)


def _content(found: list[runs.Run], described: dict[str, Any]) -> dict[str, Any]:
    """Return all that the file says. described: the machine."""
    chosen = chosen_on()
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": described,
        "protocol": PROTOCOL,
        "sets": {
            s.name: {"kind": s.kind, "half": "chosen on" if s.name in chosen else "reported"} for s in SETS
        },
        "summary": summarise(found),
        "runs": found,
    }


if __name__ == "__main__":
    sys.exit(main())
