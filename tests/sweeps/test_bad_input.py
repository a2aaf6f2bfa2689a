"""One line for what a sweep cannot do, before anything trains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sweeping import X, sweep

import gpunn
from gpunn.training import loop

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt setting": ({"grid": {"learning_rat": [1]}}, "did you mean 'learning_rate'"),
    "an option of all": ({"grid": {"device": ["cpu"]}}, "device cannot vary: pass device=… to sweep"),
    "the seeds": ({"grid": {"seed": [1]}}, "seed cannot vary in the grid: pass it to sweep"),
    "a number": ({"grid": {"l2": 0.1}}, "l2 must be a list of values, not 0.1"),
    "a text": ({"grid": {"activation": "relu"}}, "activation must be a list"),
    "no values": ({"grid": {"l2": []}}, "l2 has no values"),
    "no combinations": ({"grid": []}, "grid has no combinations"),
    "no splits": ({"folds": []}, "folds has no splits"),
    "no dictionary": ({"grid": ["l2"]}, "grid must be a dictionary or a list of dictionaries"),
    "no sizes": (
        {"grid": {"hidden": [None]}},
        r"hidden must be sizes of layers, such as \(30, 20\), not None",
    ),
    "later ones": ({"grid": {"label_smoothing": [0, 2]}}, r"label_smoothing must be in \[0, 1\), not 2"),
    "a distribution": ({"grid": {"l2": stats.uniform()}}, "l2 is a distribution: pass n"),
    "n": ({"n": 0}, "n must be a whole number of at least 1"),
    "out of range": ({"grid": {"learning_rate": [0.1, -1]}}, r"learning_rate must be above 0, not -1"),
    "which": ({"grid": {"dropout": [2]}}, r"dropout must be in \[0, 1\), not 2 \(dropout 2\)"),
    "other constants": ({"grid": {"beta1": [0.9]}}, "beta1 applies to adam, adamw, lion, not to sgd"),
    "an activation": ({"grid": {"activation": ["relo"]}}, "did you mean 'relu'"),
    "an optimizer": ({"optimizer": "adamm"}, "did you mean 'adam'"),
    "a schedule": ({"grid": {"schedule": ["cosin"]}}, "did you mean 'cosine'"),
    "epochs": ({"epochs": 0}, "epochs must be a whole number"),
    "rows": ({"X": X.T}, r"X is \(60, 5\) and y \(60,\): transpose X, since its columns are the examples"),
    "folds": ({"folds": 1}, "folds must be at least 2"),
    "too many folds": ({"folds": 61}, "folds=61 needs at least 61 examples, but there are 60"),
    "more folds than of a class": ({"folds": 50}, "folds=50: n_splits=50 cannot be greater"),
    "validation with folds": ({"folds": 2, "validation": 0.1}, "pass folds or validation, not both"),
    "splits": ({"folds": [([0, 1], [99])]}, r"a split must be two arrays of indices in 0…59"),
    "no seeds": ({"seeds": 0}, "seeds must be a count, or whole numbers"),
    "negative seeds": ({"seeds": [-1]}, "seeds must be a count, or whole numbers"),
    "equal seeds": ({"seeds": [1, 1]}, "seeds must be distinct"),
    "a metric": ({"metric": "lost"}, "did you mean 'loss'"),
    "not measured": ({"metric": "validation_loss"}, "validation_loss is not measured: choose from"),
    "halving": ({"halving": 1}, "factor must be a whole number of at least 2"),
    "halved epochs": ({"halving": 2, "grid": {"epochs": [1, 2]}}, "epochs cannot vary with successive"),
    "resume": ({"resume": True}, "resume needs the folder of the sweep: pass checkpoint=FOLDER"),
    "a callback": ({"on_epoch_end": print}, "on_epoch_end is an option for one network.*on_network_end"),
    "X": ({"X": X[0]}, r"X must be \(n_0, m\)"),
    "y": ({"y": np.arange(60)}, "labels must be in 0…2"),
    "no y": ({"y": None}, "a sweep needs X and y"),
    "NaN": ({"X": np.where(np.arange(60) == 7, np.nan, X)}, r"X\[0, 7\] is nan"),
    "layers": ({"layers": [3]}, "a layer must be a Dense"),
    "no layers": ({"layers": []}, "at least one layer"),
    "stopping": ({"stop": gpunn.EarlyStopping()}, "validation_loss is not measured"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_it_is_one_line(arguments: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop.Training, "run", lambda *_: pytest.fail("something was trained"))
    with pytest.raises(ValueError, match=message) as error:
        sweep(**arguments)
    assert "\n" not in str(error.value)


def test_an_unknown_option_has_the_nearest_match() -> None:
    with pytest.raises(TypeError, match="did you mean 'epochs'"):
        sweep(epoch=3)


def test_if_every_network_fails_the_error_is_raised() -> None:
    with pytest.raises(RuntimeError, match="no network could be trained: no score today"):
        sweep(validation=0.2, score=_fail)


def _fail(outputs: np.ndarray) -> float:
    raise ValueError("no score today")
