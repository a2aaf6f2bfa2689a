"""Columns of dates and timestamps that have this type, as in Parquet files: nothing has to be parsed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gpunn.tables.dates import PARTS
from gpunn.tables.table import MOMENT, Source

DAY = 86400  # seconds


def typed(source: Source) -> Collection[str]:
    """Return the columns of a source that have the type of dates or timestamps."""
    found: Collection[str] = getattr(source, "moments", ())
    return found


def numbers_of(moments: np.ndarray, parts: Sequence[str]) -> np.ndarray:
    """Return the numbers (n_parts, m) of moments (m,), seconds since 1970 as datetime64; NaN for NaT.

    They are those of `gpunn.tables.dates.Dates.numbers`, to the last bit.

    >>> from gpunn.tables.dates import PARTS
    >>> from gpunn.tables.timestamps import numbers_of
    >>> numbers_of(np.array(["2024-02-29T18:30"], "datetime64[s]"), PARTS)[:, 0].tolist()
    [2024.0, 2.0, 3.0, 18.5, 19782.770833333332]
    """
    missing = np.isnat(moments)
    seconds = np.where(missing, 0, moments.astype(np.int64))
    days, rest = np.divmod(seconds, DAY)
    months = seconds.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    year, month = np.divmod(months, 12)
    hour = rest // 3600 + rest % 3600 // 60 / 60 + rest % 60 / 3600
    values = year + 1970, month + 1, (days + 3) % 7, hour, seconds / DAY
    chosen = [value for part, value in zip(PARTS, values, strict=True) if part in parts]
    return np.where(missing, np.nan, np.array(chosen, np.float64))


def seen(source: Source, names: Collection[str]) -> Iterator[tuple[str, str, bool]]:
    """Yield each of these columns that has a value, with the first date, and whether a value has a time."""
    first: dict[str, str] = {}
    timed = set[str]()
    for batch in source.batches(dict.fromkeys(names, MOMENT)) if names else ():
        for name, moments in _present(batch).items():
            if name not in first and len(moments):
                first[name] = str(moments[0]).replace("T", " ")
            if name not in timed and (moments.astype(np.int64) % DAY).any():
                timed.add(name)
    for name, text in first.items():
        yield name, text if name in timed else text.partition(" ")[0], name in timed


def _present(batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: moments[~np.isnat(moments)] for name, moments in batch.items()}
