"""A run's record says on which machine it ran, with how many threads."""

from __future__ import annotations

import re

import pytest

from gpunn import History, Record
from gpunn.cli import reports


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([1, 1], "cores?, 1 thread"),
        ([2, 2, 2], "cores?, 2 threads"),
        ([2, None, 1], "cores?, a changing number of threads"),
        ([None, None], "cores?"),
        ([], "cores?"),
    ],
)
def test_the_machine_is_described_with_its_blas_threads(numbers: list[int | None], words: str) -> None:
    records = [Record(k, 0.5, None, None, None, 1.0, 1.0, None, n) for k, n in enumerate(numbers, start=1)]
    assert re.search(rf", \d+ {words}$", reports.machine(History("cpu", records)))
