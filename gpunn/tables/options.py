"""The options of a table.

`gpunn train --help` imports this module, so its methods import whatever reads tables only when they run.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from gpunn.names import look_up
from gpunn.training.option import Option

if TYPE_CHECKING:
    from gpunn.tables.reading import Format

tables = partial(Option, "Tables")

BEST = "best"  # the threshold that is chosen on held-out rows


@dataclass(frozen=True)
class TableOptions:
    """The options that apply to tables only. None means the default."""

    target: Annotated[
        str | None,
        tables("Column to predict; for a .npy file, the .npy file of the targets.", "y for a .npz file"),
    ] = None
    task: Annotated[
        str | None,
        tables(
            "Kind of problem: classification or regression.",
            "classification for text and for up to 20 distinct whole numbers",
        ),
    ] = None
    test: Annotated[str | None, tables("Test on this table instead of on held-out rows.", metavar="FILE")] = (
        None
    )
    held_out: Annotated[float | None, tables("Fraction of the rows to hold out for testing.", "0.2")] = None
    cv: Annotated[
        int | None,
        tables("Test by cross-validation with this many folds, then train on all rows.", least=2),
    ] = None
    drop: Annotated[
        tuple[str, ...], tables("Leave these columns out.", metavar="COLUMN …", former="ignore")
    ] = ()
    categorical: Annotated[
        tuple[str, ...],
        tables("Treat these columns as categories.", "text", metavar="COLUMN …", former="category"),
    ] = ()
    date: Annotated[
        tuple[str, ...],
        tables(
            "Read these columns as dates, 20240312 included.",
            "text that is a date in every row",
            metavar="COLUMN …",
        ),
    ] = ()
    threshold: Annotated[
        str | None,
        tables(
            "Predict the second of two classes if its probability is above this; best: what gives the "
            "largest F1 of the rarer class on rows held out from training, or the largest balanced accuracy "
            "with --metric balanced_accuracy.",
            "0.5",
            metavar="X",
        ),
    ] = None
    interval: Annotated[
        float | None,
        tables(
            "Predict intervals that hold this share of the numbers, such as 0.9, and the median.",
            "no intervals",
        ),
    ] = None
    impute: Annotated[str | None, tables("Replace missing numbers by: median or mean.", "median")] = None
    missing: Annotated[
        tuple[str, ...],
        tables(
            "Take this word for a missing value, too; may be repeated.",
            "empty, ?, NA, N/A, NaN, NULL",
            metavar="WORD",
        ),
    ] = ()
    delimiter: Annotated[
        str | None,
        tables(
            "Character that separates the columns of a CSV file, or whitespace for runs of blanks.",
            "detected: , ; tab | or blanks",
            metavar="CHAR",
        ),
    ] = None
    encoding: Annotated[
        str | None,
        tables(
            "Encoding of a CSV file, such as cp1252.", "detected: UTF-8, UTF-16 or cp1252", metavar="NAME"
        ),
    ] = None
    sheet: Annotated[str | None, tables("Sheet of an Excel file.", "the first one", metavar="NAME")] = None
    memory: Annotated[
        str | None,
        tables(
            "Memory that Parquet files may take, such as 2G; larger ones are streamed.",
            "half of the free memory",
            metavar="SIZE",
        ),
    ] = None
    header: Annotated[
        bool | None,
        tables("Whether the first line names the columns; without names they are 1, 2, ….", "detected"),
    ] = None

    def chosen(self) -> list[str]:
        """Return the names of the options that were given."""
        return [f.name for f in fields(self) if getattr(self, f.name) not in (None, (), [])]

    def absolute(self) -> TableOptions:
        """Return a copy with absolute paths, so that the files are found from any folder."""
        from gpunn.tables.reading import IN_MEMORY, absolute

        y = str(Path(self.target).absolute()) if self.target and self.target.endswith(".npy") else self.target
        test = self.test if self.test in (None, IN_MEMORY) else absolute(self.test)
        return replace(self, target=y, test=test)

    def format(self, data: Any) -> Format:
        """Return how to read the data; the targets of a .npy file may be in another .npy file."""
        from gpunn.tables.reading import Format, is_path

        beside, suffix = Path(self.target or ""), Path(data).suffix.lower() if is_path(data) else ""
        targets = beside if beside.suffix == suffix == ".npy" else None
        read = self.delimiter, self.header, targets, self.encoding, self.missing, self.sheet
        return Format(*read, self.memory)

    def check(self) -> None:
        """Raise ValueError for a value that is unknown or out of range, and for options that conflict."""
        from gpunn.tables.quantity import REGRESSION
        from gpunn.tables.sizes import parse as size_of
        from gpunn.tables.target import CLASSIFICATION

        if self.task:
            look_up(dict.fromkeys((CLASSIFICATION, REGRESSION)), self.task, "task")
        if self.impute:
            look_up(dict.fromkeys(("median", "mean")), self.impute, "imputation")
        if self.held_out is not None and not 0 < self.held_out < 1:
            raise ValueError(f"--held-out must be between 0 and 1, not {self.held_out}")
        self.check_threshold()
        if self.memory is not None:
            size_of(self.memory)
        if self.interval is not None and not 0 < self.interval < 1:
            raise ValueError(f"--interval must be between 0 and 1, not {self.interval}")
        if self.cv is not None and self.cv < 2:
            raise ValueError(f"--cv must be at least 2 folds, not {self.cv}")
        ways = [f"--{name.replace('_', '-')}" for name in ("test", "cv", "held_out") if getattr(self, name)]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} exclude each other: choose one way to test")

    def check_threshold(self) -> None:
        """Raise ValueError unless the threshold, if there is one, is `best` or a number between 0 and 1."""
        if self.threshold in (None, BEST):
            return
        try:
            valid = 0 < float(self.threshold) < 1
        except ValueError:
            valid = False
        if not valid:
            raise ValueError(f"--threshold must be {BEST} or a number between 0 and 1, not {self.threshold}")
