"""The protocol of a backend, in three small parts: memory, data, and `plan`.

`Memory` allocates and copies arrays, `Data` holds examples and passes over them, and `Backend.plan` turns
equations (see equations.py) into bound calls. All layouts and algorithms are chosen then, once; running the
calls allocates nothing and checks nothing. The types of arrays are the backend's own; only `upload` and
`download` know NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np

from gpunn.core.equations import Equation
from gpunn.core.examples import Examples, Pass
from gpunn.core.parameters import Layout, Parameters
from gpunn.core.ranks import Ranks
from gpunn.core.scalars import StepScalars
from gpunn.functions.calls import Calls

UINT8_SCALE = 1 / 255  # bytes are pixels
NORM_EPSILON = 1e-5  # added to the variance
NORM_MOMENTUM = 0.1  # weight of a mini-batch in the running mean and variance
CPU = "CPU"  # the name under which a history's algorithms say what computed on a CPU


class BackendError(RuntimeError):
    """A device that is not available or cannot do what is asked, with the reason in one line."""


class Memory(Protocol):
    """Arrays in the backend's memory."""

    dtype: np.dtype[Any]

    def upload(self, array: np.ndarray) -> Any: ...
    def download(self, array: Any) -> np.ndarray: ...
    def copy(self, array: Any, *, into: Any = None) -> Any:
        """Copy a flat array, into new memory or into an array like it."""

    def restore(self, values: np.ndarray, *, into: Any) -> None:
        """Put back what `download` returned for a flat array, bit by bit."""

    def matrix(self, n: int, m: int) -> Any: ...
    def operand(self, n: int, m: int) -> Any:
        """Allocate a matrix that products read, perhaps in lower precision."""

    def numbers(self, n: int) -> Any:
        """Allocate n zeros in float64."""

    def scalars(self, eta: float) -> StepScalars:
        """Allocate the scalars of a step, which follow the learning rate."""

    def new_parameters(self, layout: Layout, name: str = "θ") -> Parameters:
        """Allocate zeros in θ's layout."""

    def borrow(self, theta: Parameters) -> Parameters:
        """Return NumPy's θ of the same dtype, to be read and not written; it may share its memory."""

    # the buffers of a chunk (see workspace.py)

    def inputs(self, examples: Examples, m: int, dropout: float, distorted: bool = False) -> Any:
        """Allocate a[0] for m of those examples; the first layer multiplies it.

        What dropout keeps of it counts 1/(1 − dropout) in the products that read it.
        distorted: whether its images are changed after they are gathered.
        """

    def hidden(self, n: int, m: int, over: Any, dropout: float) -> Any:
        """Allocate a[l], which the next layer multiplies in the same way; it may share `over`'s memory."""

    def outputs(self, n: int, m: int, over: Any) -> Any:
        """Allocate a[L], which no layer multiplies; it may share `over`'s memory."""

    def labels(self, m: int) -> Any:
        """Allocate the labels of m examples."""

    def norm(self, n: int, m: int, by_batch: bool) -> Any:
        """Allocate what batch normalisation of (n, m) keeps for its backward pass.

        by_batch: by the mean and variance of the mini-batch, not by the running ones.
        """

    def columns(self, buffer: Any, start: int, stop: int) -> Any:
        """Return a view of some columns of any of these buffers."""


class Data(Protocol):
    """Examples, and passes over them."""

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
        """Replace the examples with others of the same shapes and dtypes."""

    def new_pass(self, m: int, steps: int | None = None, places: np.ndarray | None = None) -> Pass:
        """Allocate a pass over m examples, in their own order.

        steps: the number of learning rates that it may be given; m if None.
        places (m,): which examples these are of a pass that ranks share; None for all of them.
        """

    def start_pass(
        self, p: Pass, order: np.ndarray, etas: np.ndarray | None = None, key: int = 0, step: int = 0
    ) -> None:
        """Start the pass again, with this order of the examples, learning rate of each step, and key.

        step: the first step; it is above 0 if the pass is a later part of an epoch.
        """

    def prefetch(self, p: Pass, order: np.ndarray, key: int) -> None:
        """Send what the pass will most likely start with next, while the device is still busy."""

    def results(self, p: Pass) -> tuple[np.ndarray, np.ndarray]:
        """Read back the losses (m,) and hits (m,) of the pass."""


class Threads(Protocol):
    """The number of threads of a backend; it holds inside a `with` block."""

    def __enter__(self) -> object: ...
    def __exit__(self, *error: object) -> None: ...
    def go_on_with(self, n: int) -> int | None:
        """Use as many threads as a run so far, if they are allowed and the bits depend on it.

        Returns the number that is used, or n if the bits do not depend on it.
        """

    def take_used(self) -> int | None:
        """Return the number of threads since the last call; None if there were several that matter."""


class NoThreads(nullcontext[None]):
    """The threads of a device that has no such number."""

    def go_on_with(self, n: int) -> None:
        """Do nothing."""

    def take_used(self) -> None:
        """Return None."""


class Backend(Protocol):
    """A device and a way to compute equations on it.

    Attributes:
        chunk_bytes: how many bytes of inputs to gather at a time,
        chunk_steps: in this many mini-batches at most.
        launch_steps: how many steps `plan_steps` may be asked for; 0 if it never binds any.
        repeats: `repeat` may do something.
        runs_ahead: a plan that was run may still be at work.
        networks: how many are trained together; 1, unless the caller says so.
    """

    name: str
    description: str
    chunk_bytes: int
    chunk_steps: int
    launch_steps: int
    repeats: bool
    runs_ahead: bool
    networks: int

    @property
    def memory(self) -> Memory: ...

    @property
    def data(self) -> Data: ...

    @property
    def threads(self) -> Threads: ...

    def join(self, ranks: Ranks) -> None:
        """Prepare sums over these ranks, all of which call this at the same time."""

    def note_algorithms(self) -> Mapping[str, str]:
        """Return what the last bits depend on, by name.

        On the CPU this is what computes. On CUDA it is a checksum of the algorithm of each matrix product
        that is bound from now on, by product: the mapping fills up until this is called again.
        """

    def plan(self, equations: Sequence[Equation]) -> Calls:
        """Bind the equations: return the calls that compute them, as often as they are run."""

    def repeat(self, calls: Calls, times: int) -> tuple[Calls, int] | None:
        """Return calls that do several times what those of a plan do, and how often: at most `times`.

        None if the caller has to repeat them.
        """

    def plan_steps(self, equations: Sequence[Equation], m: int) -> Calls | None:
        """Bind a pass over m examples, of whose steps the equations show two: the first, and a shorter last.

        None if the backend has to be given every step.
        """

    def together(self, plans: Sequence[Calls]) -> Calls | None:
        """Return calls that do what all of these do, for different models; None if there is no such way.

        Plans that it was given before may be left out; they are then not run, or nobody reads their results.
        """

    def at_once(self, nbytes: int) -> int:
        """Return how many networks of so many bytes can be trained at once; 1 if only one after the other."""

    def side_by_side(self, networks: int) -> AbstractContextManager[Callable[[int], None]]:
        """Give a function to be called with the number of each network, before its memory is allocated.

        Plans of networks that were bound in turn may run together, whatever their size.
        """
