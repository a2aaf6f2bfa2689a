"""The CPU: compiled kernels, or NumPy's ufuncs and SciPy's BLAS, on preallocated buffers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from gpunn.backends.host import communication, equations, images, norm, passes, vectors
from gpunn.backends.host.choice import Choice, Shared
from gpunn.backends.host.compiled.library import kernels
from gpunn.backends.host.compiled.lowering import Lowering
from gpunn.backends.host.compiled.operations import Program
from gpunn.backends.host.context import Context
from gpunn.backends.host.data import HostData
from gpunn.backends.host.memory import HostMemory
from gpunn.backends.host.threads import Threads
from gpunn.core.backend import CPU
from gpunn.core.equations import Equation, lower
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

SPEED = 1e10  # multiplications a second of NumPy's products on one thread, to guess how long they take


class Host:
    """Compiled kernels or NumPy and SciPy on the CPU, in float32 or float64.

    Args:
        dtype: "float32" or "float64".
        why: the reason for using the CPU, if there is one to tell.
        threads: the number of threads, and at most what is allowed; None to choose it by how long what is
            computed takes.
    """

    name = "cpu"
    chunk_bytes = 1 << 20  # few calls for small batches, and still in the cache
    chunk_steps = 64  # without compiled kernels; more would take longer to bind and save nothing
    launch_steps = 0
    runs_ahead = False
    networks = 1

    def __init__(self, dtype: str = "float32", why: str = "", threads: int | None = None) -> None:
        self.description = f"cpu ({why})" if why else "cpu"
        self.kernels = kernels(np.dtype(dtype))
        self.memory = HostMemory(dtype, self.kernels is not None)
        self.data = HostData(self.memory.dtype)
        self.threads = Threads(threads, self.kernels)
        self.context = Context(self.memory.dtype)
        self.repeats = self.kernels is not None

    def join(self, ranks: Ranks) -> None:
        """Do nothing: MPI sums what is in the memory of the CPU."""

    def note_algorithms(self) -> Mapping[str, str]:
        kernels = self.kernels
        return {CPU: f"compiled kernels {kernels.checksum[:12]}" if kernels else "NumPy and BLAS"}

    def plan(self, equations: Sequence[Equation]) -> Calls:
        """Lower the equations; calls that threads share are one call, which chooses their number."""
        calls, most, guess = self._lower(equations)
        if self.threads.asked or min(most, self.threads.cap) == 1:
            return calls
        return [Shared(Choice(self.threads, most, guess), calls)]

    def _lower(self, equations: Sequence[Equation]) -> tuple[Calls, int, float]:
        """Return the calls, the most threads that are worth it, and a guess of the seconds with one."""
        if self.kernels is None:
            calls, work = lower(equations, LOWER, self.context), self.context.take_work()
            return calls, self.threads.cap if work else 1, work / SPEED
        p = next((equation.p for equation in equations if hasattr(equation, "p")), None)
        lowering = Lowering(self.kernels, self.context, p, lambda e: lower([e], LOWER, self.context))
        calls = lowering.lower(equations)
        programs = [call for call in calls if isinstance(call, Program)]
        self.threads.calls_blas |= len(programs) < len(calls)
        most = max((program.most for program in programs), default=1)
        guess = sum(program.seconds for program in programs) + self.context.take_work() / SPEED
        return calls, most, guess

    def repeat(self, calls: Calls, times: int) -> tuple[Calls, int] | None:
        """Return calls that repeat a program of the compiled kernels, if all of the calls are one."""
        shared = calls[0] if isinstance(calls[0], Shared) else None
        first, *others = shared.calls if shared else calls
        if others or not isinstance(first, Program):
            return None
        repeated = first.repeated(times)
        if shared:
            return [Shared(shared.choice, [repeated], repeated.times)], repeated.times
        return [repeated], repeated.times

    def plan_steps(self, equations: Sequence[Equation], m: int) -> Calls | None:
        """Return None: steps are bound, and compiled kernels repeat one (see `repeat`)."""
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
