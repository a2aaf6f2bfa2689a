"""A network that was trained on a table: predict, evaluate, save and load."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.files.model import check_meta
from gpunn.names import listed
from gpunn.network import Network
from gpunn.tables import target as targets
from gpunn.tables.loading import TableOptions
from gpunn.tables.measures import evaluate, measure_constant, summarise_folds
from gpunn.tables.prepared import TableExamples, examples_of, read_for
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.reading import IN_MEMORY, Format, open_table
from gpunn.tables.splitting import held_out_rows
from gpunn.tables.table import Table
from gpunn.tables.target import Target
from gpunn.training.history import History
from gpunn.training.option import from_kept
from gpunn.training.settings import Settings


@dataclass(frozen=True, eq=False, repr=False)
class TableModel:
    """A network that was trained on a table, with all that it needs to read other tables.

    `gpunn.tables.train` and `gpunn.tables.load_model` make it. Tables are given as to `gpunn.tables.train`;
    their columns may be in any order, and further columns are ignored.

    Attributes:
        network: the `gpunn.Network`. Its `meta` is what the model file says about the table.
        name: what messages call the model, such as its path.
        target: the target: its name, and its classes, or its mean and scale.
        preprocessing: how columns become features.
        options: the options of the table that it was trained on.
        fingerprint: a digest of the table that it was trained on.
        history: the `gpunn.History` of the training; None for a loaded model.
        held_out: the examples that it was tested on; None for a loaded model, and if there are none.
        constant: the best constant prediction in training, to compare with; None for a loaded model.
    """

    network: Network
    name: str
    target: Target
    preprocessing: Preprocessing
    options: TableOptions
    fingerprint: str
    history: History | None = None
    held_out: TableExamples | None = None
    constant: float | None = None

    @classmethod
    def of(
        cls,
        name: object,
        network: Network,
        history: History | None = None,
        held_out: TableExamples | None = None,
        constant: float | None = None,
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
        return cls(network, str(name), target, fitted, options, digest, history, held_out, constant)

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
        """The measures and the baseline of each fold of cross-validation."""
        return list(self.network.meta.get("folds", []))

    @property
    def cv(self) -> dict[str, Any] | None:
        """The results of cross-validation: `mean`, `std` and `baseline`, and the `folds`; None without it."""
        return summarise_folds(self.folds) if self.folds else None

    def predict(
        self, data: Any, *, delimiter: str | None = None, header: bool | None = None, device: str = "cpu"
    ) -> np.ndarray:
        """Predict the target (m,) of each row of a table: labels, or numbers in the target's units.

        Labels are strings, numbers or truth values, as in the table that was trained on.

        Raises ValueError if a column is missing or holds something else than in training.
        """
        outputs = self._outputs(data, Format(delimiter, header), device)
        return self.target.decoded_labels(self.target.decode(self.network, outputs))

    def predict_proba(
        self, data: Any, *, delimiter: str | None = None, header: bool | None = None, device: str = "cpu"
    ) -> np.ndarray:
        """Predict the probability (m, n_classes) of each class for each row of a table.

        Raises ValueError as `predict` does, and for regression or outputs that are not probabilities.
        """
        outputs = self._outputs(data, Format(delimiter, header), device)
        p = self.target.probabilities(self.network, outputs)
        if p is None:
            raise ValueError(f"{self.name} predicts no probabilities: {self.target.describe()}")
        return p.T

    def evaluate(
        self,
        data: Any = None,
        *,
        delimiter: str | None = None,
        header: bool | None = None,
        device: str = "cpu",
    ) -> dict[str, Any]:
        """Measure the model on a table with the target, or on the rows held out from training.

        Returns `examples`, their number; `loss`; `accuracy`, or `rmse`, `mae` and `r2`; for classes the
        `confusion_matrix` and the precision, recall and F1 of each of the `classes`; and `baseline`, the
        measures of the best constant prediction, if the training rows are known.

        Raises ValueError as `predict` does, and if no rows were held out, as with cross-validation.
        """
        constant = self.constant
        if data is None and self.held_out:
            examples = self.held_out
        else:
            _, examples, known = self.examples(data, Format(delimiter, header), _warn)
            constant = known if constant is None else constant
        result = {"examples": len(examples.y), **self.measure(examples, device)}
        if constant is not None:
            result["baseline"] = measure_constant(self.target, examples.y, constant)
        return result

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model file, which `load_model`, `gpunn predict` and `gpunn evaluate` read."""
        self.network.save(path)

    # what the command line uses, too

    def _outputs(self, data: Any, format: Format, device: str) -> np.ndarray:
        table, _ = self.read(data, format, with_target=False)
        X, unknown = self.preprocessing.apply(table, table.rows)
        if unknown:
            _warn(describe_unknown(unknown))
        return self.network.forward(X, device=device)

    def read(self, data: Any, format: Format, with_target: bool) -> tuple[Table, list[str]]:
        """Read the columns that the network needs. Also return the names of unexpected columns."""
        if format.header is None:
            format = replace(format, header=self.options.header)
        target = self.target if with_target else None
        source = open_table(data, format)
        table, extra = read_for(self.preprocessing, target, source, self.network.dtype)
        known = {self.target.name, *self.preprocessing.dropped, *self.options.ignore}
        return table, [name for name in extra if name not in known]

    def examples(
        self, data: Any, format: Format, say: Callable[[str], None]
    ) -> tuple[str, TableExamples, float | None]:
        """Return the examples to evaluate on, what to call them, and the best constant prediction if known.

        data: a table; None for the one that the model was tested on in training. say: takes remarks.
        """
        if data is None and not self.options.test:
            return self._held_out_again(say)
        if data is None:
            data, format = (
                self.options.test,
                replace(format, delimiter=format.delimiter or self.options.delimiter),
            )
            self._check_kept(self.options.test)
        table = self._read_target(data, format, say)
        return table.name, examples_of(self.preprocessing, self.target, table), None

    def _held_out_again(self, say: Callable[[str], None]) -> tuple[str, TableExamples, float | None]:
        """Read the table that the model was trained on, and return its held-out rows."""
        if self.options.cv:
            raise ValueError(
                f"{self.name} was trained on all rows of its table; name another table to evaluate it on"
            )
        name = self.network.meta["dataset"]
        self._check_kept(name)
        table = self._read_target(Path(name), self.options.format(name), say)
        found = examples_of(self.preprocessing, self.target, table)
        if table.source.fingerprint() != self.fingerprint:
            say(
                f"{name} has changed since training: its held-out rows are unknown, so all rows are evaluated"
            )
            return name, found, None
        held = held_out_rows(found.y, self.target, self.options, self.settings.seed)
        constant = self.target.constant(np.delete(found.y, held))
        return f"held-out rows of {name}", replace(found, X=found.X[:, held], y=found.y[held]), constant

    def _check_kept(self, name: str | None) -> None:
        if name == IN_MEMORY:
            raise ValueError(f"{self.name} was tested on data in memory; name a table to evaluate it on")

    def _read_target(self, data: Any, format: Format, say: Callable[[str], None]) -> Table:
        table, ignored = self.read(data, format, with_target=True)
        if ignored:
            say(describe_ignored(table, ignored))
        return table

    def measure(self, examples: TableExamples, device: str) -> dict[str, Any]:
        """Return the loss, the measures, and for classes the confusion matrix and more."""
        outputs, measures = evaluate(self.target, self.network, examples.X, examples.y, device)
        return measures | self.target.details(examples.y, self.target.decode(self.network, outputs))


def load_model(path: str | os.PathLike[str]) -> TableModel:
    """Load a model that was trained on a table, by `gpunn.tables.train` or `gpunn train`.

    path: the model file, or the folder of a run.

    Raises ValueError if the file is missing or damaged, or its network was not trained on a table.

    >>> flips = {"x": [1.5, 2.5] * 20, "y": ["heads", "tails"] * 20}
    >>> model = gpunn.tables.train(flips, epochs=1, device="cpu")
    >>> model.save("model.safetensors")
    >>> again = gpunn.tables.load_model("model.safetensors")
    >>> np.array_equal(again.predict(flips), model.predict(flips))
    True
    """
    net = Network.load(path)
    check_meta(Path(path), net.meta)
    if "table" not in net.meta:
        raise ValueError(f"{path} was not trained on a table; load it with gpunn.Network.load")
    return TableModel.of(path, net)


def describe_unknown(unknown: Mapping[str, int]) -> str:
    """Say how many values are of categories that were not there in training."""
    counts = ", ".join(f"{name} {count:,}" for name, count in unknown.items())
    return f"values of categories that were not in the training data: {counts}"


def describe_ignored(table: Table, names: list[str]) -> str:
    return f"{table.name}: ignored columns: {listed(names)}"


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=4)
