"""CUDA: fuse the equations, lower them to kernels and products, and capture these as a graph."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from gpunn.backends.cuda import equations, head, passes, resident, vectors
from gpunn.backends.cuda.data import CudaData
from gpunn.backends.cuda.device import Device
from gpunn.backends.cuda.fusing import fuse
from gpunn.backends.cuda.head import faster_by_the_clock, heads
from gpunn.backends.cuda.kernels import Kernels
from gpunn.backends.cuda.memory import CudaMemory
from gpunn.backends.cuda.resident_pass import recognised
from gpunn.backends.cuda.stream import Feed
from gpunn.core.backend import NoThreads
from gpunn.core.equations import Equation, lower
from gpunn.functions.calls import Call, Calls

STRIDE, AHEAD = 16, 4  # replays between two marks, and marks that the host may be ahead

LOWER: dict[type[Equation], Callable[[Kernels, Any], Calls]] = {
    **passes.LOWER,
    **equations.LOWER,
    **head.LOWER,
    **vectors.LOWER,
}


class Cuda:
    """A CUDA device: every plan becomes a graph.

    Args:
        device: the device, as the few operations that gpunn needs of it.
        precision: see `CudaMemory`.
    """

    name = "cuda"
    chunk_bytes = 1 << 22  # of inputs gathered together: one graph of many steps if they are small
    chunk_steps = 64
    launch_steps = 1 << 13  # so that none keeps the GPU for seconds
    runs_ahead = True
    networks = 1
    threads = NoThreads()

    def __init__(self, device: Device, precision: str = "float32") -> None:
        self.device, self.description = device, device.description
        self.memory = CudaMemory(device, precision)
        self.data = CudaData(self.memory)
        self.kernels = Kernels(self.memory)
        self._replays = 0
        self._marks: deque[Call] = deque()

    def note_algorithms(self) -> Mapping[str, str]:
        return self.device.note_algorithms()

    def plan(self, equations: Sequence[Equation]) -> Calls:
        """Launch the resident kernel if it can do it all; else fuse the equations, lower and capture them."""
        found = recognised(self.kernels, equations)
        if launch := found and resident.bound(self.kernels, found):
            before = [] if found.gathers else self.lower(found.found.before)
            return self.capture([*before, launch]) if before else [launch, self._keep_pace]
        return self.capture(self.lower(equations))

    def plan_steps(self, equations: Sequence[Equation], m: int) -> Calls | None:
        """Launch the resident kernel for all steps, if it can do them."""
        found = recognised(self.kernels, equations, m)
        launch = found and resident.bound(self.kernels, found, self.networks)
        return [launch, self._keep_pace] if launch else None

    def together(self, plans: Sequence[Calls]) -> Calls | None:
        """One launch for all passes of the resident kernel that share its source."""
        launches = [call for calls in plans for call in calls if isinstance(call, resident.Launch)]
        if len(launches) < len(plans):
            return None
        return [*resident.together(launches), self._keep_pace]

    def capture(self, calls: Calls) -> Calls:
        """Record the calls as one graph: the host's feeds first, then its replay."""
        feeds: Calls = [call for call in calls if isinstance(call, Feed)]
        graph = self.device.capture([call for call in calls if not isinstance(call, Feed)])
        return [*feeds, graph, self._keep_pace]

    def lower(self, equations: Sequence[Equation]) -> Calls:
        """Fuse the equations, and bind their launches and products."""
        faster = partial(faster_by_the_clock, self.kernels, self._lower_without_heads)
        return self._lower_without_heads(heads(self.kernels, equations, faster))

    def _lower_without_heads(self, equations: Sequence[Equation]) -> Calls:
        return lower(fuse(equations), LOWER, self.kernels)

    def _keep_pace(self) -> None:
        """Wait for earlier replays, so that the host is never far ahead and the device is always busy."""
        self._replays += 1
        if self._replays % STRIDE == 0:
            self._marks.append(self.device.mark())
            if len(self._marks) > AHEAD:
                self._marks.popleft()()
