"""Outputs must be finite numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_network import X, Y, small

from gpunn import Dense, Network


@pytest.mark.parametrize("too_large", ["X", "weights"])
def test_outputs_that_are_not_finite_are_refused(too_large: str) -> None:
    net, examples = Network(5, [Dense(4, "relu"), Dense(3, "identity")], seed=0), X.copy()
    if too_large == "X":
        examples[2, 5] = 1e300
    else:
        net.weights[1][0, 0] = np.nan
    why = "X is too large" if too_large == "X" else "the network's weights are not, either"
    for predict in (net.predict, net.forward, lambda x: net.examine(x, Y)):
        with pytest.raises(ValueError, match=f"the outputs are not finite numbers: {why}"):
            predict(examples)


@pytest.mark.parametrize("huge", [1e308, np.float32(3e38), np.float16(6e4)])
def test_a_sum_of_X_that_overflows_is_no_error(huge: Any) -> None:
    small().forward(np.full((5, 40), huge, np.result_type(huge)))
