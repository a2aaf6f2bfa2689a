"""The CPU: NumPy's ufuncs and SciPy's BLAS, on preallocated buffers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from gpunn.backends.host import communication, equations, images, norm, passes, vectors
from gpunn.backends.host.compiled.library import kernels
from gpunn.backends.host.compiled.lowering import Lowering
from gpunn.backends.host.compiled.operations import Program
from gpunn.backends.host.context import Context
from gpunn.backends.host.data import HostData
from gpunn.backends.host.memory import HostMemory
from gpunn.backends.host.threads import Product, Threads
from gpunn.core.backend import CPU
from gpunn.core.equations import Equation, Gradient, lower
from gpunn.core.ranks import Ranks
from gpunn.functions.calls import Calls

LOWER: dict[type[Equation], Callable[[Context, Any], Calls]] = {
    **passes.LOWER,
    **equations.LOWER,
    **norm.LOWER,
    **images.LOWER,
    **vectors.LOWER,
    **communication.LOWER,
}


class Host:
    """NumPy and SciPy on the CPU, in float32 or float64.

    Args:
        dtype: "float32" or "float64".
        why: the reason for using the CPU, if there is one to tell.
        threads: the number of threads of matrix products, and at most what is allowed; None to choose it by
            trials.
    """

    name = "cpu"
    chunk_bytes = 1 << 20  # few calls for small batches, and still in the cache
    chunk_steps = 64  # more would take longer to bind and save nothing
    launch_steps = 0
    runs_ahead = False
    networks = 1

    def __init__(self, dtype: str = "float32", why: str = "", threads: int | None = None) -> None:
        self.description = f"cpu ({why})" if why else "cpu"
        self.memory = HostMemory(dtype)
        self.data = HostData(self.memory.dtype)
        self.threads = Threads(threads)
        self.context = Context(self.memory.dtype)
        self.kernels = kernels(self.memory.dtype, self.threads.pool)
        self.repeats = self.kernels is not None

    def join(self, ranks: Ranks) -> None:
        """Do nothing: MPI sums what is in the memory of the CPU."""

    def note_algorithms(self) -> Mapping[str, str]:
        kernels = self.kernels
        return {CPU: f"compiled kernels {kernels.checksum[:12]}" if kernels else "NumPy and BLAS"}

    def plan(self, equations: Sequence[Equation]) -> Calls:
        """Lower the equations; the calls begin with the trials of a product that threads share."""
        calls, product = self._lower(equations)
        if product is None:
            return calls
        training = any(isinstance(equation, Gradient) for equation in equations)
        return [partial(self.threads.before_chunk, product, training), *calls]

    def _lower(self, equations: Sequence[Equation]) -> tuple[Calls, Product | None]:
        """Return the calls, and the largest product if threads share any."""
        if self.kernels is None:
            return lower(equations, LOWER, self.context), self.context.take_largest()
        p = next((equation.p for equation in equations if hasattr(equation, "p")), None)
        lowering = Lowering(self.kernels, self.context, p, lambda e: lower([e], LOWER, self.context))
        calls = lowering.lower(equations)
        return calls, lowering.product() or self.context.take_largest()

    def repeat(self, calls: Calls, times: int) -> tuple[Calls, int] | None:
        """Return calls that repeat a program of the compiled kernels, if all of the calls are one."""
        *before, last = calls
        trials = [call for call in before if getattr(call, "func", None) == self.threads.before_chunk]
        if not isinstance(last, Program) or before != trials:
            return None
        repeated = last.repeated(times)
        return [*before, repeated], repeated.times

    def plan_steps(self, equations: Sequence[Equation], m: int) -> Calls | None:
        """Return None, since every step is bound."""
        return None

    def together(self, plans: Sequence[Calls]) -> Calls | None:
        """Return None, since networks are trained one after the other."""
        return None

    def at_once(self, nbytes: int) -> int:
        """Return 1, since networks are trained one after the other."""
        return 1

    def side_by_side(self, networks: int) -> AbstractContextManager[Callable[[int], None]]:
        """Give a function that does nothing, since each network has memory of its own."""
        return nullcontext(lambda network: None)
