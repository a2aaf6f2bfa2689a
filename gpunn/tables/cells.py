"""The cells of a table as they were written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpunn.tables.table import TEXT, Source


def read_cells(source: Source, columns: Sequence[str], rows: np.ndarray) -> dict[str, list[str]]:
    """Return the text of columns in some rows (m,), counted from 0; "" if it is missing."""
    wanted, back = np.unique(rows, return_inverse=True)
    if hasattr(source, "cells"):
        some: dict[str, list[str]] = source.cells(columns, wanted)
        return {column: [texts[k] for k in back.tolist()] for column, texts in some.items()}
    found: dict[str, list[str]] = {column: [] for column in columns}
    start = 0
    for batch in source.batches(dict.fromkeys(columns, TEXT)):
        m = len(batch[columns[0]][0])
        here = wanted[(start <= wanted) & (wanted < start + m)] - start
        for column in columns:
            codes, texts = batch[column]
            found[column] += ["" if code < 0 else str(texts[code] or "") for code in codes[here].tolist()]
        start += m
        if start > wanted[-1]:
            break
    return {column: [texts[k] for k in back.tolist()] for column, texts in found.items()}
