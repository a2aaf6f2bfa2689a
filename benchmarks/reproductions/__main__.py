"""Measure published claims: `python -m benchmarks.reproductions [NAME …]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from tqdm import tqdm

from benchmarks.reproductions import report
from benchmarks.reproductions.catalogue import REPRODUCTIONS, named
from benchmarks.reproductions.common import Progress, Reproduction, no_progress
from benchmarks.reproductions.report import Outcome
from gpunn.datasets import DataUnavailable

RESULTS = Path(__file__).parent.parent / "results"
PAGE = Path(__file__).parents[2] / "docs" / "reproductions.md"
CLAIMS = [reproduction.claim for reproduction in REPRODUCTIONS.values()]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.reproductions", description="Measure published claims with gpunn."
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"only these reproductions, or all with this prefix: {', '.join(REPRODUCTIONS)}",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="also run long reproductions, which otherwise run only by their full name",
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON and the figures")
    parser.add_argument(
        "--page", action="store_true", help="only write docs/reproductions.md from the JSON; measure nothing"
    )
    return parser.parse_args(arguments)


def choose(names: Sequence[str], full: bool) -> list[Reproduction]:
    """Return the reproductions with these names or prefixes; all of them if there are no names.

    Raises ValueError for an unknown name.
    """
    found = [one for name in names for one in named(name, REPRODUCTIONS)] or list(REPRODUCTIONS.values())
    chosen = {one.claim.name: one for one in found if full or not one.long or one.claim.name in names}
    return list(chosen.values())


def run(reproduction: Reproduction, folder: Path | None, progress: Progress = no_progress) -> Outcome:
    """Measure one claim. Missing data and errors become part of the outcome."""
    start = time.perf_counter()
    try:
        found = reproduction.measure(folder, progress)
    except DataUnavailable as reason:
        return Outcome(reproduction, "skipped", str(reason), time.perf_counter() - start, {})
    except Exception as error:
        broken = f"{type(error).__name__}: {error}"
        return Outcome(reproduction, "FAILS", broken, time.perf_counter() - start, {})
    seconds, result = time.perf_counter() - start, "passes" if found.passed else "FAILS"
    return Outcome(reproduction, result, found.measured, seconds, found.runs, found.figures)


def run_all(chosen: Sequence[Reproduction], output: Path, console: Console) -> list[Outcome]:
    """Measure, print and write the claims one by one, so that an interruption keeps earlier results."""
    outcomes: list[Outcome] = []
    with tqdm(chosen, leave=False, disable=None) as bar:
        for one in bar:
            bar.set_description(one.claim.name)

            def progress(what: str, name: str = one.claim.name) -> None:
                bar.set_description(f"{name}: {what}")

            outcomes.append(run(one, output / "reproductions", progress))
            with tqdm.external_write_mode():
                report.tell(outcomes[-1], console)
            report.write(outcomes[-1:], list(REPRODUCTIONS), output)
    return outcomes


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write the claims; return 1 if any claim fails and 2 for an unknown name."""
    options, console = parse(arguments), Console(highlight=False)
    if options.page:
        report.update_page(options.output, PAGE, CLAIMS)
        return 0
    try:
        chosen = choose(options.names, options.full)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if not chosen:
        print(
            f"{', '.join(options.names)}: only long reproductions match; add --full to run them",
            file=sys.stderr,
        )
        return 2
    outcomes = run_all(chosen, options.output, console)
    console.print(report.table(outcomes))
    if options.output == RESULTS:
        report.update_page(RESULTS, PAGE, CLAIMS)
    drawn = [str(path) for outcome in outcomes for path in outcome.figures]
    written = [str(options.output / "reproductions.json"), *drawn]
    console.print("wrote " + ", ".join(written), soft_wrap=True)
    return int(any(outcome.result == "FAILS" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
