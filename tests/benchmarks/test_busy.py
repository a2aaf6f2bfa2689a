"""The benchmark of the number of threads beside busy processes."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import __main__ as command
from benchmarks import busy, nets


def test_every_choice_is_measured_under_every_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy, "BUSY", "import time; time.sleep(600)")
    monkeypatch.setattr(busy, "NETS", [nets.SMALL])
    monkeypatch.setattr(busy, "Effort", lambda rounds, target: busy_effort)
    monkeypatch.setattr(busy, "LOADED", 0.0)
    monkeypatch.setattr(busy, "QUIET", 0.0)
    monkeypatch.setattr(command, "load", lambda: nets.noise(1_000, 10))
    command.main(["--busy", "--output", str(tmp_path)])
    (path,) = tmp_path.glob("*-busy.json")
    results = json.loads(path.read_text())
    assert [row["busy"] for row in results["nets"]] == [0, busy.cores(), 3 * busy.cores()]
    for row in results["nets"]:
        assert {name: len(found) for name, found in row["speed"].items()} == {"one": 1, "all": 1, "chosen": 1}
        assert row["threads"] == [[1]]  # tests have one


busy_effort = busy.Effort(rounds=1, target=0.0)


def test_the_choice_must_be_nearly_as_fast_as_the_better_number() -> None:
    row = {"net": "784-30-10", "busy": 0, "speed": {"one": [50.0], "all": [100.0, 90.0, 110.0]}}
    slow, fast = ({**row, "speed": {**row["speed"], "chosen": [x]}} for x in (96.0, 98.0))
    assert not busy.judged(slow)["clears"] and busy.judged(fast)["clears"]
    assert busy.judged({**slow, "busy": 2})["clears"]
    assert not busy.judged({**slow, "busy": 2, "speed": {**slow["speed"], "chosen": [76.0]}})["clears"]
    busy.show([busy.judged(slow)], Console())
