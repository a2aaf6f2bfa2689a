"""The hinge cost of a support-vector machine, which depends on the whole column of outputs."""

from __future__ import annotations

from functools import partial

import numpy as np

from gpunn.functions.calls import Array, Calls, constant
from gpunn.functions.costs.cost import Cost


def _margins(a: Array, y: Array, out: Array) -> Calls:
    """aⱼ − a_y + 1 for every class j ≠ y, and 0 for the class y itself; y one-hot.

    A single output above 0 means class 1; its margin is 1 − y± a with y± = 2y − 1.
    """
    one = constant(a, 1)
    if len(a) == 1:
        return [*_sign(y, out), partial(np.multiply, out, a, out), partial(np.subtract, one, out, out)]
    row = np.empty((1, a.shape[1]), a.dtype)
    return [
        partial(np.multiply, a, y, out),
        partial(np.add.reduce, out, 0, None, row, True),
        partial(np.copyto, out, row),
        partial(np.subtract, a, out, out),
        partial(np.add, out, one, out),
        partial(np.subtract, out, y, out),
    ]


def _sign(y: Array, out: Array) -> Calls:
    """y± = 2y − 1."""
    return [partial(np.multiply, y, constant(y, 2), out), partial(np.subtract, out, constant(y, 1), out)]


def _hinge(a: Array, y: Array, out: Array) -> Calls:
    """max(0, margin), summed over the classes j ≠ y: Weston and Watkins 1999, as in Stanford's CS231n."""
    return [*_margins(a, y, out), partial(np.maximum, out, constant(a, 0), out=out)]


def _hinge_gradient(a: Array, y: Array, out: Array) -> Calls:
    """1 for each class whose margin is above 0, and minus the number of these classes for the class y."""
    s, row = np.empty_like(a), np.empty((1, a.shape[1]), a.dtype)
    violated: Calls = [*_margins(a, y, out), partial(np.heaviside, out, constant(a, 0), out)]
    if len(a) == 1:
        return [*violated, *_sign(y, s), partial(np.multiply, out, s, out), partial(np.negative, out, out)]
    return [
        *violated,
        partial(np.add.reduce, out, 0, None, row, True),
        partial(np.copyto, s, row),
        partial(np.multiply, s, y, s),
        partial(np.subtract, out, s, out),
    ]


HINGE = Cost(
    "hinge",
    _hinge,
    _hinge_gradient,
    cuda=None,
    cuda_columns=("measure_hinge", "hinge_gradient"),
    of_labels=True,
    threshold=0,
    latex=r"\sum_{j \ne y} \max(0, a_j - a_y + 1)",
    source="Weston and Watkins 1999",
)
