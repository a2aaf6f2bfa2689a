"""The command: `python -m benchmarks.reproductions [NAME …]`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import machine
from benchmarks.reproductions.catalogue import REPRODUCTIONS
from benchmarks.reproductions.common import Reproduction
from gpunn.datasets import DataUnavailable
from gpunn.names import look_up

RESULTS = Path(__file__).parent.parent / "results"
COLOURS = {"passes": "green", "fails": "bold red", "skipped": "yellow"}


@dataclass(frozen=True)
class Outcome:
    """What running a reproduction came to; `measured` says why where it is skipped or broke."""

    reproduction: Reproduction
    result: str  # passes, fails or skipped
    measured: str
    seconds: float
    figures: tuple[Path, ...] = ()


def parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[Reproduction]]:
    """The command line, and what it chooses; exit 2 for a name that is none."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.reproductions", description="Measure published claims with gpunn."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"only these, long or not: {', '.join(REPRODUCTIONS)}"
    )
    parser.add_argument("--full", action="store_true", help="without names: the long ones too")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON and the pictures")
    options = parser.parse_args(arguments)
    try:
        chosen = [look_up(REPRODUCTIONS, name, "reproduction") for name in dict.fromkeys(options.names)]
    except ValueError as error:
        parser.error(str(error))
    short = [one for one in REPRODUCTIONS.values() if options.full or not one.long]
    return options, chosen or short


def run(reproduction: Reproduction, folder: Path | None) -> Outcome:
    """Measure one; what it lacks or how it broke is told, and the others go on."""
    start = time.perf_counter()
    try:
        found = reproduction.measure(folder)
        result, measured, figures = "passes" if found.passed else "fails", found.measured, found.figures
    except DataUnavailable as reason:
        result, measured, figures = "skipped", str(reason), ()
    except Exception as error:
        result, measured, figures = "fails", f"{type(error).__name__}: {error}", ()
    return Outcome(reproduction, result, measured, time.perf_counter() - start, figures)


def tell(outcome: Outcome, console: Console) -> None:
    """Print one in full."""
    claim, colour = outcome.reproduction.claim, COLOURS[outcome.result]
    console.print(
        f"[bold]{claim.name}[/] [{colour}]{outcome.result}[/] in {outcome.seconds:.1f} s\n"
        f"  claim     {escape(claim.text)}\n  source    {escape(claim.source)}\n"
        f"  measured  {escape(outcome.measured)}\n",
        soft_wrap=True,
    )


def table(outcomes: Sequence[Outcome]) -> Table:
    """All of them, a line each."""
    rows = Table(title="Published claims, measured", title_justify="left")
    for column in ("reproduction", "result", "seconds", "measured"):
        rows.add_column(
            column, justify="right" if column == "seconds" else "left", no_wrap=column != "measured"
        )
    for outcome in outcomes:
        result = f"[{COLOURS[outcome.result]}]{outcome.result}[/]"
        rows.add_row(
            outcome.reproduction.claim.name, result, f"{outcome.seconds:.1f}", escape(outcome.measured)
        )
    counts = [sum(outcome.result == result for outcome in outcomes) for result in COLOURS]
    rows.caption = ", ".join(f"{n} {result}" for n, result in zip(counts, COLOURS, strict=True))
    return rows


def record(outcome: Outcome, folder: Path) -> dict[str, Any]:
    """One as JSON, with when and on what it was measured."""
    claim = outcome.reproduction.claim
    return {
        "name": claim.name,
        "claim": claim.text,
        "source": claim.source,
        "measured": outcome.measured,
        "result": outcome.result,
        "seconds": round(outcome.seconds, 1),
        "figures": [path.relative_to(folder).as_posix() for path in outcome.figures],
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": machine.cpu_model(),
        "cores": machine.cores(),
    }


def write(outcomes: Sequence[Outcome], folder: Path) -> Path:
    """Write them as JSON; what the file knows of others that were not run now stays in it."""
    path = folder / "reproductions.json"
    known = json.loads(path.read_text(encoding="utf-8"))["reproductions"] if path.is_file() else []
    entries = {entry["name"]: entry for entry in known}
    entries |= {outcome.reproduction.claim.name: record(outcome, folder) for outcome in outcomes}
    results = {
        "versions": machine.versions(),
        "reproductions": [entries[name] for name in REPRODUCTIONS if name in entries],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 if any claim fails."""
    options, chosen = parse(arguments)
    pictures: Path | None = options.output / "reproductions"
    if not importlib.util.find_spec("matplotlib"):
        print("no pictures: matplotlib is not installed", file=sys.stderr)
        pictures = None
    console = Console(highlight=False)
    outcomes = []
    for reproduction in chosen:
        with console.status(f"{reproduction.claim.name} …"):
            outcomes.append(run(reproduction, pictures))
        tell(outcomes[-1], console)
    console.print(table(outcomes))
    drawn = [str(path) for outcome in outcomes for path in outcome.figures]
    console.print("wrote " + ", ".join([str(write(outcomes, options.output)), *drawn]), soft_wrap=True)
    return int(any(outcome.result == "fails" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
