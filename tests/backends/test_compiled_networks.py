"""Random networks by the compiled kernels: the bits for any number of threads, and NumPy's results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_operations import let_threads_share_everything

import gpunn
from gpunn import Dense
from gpunn.backends.host.compiled import compiler
from gpunn.core.optimizers import OPTIMIZERS

pytestmark = pytest.mark.usefixtures("kernels")

# without kinks, at which rounding decides between two derivatives
SMOOTH = ["sigmoid", "tanh", "swish", "gelu", "softplus", "identity"]
SIZES = st.sampled_from([1, 2, 9, 15, 16, 17, 33, 64, 70, 130])
ENDS = [("softmax", "cross-entropy"), ("sigmoid", "binary-cross-entropy"), ("identity", "quadratic")]


def layers(activations: Any, batch_norm: Any) -> Any:
    """Return a strategy for hidden layers."""
    dropout = st.sampled_from([0.0, 0.0, 0.3])
    return st.lists(
        st.builds(Dense, SIZES, st.sampled_from(activations), dropout=dropout, batch_norm=batch_norm),
        max_size=3,
    )


@dataclass
class Problem:
    """A network, and how it learns what."""

    n_in: int
    hidden: list[Dense]
    n_out: int
    end: tuple[str, str]
    m: int
    batch_size: int
    dtype: str
    rule: str
    decay: dict[str, float | None]
    weighted: bool

    def learn(self, dtype: str, threads: int | None = None) -> np.ndarray:
        """Train the network; return θ and its losses."""
        rng, (output, cost) = np.random.default_rng(self.m), self.end
        X = (rng.random((self.n_in, self.m)) * 255).astype(self.dtype)
        y = (
            rng.random((self.n_out, self.m))
            if output == "identity"
            else rng.integers(0, max(2, self.n_out), self.m)
        )
        net = gpunn.Network(self.n_in, [*self.hidden, Dense(self.n_out, output)], cost, 0, dtype)
        history = net.fit(
            X if self.dtype == "uint8" else X / 255,
            y,
            epochs=2,
            batch_size=self.batch_size,
            optimizer=OPTIMIZERS[self.rule](0.001, **self.decay),
            sample_weight=rng.random(self.m) if self.weighted else None,
            validation=(X if self.dtype == "uint8" else X / 255, y),
            device="cpu",
            threads=threads,
        )
        return np.array([*net.theta, *(x for r in history.records for x in (r.loss, r.validation_loss))])


def problems(activations: Any, rules: Any, batch_norm: Any) -> Any:
    """Return a strategy for problems."""
    decay = {
        "l2": st.sampled_from([0.0, 0.01]),
        "l1": st.sampled_from([0.0, 0.001]),
        "max_norm": st.sampled_from([None, 2.0]),
        "clip_norm": st.sampled_from([None, 0.5]),
    }
    return st.builds(
        Problem,
        n_in=st.sampled_from([1, 2, 5, 16, 17, 64, 257, 300, 513]),
        hidden=layers(activations, batch_norm),
        n_out=st.sampled_from([2, 5, 10, 70]),
        end=st.sampled_from(ENDS),
        m=st.sampled_from([5, 20, 75, 130]),
        batch_size=st.sampled_from([3, 16, 33, 64, 100]),
        dtype=st.sampled_from(["uint8", "float32", "float64"]),
        rule=st.sampled_from(rules),
        decay=st.fixed_dictionaries(decay),
        weighted=st.booleans(),
    )


@pytest.mark.filterwarnings("ignore:the validation loss is")  # exp diverges
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=25)
@given(problem=problems(list(gpunn.ACTIVATIONS), list(OPTIMIZERS), st.booleans()), threads=st.integers(2, 6))
def test_bits_do_not_depend_on_threads(problem: Problem, threads: int, dtype: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        let_threads_share_everything(patch)
        try:
            one = problem.learn(dtype, 1)
        except gpunn.training.loop.Diverged:
            return
        np.testing.assert_array_equal(one, problem.learn(dtype, threads))


@settings(max_examples=25)
@given(problem=problems(SMOOTH, [rule for rule in OPTIMIZERS if rule != "lion"], st.just(False)))
def test_agrees_with_numpy(problem: Problem) -> None:
    compiled = problem.learn("float64")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(compiler.VARIABLE, "0")
        np.testing.assert_allclose(compiled, problem.learn("float64"), rtol=1e-9, atol=1e-9)
