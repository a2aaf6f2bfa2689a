"""Explain a model of a table: what drives it, and the cells of its mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gpunn.predictor import Predictor
from gpunn.tables.cells import read_cells
from gpunn.tables.dated import Dated
from gpunn.tables.dependence import Dependence, Scale, days_of, find_dependences
from gpunn.tables.drivers import Drivers, Importance, choose_rows, features_of, find_drivers
from gpunn.tables.identifiers import DISTINCT
from gpunn.tables.leaks import Leak
from gpunn.tables.prepared import TableExamples
from gpunn.tables.spelling import Spelling
from gpunn.tables.table import NUMBER
from gpunn.tables.task import TableTask

DRAWN = 4  # columns whose partial dependence is shown, the most important ones
AVERAGED = 500  # rows that it is averaged over
FEWEST = 10  # rows that an explanation needs
SHOWN, NAMING = 8, 2  # columns shown of a mistake: important ones, and those that identify its row


@dataclass(frozen=True)
class Explanation:
    """The columns that drive a model, and the dependence of its prediction on the most important ones."""

    drivers: Drivers
    dependences: tuple[Dependence, ...]


def explain(task: TableTask, net: Predictor, seed: int) -> Explanation | None:
    """Explain a network that was trained on a table; return None if there are too few rows to measure on.

    Raises ValueError or OSError if the table cannot be read again.
    """
    train, test = task.prepared.train, task.prepared.test
    if len((test or train).y) < FEWEST:
        return None
    features = features_of(task.prepared.preprocessing, task.table.source)
    tested = None if test is None else (test.X, test.y)
    drivers = find_drivers(net, task.prepared.target, features, (train.X, train.y), tested, seed)
    names = [each.column for each in drivers.driving[:DRAWN]]
    if not names:
        return Explanation(drivers, ())
    examples = test or train
    rows = choose_rows(examples.X, examples.y, AVERAGED)
    cells = cells_of(task, examples, rows.at, names)
    scales = {name: scale_of(task, name) for name in names}
    chosen = {name: features[name] for name in names}
    found = find_dependences(net, task.prepared.target, rows, chosen, cells, scales) if cells else ()
    return Explanation(drivers, tuple(found))


def cells_of(
    task: TableTask, examples: TableExamples, at: np.ndarray, columns: Sequence[str]
) -> dict[str, list[str]]:
    """Return the text of columns of some examples; {} if the table has changed since it was read."""
    held_out = examples is task.prepared.test
    source = (task.tested if held_out else None) or task.table.source
    if source is task.table.source and source.fingerprint() != task.fingerprint:
        return {}
    kept = examples.rows if held_out else task.table.kept
    source = source.source if isinstance(source, Dated) else source
    there = [column for column in columns if column in source.kinds]
    return read_cells(source, there, at if kept is None else kept[at])


def scale_of(task: TableTask, column: str) -> tuple[str, Scale | None]:
    """Return the kind of a column, and the function that reads its cells as numbers; None for categories."""
    source = task.table.source
    if isinstance(source, Dated) and column in source.dates:
        return "date", days_of(source.dates[column].order)
    if task.prepared.preprocessing.kinds[column] != NUMBER:
        return "category", None
    plain = Spelling(source.point or ".")
    return NUMBER, task.table.spellings.get(column, plain).number


def columns_of_mistakes(task: TableTask, found: Explanation | None) -> list[str]:
    """Return the columns to show of each mistake: those that identify its row, then the important ones."""
    naming = [column.name for column in task.columns if column.why == DISTINCT][:NAMING]
    used = [column.name for column in task.columns if column.use and column.name != task.prepared.target.name]
    important = [each.column for each in found.drivers.importances] if found else used
    return [*naming, *important[:SHOWN]]


def summary(found: Explanation) -> dict[str, Any]:
    """Return what `gpunn train --json` prints of an explanation."""
    columns = {each.column: each.mean for each in found.drivers.driving}
    return {
        "importance": {"score": found.drivers.score, "columns": columns},
        "leaks": [asdict(leak) for leak in found.drivers.leaks],
    }


def from_json(kept: Mapping[str, Any]) -> Explanation:
    """Rebuild an explanation from what `dataclasses.asdict` makes of it."""
    drivers = kept["drivers"]
    importances = tuple(Importance(**each) for each in drivers["importances"])
    leaks = tuple(Leak(**each) for each in drivers["leaks"])
    dependences = tuple(Dependence(**each) for each in kept["dependences"])
    return Explanation(Drivers(**{**drivers, "importances": importances, "leaks": leaks}), dependences)
