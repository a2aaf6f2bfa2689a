"""Many Parquet files as one table, read by row groups with pyarrow.dataset."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from gpunn.names import one_line
from gpunn.tables.sources import places
from gpunn.tables.sources.arrow import BATCH, ArrowSource, need_pyarrow
from gpunn.tables.sources.parquet import explained
from gpunn.tables.table import NUMBER, TEXT, Source

STATE = "size", "ETag", "etag", "generation", "LastModified", "mtime", "created"
KINDS = {NUMBER: "numbers", TEXT: "strings"}


@dataclass(frozen=True)
class RowGroup:
    """A row group of a file.

    Attributes:
        path: the file.
        fragment: the row group, as pyarrow.dataset reads it.
        first: its first row, counted from 0 over all files.
        in_file: its first row, counted from 0 within the file.
        m: its number of rows.
        nbytes: the size of its columns in the file, unpacked.
    """

    path: str
    fragment: Any
    first: int
    in_file: int
    m: int
    nbytes: int


class Grouped(Source, Protocol):
    """A source that can be read by row groups.

    Attributes:
        groups: the row groups, in their order.
        files: the files.
    """

    @property
    def groups(self) -> Sequence[RowGroup]: ...

    @property
    def files(self) -> ParquetFiles: ...

    def read_group(self, group: RowGroup, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the columns of `kinds` of a row group, as `batches` does."""


class DataChanged(OSError):
    """A file has changed while a network was being trained on it."""


class ParquetFiles(ArrowSource):
    """Parquet files with the same columns, on a local disk or a filesystem of fsspec.

    The columns may be in any order. Folders such as `year=2024` add the column `year`.

    Args:
        text: the places of the files, as `gpunn.tables.sources.places` reads them.

    Raises:
        ValueError: there is no file, a file is damaged, or the files have different columns; the message
            names the file and the column.
    """

    def __init__(self, text: str) -> None:
        self.import_ = need_pyarrow(text, "dataset")
        self.found = places.find(text)
        self.fragments = [self._fragment(path) for path in self.found.paths]
        self.schemas = [self._schema(path) for path in range(len(self.fragments))]
        self.groups = list(self._groups())
        self.states = self._states()
        self.m = sum(group.m for group in self.groups)
        super().__init__(text, self.schemas[0], self.m)
        self.files, self.absolute = self, places.absolute(text)
        self._check_schemas()

    def _fragment(self, path: str) -> Any:
        parts = None if self.found.alone else "hive"
        with explained(path):
            found = self.import_.dataset(
                [path], format="parquet", filesystem=self.found.filesystem, partitioning=parts
            )
            fragment = next(iter(found.get_fragments()))
            fragment.ensure_complete_metadata()
        return fragment

    def _schema(self, k: int) -> Any:
        """Return the schema of a file, with the columns that its folders add."""
        import pyarrow

        fragment = self.fragments[k]
        schema = fragment.physical_schema
        keys = self.import_.get_partition_keys(fragment.partition_expression)
        more = [pyarrow.field(name, pyarrow.scalar(value).type) for name, value in keys.items()]
        return pyarrow.schema([*schema, *(field for field in more if field.name not in schema.names)])

    def _groups(self) -> Iterator[RowGroup]:
        first = 0
        for path, fragment in zip(self.found.paths, self.fragments, strict=True):
            in_file = 0
            for part in fragment.split_by_row_group():
                about = part.row_groups[0]
                yield RowGroup(path, part, first, in_file, about.num_rows, about.total_byte_size)
                first, in_file = first + about.num_rows, in_file + about.num_rows

    def _check_schemas(self) -> None:
        """Raise ValueError unless all files have the columns of the first, with the same kinds of values."""
        first = self.found.paths[0]
        for path, schema in zip(self.found.paths[1:], self.schemas[1:], strict=True):
            kinds = {field.name: self._kind(field) for field in schema}
            for name, kind in self.kinds.items():
                if name not in kinds:
                    raise ValueError(f"{path} lacks the column '{name}', which {first} has")
                if kinds[name] != kind and schema.field(name).type != "null":
                    held = f"holds {KINDS[kinds[name]]}, but {KINDS[kind]} in {first}"
                    raise ValueError(f"{path}: the column '{name}' {held}")
            if more := kinds.keys() - self.kinds.keys():
                raise ValueError(f"{path} has the column '{min(more)}', which {first} lacks")

    def _record_batches(self, names: list[str]) -> Iterator[Any]:
        for group in self.groups:
            yield from self.group_batches(group, names)

    def group_batches(self, group: RowGroup, names: Sequence[str]) -> Iterator[Any]:
        """Yield columns of a row group as Arrow record batches. Nothing else is read ahead."""
        schema = self.schemas[self._file[group.path]]
        with explained(group.path):
            scanner = group.fragment.scanner(
                schema, columns=list(names), batch_size=BATCH, batch_readahead=1, fragment_readahead=1
            )
            batches = scanner.to_batches()
        while True:
            with explained(group.path):
                batch = next(batches, None)
                if batch is not None:
                    batch.validate(full=True)
            if batch is None:
                return
            yield batch

    @cached_property
    def _file(self) -> dict[str, int]:
        return {path: k for k, path in enumerate(self.found.paths)}

    def read_group(self, group: RowGroup, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the columns of `kinds` of a row group, as `batches` does."""
        for batch in self.group_batches(group, list(kinds)):
            yield {name: self._cast(name, batch.column(name), kind) for name, kind in kinds.items()}

    def place(self, row: int) -> str:
        group = self.group_of(row)
        return f"{group.path}, row {row - group.first + group.in_file + 1:,}"

    def group_of(self, row: int) -> RowGroup:
        """Return the row group that has a row."""
        return self.groups[int(np.searchsorted(self._firsts, row, side="right")) - 1]

    @cached_property
    def _firsts(self) -> np.ndarray:
        return np.array([group.first for group in self.groups])

    def fingerprint(self) -> str:
        """Return a digest of the files' footers, which hold the range of each column of each row group."""
        digest = hashlib.blake2b(digest_size=16)
        for path, fragment in zip(self.found.paths, map(self._fragment, self.found.paths), strict=True):
            digest.update(path.rsplit("/", 1)[-1].encode() + repr(fragment.metadata.to_dict()).encode())
        return digest.hexdigest()

    def _states(self) -> list[object]:
        """Return what changes if a file is written anew: its size, and when or as what it was written."""
        filesystem, paths = self.found.filesystem, self.found.paths
        if filesystem is None:
            found = [os.stat(path) for path in paths]
            return [(each.st_size, each.st_mtime_ns) for each in found]
        filesystem.invalidate_cache()
        about = [filesystem.info(path) for path in paths]
        return [[each.get(key) for key in STATE] for each in about]

    def check_unchanged(self) -> None:
        """Raise DataChanged if a file is another one than when it was opened."""
        try:
            now = self._states()
        except OSError as error:
            raise DataChanged(f"{self.name} can no longer be read: {one_line(error)}") from None
        for path, before, after in zip(self.found.paths, self.states, now, strict=True):
            if before != after:
                raise DataChanged(f"{path} has changed during training: train again on files that stay")

    def cells(self, columns: Sequence[str], rows: Iterable[int]) -> dict[str, list[str]]:
        """Return the text of columns in some rows, ascending; "" if it is missing."""
        import pyarrow

        found: dict[str, list[str]] = {column: [] for column in columns}
        at = np.array(list(rows), np.intp)
        for group in self.groups:
            here = at[(group.first <= at) & (at < group.first + group.m)] - group.first
            if not len(here):
                continue
            with explained(group.path):
                part = pyarrow.Table.from_batches(list(self.group_batches(group, columns))).take(here)
            for column in columns:
                texts = part.column(column).cast(pyarrow.string()).to_pylist()
                found[column] += ["" if text is None else text.strip() for text in texts]
        return found
