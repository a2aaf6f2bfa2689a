"""A run's record says on which machine it ran, with how many BLAS threads."""

from __future__ import annotations

import re

import pytest
from threadpoolctl import threadpool_limits

from gpunn.cli import reports, system


@pytest.mark.parametrize("threads", [1, 2])
def test_the_machine_is_described_with_its_blas_threads(threads: int) -> None:
    if not any(library["used"] for library in system.blas()):
        pytest.skip("threadpoolctl does not know SciPy's BLAS")
    with threadpool_limits(threads, user_api="blas"):
        found = next(library["threads"] for library in system.blas() if library["used"])
        text = reports.machine()
    assert re.search(rf", \d+ cores, {found} BLAS threads?$", text)
    assert text.endswith("threads") == (found > 1)
