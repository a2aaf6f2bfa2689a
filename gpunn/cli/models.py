"""`gpunn evaluate` and `gpunn predict`: what a saved network can do."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.cli import images, table_models
from gpunn.cli.options import DOWNLOADED, refuse
from gpunn.cli.table_models import TableModel, predict_table
from gpunn.files.model import check_meta
from gpunn.inspection.metrics import per_class, probabilities
from gpunn.network import Network, classify
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.reading import Format


@dataclass(frozen=True)
class Model:
    """A saved network and what its file says about the data."""

    path: Path
    net: Network

    @classmethod
    def load(cls, path: Path) -> Model:
        """ValueError, naming the file, where it is damaged, or is of another table than its network."""
        net = Network.load(path)
        check_meta(path, net.meta)
        if table := net.meta.get("table"):
            n_in, n_out = Preprocessing.from_json(table).features, len(table["target"].get("classes", "1"))
            if (n_in, n_out) != (net.sizes[0], net.sizes[-1]):
                raise ValueError(f"{path} is damaged: {net.name} is not a network for its table")
        return cls(path, net)

    @property
    def classes(self) -> list[str]:
        """Their names; numbers where the file does not give as many as there are."""
        n, names = max(self.net.sizes[-1], 2), self.net.meta.get("classes")
        if not isinstance(names, list) or len(names) != n:
            names = range(n)
        return [str(name) for name in names]

    @property
    def dataset(self) -> str:
        name = self.net.meta.get("dataset")
        if not isinstance(name, str):
            raise ValueError(f"{self.path} does not say what it was trained on: name a data set")
        return name

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Height and width of the pictures that it takes, if its file says so."""
        shape, n_in = self.net.meta.get("image_shape"), self.net.sizes[0]
        if not (isinstance(shape, list) and len(shape) == 2 and math.prod(shape) == n_in):
            return None
        return shape[0], shape[1]

    def read(self, file: Path) -> np.ndarray:
        """The examples in a file, X (n_in, m)."""
        from gpunn.datasets.images import read_columns, read_image

        if file.suffix == ".npy":
            return read_columns(file, self.net.sizes[0])
        if not self.image_shape:
            raise ValueError(
                f"{file}: {self.path} does not say what size of picture it takes; use .npy files"
            )
        return read_image(file, self.image_shape, self.net.meta.get("digit", True))[:, None]


# evaluate


def evaluate(
    path: Path, data: str | None, data_dir: Path | None, format: Format, device: str, as_json: bool
) -> None:
    """Print how well a model does on the test examples of a data set, or on a table."""
    model = Model.load(path)
    if "table" in model.net.meta:
        refuse(["data-dir"] if data_dir else [], f"what {path} was trained on", DOWNLOADED)
        table_models.evaluate(TableModel.of(path, model.net), data, format, device, as_json)
        return
    refuse_format(format, path)
    dataset = images.load(data or model.dataset, data_dir)
    X, y = dataset.test.X, dataset.test.y
    if len(X) != model.net.sizes[0]:
        raise ValueError(
            f"{path} takes {model.net.sizes[0]} inputs, but the images of {dataset.name} have {len(X)} pixels"
        )
    outputs, loss, accuracy = model.net.examine(X, y, device=device)
    result = {
        "model": str(path),
        "dataset": dataset.name,
        "examples": len(y),
        "accuracy": accuracy,
        "loss": loss,
    }
    result |= per_class(y, classify(outputs, model.net.cost.threshold), model.classes)
    if as_json:
        print(json.dumps(result))
    else:
        from gpunn.cli.console import print_evaluation

        print_evaluation(result)


def refuse_format(format: Format, path: Path) -> None:
    """ValueError where it is said how a table is to be read that the model does not take."""
    given = {"delimiter": format.delimiter, "header": format.header, "target": format.targets}
    chosen = [name for name, value in given.items() if value is not None]
    refuse(chosen, f"what {path} was trained on", "tables")


# predict


def predict(
    path: Path, files: Sequence[Path], format: Format, device: str, as_json: bool, output: Path | None
) -> int:
    """Print the class of every example in the files; 2 if one could not be read, else 0."""
    model, predictions, code = Model.load(path), [], 0
    if "table" in model.net.meta:
        predict_table(TableModel.of(path, model.net), files, format, device, as_json, output)
        return 0
    refuse_format(format, path)
    if output:
        raise ValueError(f"{path} was not trained on a table: its predictions go to the standard output only")
    for file in files:
        try:
            predictions += predict_file(model, file, device)
        except ValueError as error:
            named = "" if str(file) in str(error) else f"{file}: "
            print("gpunn: error:", " ".join(f"{named}{error}".split()), file=sys.stderr)
            code = 2
    if as_json:
        print(json.dumps({"model": str(path), "predictions": predictions}))
    else:
        print_predictions(predictions)
    return code


def predict_file(model: Model, file: Path, device: str) -> list[dict[str, Any]]:
    """A record for each example in a file; no probability where the outputs are not in [0, 1]."""
    outputs = model.net.forward(model.read(file), device=device)
    labels = classify(outputs, model.net.cost.threshold)
    p = probabilities(model.net, outputs)
    return [
        {
            "file": str(file),
            "column": column,
            "label": model.classes[label],
            "probability": None if p is None else float(p[label, column]),
        }
        for column, label in enumerate(labels)
    ]


def print_predictions(predictions: Sequence[dict[str, Any]]) -> None:
    several = {p["file"] for p in predictions if p["column"] > 0}
    names = [f"{p['file']}[{p['column']}]" if p["file"] in several else p["file"] for p in predictions]
    file_width = max(map(len, names), default=0)
    label_width = max((len(p["label"]) for p in predictions), default=0)
    for name, p in zip(names, predictions, strict=True):
        probability = "" if p["probability"] is None else f"{p['probability']:7.2%}"
        print(f"{name:<{file_width}}  {p['label']:<{label_width}}  {probability}".rstrip())
