"""The table of a sweep: a row a network."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from gpunn.files.writing import write_whole
from gpunn.sweeps.settings import plain

Row: TypeAlias = "dict[str, Any]"

SHOWN = 40  # rows that are printed; of more, the first and the last half


@dataclass(frozen=True)
class SweepTable(Sequence[Row]):
    """A row for each network: a sequence of dictionaries that prints as a table.

    Columns: `network` (its number), the settings that vary, `seed`, `fold`, `epochs_trained`, the measures of
    the epoch whose weights the network has (the last, unless early stopping restored another), the best
    values of all epochs (`best_…`), `seconds`, `status` and `message`. What was not measured has no column.

    Attributes:
        columns: the names of the columns.
        rows: the rows; a value is a number, a text, a Boolean or None.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __repr__(self) -> str:
        """Return the table as text, with columns that line up."""
        rows: list[Row | None] = list(self.rows)
        if len(rows) > SHOWN:
            rows[SHOWN // 2 : -SHOWN // 2] = [None]
        cells = [[_cell(row[name]) if row else "…" for name in self.columns] for row in rows]
        lines = [list(self.columns), *cells]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [name in ("status", "message") for name in self.columns]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if left else cell.rjust(width)
                for cell, width, left in zip(line, widths, text, strict=True)
            ).rstrip()
            for line in lines
        )

    def column(self, name: str) -> list[Any]:
        """Return the values of a column."""
        return [row[name] for row in self.rows]

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame`. Raises ImportError if pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise ImportError("to_pandas needs pandas: pip install pandas") from None
        return pandas.DataFrame(list(self.rows), columns=list(self.columns))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV file. An existing file is replaced only by a complete one."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(["" if row[name] is None else row[name] for name in self.columns] for row in self)
        write_whole(Path(path), file.getvalue().encode())

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write a Parquet file, as `to_csv` does. Raises ImportError if pyarrow is not installed."""
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise ImportError('Parquet files need pyarrow: pip install "gpunn[tables]"') from None
        columns = {name: pyarrow.array(_of_one_type(self.column(name))) for name in self.columns}
        sink = pyarrow.BufferOutputStream()
        parquet.write_table(pyarrow.table(columns), sink)
        write_whole(Path(path), sink.getvalue().to_pybytes())


def make(rows: Sequence[Row], always: Sequence[str]) -> SweepTable:
    """Make a table of rows that have the same names, without columns that are empty, unless always shown."""
    names = list(rows[0]) if rows else list(always)
    columns = [name for name in names if name in always or any(row[name] not in (None, "") for row in rows)]
    return SweepTable(tuple(columns), tuple({name: plain(row[name]) for name in columns} for row in rows))


def _cell(value: Any) -> str:
    """Write a value in a table of text."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _of_one_type(values: list[Any]) -> list[Any]:
    """Return the values, as texts if they mix texts and numbers."""
    texts = any(isinstance(value, str) for value in values)
    return [None if v is None else str(v) for v in values] if texts else values
