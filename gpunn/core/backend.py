"""What a backend is: storage, and one verb for each line of mathematics.

A verb takes buffers and returns *bound calls*: all checks, layouts and choices are made when it is
called, once; running the calls allocates nothing and checks nothing. Matrices are (n, m), column-major,
an example a column. The types of arrays are the backend's own; only `upload` and `download` know NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from gpunn.core.parameters import Layout, Parameters
from gpunn.core.rates import Rates, Scalar
from gpunn.functions.activations import Activation
from gpunn.functions.augmentation import Augmentation
from gpunn.functions.calls import Calls
from gpunn.functions.costs import Cost

UINT8_SCALE = 1 / 255  # bytes are pixels
NORM_EPSILON = 1e-5  # added to the variance
NORM_MOMENTUM = 0.1  # what a mini-batch counts in the running mean and variance


class BackendError(RuntimeError):
    """A device that cannot be had, or cannot do what is asked; one line that says why."""


@dataclass
class Examples:
    """A data set where the backend wants it: X (n_0, m), and either labels (m,) or targets (n_L, m).

    smoothing: ε, by which the labels' targets are smoothed. weights (1, m): of the examples, if any.
    """

    X: Any
    labels: Any = None
    targets: Any = None
    smoothing: float = 0.0
    weights: Any = None

    def on_and_off(self, n_out: int) -> tuple[float, float]:
        """The target of an example's class and of the others: (1 − ε) one-hot + ε / classes.

        Szegedy et al. 2016, section 7. A single output has two classes.
        """
        epsilon = float(self.smoothing)
        share = epsilon / max(n_out, 2)
        return 1 - epsilon + share, share


@dataclass
class Pass:
    """One pass over m examples: their order, how far it has come, each one's loss and hit in that order;
    which step it is, each step's learning rate under a schedule, and the key of its random numbers."""

    order: Any
    losses: Any
    hits: Any
    position: Any
    step: Any
    etas: Any
    key: Any


RULES = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")


@dataclass(frozen=True)
class Rule:
    """How each element of θ moves along its gradient: what a backend needs to know that does whole steps.

    name: one of RULES. states: flat arrays like θ. numbers: μ, or ρ and ε, or β₁, β₂ and ε. eta: η. l2, l1: λ
    of the weights' terms. steps: Adam's count of them.
    """

    name: str
    states: tuple[Any, ...]
    numbers: tuple[float, ...]
    eta: Scalar
    l2: float
    l1: float
    steps: Any


class Gathered(Protocol):
    """Consecutive mini-batches side by side: their sizes, inputs, targets, weights if any, and outputs."""

    batches: Sequence[int]
    x: Any
    y: Any
    weights: Any
    z: Any
    a: Any


class Backend(Protocol):
    """Where and how the equations are computed."""

    name: str
    description: str
    dtype: np.dtype[Any]
    chunk_bytes: int  # of inputs that are best gathered together,
    chunk_steps: int  # in so many mini-batches at most
    runs_ahead: bool  # a plan that was run may still be at work

    def plan(self, calls: Calls) -> Calls:
        """What runs these bound calls, in the way that is quickest to run again and again."""

    # storage
    def upload(self, array: np.ndarray) -> Any: ...
    def download(self, array: Any) -> np.ndarray: ...
    def matrix(self, n: int, m: int) -> Any: ...
    def operand(self, n: int, m: int) -> Any:
        """A matrix that products read, perhaps of fewer bits."""

    def inputs(self, examples: Examples, m: int, dropout: float) -> Any:
        """A buffer for m columns of those examples as a[0], which the first layer multiplies.

        What is kept of a under dropout counts 1/(1 − dropout) in the products that read it.
        """

    def hidden(self, n: int, m: int, over: Any, dropout: float) -> Any:
        """A buffer for a[l], which the next layer multiplies, likewise; it may share `over`'s memory."""

    def outputs(self, n: int, m: int, over: Any) -> Any:
        """A buffer for a[L], likewise, which no layer multiplies."""

    def columns(self, buffer: Any, start: int, stop: int) -> Any:
        """A view of those columns of any of these."""

    def label_buffer(self, m: int) -> Any:
        """A buffer for the labels of m examples."""

    def parameters(self, layout: Layout) -> Parameters:
        """Zeros in θ's layout."""

    def borrow(self, theta: Parameters) -> Parameters:
        """NumPy's θ of the same dtype, to be read and not written; it may share its memory."""

    def norm(self, n: int, m: int, by_batch: bool) -> Any:
        """What a batch normalisation of (n, m) remembers for its way back: by the mini-batch, or as fixed."""

    def numbers(self, n: int) -> Any:
        """n zeros in float64."""

    def examples(
        self,
        X: np.ndarray,
        labels: np.ndarray | None,
        targets: np.ndarray | None,
        smoothing: float = 0.0,
        weights: np.ndarray | None = None,
    ) -> Examples: ...
    def refill(
        self,
        examples: Examples,
        X: np.ndarray,
        labels: np.ndarray | None,
        targets: np.ndarray | None,
        weights: np.ndarray | None,
    ) -> None:
        """Other examples of the same shapes and types in their place."""

    def new_pass(self, m: int) -> Pass:
        """A pass over m examples as they lie."""

    def begin(self, p: Pass, order: np.ndarray, etas: np.ndarray | None = None, key: int = 0) -> None:
        """Start the pass again: with this order of the examples, learning rate of each step, and key."""

    def expect(self, p: Pass, order: np.ndarray, key: int) -> None:
        """What the pass will begin with next, most likely: a device can have it before the pass is over."""

    def rates(self, eta: float) -> Rates:
        """The scalars that follow the learning rate."""

    def results(self, p: Pass) -> tuple[np.ndarray, np.ndarray]:
        """The pass's losses (m,) and hits (m,), read back."""

    def copy(self, array: Any, *, into: Any = None) -> Any:
        """A copy of a flat array, in new memory or into an array like it."""

    def restore(self, values: np.ndarray, *, into: Any) -> None:
        """What `download` gave for a flat array, back into one like it, to the bit."""

    def all_steps(
        self,
        theta: Parameters,
        f: Sequence[Activation],
        cost: Cost,
        rule: Rule,
        chunk: Gathered,
        p: Pass,
        scheduled: bool,
    ) -> Calls | None:
        """All steps of mini-batches of one size, and a last one that may be shorter, in a way of the
        backend's own; None where the verbs, step by step, are as good. No layer has dropout or is normalised.

        f: of the layers 1…L. scheduled: each step takes its learning rate from the pass.
        """

    # verbs
    def narrow(self, theta: Parameters) -> Calls:
        """θ has moved: anew what `feed` and `hidden_error` read of it, if that is a copy of fewer bits."""

    def gather(
        self, examples: Examples, p: Pass, *, x: Any, y: Any, labels: Any, weights: Any = None
    ) -> Calls:
        """The next columns of X, their targets, and their weights if they have any."""

    def distort(self, augmentation: Augmentation, x: Any, p: Pass) -> Calls:
        """x (n_0, m) ← what the pass shows of these images, in place."""

    def feed(self, theta: Parameters, layer: int, f: Activation, a: Any, *, z: Any, out: Any) -> Calls:
        """z = w a + b, and the next layer's a = f(z), which may overwrite it."""

    def affine(self, theta: Parameters, layer: int, a: Any, *, out: Any) -> Calls:
        """z = w a + b."""

    def normalize(self, theta: Parameters, layer: int, norm: Any, *, out: Any) -> Calls:
        """z ← γ (z − μ)/√(σ² + ε) + β, in place, with μ and σ² of each row over the mini-batch, which also
        move the running ones; or with the running ones. Ioffe and Szegedy 2015, algorithms 1 and 2."""

    def norm_error(
        self, norm: Any, alpha: Scalar, beta: Scalar, *, out: Any, into: Parameters, layer: int
    ) -> Calls:
        """Back through it, in place: δ ← γ/√(σ² + ε) (δ − mean δ − ẑ mean(δ ẑ)), or without the means;
        [γ β] of `into` ← alpha · [Σ δ ẑ, Σ δ] + beta · [γ β]."""

    def activate(self, f: Activation, z: Any, *, out: Any) -> Calls:
        """a = f(z)."""

    def output_error(self, cost: Cost, f: Activation, z: Any, a: Any, y: Any, *, out: Any) -> Calls:
        """BP1: delta = ∇ₐC ⊙ f′(z)."""

    def weigh(self, weights: Any, delta: Any) -> Calls:
        """delta[:, j] ← weights[j] · delta[:, j]."""

    def drop(self, a: Any, mask: Any, rate: float, layer: int, p: Pass) -> Calls:
        """mask ← 0 with probability `rate`, else 1; a ← a ⊙ mask. Inverted dropout: see `inputs`."""

    def hidden_error(
        self, theta: Parameters, layer: int, delta: Any, f: Activation, z: Any, a: Any, mask: Any, *, out: Any
    ) -> Calls:
        """BP2: out = (wᵀ delta) ⊙ f′(z), and ⊙ mask/(1 − rate) where a was dropped."""

    def gradient(
        self, delta: Any, a: Any, alpha: Scalar, beta: Scalar, *, into: Parameters, layer: int
    ) -> Calls:
        """BP3, BP4: [w b] of `into` ← alpha · delta [a; 1]ᵀ + beta · [w b]."""

    def measure(self, cost: Cost, f: Activation, z: Any, a: Any, y: Any, labels: Any, p: Pass) -> Calls:
        """Each example's loss and hit, into the pass."""

    def weigh_losses(self, weights: Any, p: Pass) -> Calls:
        """Each example's loss in the pass ← its weight · its loss."""

    def collect(self, a: Any, p: Pass, *, into: Any) -> Calls:
        """The outputs a, into the columns of `into` that the pass has come to."""

    def advance(self, p: Pass, m: int) -> Calls:
        """The pass has come m examples further."""

    def follow(self, rates: Rates, p: Pass) -> Calls:
        """η of the pass's step, into all that follow it."""

    def next_step(self, p: Pass) -> Calls:
        """The pass has come a step further."""

    def add(self, alpha: Scalar, x: Any, *, into: Any) -> Calls:
        """into ← into + alpha x, for vectors."""

    def scale(self, alpha: Scalar, x: Any) -> Calls:
        """x ← alpha x, for a vector."""

    def adam(
        self,
        theta: Any,
        g: Any,
        m: Any,
        v: Any,
        eta: Scalar,
        beta1: float,
        beta2: float,
        epsilon: float,
        steps: Any,
    ) -> Calls:
        """One step of Adam over vectors, which may overwrite g; `steps`[0] of 3 counts them."""

    def rms(self, theta: Any, g: Any, v: Any, eta: Scalar, rho: float, epsilon: float) -> Calls:
        """One step of RMSProp over vectors."""

    def shrink(self, limit: Scalar, x: Any) -> Calls:
        """x ← x − min(max(x, −limit), limit), for a vector: towards 0 by the limit, and not beyond it."""

    def clip(self, limit: float, x: Any) -> Calls:
        """x ← x · min(1, limit/‖x‖), for a vector."""

    def bound_rows(self, limit: float, w: Any) -> Calls:
        """Each row of w to a length of at most the limit."""
