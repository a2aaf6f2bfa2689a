"""Parquet files, read in batches by pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpunn.tables.sources.arrow import BATCH, ArrowSource, need_pyarrow
from gpunn.tables.table import digest_of_files


class ParquetFile(ArrowSource):
    """A Parquet file. Raises ValueError, naming the file, if it is damaged or of another format."""

    def __init__(self, path: Path) -> None:
        import_ = need_pyarrow(str(path), "parquet")
        import pyarrow

        self.path = path
        try:
            self.file = import_.ParquetFile(path)
        except pyarrow.ArrowInvalid as error:
            raise ValueError(f"{path} is not a readable Parquet file: {error}") from None
        super().__init__(str(path), self.file.schema_arrow, self.file.metadata.num_rows)

    def _record_batches(self, names: list[str]) -> Iterator[Any]:
        yield from self.file.iter_batches(BATCH, columns=names)

    def fingerprint(self) -> str:
        return digest_of_files(self.path)
