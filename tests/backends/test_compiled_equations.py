"""The compiled kernels: networks whose steps are programs and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from networks import equations_of
from scipy import sparse

import gpunn
from gpunn import Dense
from gpunn.backends import Host
from gpunn.backends.host.compiled import compiler, operations
from gpunn.backends.host.compiled.library import Kernels
from gpunn.backends.host.context import Context
from gpunn.backends.host.memory import SparseColumns
from gpunn.core.pass_equations import Gather

pytestmark = pytest.mark.usefixtures("kernels")

M, BATCH = 75, 33  # the last mini-batch is short
RNG = np.random.default_rng(0)
X, LABELS, NUMBERS = RNG.random((41, M)), RNG.integers(0, 5, M), RNG.standard_normal((5, M))


@dataclass(frozen=True)
class Case:
    """A network and how it learns."""

    layers: list[Dense]
    targets: np.ndarray = field(default_factory=lambda: LABELS)
    optimizer: Any = field(default_factory=lambda: gpunn.SGD(0.1))
    network: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    X: Any = field(default_factory=lambda: X)

    def learn(self, dtype: str) -> list[np.ndarray]:
        """Train the network; return its parameters and the loss of each epoch."""
        net = gpunn.Network(self.X.shape[0], self.layers, seed=0, dtype=dtype, **self.network)
        history = net.fit(
            self.X,
            self.targets,
            epochs=3,
            batch_size=BATCH,
            optimizer=self.optimizer,
            device="cpu",
            **self.fit,
        )
        return [net.theta.flat, np.array([record.loss for record in history.records])]


def distorted(*limits: float) -> dict[str, Any]:
    """Return how images are distorted."""
    return {"augmentation": gpunn.Augmentation((9, 13), *limits)}


OUT = Dense(5, "softmax")
NORMED = [Dense(100, "relu", batch_norm=True), Dense(9, "swish", batch_norm=True, dropout=0.3), OUT]
THIN = sparse.random_array((400, M), density=0.03, format="csc", rng=RNG)
IMAGES = RNG.integers(0, 256, (117, M)).astype(np.uint8)
HIDDEN = [Dense(101, "tanh"), Dense(9, "relu"), OUT]
CASES = {
    "dropout": Case([Dense(37, "relu", dropout=0.5), Dense(8, "tanh", dropout=0.2), OUT]),
    "normalised": Case(NORMED),
    "normalised, Nesterov": Case(NORMED, optimizer=gpunn.SGD(0.1, 0.9, nesterov=True)),
    "clipped": Case(HIDDEN, optimizer=gpunn.SGD(0.1, 0.9, clip_norm=0.1)),
    "never clipped": Case(HIDDEN, optimizer=gpunn.Adam(0.01, clip_norm=100.0)),
    "max-norm": Case(HIDDEN, optimizer=gpunn.SGD(0.1, max_norm=1.0)),
    "max-norm and L1": Case(HIDDEN, optimizer=gpunn.Adam(0.01, max_norm=1.0, l1=1e-3)),
    "hidden softmax": Case([Dense(37, "softmax", dropout=0.3), Dense(9, "softmax", batch_norm=True), OUT]),
    "smoothed": Case(HIDDEN, fit={"label_smoothing": 0.1}),
    "unpaired softmax": Case(HIDDEN, network={"cost": "quadratic"}),
    "hinge": Case([Dense(9, "tanh"), Dense(5, "identity")], network={"cost": "hinge"}),
    "hinge of one output": Case([Dense(9, "tanh"), Dense(1, "tanh")], LABELS > 2, network={"cost": "hinge"}),
    "quantiles": Case([Dense(9, "tanh"), Dense(5, "identity")], NUMBERS, network={"cost": "quantiles(0.8)"}),
    "quantile": Case([Dense(9, "tanh"), Dense(5, "identity")], NUMBERS, network={"cost": "quantile(0.8)"}),
    "huber": Case([Dense(9, "tanh"), Dense(5, "identity")], NUMBERS, network={"cost": "huber(0.7)"}),
    "log-cosh": Case([Dense(9, "softplus"), Dense(5, "identity")], NUMBERS, network={"cost": "log-cosh"}),
    "poisson": Case([Dense(9, "elu"), Dense(5, "exp")], NUMBERS**2, network={"cost": "poisson"}),
    "sigmoids": Case([Dense(9, "gelu"), Dense(5, "sigmoid")], network={"cost": "binary-cross-entropy"}),
    "weighted": Case(HIDDEN, fit={"sample_weight": RNG.random(M)}),
    "weighted numbers": Case([Dense(5, "identity")], NUMBERS, fit={"sample_weight": RNG.random(M)}),
    "few sparse": Case(HIDDEN, X=THIN.astype(np.float32), optimizer=gpunn.SGD(0.1, 0.9, l2=1e-3)),
    "few sparse bytes": Case(HIDDEN, X=(100 * THIN).astype(np.uint8)),
    "few sparse, normalised": Case(NORMED, X=THIN, optimizer=gpunn.SGD(0.1)),
    "few sparse integers": Case(HIDDEN, X=(9 * THIN).astype(np.int32)),
    "few sparse booleans": Case(HIDDEN, X=THIN > 0.5),
    "integers": Case(HIDDEN, X=(9 * X).astype(np.int64), optimizer=gpunn.SGD(0.01)),
    "booleans": Case(HIDDEN, X=X > 0.5),
    "bent images": Case(HIDDEN, X=IMAGES, fit=distorted(2, 30, 0.2, 20, 3)),
    "turned images": Case(HIDDEN, X=IMAGES, fit=distorted(20, 180)),
    "numbers of few sparse": Case([Dense(9, "tanh"), Dense(5, "identity")], NUMBERS, X=THIN),
    "many sparse": Case(HIDDEN, X=sparse.csc_array(X * (X > 0.8))),
    "input dropout": Case([Dense(37, "relu"), OUT], network={"input_dropout": 0.2}),
}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_numpy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways learn the same but for rounding."""
    compiled = CASES[name].learn("float64")
    monkeypatch.setenv(compiler.VARIABLE, "0")
    for mine, theirs in zip(compiled, CASES[name].learn("float64"), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_bits_do_not_depend_on_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of threads learns the same bits."""
    monkeypatch.setattr(operations, "WORTH_SHARING", 1)
    found = []
    for threads in (1, 2, 3, 5):
        fixed = property(lambda _, n=threads: n, lambda *_: None)
        monkeypatch.setattr(Kernels, "threads", fixed, raising=False)
        found.append(CASES[name].learn("float32"))
    for other in found[1:]:
        for mine, theirs in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("X", [X, THIN], ids=["dense", "sparse"])
def test_own_activation_is_all_that_is_left_to_numpy(X: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer's products are computed by kernels up to f and f′, of sparse examples, too."""
    own = gpunn.Activation.from_functions(lambda z: z**2, lambda z: 2 * z)
    case = Case([Dense(9, own, dropout=0.2), Dense(7, own, batch_norm=True), OUT], X=X)
    with monkeypatch.context() as patch:
        patch.setattr(Context, "product", None)  # BLAS computes none
        compiled = case.learn("float64")
    monkeypatch.setenv(compiler.VARIABLE, "0")
    for mine, theirs in zip(compiled, case.learn("float64"), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_is_one_program(name: str) -> None:
    """A chunk of steps is a single call."""
    case, be = CASES[name], Host("float64")
    net = gpunn.Network(case.X.shape[0], case.layers, seed=0, dtype="float64", **case.network)
    how = {name: value for name, value in case.fit.items() if name == "augmentation"}
    (program,) = be.plan(equations_of(net, case.optimizer, 2 * BATCH, BATCH, be, **how))
    assert isinstance(program, operations.Program)


@pytest.mark.parametrize(
    "X", [THIN, THIN.astype(np.int64), THIN.toarray(), X > 0.5], ids=["thin", "int64", "dense", "bool"]
)
def test_examples_are_gathered_by_operations(X: Any) -> None:
    """Sparse examples, too, need no NumPy."""
    be = Host("float32")
    examples, p = be.data.examples(X, LABELS, None), be.data.new_pass(M)
    x, y, labels = be.memory.inputs(examples, 8, 0.0), be.memory.matrix(5, 8), be.memory.labels(8)
    assert isinstance(be.plan([Gather(examples, p, x, y, labels)])[0], operations.Program)
    assert isinstance(x, SparseColumns) == sparse.issparse(X)
