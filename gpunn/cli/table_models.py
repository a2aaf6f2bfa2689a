"""`gpunn evaluate` and `gpunn predict` with a network that was trained on a table."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.cli.tables import in_words
from gpunn.files.writing import write_whole
from gpunn.names import counted
from gpunn.report.findings import format_number
from gpunn.tables.model import TableModel, describe_ignored, describe_unknown
from gpunn.tables.reading import Format
from gpunn.tables.target import CLASSIFICATION


def remark(line: str) -> None:
    print("gpunn:", line, file=sys.stderr)


def evaluate(model: TableModel, data: str | None, format: Format, device: str, as_json: bool) -> None:
    """Print how well a model does on a table."""
    name, examples, _ = model.examples(data, format, remark)
    if examples.unknown:
        remark(describe_unknown(examples.unknown))
    measures, classifies = model.measure(examples, device), model.target.task == CLASSIFICATION
    if not classifies:
        del measures["loss"]  # of the standardised target
    result = {"model": model.name, "dataset": name, "examples": len(examples.y), **measures}
    if as_json:
        print(json.dumps(result))
    elif classifies:
        from gpunn.cli.console import print_evaluation

        print_evaluation(result)
    else:
        print(f"{model.name} on {name}, {counted(len(examples.y), 'example')}\n{in_words(result)}")


def predict_table(
    model: TableModel, files: Sequence[Path], format: Format, device: str, as_json: bool, output: Path | None
) -> None:
    """Write a prediction for each row of a table, to standard output or as a whole file."""
    if len(files) != 1:
        raise ValueError(f"predict takes one table at a time, not {len(files)}")
    table, ignored = model.read(files[0], format, with_target=False)
    if ignored:
        remark(describe_ignored(table, ignored))
    X, unknown = model.preprocessing.apply(table, table.rows)
    if unknown:
        remark(describe_unknown(unknown))
    columns = predictions(model, model.network.forward(X, device=device))
    if as_json:
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        content = json.dumps({"model": model.name, "predictions": rows}) + "\n"
    else:
        content = as_csv(columns, model.target.spread)
    if output:
        write_whole(output, content.encode())
    else:
        print(content, end="")


def predictions(model: TableModel, outputs: np.ndarray) -> dict[str, list[Any]]:
    """Return the predicted numbers, or classes and their probabilities if the outputs are probabilities."""
    predicted = model.target.decode(model.network, outputs)
    found: dict[str, list[Any]] = {"prediction": list(model.target.names(predicted))}
    p = model.target.probabilities(model.network, outputs)
    if p is not None:
        found["probability"] = p[predicted, np.arange(len(predicted))].tolist()
    return found


def as_csv(columns: dict[str, list[Any]], spread: float) -> str:
    """Write CSV with a header, and numbers to a millionth of the spread: a network knows no more."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for values in zip(*columns.values(), strict=True):
        writer.writerow(
            [format_number(value, spread) if isinstance(value, float) else value for value in values]
        )
    return file.getvalue()
