"""A network that was trained on a table: predict, evaluate, save and load."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from gpunn.files.model import check_meta
from gpunn.names import listed
from gpunn.network import Network
from gpunn.sweeps.ensemble import Ensemble, load
from gpunn.tables import target as targets
from gpunn.tables.applying import AppliedNetwork
from gpunn.tables.measures import measure_constant, summarise_folds
from gpunn.tables.options import TableOptions
from gpunn.tables.prepared import (
    EvaluationTable,
    TableExamples,
)
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.reading import (
    Format,
    as_place,
)
from gpunn.tables.table import quoted
from gpunn.training.history import History
from gpunn.training.option import from_kept
from gpunn.training.settings import Settings

NAMED = 3  # new categories of a column that are named


@dataclass(frozen=True, eq=False, repr=False)
class TableModel(AppliedNetwork):
    """A network, or an ensemble, that was trained on a table, with all that it needs to read other tables.

    `gpunn.tables.train` and `gpunn.tables.load_model` make it. Tables are given as to `gpunn.tables.train`;
    their columns may be in any order, and further columns are ignored.

    Attributes:
        network: the `gpunn.Network`, or a `gpunn.Ensemble` of several. Its `meta` is what the model file says
            about the table.
        name: what messages call the model, such as its path.
        target: the target: its name, and its classes, or its mean and scale.
        preprocessing: how columns become features.
        options: the options of the table that it was trained on.
        fingerprint: a digest of the table that it was trained on.
        history: the `gpunn.History` of the training, of an ensemble the mean; None for a loaded model.
        held_out: the examples that it was tested on; None for a loaded model, and if there are none.
        constant: the best constant prediction in training, to compare with; None for a loaded model.
        notes: remarks on how the table was read; none for a loaded model.
    """

    history: History | None = None
    held_out: TableExamples | None = None
    constant: float | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        name: object,
        network: Network | Ensemble,
        history: History | None = None,
        held_out: TableExamples | None = None,
        constant: float | None = None,
        notes: tuple[str, ...] = (),
    ) -> TableModel:
        """Make the model from a network whose `meta` describes the table."""
        try:
            kept = network.meta["table"]
            target, fitted = targets.from_json(kept["target"]), Preprocessing.from_json(kept)
            options, digest = from_kept(TableOptions, kept["options"]), kept["fingerprint"]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{name} does not say how to read its table: {error!r}") from None
        if (fitted.features, target.n_out) != (network.sizes[0], network.sizes[-1]):
            raise ValueError(f"{name} is damaged: {network.name} is not a network for its table")
        if held_out:
            held_out = replace(held_out, X=held_out.X.copy(order="F"))  # a view would keep all examples
        return cls(network, str(name), target, fitted, options, digest, history, held_out, constant, notes)

    def __repr__(self) -> str:
        return f"TableModel({self.network.name}, '{self.target.name}': {self.target.describe()})"

    @property
    def classes(self) -> np.ndarray | None:
        """The classes (n,) that `predict` returns, in the order of `predict_proba`; None for regression."""
        return self.target.labels

    @property
    def settings(self) -> Settings:
        """The settings of the training."""
        return from_kept(Settings, self.network.meta["settings"])

    @property
    def folds(self) -> list[dict[str, Any]]:
        """The measures, or why it `failed`, and the baseline of each fold of cross-validation."""
        return list(self.network.meta.get("folds", []))

    @property
    def cv(self) -> dict[str, Any] | None:
        """The `mean`, `std` and `baseline` over the folds of cross-validation, and the `folds`; or None."""
        return summarise_folds(self.folds) if self.folds else None

    def predict(
        self,
        data: Any,
        *,
        delimiter: str | None = None,
        header: bool | None = None,
        encoding: str | None = None,
        sheet: str | None = None,
        memory: str | None = None,
        device: str = "cpu",
    ) -> np.ndarray:
        """Predict the target (m,) of each row of a table: labels, or numbers in the target's units.

        Labels are strings, numbers or truth values, as in the table that was trained on. Warns if a category
        was not in the training data.

        Args:
            data: a table, as `gpunn.tables.train` takes it.
            delimiter, header, encoding, sheet: as in `gpunn.tables.train`. By default, all but the delimiter
                are as in training.
            memory: as in `gpunn.tables.train`; larger Parquet files are read in parts.
            device: "cpu", "cuda", "cuda:1" or "auto".

        Raises:
            ValueError: a column is missing, or holds strings where there were numbers in training.
        """
        outputs = self._predict(data, Format(delimiter, header, None, encoding, (), sheet, memory), device)
        return self.target.labels_of(self.target.decode(self.network, outputs))

    def predict_proba(
        self,
        data: Any,
        *,
        delimiter: str | None = None,
        header: bool | None = None,
        encoding: str | None = None,
        sheet: str | None = None,
        memory: str | None = None,
        device: str = "cpu",
    ) -> np.ndarray:
        """Predict the probability (m, n_classes) of each class for each row of a table.

        The arguments are those of `predict`, and the order of the columns is that of `classes`.

        Raises:
            ValueError: as `predict` does; or the outputs are not probabilities, as in regression.
        """
        outputs = self._predict(data, Format(delimiter, header, None, encoding, (), sheet, memory), device)
        p = self.target.probabilities(self.network, outputs)
        if p is None:
            raise ValueError(f"{self.name} predicts no probabilities: {self.target.describe()}")
        return p.T

    def predict_interval(
        self,
        data: Any,
        *,
        delimiter: str | None = None,
        header: bool | None = None,
        encoding: str | None = None,
        sheet: str | None = None,
        memory: str | None = None,
        device: str = "cpu",
    ) -> np.ndarray:
        """Predict the ends (m, 2) of the interval of each row of a table, in the target's units.

        The arguments are those of `predict`, whose number lies in the interval.

        Raises:
            ValueError: as `predict` does; or the model was trained without `interval`.
        """
        outputs = self._predict(data, Format(delimiter, header, None, encoding, (), sheet, memory), device)
        if (ends := self.target.bounds(outputs)) is None:
            raise ValueError(f"{self.name} predicts no intervals: train it with interval=0.9, for example")
        return np.column_stack(ends)

    def evaluate(
        self,
        data: Any = None,
        *,
        delimiter: str | None = None,
        header: bool | None = None,
        encoding: str | None = None,
        sheet: str | None = None,
        memory: str | None = None,
        device: str = "cpu",
    ) -> dict[str, Any]:
        """Measure the model on a table with the target, or on the rows held out from training.

        The arguments are those of `predict`.

        Returns:
            `examples`, their number; `loss`; `accuracy`, `balanced_accuracy`, `roc_auc`, `average_precision`,
            `log_loss` and `brier`, or `rmse`, `mae` and `r2`, and the
            `coverage` and mean `width` of intervals; for classes the `confusion_matrix`
            and the precision, recall and F1 of each of the `classes`; and `baseline`, the measures of the
            best constant prediction, if the training rows are known. Measures of several classes are means
            over the classes, each against all others.

        Raises:
            ValueError: as `predict` does; or no rows were held out, as with cross-validation.
        """
        constant, examples = self.constant, self.held_out
        if data is not None or examples is None:
            test = self.open_test(data, Format(delimiter, header, None, encoding, (), sheet, memory))
            examples, constant = test.examples, test.constant if constant is None else constant
            if test.changed:
                warnings.warn(describe_changed(test), stacklevel=2)
        measured = self.measure(examples, device)
        if examples is not self.held_out:
            _warn_of(examples.unknown)
        result = {"examples": len(examples.y), **measured}
        if constant is not None:
            result["baseline"] = measure_constant(self.target, examples.y, constant)
        return result

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model file, which `load_model`, `gpunn predict` and `gpunn evaluate` read.

        Raises:
            OSError: the path cannot be written.
        """
        self.network.save(path)

    def _predict(self, data: Any, format: Format, device: str) -> np.ndarray:
        """Return the network's outputs (n_out, m) for a table; warn of unknown categories."""
        data = as_place(data)
        source = self.open(data, format)
        if self.must_stream(source, format.memory):
            found = list(self.output_blocks(source, device))
            outputs, unknown = np.concatenate([each for each, _ in found], axis=1), found[-1][1]
        else:
            outputs, unknown = self.outputs(self.read(source), device)
        if unknown:
            warnings.warn(describe_unknown(unknown), stacklevel=3)
        return outputs


def load_model(path: str | os.PathLike[str]) -> TableModel:
    """Load a model that was trained on a table, by `gpunn.tables.train` or `gpunn train`.

    Args:
        path: the model file, or the folder of a run.

    Raises:
        ValueError: the file is missing or damaged, or its network was not trained on a table.

    >>> flips = {"x": [1.5, 2.5] * 20, "y": ["heads", "tails"] * 20}
    >>> model = gpunn.tables.train(flips, epochs=1, device="cpu")
    >>> model.save("model.safetensors")
    >>> again = gpunn.tables.load_model("model.safetensors")
    >>> np.array_equal(again.predict(flips), model.predict(flips))
    True
    """
    net = load(path)
    check_meta(Path(path), net.meta)
    if "table" not in net.meta:
        raise ValueError(f"{path} was not trained on a table; load it with gpunn.Network.load")
    return TableModel.of(path, net)


def describe_unknown(
    unknown: Mapping[str, int], named: Mapping[str, Sequence[str | None]] = MappingProxyType({})
) -> str:
    """Say how many values are of categories that were not there in training. named: these categories."""
    counts = []
    for name, count in unknown.items():
        new = ["missing" if text is None else quoted(text) for text in named.get(name, ())]
        counts.append(f"{name} {count:,}" + (f" ({listed(new, NAMED)})" if new else ""))
    return f"values of categories that were not in the training data: {', '.join(counts)}"


def describe_changed(test: EvaluationTable) -> str:
    return f"{test.name} has changed since training: its held-out rows are unknown, so all rows are evaluated"


def _warn_of(unknown: Mapping[str, int]) -> None:
    if unknown:
        warnings.warn(describe_unknown(unknown), stacklevel=3)
