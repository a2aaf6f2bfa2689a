"""Tables of Apache Arrow, such as Polars DataFrames, and what CSV and Parquet files share with them."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from gpunn.names import one_line
from gpunn.tables.table import MOMENT, MOST_COLUMNS, NUMBER, TEXT, NotANumberError, check_unique

BATCH = 1 << 16  # rows
Values: TypeAlias = "np.ndarray | tuple[np.ndarray, list[str | None]]"


def need_pyarrow(name: str, module: str) -> Any:
    """Import a module of pyarrow. Raises ValueError, with what to install, if pyarrow is missing."""
    try:
        return importlib.import_module(f"pyarrow.{module}")
    except ImportError:
        raise ValueError(
            f'{name}: reading this kind of table needs pyarrow: pip install "gpunn[tables]"'
        ) from None


def text_type() -> Any:
    """Return Arrow's type for strings that are stored as codes."""
    import pyarrow

    return pyarrow.dictionary(pyarrow.int32(), pyarrow.string())


def decode(column: Any, missing: Collection[str] = ()) -> Values:
    """Convert an Arrow array to floats with NaN, or to (codes with −1 for missing values, strings).

    missing: strings that stand for a missing value.
    """
    if not hasattr(column, "dictionary"):
        return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
    codes = np.asarray(column.indices.fill_null(-1).to_numpy(zero_copy_only=False))
    texts = [None if text is None else text.strip() for text in column.dictionary.to_pylist()]
    return codes, [None if text in missing else text for text in texts]


def is_moment(kind: Any) -> bool:
    """Return whether this is Arrow's type of dates or timestamps."""
    import pyarrow.types as types

    return types.is_date(kind) or types.is_timestamp(kind)


def as_seconds(column: Any) -> np.ndarray:
    """Convert dates or timestamps to whole seconds as datetime64, in the time of their own zone."""
    import pyarrow
    import pyarrow.compute

    if getattr(column.type, "tz", None):
        column = pyarrow.compute.local_timestamp(column)
    if pyarrow.types.is_timestamp(column.type):
        column = pyarrow.compute.floor_temporal(column, unit="second")
    found: np.ndarray = column.cast(pyarrow.timestamp("s"), safe=False).to_numpy(zero_copy_only=False)
    return found


class ArrowSource:
    """A source whose columns have Arrow types. Subclasses say where the batches of rows come from.

    Raises ValueError, naming the data, for a column of lists or structures, for two columns of one name, and
    if there are no rows.
    """

    notes = cautions = ()
    point: str | None = None
    header: bool | None = None
    target: str | None = None
    missing: tuple[str, ...] = ()  # strings that stand for a missing value

    def __init__(self, name: str, schema: Any, m: int) -> None:
        self.name, names = name, list(schema.names)
        check_unique(name, names)
        if len(names) > MOST_COLUMNS:
            raise ValueError(f"{name} has {len(names):,} columns; at most {MOST_COLUMNS:,} can be read")
        self.kinds = {field.name: self._kind(field) for field in schema}
        self.moments = {field.name for field in schema if is_moment(field.type)}
        if m <= 0:
            raise ValueError(f"{name} has no rows")

    def _kind(self, field: Any) -> str:
        import pyarrow.types as types

        if types.is_nested(field.type):
            raise ValueError(
                f"{self.name}: column '{field.name}' has type {field.type}, expected numbers or strings"
            )
        numbers = types.is_integer, types.is_floating, types.is_decimal, types.is_null
        return NUMBER if any(is_(field.type) for is_ in numbers) else TEXT

    def _record_batches(self, names: list[str]) -> Iterator[Any]:
        """Yield these columns as Arrow record batches."""
        raise NotImplementedError

    def batches(self, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        for batch in self._record_batches(list(kinds)):
            yield {name: self._cast(name, batch.column(name), kind) for name, kind in kinds.items()}

    def _cast(self, name: str, column: Any, kind: str) -> Any:
        import pyarrow

        try:
            if hasattr(column, "dictionary"):  # Arrow cannot cast one of string views, which Polars has
                column = column.dictionary.cast(pyarrow.string()).take(column.indices)
            if kind == MOMENT:
                return as_seconds(column)
            if kind == TEXT:
                return decode(column.cast(pyarrow.string()).cast(text_type()), self.missing)
            return decode(column.cast(pyarrow.float64(), safe=False))
        except pyarrow.ArrowException as error:
            raise NotANumberError(
                f"{self.name}, column '{name}' of type {column.type}: {one_line(error)}; expected numbers or "
                "strings",
                name,
            ) from None

    def place(self, row: int) -> str:
        return f"row {row + 1}"

    def odd_one(self, name: str) -> None:
        """Accept every column of strings: its type says that it is one."""


class ArrowTable(ArrowSource):
    """A DataFrame of Polars or another library that exports Arrow data (`__arrow_c_stream__`)."""

    missing = ("",)  # as in pandas' DataFrames and in arrays

    def __init__(self, name: str, data: Any) -> None:
        import_ = need_pyarrow(name, "lib")
        self.table = import_.table(data)
        super().__init__(name, self.table.schema, self.table.num_rows)

    def _record_batches(self, names: list[str]) -> Iterator[Any]:
        yield from self.table.select(names).to_batches(BATCH)

    def fingerprint(self) -> str:
        """Return a digest of the columns' names, types and values, whatever the chunks they are stored in."""
        digest = hashlib.blake2b(str(self.table.schema.remove_metadata()).encode(), digest_size=16)
        for batch in self.batches(self.kinds):
            for values in batch.values():
                texts = values[1] if isinstance(values, tuple) else None
                digest.update(repr(texts).encode() + (values if texts is None else values[0]).tobytes())
        return digest.hexdigest()
