"""Run the benchmark of tables that are streamed, with few rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import streaming

pytest.importorskip("pyarrow")


def test_every_speed_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "NETWORKS", {"41-4-2": [4]})
    assert streaming.simulate(tmp_path, 20_000) > 20_000 * 4 * streaming.NUMBERS
    assert streaming.read_bare(tmp_path) == 20_000
    speeds = streaming.measure(tmp_path, "6M", "cpu")["rows_per_second"]
    assert list(speeds) == [
        "bare read by pyarrow",
        "statistics",
        "read and encode",
        "train 41-4-2",
        "train 41-4-2, in memory",
    ]
    assert all(min(found["rounds"]) <= found["median"] <= max(found["rounds"]) for found in speeds.values())
    found = streaming.peak(tmp_path, "6M", "cpu")
    assert found["memory"] == 6 << 20 and found["before"] <= found["statistics"] <= found["epoch"]
