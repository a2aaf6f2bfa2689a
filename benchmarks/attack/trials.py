"""Run trials, in several processes, and count what they did."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from tqdm import tqdm

from benchmarks.attack import damaged, disks, disturbed, hostile, racing, requests
from benchmarks.attack.doors import DOORS
from benchmarks.attack.material import Material, make, measure
from benchmarks.attack.rules import Step, contents

Attempt = Callable[[Material, Path, Random], Iterator[Step]]
BOMBS = "bombs"
INPUTS: dict[str, Attempt] = {
    **{name: partial(damaged.attempt, name) for name in DOORS},
    BOMBS: damaged.explode,
    "options": hostile.attempt,
    "requests to the demo": requests.attempt,
}
DISTURBED: dict[str, Attempt] = {
    "kills in training": disturbed.kills,
    "kills in writing": disturbed.killed_outputs,
    "full disks": disks.full_disks,
    "signals": disturbed.signals,
    "races": racing.races,
}
KINDS = INPUTS | DISTURBED
SHARES = {name: door.share for name, door in DOORS.items()} | {"options": 2, "requests to the demo": 2}
SLOW = {BOMBS: 4}  # one trial in so many rounds
EXCERPT = 300  # characters of a message that are kept
COUNTS = ("trials", "missed", "processes", "new_interpreters", "accepted", "refused", "ended_by_signal")


@dataclass
class Tally:
    """The trials of one kind.

    Attributes:
        counts: of trials and of their processes. A trial is missed if nothing was damaged or disturbed.
        failures: broken rules.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        return {**{name: self.counts[name] for name in COUNTS}, "failures": dict(self.failures)}

    def add(self, steps: Sequence[Step]) -> None:
        """Count a trial."""
        self.counts["trials" if any(step.met for step in steps) else "missed"] += 1
        for outcome in (step.outcome for step in steps):
            self.counts["processes"] += 1
            self.counts["new_interpreters"] += outcome.fresh
            self.counts["accepted"] += outcome.code == 0
            self.counts["refused"] += outcome.code in (1, 2)
            self.counts["ended_by_signal"] += bool(outcome.ended_by)
        self.failures.update(rule for step in steps for rule in step.broken)


def rounds(names: Sequence[str], first: int) -> Iterator[tuple[str, int]]:
    """Yield (kind, seed) for ever, from a first seed; quick trials come more often than slow ones."""
    seeds, number = dict.fromkeys(names, first), 0
    while True:
        for name in names:
            for _ in range(SHARES.get(name, 1) if number % SLOW.get(name, 1) == 0 else 0):
                yield name, seeds[name]
                seeds[name] += 1
        number += 1


def run_trial(kind: str, seed: int, good: Material) -> list[Step]:
    """Run one trial in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="gpunn-attack-") as folder:
        return list(KINDS[kind](good, Path(folder).resolve(), Random(f"{kind} {seed}")))


def attack(
    names: Sequence[str], trials: Iterator[tuple[str, int]], seconds: float, workers: int
) -> dict[str, Any]:
    """Run trials until the time is over, there are no more, or Ctrl-C; return the counts and failures."""
    tqdm.monitor_interval = 0  # its thread would be forked
    with tempfile.TemporaryDirectory(prefix="gpunn-attack-") as name:
        folder = Path(name).resolve()
        good = make(folder / "good")
        measure(good, folder)
        before, others = contents(good.folder), []
        for k in range(1, workers):
            if not (pid := os.fork()):
                try:
                    found = work(names, islice(trials, k, None, workers), seconds, good, folder / f"disk-{k}")
                    (folder / f"{k}.json").write_text(json.dumps(found))
                finally:
                    os._exit(0)
            others.append(pid)
        results = work(names, islice(trials, 0, None, workers), seconds, good, folder / "disk", shown=True)
        for k, pid in enumerate(others, start=1):
            os.waitpid(pid, 0)
            merge(results, json.loads((folder / f"{k}.json").read_text()))
        if contents(good.folder) != before:
            results["failures"].append({"kind": "all", "seed": 0, "broken": ["a good file was changed"]})
        return results


def work(
    names: Sequence[str],
    trials: Iterator[tuple[str, int]],
    seconds: float,
    good: Material,
    disk: Path,
    shown: bool = False,
) -> dict[str, Any]:
    """Run trials in this process, and return the counts and failures.

    disk: where to mount a small file system. shown: whether to show a progress bar.
    """
    tallies, start = {name: Tally() for name in names}, time.monotonic()
    failures: list[dict[str, Any]] = []
    disks.mount(disk)
    bar = tqdm(total=round(seconds), unit="s", leave=False, disable=None if shown else True)
    with bar, suppress(KeyboardInterrupt):  # Ctrl-C keeps what was counted
        while (passed := time.monotonic() - start) < seconds and (trial := next(trials, None)):
            bar.update(round(passed) - bar.n)
            steps = run_trial(*trial, good)
            tallies[trial[0]].add(steps)
            failures += [describe(*trial, step) for step in steps if step.broken]
            bar.set_description(f"{len(failures):,} failures", refresh=False)
    disks.unmount()
    return {"kinds": {name: tally.as_json() for name, tally in tallies.items()}, "failures": failures}


def merge(results: dict[str, Any], more: dict[str, Any]) -> None:
    """Add the counts and failures of another process or another run."""
    for name, row in more["kinds"].items():
        mine = results["kinds"].setdefault(name, Tally().as_json())
        for key in COUNTS:
            mine[key] += row[key]
        mine["failures"] = dict(Counter(mine["failures"]) + Counter(row["failures"]))
    results["failures"] += more["failures"]


def describe(kind: str, seed: int, step: Step) -> dict[str, Any]:
    """Describe a process: its trial, its command, the rules that it broke and its message."""
    outcome = step.outcome
    return {
        "kind": kind,
        "seed": seed,
        "command": shlex.join(["gpunn", *outcome.arguments]).encode(errors="backslashreplace").decode(),
        "code": outcome.code,
        "broken": list(step.broken),
        "message": outcome.err.strip()[-EXCERPT:],
    }
