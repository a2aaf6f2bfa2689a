"""A short attack on every door of the command line: some hundred damaged inputs, kills and full disks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from benchmarks.attack.damage import WAYS, damage
from benchmarks.attack.rules import judge
from benchmarks.attack.sandbox import Outcome

ROOT = Path(__file__).parents[2]
TRIALS = 82  # two rounds of all kinds


def outcome(code: int | None = 2, err: str = "gpunn: error: x.csv: odd\n", **changes: object) -> Outcome:
    values = {"ended_by": 0, "out": "", "cpu": 0.1, "memory": 1 << 20, **changes}
    return Outcome(("predict",), code, err=err, **values)  # type: ignore[arg-type]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fork")
def test_a_short_attack_breaks_no_rule(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.attack", "--trials", str(TRIALS), "--minutes", "60"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "attack.json")],
        env=environment, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "attack.json").read_text())
    assert sum(kind["trials"] for kind in found["kinds"].values()) >= TRIALS and not found["failures"]
    assert all(kind["trials"] for kind in found["kinds"].values())


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (outcome(err="Traceback (most recent call last):\n"), "traceback"),
        (outcome(1, "gpunn: error: KeyError: 'x' (this is a bug; --debug shows it)\n"), "called a bug"),
        (outcome(3), "exit code 3"),
        (outcome(err="gpunn: error: odd\n"), "the file is not named"),
        (outcome(err="gpunn: error: x.csv\ngpunn: error: x.csv\n"), "2 error lines"),
        (outcome(err=""), "no error lines"),
        (outcome(err="odd\ngpunn: error: x.csv\n"), "stray lines on standard error"),
        (outcome(err="gpunn: error: x.csv \x1b[31m\n"), "control characters printed raw"),
        (outcome(err=f"gpunn: error: x.csv {'9' * 1000}\n"), "an error of more than 1,000 characters"),
        (outcome(None, "", ended_by=11), "ended by SIGSEGV"),
        (outcome(None, "", ended_by=24), "hang"),
        (outcome(cpu=11.0), "hang"),
        (outcome(0, "", memory=3 << 30), "more than 2 GB of memory"),
    ],
)
def test_a_broken_rule_is_told(bad: Outcome, rule: str) -> None:
    assert rule in judge(bad, ["x.csv"])


def test_a_good_outcome_breaks_no_rule() -> None:
    for good in (outcome(), outcome(0, ""), outcome(0, "gpunn: warning: x\n"), outcome(None, "", ended_by=9)):
        assert not list(judge(good, ["x.csv"], signals=[9]))


def test_every_damage_changes_the_file() -> None:
    content, other = b'{"a": 12, "b": [3.5, 4]}' * 9, b"another file" * 9
    for way in WAYS:
        assert len({way(content, Random(seed), other) for seed in range(20)} - {content}) > 3, way
    assert damage(content, Random(5), other) == damage(content, Random(5), other)
