"""Parquet files, read in batches by pyarrow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from gpunn.tables.arrow import decode, encoded, need_pyarrow
from gpunn.tables.table import NUMBER, TEXT

BATCH = 1 << 16  # rows


class ParquetFile:
    """A Parquet file. kinds: what each column holds, as the file declares it.

    ValueError, naming the file, for what is none, has a column of lists or structures, or has no rows.
    """

    notes = ()

    def __init__(self, path: Path) -> None:
        import_ = need_pyarrow(path, "parquet")
        import pyarrow

        self.path = path
        try:
            self.file = import_.ParquetFile(path)
        except pyarrow.ArrowInvalid as error:
            raise ValueError(f"{path} is not a readable Parquet file: {error}") from None
        names = self.file.schema_arrow.names
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{path}: {names.count(twice)} columns are called '{twice}': name them apart")
        self.kinds = {field.name: self._kind(field) for field in self.file.schema_arrow}
        if self.file.metadata.num_rows == 0:
            raise ValueError(f"{path} has no rows")

    def _kind(self, field: Any) -> str:
        import pyarrow.types as types

        if types.is_nested(field.type):
            raise ValueError(
                f"{self.path}: column '{field.name}' is of {field.type}, not of numbers or texts"
            )
        numbers = types.is_integer, types.is_floating, types.is_decimal, types.is_null
        return NUMBER if any(is_(field.type) for is_ in numbers) else TEXT

    def batches(self, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The columns that kinds names, batch after batch: floats with NaN, or (codes with −1, texts)."""
        for batch in self.file.iter_batches(BATCH, columns=list(kinds)):
            yield {name: self._cast(name, batch.column(name), kind) for name, kind in kinds.items()}

    def _cast(self, name: str, column: Any, kind: str) -> Any:
        import pyarrow

        try:
            if kind == TEXT:
                return decode(column.cast(pyarrow.string()).cast(encoded()))
            return decode(column.cast(pyarrow.float64(), safe=False))
        except pyarrow.ArrowInvalid as error:
            raise ValueError(f"{self.path}, column '{name}': {error}") from None

    def place(self, row: int) -> str:
        """Where a row is, counted from 0."""
        return f"row {row + 1}"

    def mistaken(self, name: str, texts: Collection[str]) -> None:
        """A column of texts is declared as such."""
