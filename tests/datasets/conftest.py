"""Fixtures for tests of data sets."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gpunn.datasets import catalog, download


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Delete the environment variable, empty the cache and kill the mirrors; return a dead address."""
    monkeypatch.delenv("GPUNN_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(catalog, "cache_folder", lambda name: tmp_path / "cache" / name)
    dead = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setattr(download, "MIRRORS", dict.fromkeys(download.MIRRORS, (dead, dead)))
    return dead


def closed_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
