"""Parquet files, read in batches by pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpunn.names import one_line
from gpunn.tables.sources.arrow import BATCH, ArrowSource, need_pyarrow
from gpunn.tables.table import digest_of_files


class ParquetFile(ArrowSource):
    """A Parquet file. Raises ValueError, naming the file, if it is damaged or of another format."""

    def __init__(self, path: Path) -> None:
        import_ = need_pyarrow(str(path), "parquet")
        self.path = path
        with explained(str(path)):
            self.file = import_.ParquetFile(path)
            schema, m = self.file.schema_arrow, self.file.metadata.num_rows
        super().__init__(str(path), schema, m)

    def _record_batches(self, names: list[str]) -> Iterator[Any]:
        batches = self.file.iter_batches(BATCH, columns=names)
        while True:
            with explained(str(self.path)):
                batch = next(batches, None)
                if batch is not None:
                    batch.validate(full=True)  # a damaged file must not make pyarrow read beyond its memory
            if batch is None:
                return
            yield batch

    def fingerprint(self) -> str:
        return digest_of_files(self.path)


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Name the file in errors about its content, which are of many kinds."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.filename:
            raise
        raise ValueError(f"{path} is not a readable Parquet file: {one_line(error)}") from None
