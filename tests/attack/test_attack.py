"""A short attack on every door of the command line: some hundred damaged inputs, kills and full disks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRIALS = 96  # a round of all kinds

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no fork")


def attack(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks.attack", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)


def test_a_short_attack_breaks_no_rule(tmp_path: Path) -> None:
    done = attack("--trials", str(TRIALS), "--minutes", "60", "--output", str(tmp_path / "attack.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "attack.json").read_text())
    kinds = found["kinds"].values()
    assert sum(kind["trials"] + kind["missed"] for kind in kinds) == TRIALS and not found["failures"]
    assert all(kind["processes"] for kind in kinds)


def test_a_seed_runs_one_trial_again() -> None:
    done = attack("--only", "CSV", "--seed", "3")
    assert done.returncode == 0 and done.stdout.startswith("--only 'CSV' --seed 3: fine\n  gpunn ")
