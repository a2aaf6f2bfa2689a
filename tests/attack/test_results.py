"""The result file: runs of the same code are added up, with seeds of their own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

if os.name == "nt":
    pytest.skip("Windows has no fork", allow_module_level=True)

from benchmarks.attack import results
from benchmarks.attack.rules import Step
from benchmarks.attack.sandbox import Outcome
from benchmarks.attack.trials import KINDS, Tally, describe, rounds


def found(*steps: Step, kind: str = "CSV") -> dict[str, Any]:
    """Return the results of a run of one trial."""
    tally = Tally()
    tally.add(steps)
    failures = [describe(kind, 7, step) for step in steps if step.broken]
    return {"kinds": {kind: tally.as_json()}, "failures": failures}


def step(code: int | None, broken: tuple[str, ...] = (), met: bool = True) -> Step:
    return Step(
        Outcome(("predict", "b\udcffd.csv"), code, 9 * (code is None), "", "odd", 0.1, 1), broken, met
    )


def test_runs_are_added_up() -> None:
    first = results.combine(results.nothing(), found(step(2), step(0, met=False)), "first", 3.4)
    both = results.combine(first, found(step(None, ("hang",)), kind="signals"), "second", 5.0)
    both = results.combine(both, found(step(0, met=False)), "third", 1.0)
    assert [run["command"] for run in both["runs"]] == ["first", "second", "third"]
    assert both["runs"][0]["seconds"] == 3 and both["runs"][0]["commit"] == results.commit()
    csv, signals = both["kinds"]["CSV"], both["kinds"]["signals"]
    assert (csv["trials"], csv["missed"], csv["processes"], csv["refused"], csv["accepted"]) == (
        1,
        1,
        3,
        1,
        2,
    )
    assert (signals["trials"], signals["ended_by_signal"], signals["failures"]) == (1, 1, {"hang": 1})
    assert both["totals"] == {"damaged inputs": 1, "kills": 0, "signals": 1, "failures": 1}
    assert "--only 'signals' --seed 7: hang" in results.in_words(both["failures"][0])


def test_only_runs_of_the_same_code_are_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "attack.json"
    assert results.load(path) == results.nothing()
    results.write(path, results.combine(results.nothing(), found(step(2)), "first", 3.0))
    assert results.first_seed(results.load(path)) == 1
    monkeypatch.setattr(results, "sources", lambda: "other")
    with pytest.raises(SystemExit, match="other code"):
        results.load(path)


def test_a_seed_is_run_once() -> None:
    names, seen = list(KINDS), set[tuple[str, int]]()
    trials = rounds(names, 5)
    while len(seen) < 500:
        trial = next(trials)
        assert trial not in seen and trial[1] >= 5
        seen.add(trial)
    assert {kind for kind, _ in seen} == set(names)


def test_the_kept_results_say_what_was_run() -> None:
    kept = json.loads(results.RESULTS.read_text(encoding="utf-8"))
    assert all(run["commit"] and not run["commit"].endswith("+") for run in kept["runs"])
    assert kept["totals"] == results.totals(kept["kinds"]) and set(kept["kinds"]) <= set(KINDS)
