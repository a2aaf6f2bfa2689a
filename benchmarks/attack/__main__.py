"""Run the attack: `python -m benchmarks.attack`."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # a process with threads should not fork

from tqdm import tqdm  # noqa: E402

from benchmarks import machine  # noqa: E402
from benchmarks.attack import damaged, disturbed, sandbox  # noqa: E402
from benchmarks.attack.material import Material, make  # noqa: E402
from gpunn.version import __version__  # noqa: E402

RESULTS = Path(__file__).parents[1] / "results" / "attack.json"
Attempt = Callable[[Material, Path, Random], Iterator[tuple[sandbox.Outcome, list[str]]]]
DISTURBED: dict[str, Attempt] = {
    "kills in training": disturbed.kills,
    "kills in writing": disturbed.killed_outputs,
    "full disks": disturbed.full_disks,
    "signals": disturbed.signals,
    "races": disturbed.races,
}
DAMAGED_SHARE = 3  # trials of each door per round; a round has one trial of each of the others
SHOWN = 40  # failures that are printed
EXCERPT = 300  # characters of a message that are kept


@dataclass
class Tally:
    """The trials of one kind."""

    trials: int = 0
    accepted: int = 0
    refused: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        counts = {"trials": self.trials, "accepted": self.accepted, "refused": self.refused}
        return {**counts, "failures": dict(self.failures)}


def kinds() -> dict[str, Attempt]:
    """Return the function of each kind of trial."""
    doors: dict[str, Attempt] = {name: partial(damaged.attempt, name) for name in damaged.DOORS}
    return doors | DISTURBED


def rounds(names: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield (kind, seed) for ever, damaged inputs more often than the slower trials."""
    seeds = dict.fromkeys(names, 0)
    while True:
        for name in names:
            for _ in range(1 if name in DISTURBED else DAMAGED_SHARE):
                yield name, seeds[name]
                seeds[name] += 1


def run_trial(attempt: Attempt, kind: str, seed: int, good: Material) -> list[dict[str, Any]]:
    """Run one trial in a folder of its own, and return what each of its processes did."""
    with tempfile.TemporaryDirectory(prefix="gpunn-attack-") as folder:
        found = []
        for outcome, broken in attempt(good, Path(folder).resolve(), Random(f"{kind} {seed}")):
            command = shlex.join(["gpunn", *outcome.arguments])
            record = {"kind": kind, "seed": seed, "command": command, "code": outcome.code, "broken": broken}
            found.append({**record, "message": outcome.err.strip()[-EXCERPT:]})
        return found


def attack(names: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """Run trials until the time is over or there were enough of them, and return the counts and failures."""
    tqdm.monitor_interval = 0  # its thread would be forked
    with tempfile.TemporaryDirectory(prefix="gpunn-attack-") as folder:
        sandbox.warm_up()
        good = make(Path(folder).resolve() / "good")
        before, others = good.digest(), []
        for k in range(1, options.workers):
            if not (pid := os.fork()):
                try:
                    found = run_trials(names, options, good, k)
                    (Path(folder) / f"{k}.json").write_text(json.dumps(found))
                finally:
                    os._exit(0)
            others.append(pid)
        results = run_trials(names, options, good, 0)
        for k, pid in enumerate(others, start=1):
            os.waitpid(pid, 0)
            merge(results, json.loads((Path(folder) / f"{k}.json").read_text()))
        if good.digest() != before:
            results["failures"].append({"kind": "all", "seed": 0, "broken": ["a good file was changed"]})
        return results


def run_trials(
    names: Sequence[str], options: argparse.Namespace, good: Material, worker: int
) -> dict[str, Any]:
    """Run every nth trial, for n workers, and return the counts and failures."""
    tallies = {name: Tally() for name in names}
    failures: list[dict[str, Any]] = []
    seconds, attempts, alone = 60 * options.minutes, kinds(), options.seed is not None
    trials = iter([(names[0], options.seed)]) if alone else islice(rounds(names), options.trials)
    start = time.monotonic()
    with tqdm(total=round(seconds), unit="s", leave=False, disable=worker > 0 or None) as bar:
        for kind, seed in islice(trials, worker, None, options.workers):
            bar.update(round(time.monotonic() - start) - bar.n)
            if time.monotonic() - start > seconds:
                break
            for record in run_trial(attempts[kind], kind, seed, good):
                count(tallies[kind], record)
                failures += [record] if record["broken"] else []
                if alone:
                    print(describe(record))
            bar.set_description(f"{len(failures):,} failures", refresh=False)
    return {"kinds": {name: tally.as_json() for name, tally in tallies.items()}, "failures": failures}


def merge(results: dict[str, Any], more: dict[str, Any]) -> None:
    """Add another worker's counts and failures."""
    for name, row in more["kinds"].items():
        mine = results["kinds"][name]
        for key in ("trials", "accepted", "refused"):
            mine[key] += row[key]
        mine["failures"] = dict(Counter(mine["failures"]) + Counter(row["failures"]))
    results["failures"] += more["failures"]


def count(tally: Tally, record: dict[str, Any]) -> None:
    tally.trials += 1
    tally.accepted += record["code"] == 0
    tally.refused += record["code"] in (1, 2)
    tally.failures.update(record["broken"])


def show(results: dict[str, Any]) -> None:
    """Print the counts as a table, and the first failures."""
    width = max(map(len, results["kinds"]))
    print(f"{'':{width}}  {'trials':>7}  {'accepted':>8}  {'refused':>7}  {'failures':>8}")
    for name, row in results["kinds"].items():
        counts = row["trials"], row["accepted"], row["refused"], sum(row["failures"].values())
        print(f"{name:{width}}  {counts[0]:>7,}  {counts[1]:>8,}  {counts[2]:>7,}  {counts[3]:>8,}")
    for failure in results["failures"][:SHOWN]:
        print(describe(failure))
    if len(results["failures"]) > SHOWN:
        print(f"… and {len(results['failures']) - SHOWN:,} more")


def describe(record: dict[str, Any]) -> str:
    """Describe a process: its trial, the rules that it broke, its command and its message."""
    again = f"--only {shlex.quote(record['kind'])} --seed {record['seed']}"
    said = f"exit code {record.get('code')}: {record.get('message', '')}"
    return f"{again}: {', '.join(record['broken']) or 'fine'}\n  {record.get('command', '')}\n  {said}"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.attack", description="Attack the command line.")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default: 10)")
    parser.add_argument("--trials", type=int, default=sys.maxsize, help="end after this many trials")
    parser.add_argument("--workers", type=int, default=1, help="trials at a time (default: 1)")
    parser.add_argument("--only", metavar="KIND", choices=list(kinds()), help=f"one of {', '.join(kinds())}")
    parser.add_argument("--seed", type=int, help="with --only: run this trial alone")
    parser.add_argument("--output", type=Path, help="JSON file for the results (default: none with --only)")
    options = parser.parse_args(arguments)
    if options.seed is not None and not options.only:
        parser.error("--seed needs --only KIND")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack, print and write the counts; return 1 if a rule was broken."""
    options, start = parse(arguments), time.monotonic()
    warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
    names = [options.only] if options.only else list(kinds())
    found = attack(names, options)
    show(found)
    path = options.output or (None if options.only else RESULTS)
    if path:
        about = {
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "command": f"python -m benchmarks.attack --minutes {options.minutes:g}"
            f" --workers {options.workers}",
            "seconds": round(time.monotonic() - start),
            "version": __version__,
            "machine": machine.describe(),
        }
        path.write_text(json.dumps(about | found, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {path}")
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
