"""`gpunn evaluate` and `gpunn predict`: test a saved network, and use it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.cli import images, table_models
from gpunn.cli.images import DOWNLOADABLE
from gpunn.cli.output import complain, naming, say
from gpunn.cli.pictures import expand_folders, read_digits
from gpunn.cli.pictures import show as show_picture
from gpunn.cli.table_models import predict_table
from gpunn.cli.usage import refuse
from gpunn.datasets import Dataset
from gpunn.datasets.dataset import Form
from gpunn.files.model import check_meta, file_of
from gpunn.files.strict_json import dump_json
from gpunn.files.writing import check_not_input
from gpunn.inspection.metrics import per_class, probabilities
from gpunn.inspection.scores import balanced_accuracy, score_probabilities
from gpunn.network import Network, classify
from gpunn.sweeps.ensemble import Ensemble, load, networks_of
from gpunn.tables import target as targets
from gpunn.tables.model import TableModel
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.reading import Format
from gpunn.tables.sources import places


@dataclass(frozen=True)
class SavedModel:
    """A saved network or ensemble, and what its file says about the data."""

    path: Path
    net: Network | Ensemble

    @classmethod
    def load(cls, path: Path) -> SavedModel:
        """Load a model.

        Raises ValueError if the file is damaged, its weights are not finite, or its network does not fit its
        table.
        """
        net = load(path)
        check_meta(path, net.meta)
        if not all(np.isfinite(each.theta).all() for each in networks_of(net)):
            raise ValueError(f"{path} cannot be used: its weights are not finite numbers")
        if table := net.meta.get("table"):
            n_in, n_out = Preprocessing.from_json(table).features, targets.from_json(table["target"]).n_out
            if (n_in, n_out) != (net.sizes[0], net.sizes[-1]):
                raise ValueError(f"{path} is damaged: its network {net.name} does not fit its table")
        return cls(path, net)

    @property
    def classes(self) -> list[str]:
        """Names of the classes; numbers if the file does not name every class."""
        n, names = max(self.net.sizes[-1], 2), self.net.meta.get("classes")
        if not isinstance(names, list) or len(names) != n:
            names = range(n)
        return [str(name) for name in names]

    @property
    def dataset(self) -> str:
        """Name of the data that the network was trained on."""
        name = self.net.meta.get("dataset")
        if not isinstance(name, str):
            raise ValueError(f"{self.path} does not say what it was trained on: name a data set to test on")
        return name

    @property
    def channels(self) -> int | None:
        """Channels of the pictures that the network takes; None for light ink on a dark background."""
        channels = self.net.meta.get("channels")
        return channels if isinstance(channels, int) else None

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Height and width of the images that the network takes, if the file gives them."""
        shape, n_in = self.net.meta.get("image_shape"), self.net.sizes[0]
        if not (isinstance(shape, list) and len(shape) == 2):
            return None
        return (shape[0], shape[1]) if math.prod(shape) * (self.channels or 1) == n_in else None

    @property
    def form(self) -> Form | None:
        """The pictures that the network takes, if it was trained on pictures of any kind."""
        if not self.image_shape or not self.channels:
            return None
        return Form(self.image_shape, self.channels, tuple(self.classes))

    def read(self, file: Path, device: str) -> np.ndarray:
        """Read the examples in a file as X (n_in, m): for a picture, one for each digit on it."""
        from gpunn.datasets.columns import read_columns
        from gpunn.datasets.images import read_image, read_picture

        if file.suffix == ".npy":
            return read_columns(file, self.net.sizes[0])
        if not self.image_shape:
            raise ValueError(
                f"{file}: {self.path} does not say what size of image it takes: give .npy files instead"
            )
        if self.channels:
            return read_picture(file, self.image_shape, self.channels)
        if self.net.meta.get("digit", True):
            return read_digits(self.net, file, self.image_shape, device)
        return read_image(file, self.image_shape, digit=False)


# evaluate


def evaluate(
    path: Path, data: str | None, data_dir: Path | None, format: Format, device: str, as_json: bool
) -> None:
    """Test a model on the test examples of a data set, or on a table, and print the scores."""
    model = SavedModel.load(path)
    if "table" in model.net.meta:
        refuse(["data_dir"] if data_dir else [], DOWNLOADABLE, f"the table that {path} was trained on")
        table_models.evaluate(TableModel.of(path, model.net), data, format, device, as_json)
        return
    refuse_format(format, path)
    result = score_images(
        model,
        images.load_test(data or model.dataset, data_dir, model.form, model.net.meta.get("dataset")),
        device,
    )
    if as_json:
        say(dump_json(result))
    else:
        from gpunn.cli.console import print_evaluation

        print_evaluation(result)


def score_images(model: SavedModel, dataset: Dataset, device: str) -> dict[str, Any]:
    """Test a model on the test examples of a data set. Raises ValueError for images of another size."""
    X, y = dataset.test.X, dataset.test.y
    path, n_in = model.path, model.net.sizes[0]
    if len(X) != n_in:
        raise ValueError(f"{path} takes {n_in:,} inputs, but images of {dataset.name} have {len(X):,} pixels")
    with naming(path, dataset.name):
        outputs, loss, accuracy = model.net.examine(X, y, device=device)
    predicted, p = classify(outputs, model.net.cost.threshold), probabilities(model.net, outputs)
    return {
        "model": str(path),
        "dataset": dataset.name,
        "examples": len(y),
        "accuracy": accuracy,
        "loss": loss,
        "balanced_accuracy": balanced_accuracy(y, predicted),
        **({} if p is None else score_probabilities(y, p)),
        **per_class(y, predicted, model.classes),
    }


def refuse_format(format: Format, path: Path) -> None:
    """Raise ValueError if options for reading tables are given for a model of images."""
    given = asdict(format)
    given["target"] = given.pop("targets")
    chosen = [name for name, value in given.items() if value not in (None, ())]
    refuse(chosen, "tables", f"the images that {path} was trained on")


# predict


def predict(
    path: Path,
    files: Sequence[Path],
    format: Format,
    device: str,
    as_json: bool,
    output: Path | None,
    overwrite: bool,
    show: bool,
) -> int:
    """Print the class of every example in the files; return 2 if a file could not be read, otherwise 0."""
    model, predictions, code = SavedModel.load(path), [], 0
    if "table" in model.net.meta:
        refuse(["show"] if show else [], "images", f"the table that {path} was trained on")
        if output:
            check_output(output, path, [*files, *places.local(files)], overwrite)
        predict_table(TableModel.of(path, model.net), files, format, device, as_json, output)
        return 0
    refuse_format(format, path)
    if output:
        raise ValueError(
            f"--output only applies to models of tables, not to {path}: leave it out to print the classes"
        )
    for file in expand_folders(files):
        try:
            predictions += predict_file(model, file, device, show)
        except (ValueError, OSError) as error:
            named = "" if str(file) in str(error) else f"{file}: "
            complain(f"{named}{error}")
            code = 2
    if as_json:
        say(dump_json({"model": str(path), "predictions": predictions}))
    else:
        print_predictions(predictions)
    return code


def check_output(output: Path, model: Path, files: Sequence[Path], overwrite: bool) -> None:
    """Raise ValueError if the predictions would replace the model, or a table without --overwrite."""
    check_not_input(output, [file_of(model)])
    try:
        check_not_input(output, [] if overwrite else files)
    except ValueError as error:
        raise ValueError(f"{error}, or give --overwrite") from None


def predict_file(model: SavedModel, file: Path, device: str, show: bool) -> list[dict[str, Any]]:
    """Return a record for each example in a file; without probabilities if the outputs are not in [0, 1]."""
    X = model.read(file, device)
    seen = (
        show_picture(file, X, model.image_shape, model.channels) if show and file.suffix != ".npy" else None
    )
    with naming(model.path, file):
        outputs = model.net.forward(X, device=device)
    labels = classify(outputs, model.net.cost.threshold)
    p = probabilities(model.net, outputs)
    return [
        {
            "file": str(file),
            "column": column,
            "label": model.classes[label],
            "probability": None if p is None else float(p[label, column]),
            **({"seen": str(seen)} if seen else {}),
        }
        for column, label in enumerate(labels)
    ]


def print_predictions(predictions: Sequence[dict[str, Any]]) -> None:
    """Print an aligned line for each prediction; FILE[column] if a file holds several examples."""
    several = {p["file"] for p in predictions if p["column"] > 0}
    names = [f"{p['file']}[{p['column']}]" if p["file"] in several else p["file"] for p in predictions]
    file_width = max(map(len, names), default=0)
    label_width = max((len(p["label"]) for p in predictions), default=0)
    lines = []
    for name, p in zip(names, predictions, strict=True):
        probability = "" if p["probability"] is None else f"{p['probability']:7.2%}"
        seen = f"  seen as {p['seen']}" if "seen" in p else ""
        lines.append(f"{name:<{file_width}}  {p['label']:<{label_width}}  {probability}{seen}".rstrip())
    if lines:
        say(*lines)
