"""`gpunn evaluate` and `gpunn predict` with a network that was trained on a table."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.cli.tables import in_words, unknown_words
from gpunn.files.writing import write_whole
from gpunn.inspection.metrics import per_class, probabilities
from gpunn.names import counted, listed
from gpunn.network import Network
from gpunn.report.findings import format_number
from gpunn.tables import target as targets
from gpunn.tables.loading import TableOptions, held_out
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.problem import Examples, examples_for, measure, predict, read_known
from gpunn.tables.reading import Format, fingerprint
from gpunn.tables.table import Table
from gpunn.tables.target import Classes, Quantity
from gpunn.training.option import from_kept


@dataclass(frozen=True)
class TableModel:
    """A saved network, and what its file says of the table; fingerprint: of the file that it lay in."""

    path: Path
    net: Network
    fingerprint: str
    target: Classes | Quantity
    preprocessing: Preprocessing
    options: TableOptions

    @classmethod
    def of(cls, path: Path, net: Network) -> TableModel:
        kept = net.meta["table"]
        try:
            target, fitted = targets.from_json(kept["target"]), Preprocessing.from_json(kept)
            options = from_kept(TableOptions, kept["options"])
            return cls(path, net, kept["fingerprint"], target, fitted, options)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} does not say how its table is to be read: {error!r}") from None

    def read(self, data: Path, format: Format, with_target: bool) -> Table:
        """The columns of a table that the network needs; says which others there are."""
        if format.header is None:
            format = replace(format, header=self.options.header)
        target = self.target if with_target else None
        table, extra = read_known(self.preprocessing, target, data, format, self.net.dtype)
        known = {self.target.name, *self.preprocessing.dropped, *self.options.ignore}
        if ignored := [name for name in extra if name not in known]:
            say(f"{data}: columns that are ignored: {listed(ignored)}")
        return table

    def examples(self, data: str | None, format: Format) -> tuple[str, Examples]:
        """Those to test on: of a table, else of the one that the training was tested on."""
        if data or self.options.test:
            path = Path(data or self.options.test or "")
            return str(path), examples_for(self.preprocessing, self.target, self.read(path, format, True))
        if self.options.cv:
            raise ValueError(f"{self.path} was trained on all the rows of its table: name another to test on")
        path = Path(self.net.meta["dataset"])
        table = self.read(path, self.options.format(path), True)
        found = examples_for(self.preprocessing, self.target, table)
        if fingerprint(path, self.options.format(path)) != self.fingerprint:
            say(f"{path} has changed since it was trained on: no rows are held out, and all are tested on")
            return str(path), found
        held = held_out(found.y, self.target, self.options, self.net.meta["settings"]["seed"])
        return f"held-out rows of {path}", Examples(found.X[:, held], found.y[held], found.unknown)


def say(line: str) -> None:
    print("gpunn:", line, file=sys.stderr)


# evaluate


def evaluate(model: TableModel, data: str | None, format: Format, device: str, as_json: bool) -> None:
    """Print how well a model does on a table."""
    name, examples = model.examples(data, format)
    if examples.unknown:
        say(unknown_words(examples.unknown))
    predicted = predict(model.target, model.net, model.net.forward(examples.X, device=device))
    result = {"model": str(model.path), "dataset": name, "examples": len(examples.y)}
    result |= measure(model.target, examples.y, predicted)
    if isinstance(model.target, Classes):
        result["loss"] = model.net.evaluate(examples.X, examples.y, device=device)[0]
        result |= per_class(examples.y, predicted, model.target.classes)
    if as_json:
        print(json.dumps(result))
    elif isinstance(model.target, Classes):
        from gpunn.cli.console import print_evaluation

        print_evaluation(result)
    else:
        print(f"{model.path} on {name}, {counted(len(examples.y), 'example')}\n{in_words(result)}")


# predict


def predict_table(
    model: TableModel, files: Sequence[Path], format: Format, device: str, as_json: bool, output: Path | None
) -> None:
    """Write a prediction for each row of a table, to a file or standard output; whole or not at all."""
    if len(files) != 1:
        raise ValueError(f"predict takes one table at a time, not {len(files)}")
    table = model.read(files[0], format, with_target=False)
    X, unknown = model.preprocessing.apply(table, table.rows)
    if unknown:
        say(unknown_words(unknown))
    columns = predictions(model, model.net.forward(X, device=device))
    if as_json:
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        content = json.dumps({"model": str(model.path), "predictions": rows}) + "\n"
    else:
        content = as_csv(columns, model.target.scale if isinstance(model.target, Quantity) else 1.0)
    if output:
        write_whole(output, content.encode())
    else:
        print(content, end="")


def predictions(model: TableModel, outputs: np.ndarray) -> dict[str, list[Any]]:
    """The predicted classes and their probabilities, where the outputs are such; or the numbers."""
    values = predict(model.target, model.net, outputs)
    if not isinstance(model.target, Classes):
        return {"prediction": [float(value) for value in values]}
    found: dict[str, list[Any]] = {"prediction": [model.target.classes[k] for k in values]}
    p = probabilities(model.net, outputs)
    if p is not None:
        found["probability"] = p[values, np.arange(len(values))].tolist()
    return found


def as_csv(columns: dict[str, list[Any]], spread: float) -> str:
    """A header, and a line a row; a millionth of the spread is more than a network knows."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for values in zip(*columns.values(), strict=True):
        writer.writerow(
            [format_number(value, spread) if isinstance(value, float) else value for value in values]
        )
    return file.getvalue()
