"""Check the work that `gpunn train` starts while its data are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpunn import backends
from gpunn.cli import ahead
from gpunn.report import drawing


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Collect what is prepared: the index of a CUDA device, or "drawing"."""
    done: list[object] = []
    monkeypatch.setattr(backends, "explain_cuda", done.append)
    monkeypatch.setattr(drawing, "preload", lambda: done.append("drawing"))
    return done


@pytest.mark.parametrize(
    ("data", "device", "expected"),
    [
        (None, "auto", {0, "drawing"}),
        ("digits", "cpu", {"drawing"}),
        ("mnist", "cuda:1", {1, "drawing"}),
        ("digits", "cuda:one", {"drawing"}),  # refused later
        ("table.csv", "cuda", {0}),
        ("table.csv", "cpu", set()),
        ("missing", "auto", set()),
    ],
)
def test_what_is_prepared(done: list[object], data: str | None, device: str, expected: set[object]) -> None:
    Path("table.csv").touch()
    ahead.prepare(data, device)()
    assert set(done) == expected


def test_an_error_is_left_to_whoever_meets_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ImportError("broken")

    monkeypatch.setattr(drawing, "preload", fail)
    ahead.prepare("digits", "cpu")()
    assert capsys.readouterr() == ("", "")
