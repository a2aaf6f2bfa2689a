"""`gpunn evaluate` and `gpunn predict` with a network that was trained on a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.cli.output import naming, remark, say, write
from gpunn.cli.tables import describe_intervals, in_words
from gpunn.files.strict_json import dump_json
from gpunn.files.writing import write_whole
from gpunn.names import counted, listed
from gpunn.report.findings import format_number
from gpunn.tables.model import TableModel, describe_changed, describe_unknown
from gpunn.tables.reading import Format
from gpunn.tables.sources import places
from gpunn.tables.table import Source, Table
from gpunn.tables.target import CLASSIFICATION, Classes

NAMED = 8  # columns that are named of those that are ignored
ENDS = "lower", "upper"  # of an interval
IN_UNITS = ("prediction", *ENDS)  # columns of predictions in the units of the target


def remark_on(model: TableModel, table: Table, unknown: dict[str, int]) -> None:
    """Say which rows and columns were left out, and how many values of unknown categories there are."""
    for caution in table.source.cautions:
        remark(f"{table.name} {caution}")
    if ignored := model.ignored_columns(table):
        remark(f"{table.name}: ignored columns: {listed(ignored, NAMED)}")
    for note in table.notes:
        remark(note)
    if unknown:
        remark(describe_unknown(unknown, model.preprocessing.new_categories(table)))


def evaluate(model: TableModel, data: str | None, format: Format, device: str, as_json: bool) -> None:
    """Print how well a model does on a table."""
    test = model.open_test(data, format)
    examples = test.examples
    with naming(model.name, test.name):
        measures = model.measure(examples, device)
    remark_on(model, test.table, examples.unknown)
    if test.changed:
        remark(describe_changed(test))
    classifies = model.target.task == CLASSIFICATION
    if not classifies:
        del measures["loss"]  # of the standardised target
    result = {"model": model.name, "dataset": test.name, "examples": len(examples.y), **measures}
    if as_json:
        say(dump_json(result))
    elif classifies:
        from gpunn.cli.console import print_evaluation

        print_evaluation(result)
    else:
        lines = f"{model.name} on {test.name}, {counted(len(examples.y), 'example')}", in_words(result)
        say(*lines, *describe_intervals(model.target, result))


def predict_table(
    model: TableModel, files: Sequence[Path], format: Format, device: str, as_json: bool, output: Path | None
) -> None:
    """Write a prediction for each row of a table, to standard output or as a whole file."""
    place = places.join([places.url(file) for file in files])
    if len(files) != 1 and not places.names_files(place):
        raise ValueError(f"predict takes one table at a time, not {len(files)}")
    source = model.open(place, format)
    if model.must_stream(source, format.memory):
        write_blocks(model, source, device, as_json, output)
        return
    table = model.read(source)
    with naming(model.name, table.name):
        outputs, unknown = model.outputs(table, device)
    remark_on(model, table, unknown)
    remark_on_target(model, source)
    columns, p = predictions(model, outputs), probabilities(model, outputs)
    if as_json:
        content = dump_json({"model": model.name, "predictions": records(columns, p)}) + "\n"
    else:
        columns |= {f"P({name})": values for name, values in p.items()}
        content = as_csv(columns, model.target.spread)
        remark_on_formulas(columns["prediction"])
    if output:
        write_whole(output, content.encode())
    else:
        write(content)


def write_blocks(model: TableModel, source: Source, device: str, as_json: bool, output: Path | None) -> None:
    """Write a prediction for each row of a table, as they are made."""
    blocks = _blocks_of_json if as_json else _blocks_of_csv
    unknown: dict[str, int] = {}
    with naming(model.name, source.name):
        parts = blocks(model, _outputs(model, source, device, unknown))
        if output:
            write_whole(output, (part.encode() for part in parts))
        else:
            for part in parts:
                write(part)
    remark_on(model, Table(source, (), np.empty((0, 0))), unknown)
    remark_on_target(model, source)


def _outputs(model: TableModel, source: Source, device: str, unknown: dict[str, int]) -> Iterator[np.ndarray]:
    for outputs, found in model.output_blocks(source, device):
        unknown.update(found)
        yield outputs


def _blocks_of_csv(model: TableModel, blocks: Iterable[np.ndarray]) -> Iterator[str]:
    formulas = False
    for k, outputs in enumerate(blocks):
        columns, p = predictions(model, outputs), probabilities(model, outputs)
        if not formulas:
            formulas = remark_on_formulas(columns["prediction"])
        columns |= {f"P({name})": values for name, values in p.items()}
        yield as_csv(columns, model.target.spread, header=k == 0)


def _blocks_of_json(model: TableModel, blocks: Iterable[np.ndarray]) -> Iterator[str]:
    yield f'{{"model": {dump_json(model.name)}, "predictions": ['
    for k, outputs in enumerate(blocks):
        rows = records(predictions(model, outputs), probabilities(model, outputs))
        yield (", " if k else "") + ", ".join(map(dump_json, rows))
    yield "]}\n"


def records(columns: dict[str, list[Any]], p: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Return the predictions of each row, with the probabilities of the classes if there are any."""
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for row, values in zip(rows, zip(*p.values(), strict=True), strict=bool(p)):
        row["probabilities"] = dict(zip(p, values, strict=True))
    return rows


def remark_on_target(model: TableModel, source: Source) -> None:
    """Say that a table's target is not used, if it has one."""
    if model.target.name in source.kinds:
        remark(f"the target '{model.target.name}' is not used to predict; gpunn evaluate compares with it")


def remark_on_formulas(predicted: Sequence[Any]) -> bool:
    """Say if a spreadsheet would take one of the classes for a formula; they are written as they are."""
    formula = next((label for label in predicted if is_formula(label)), None)
    if formula is not None:
        remark(f"a spreadsheet would take classes such as {formula} for formulas: import them as text")
    return formula is not None


def is_formula(label: Any) -> bool:
    """Whether a spreadsheet would take a class for a formula. Numbers are none, nor is a sign alone."""
    if not isinstance(label, str) or len(label) < 2 or label[0] not in "=+-@":
        return False
    try:
        float(label)
    except ValueError:
        return True
    return False


def predictions(model: TableModel, outputs: np.ndarray) -> dict[str, list[Any]]:
    """Return the predicted numbers, with intervals if there are any; or classes and their probabilities."""
    predicted = model.target.decode(model.network, outputs)
    found: dict[str, list[Any]] = {"prediction": list(model.target.names_of(predicted))}
    p = model.target.probabilities(model.network, outputs)
    if p is not None:
        found["probability"] = shortest(p[predicted, np.arange(len(predicted))])
    if (ends := model.target.bounds(outputs)) is not None:
        found |= {name: end.tolist() for name, end in zip(ENDS, ends, strict=True)}
    return found


def probabilities(model: TableModel, outputs: np.ndarray) -> dict[str, list[float]]:
    """Return the probability of each class in each row, by the class; nothing unless there are some."""
    p = model.target.probabilities(model.network, outputs)
    if p is None or not isinstance(model.target, Classes):
        return {}
    return {name: shortest(values) for name, values in zip(model.target.classes, p, strict=True)}


def shortest(values: np.ndarray) -> list[float]:
    """Return the numbers (m,) with as few digits as tell them from their neighbours in their dtype."""
    return [float(str(value)) for value in values]


def as_csv(columns: dict[str, list[Any]], spread: float, *, header: bool = True) -> str:
    """Write CSV, with a header unless it is written already.

    Predicted numbers are written to a millionth of the spread, since a network knows no more, and
    probabilities with all their digits, so that they rank the rows.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    if header:
        writer.writerow(columns)
    for values in zip(*columns.values(), strict=True):
        writer.writerow(
            [
                format_number(value, spread) if name in IN_UNITS and isinstance(value, float) else value
                for name, value in zip(columns, values, strict=True)
            ]
        )
    return file.getvalue()
