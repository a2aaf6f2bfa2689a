"""The description of a run, which must be equal for a checkpoint to be resumed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from gpunn.core import optimizers
from gpunn.core.backend import CPU
from gpunn.core.inputs import CheckedExamples, ClassWeight, dense, is_sparse
from gpunn.names import counted
from gpunn.training import schedules
from gpunn.training.fit_options import FitOptions, Validation
from gpunn.training.history import observes
from gpunn.training.schedules import Schedule
from gpunn.training.trainable import Trainable

HASHED = 1 << 24  # bytes at a time


def describe_run(net: Trainable, given: CheckedExamples | None, options: FitOptions) -> dict[str, str]:
    """Return everything that must be the same when a run is resumed, by name.

    Checkpoints keep these names and words, so changing one makes earlier runs unresumable.
    """
    return {
        "network": repr(net),
        "first weights": ", ".join(layer.initializer for layer in net.layers),
        **({} if net.seed is None else {"seed": str(net.seed)}),  # without a seed, any will do
        "dropout": str(net.dropout),
        "batch normalisation": str(net.layout.normed),
        **_describe_data(given, options.class_weight),
        "label smoothing": str(options.label_smoothing),
        "validation": describe_validation(options.validation),
        "batch size": str(options.batch_size),
        "optimizer": describe(optimizers.get(options.optimizer)),
        "augmentation": describe(options.augmentation),
        "schedule": _describe_schedule(options.schedule, options.epochs),
        "order": describe(options.shuffle),
        "early stopping": describe(options.stop),
        "precision": options.precision or str(net.dtype),
    }


def explain_other_algorithms(there: Mapping[str, str], here: Mapping[str, str]) -> str | None:
    """Say that the run so far was computed in another way; None if it was not.

    A product that only one of the two knows does not count.
    """
    before, now = there.get(CPU), here.get(CPU)
    if before and now and before != now:
        return (
            f"the run so far was computed by {before}, and goes on with {now}, so the result may differ in "
            "the last bits from that of an unbroken run"
        )
    shared = there.keys() & here.keys()
    if not (others := sum(there[product] != here[product] for product in shared)):
        return None
    return (
        f"{others:,} of {counted(len(shared), 'matrix product')} use another algorithm than the run so far "
        "(another GPU, driver, library or choice), so the result will differ in the last bits from that of "
        "an unbroken run"
    )


def _describe_data(given: CheckedExamples | None, class_weight: ClassWeight | None) -> dict[str, str]:
    """Describe the examples; blocks are not known in advance."""
    if given is None:
        return {"data set": "blocks", "weights": str(class_weight)}
    X, labels, targets, weights = given.arrays()
    return {"data set": fingerprint(X, labels, targets), "weights": fingerprint(weights)}


def describe_validation(validation: Validation) -> str:
    if validation is None or isinstance(validation, float | int):
        return describe(validation)
    return fingerprint(*(validation if isinstance(validation, tuple) else [validation]))


def _describe_schedule(schedule: str | Schedule | None, epochs: int) -> str:
    """Describe a schedule, with the number of epochs if its factors depend on it."""
    follows_records = schedule is None or observes(schedules.get(schedule))
    return describe(schedule) + ("" if follows_records else f" over {epochs} epochs")


def describe(choice: Any) -> str:
    """Describe a choice in words that are the same in every process; of a function, only its type."""
    if is_dataclass(choice):
        chosen = (f"{field.name}={getattr(choice, field.name)}" for field in fields(choice) if field.init)
        return f"{type(choice).__name__}({', '.join(chosen)})"
    plain = choice is None or isinstance(choice, str | float | int)
    return str(choice) if plain else f"a {type(choice).__name__}"


def fingerprint(*arrays: Any) -> str:
    """Return the shapes, dtypes and a checksum of the arrays that are not None."""
    checksum, shapes = hashlib.blake2b(digest_size=8), []
    for array in arrays:
        if array is None:
            continue
        if is_sparse(array):
            checksum.update(fingerprint(array.data, array.indices, array.indptr).encode())
        else:
            array = dense(array)
            rows = array.T
            step = max(1, HASHED * len(rows) // max(1, rows.nbytes))
            for start in range(0, len(rows), step):
                checksum.update(np.ascontiguousarray(rows[start : start + step]).data)
        shapes.append(f"{array.dtype} {array.shape}")
    return f"{', '.join(shapes)} {checksum.hexdigest()}"
