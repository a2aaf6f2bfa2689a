"""The command: `python -m benchmarks.reproductions [NAME …]`."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.reproductions import report
from benchmarks.reproductions.catalogue import REPRODUCTIONS, named
from benchmarks.reproductions.common import Reproduction, Say, silent
from benchmarks.reproductions.report import Outcome
from gpunn.datasets import DataUnavailable

RESULTS = Path(__file__).parent.parent / "results"
PAGE = Path(__file__).parents[2] / "docs" / "reproductions.md"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.reproductions", description="Measure published claims with gpunn."
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"only these, or all whose names begin so: {', '.join(REPRODUCTIONS)}",
    )
    parser.add_argument(
        "--full", action="store_true", help="the long ones too; one that is named in full runs anyhow"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON and the pictures")
    parser.add_argument(
        "--page", action="store_true", help="measure nothing: only write docs/reproductions.md from the JSON"
    )
    return parser.parse_args(arguments)


def choose(names: Sequence[str], full: bool) -> list[Reproduction]:
    """What the names stand for, all for none. ValueError for a name that is none."""
    found = [one for name in names for one in named(name, REPRODUCTIONS)] or list(REPRODUCTIONS.values())
    chosen = {one.claim.name: one for one in found if full or not one.long or one.claim.name in names}
    return list(chosen.values())


def run(reproduction: Reproduction, folder: Path | None, say: Say = silent) -> Outcome:
    """Measure one; what it lacks or how it broke is told, and the others go on."""
    start = time.perf_counter()
    try:
        found = reproduction.measure(folder, say)
    except DataUnavailable as reason:
        return Outcome(reproduction, "skipped", str(reason), time.perf_counter() - start, {})
    except Exception as error:
        broken = f"{type(error).__name__}: {error}"
        return Outcome(reproduction, "FAILS", broken, time.perf_counter() - start, {})
    seconds, result = time.perf_counter() - start, "passes" if found.passed else "FAILS"
    return Outcome(reproduction, result, found.measured, seconds, found.runs, found.figures)


def run_all(chosen: Sequence[Reproduction], output: Path, console: Console) -> list[Outcome]:
    """Measure, print and write one after the other, so that what is measured is kept whatever comes."""
    pictures: Path | None = output / "reproductions"
    if not importlib.util.find_spec("matplotlib"):
        print("no pictures: matplotlib is not installed", file=sys.stderr)
        pictures = None
    outcomes: list[Outcome] = []
    columns = TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(chosen))
        for one in chosen:
            name = one.claim.name

            def say(what: str, name: str = name) -> None:
                progress.update(task, description=f"{name}: {what}")

            progress.update(task, description=name)
            outcomes.append(run(one, pictures, say))
            report.tell(outcomes[-1], console)
            report.write(outcomes[-1:], list(REPRODUCTIONS), output)
            progress.advance(task)
    return outcomes


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 if any claim fails, 2 for a name that is none."""
    options, console = parse(arguments), Console(highlight=False)
    if options.page:
        report.update_page(options.output, PAGE)
        return 0
    try:
        chosen = choose(options.names, options.full)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if not chosen:
        print(f"{', '.join(options.names)}: these are long, and run with --full", file=sys.stderr)
        return 2
    outcomes = run_all(chosen, options.output, console)
    console.print(report.table(outcomes))
    if options.output == RESULTS:
        report.update_page(RESULTS, PAGE)
    drawn = [str(path) for outcome in outcomes for path in outcome.figures]
    written = [str(options.output / "reproductions.json"), *drawn]
    console.print("wrote " + ", ".join(written), soft_wrap=True)
    return int(any(outcome.result == "FAILS" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
