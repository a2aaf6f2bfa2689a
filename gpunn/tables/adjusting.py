"""The temperature and the threshold of a classifier, fitted to held-out rows after training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from gpunn.functions import activations
from gpunn.functions.costs import quantiles
from gpunn.inspection.scores import fit_temperature
from gpunn.network import Network
from gpunn.predictor import Predictor
from gpunn.tables.options import BEST, TableOptions
from gpunn.tables.quantity import Quantity
from gpunn.tables.target import Classes, Target
from gpunn.training.settings import Settings

HeldOut = tuple[np.ndarray, np.ndarray]  # outputs (n_out, k), and the rows (k,) that they are for


def held_out_outputs(
    networks: Sequence[Network], seeds: Iterable[int], X: np.ndarray, rows_of: Callable[[int], object]
) -> HeldOut | None:
    """Return outputs for the training rows that were held out, and the rows; None if there are none.

    Each network predicts only rows that it was not trained on, and the outputs of several networks for a row
    are averaged.

    Args:
        networks: the networks of an ensemble, or the only network.
        seeds: their random seeds.
        X: (n_features, m), all the training rows.
        rows_of: returns the rows (k,) that were held out for a seed, or something else if there are none.
    """
    total, counts = np.zeros((networks[0].sizes[-1], X.shape[1])), np.zeros(X.shape[1], np.intp)
    for net, seed in zip(networks, seeds, strict=True):
        rows = rows_of(seed)
        if not isinstance(rows, np.ndarray):
            return None
        total[:, rows] += net.forward(np.asfortranarray(X[:, rows]))
        counts[rows] += 1
    rows = np.flatnonzero(counts)
    return total[:, rows] / counts[rows], rows


def best_threshold(y: np.ndarray, p: np.ndarray, *, balanced: bool) -> float:
    """Return the threshold for p (m,), the probability of class 1, that predicts y (m,) best.

    The best threshold has the largest F1 of the rarer class, or the largest balanced accuracy. It lies
    midway between two probabilities. It is ½ if y has only one class.
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    if y.min() == y.max():
        return 0.5
    rare = 1 if balanced or 2 * y.sum() <= len(y) else 0
    p = p.astype(np.float64) if rare else 1 - p.astype(np.float64)
    if balanced:
        false, hit, least = roc_curve(y == rare, p, drop_intermediate=False)
        score, least = (hit - false)[1:], least[1:]
    else:
        precision, recall, least = precision_recall_curve(y == rare, p)
        score = (precision * recall / np.maximum(precision + recall, 1e-300))[:-1]
    at = least[int(np.argmax(score))]
    below = p[p < at]
    middle = float((at + below.max()) / 2 if len(below) else at / 2)
    return middle if rare else 1 - middle


def adjust(
    target: Target,
    options: TableOptions,
    metric: str | None,
    net: Predictor,
    y: np.ndarray,
    held: HeldOut | None,
) -> Target:
    """Return the target with its threshold, and with a temperature that calibrates softmax's outputs.

    The intervals of a quantity are widened.

    Args:
        target: the target as it was trained.
        options: the options, which may ask for a threshold.
        metric: the measure by which early stopping chose. If it is the balanced accuracy, the threshold
            maximises it, too; otherwise the threshold maximises F1.
        net: the network that was trained.
        y: (m,), the targets of all the training rows.
        held: outputs for rows that were held out from training; None if there are none.
    """
    if not isinstance(target, Classes):
        outputs, rows = held or (None, None)
        return target if outputs is None or target.interval is None else target.widened_to(y[rows], outputs)
    if held and net.output_activation.name == "softmax":
        target = replace(target, temperature=fit_temperature(y[held[1]], held[0]))
    if options.threshold is None:
        return target
    if options.threshold != BEST:
        return replace(target, threshold=float(options.threshold))
    assert held
    outputs, rows = held
    p = target.probabilities(net, outputs)
    assert p is not None
    return replace(target, threshold=best_threshold(y[rows], p[1], balanced=metric == "balanced_accuracy"))


def before(target: Target, net: Predictor, outputs: np.ndarray, y: np.ndarray) -> dict[str, float | None]:
    """Return the log loss of outputs (n_out, m) before calibration, by its name in JSON; {} without one."""
    if not isinstance(target, Classes) or target.temperature == 1:
        return {}
    raw = replace(target, temperature=1.0).score(y, net, outputs)
    return {"uncalibrated_log_loss": raw["log_loss"]}


def check(target: Target, options: TableOptions, settings: Settings) -> None:
    """Raise ValueError if the options ask for what the target or the settings do not allow."""
    if isinstance(target, Quantity) and target.interval is not None:
        _check_interval(target.interval, settings)
    if options.threshold is None:
        return
    if not isinstance(target, Classes) or target.n_out != 2:
        what = f"has {len(target.classes):,}" if isinstance(target, Classes) else "is a number"
        raise ValueError(f"--threshold needs a target with two classes, but '{target.name}' {what}")
    output = settings.output_activation
    if output and not activations.get(output).gives_probabilities:
        raise ValueError(f"--threshold needs probabilities: choose another --output-activation than {output}")
    if options.threshold == BEST and not settings.patience:
        raise ValueError("--threshold best needs the rows that early stopping holds out: choose --patience")


def interval_cost(share: float) -> str:
    """Return the name of the cost with which the ends of intervals are trained."""
    return quantiles(share).name


def _check_interval(share: float, settings: Settings) -> None:
    if settings.cost != interval_cost(share):
        raise ValueError(f"--interval trains with the cost {interval_cost(share)}: leave out --cost")
