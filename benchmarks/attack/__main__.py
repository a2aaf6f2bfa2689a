"""Run the attack: `python -m benchmarks.attack`."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[_name] = "1"  # a process with threads should not fork

from benchmarks.attack import results  # noqa: E402
from benchmarks.attack.material import make, measure  # noqa: E402
from benchmarks.attack.trials import KINDS, attack, describe, rounds, run_trial  # noqa: E402


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.attack", description="Attack the command line.")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default: 10)")
    parser.add_argument("--trials", type=int, default=sys.maxsize, help="end after this many trials")
    parser.add_argument("--workers", type=int, default=1, help="trials at a time (default: 1)")
    parser.add_argument("--only", metavar="KIND", choices=list(KINDS), help=f"one of {', '.join(KINDS)}")
    parser.add_argument("--seed", type=int, help="with --only: run this trial alone, and say what it did")
    parser.add_argument("--output", type=Path, help="JSON file for the results (default: none with --only)")
    parser.add_argument("--more", action="store_true", help="add to the results that the same code left")
    options = parser.parse_args(arguments)
    if options.seed is not None and not options.only:
        parser.error("--seed needs --only KIND")
    return options


def repeat(kind: str, seed: int) -> int:
    """Run one trial, and say what each of its processes did."""
    with tempfile.TemporaryDirectory(prefix="gpunn-attack-") as folder:
        good = make(Path(folder).resolve() / "good")
        measure(good, Path(folder))
        steps = run_trial(kind, seed, good)
    for step in steps:
        print(results.in_words(describe(kind, seed, step)))
    return 1 if any(step.broken for step in steps) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack, print and write the counts; return 1 if a rule was broken."""
    options, start = parse(arguments), time.monotonic()
    warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
    if options.seed is not None:
        return repeat(options.only, options.seed)
    names = [options.only] if options.only else list(KINDS)
    path = options.output or (None if options.only else results.RESULTS)
    earlier = results.load(path) if options.more and path else results.nothing()
    trials = islice(rounds(names, results.first_seed(earlier)), options.trials)
    found = attack(names, trials, 60 * options.minutes, options.workers)
    command = shlex.join(["python", "-m", "benchmarks.attack", *(arguments or sys.argv[1:])])
    combined = results.combine(earlier, found, command, time.monotonic() - start)
    results.show(combined)
    if path:
        results.write(path, combined)
        print(f"wrote {path}")
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
