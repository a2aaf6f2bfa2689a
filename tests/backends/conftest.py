"""A fixture for the tests of the backends."""

from __future__ import annotations

from collections.abc import Iterator

import fake_cupy
import pytest
from fake_cupy import Machine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine of stand-ins for CuPy and nvmath, which `backends.choose` finds."""
    with fake_cupy.installed(monkeypatch) as machine:
        yield machine
