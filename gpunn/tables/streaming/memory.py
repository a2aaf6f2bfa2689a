"""The memory that a table may take: what it needs, and how a limit is divided if the table is streamed."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpunn.tables.preprocessing import bins_for
from gpunn.tables.sizes import in_words, parse
from gpunn.tables.sources.arrow import BATCH
from gpunn.tables.sources.dataset import ParquetFiles
from gpunn.tables.table import NUMBER, Source

SHARE = 0.5  # of the free memory that a table may take
UNKNOWN = 4 << 30  # the free memory if the system does not say
CATEGORIES = 10  # features that are expected of a column of strings
ARROW = 24  # bytes of a value while a batch is decoded

MOST_ROWS = 1 << 20  # of the sample, and of the buffer that rows are shuffled in
BLOCK = 1 << 14  # rows that are encoded at a time
BLOCKS = 5  # at a time: being learnt from, twice; waiting; being encoded, twice
MOST_TESTED, MOST_VALIDATED = 1_000_000, 100_000
EXAMINED = 1 << 14  # rows on which the importance of columns is measured


def free() -> int:
    """Return the bytes of memory that are free, in the container if there is one."""
    found = [
        _system(),
        *_container(Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    ]
    return min(found)


def _system() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return UNKNOWN


def _container(most: Path, used: Path) -> list[int]:
    try:
        limit = most.read_text().strip()
        return [] if limit == "max" else [max(int(limit) - int(used.read_text()), 0)]
    except (OSError, ValueError):
        return []


def limit(text: str | None) -> int:
    """Return the bytes that a table may take. text: the size that the user chose, if any."""
    return int(SHARE * free()) if text is None else parse(text)


def features(kinds: Mapping[str, str], m: int) -> int:
    """Estimate the number of features of m rows."""
    numbers = sum(kind == NUMBER for kind in kinds.values())
    return numbers * (bins_for(m, numbers) + 2) + (len(kinds) - numbers) * CATEGORIES


def needed(kinds: Mapping[str, str], m: int, itemsize: int) -> int:
    """Estimate the bytes of a table in memory: its rows, and the features that they become."""
    return m * ((len(kinds) + features(kinds, m)) * itemsize + 8)


def is_too_large(source: Source, memory: str | None, dtype: str, drop: Collection[str] = ()) -> bool:
    """Return whether a table in Parquet files would need more memory than it may take.

    drop: columns that are left out.
    """
    if not hasattr(source, "groups"):
        return False
    kinds = {name: kind for name, kind in source.kinds.items() if name not in drop}
    return needed(kinds, source.files.m, np.dtype(dtype).itemsize) > limit(memory)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Division:
    """How many rows are held at a time, so that a limit is kept.

    A quarter each is for the row group that is read, for the rows that are shuffled (before training: the
    sample), for blocks of examples, and for the rest: examples to validate on and to examine what drives the
    network, and what is noted of the rows to test on.

    Attributes:
        limit: the bytes that all of them may take.
        itemsize: the bytes of a number.
        sample: rows that quantiles are computed from.
        tested, validated: rows to test on by default, and to validate on.
        examined: rows in each of the two samples that explain the network.
    """

    limit: int
    itemsize: int
    sample: int
    tested: int
    validated: int
    examined: int

    @classmethod
    def of(cls, files: ParquetFiles, kinds: Mapping[str, str], limit: int, itemsize: int) -> Division:
        """Divide a limit. Raises ValueError if it is too small for the largest row group."""
        largest = max(files.groups, key=lambda group: group.nbytes)
        decoded = min(largest.m, BATCH) * len(kinds) * ARROW
        check(limit, 4 * (largest.nbytes + decoded), f"a row group of {largest.path}")
        quarter, width = limit // 4, len(kinds) * itemsize + 16
        encoded = features(kinds, files.m) * itemsize + width
        return cls(
            limit,
            itemsize,
            sample=min(MOST_ROWS, quarter // width),
            tested=min(MOST_TESTED, quarter // 2 // 32),
            validated=min(MOST_VALIDATED, quarter // 4 // encoded),
            examined=min(EXAMINED, quarter // 8 // encoded),
        )

    def buffer(self, columns: int, block: int) -> int:
        """Return how many rows are shuffled together: a whole number of blocks."""
        rows = min(MOST_ROWS, self.limit // 4 // (columns * self.itemsize + 16))
        return max(1, rows // block) * block

    def block(self, features: int, batch_size: int) -> int:
        """Return how many rows are encoded at a time: a whole number of mini-batches.

        Raises ValueError if the limit is too small for one mini-batch.
        """
        each = BLOCKS * (features * self.itemsize + 16)
        check(self.limit, 4 * each * batch_size, f"a mini-batch of {batch_size:,}")
        return max(1, min(BLOCK, self.limit // 4 // each) // batch_size) * batch_size


def check(limit: int, least: int, what: str) -> None:
    """Raise ValueError if a limit is below what something needs."""
    if limit < least:
        raise ValueError(
            f"--memory {in_words(limit)} is too small for {what}: it needs --memory {in_words(least)} or more"
        )
