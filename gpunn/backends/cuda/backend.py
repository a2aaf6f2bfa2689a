"""CUDA: fuse the equations, lower them to kernels and products, and capture these as a graph."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import Any

from gpunn.backends.cuda import communication, equations, head, passes, resident, stacks, vectors
from gpunn.backends.cuda.allocating import InTurn
from gpunn.backends.cuda.communication import SumOnHost
from gpunn.backends.cuda.data import CudaData
from gpunn.backends.cuda.device import Device
from gpunn.backends.cuda.fusing import fuse
from gpunn.backends.cuda.head import faster_by_the_clock, heads
from gpunn.backends.cuda.kernels import Kernels
from gpunn.backends.cuda.memory import CudaMemory
from gpunn.backends.cuda.resident_pass import recognised
from gpunn.backends.cuda.stacks import Later
from gpunn.backends.cuda.stream import Feed
from gpunn.core.backend import NoThreads
from gpunn.core.equations import Equation, lower
from gpunn.core.ranks import Ranks
from gpunn.functions.calls import Call, Calls

SHARE = 0.6  # of the free memory that networks trained at once may take
MOST_NETWORKS = 2**16 - 1  # in a grid's y
STRIDE, AHEAD = 16, 4  # replays between two marks, and marks that the host may be ahead

LOWER: dict[type[Equation], Callable[[Kernels, Any], Calls]] = {
    **passes.LOWER,
    **equations.LOWER,
    **head.LOWER,
    **vectors.LOWER,
    **communication.LOWER,
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
    repeats = False
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

    def join(self, ranks: Ranks) -> None:
        """Sum a few numbers over the ranks once, by which their GPUs find each other."""
        trial = self.device.all_reduce(ranks, self.memory.new((1,), zeros=True))
        if trial:
            trial()  # NCCL connects the GPUs
        elif ranks.rank == 0:
            warnings.warn(
                f"NCCL cannot be used on {self.description}, so gradients are summed through host memory, "
                "which is slow: pip install the nvidia-nccl package of your CUDA",
                stacklevel=2,
            )

    def note_algorithms(self) -> Mapping[str, str]:
        return self.device.note_algorithms()

    def plan(self, equations: Sequence[Equation]) -> Calls:
        """Launch the resident kernel if it can do it all; else fuse the equations, lower and capture them.

        If networks lie side by side, nothing is lowered yet.
        """
        if isinstance(self.memory.allocator, InTurn):
            later = Later(self.memory.allocator, equations, lambda: self.capture(self.lower(equations)))
            return [later, self._keep_pace]
        found = recognised(equations)
        if launch := found and resident.bound(self.kernels, found):
            before = [] if found.gathers else self.lower(found.found.before)
            return self.capture([*before, launch]) if before else [launch, self._keep_pace]
        return self.capture(self.lower(equations))

    def repeat(self, calls: Calls, times: int) -> None:
        """Return None, since a graph is launched each time."""
        return None

    def plan_steps(self, equations: Sequence[Equation], m: int) -> Calls | None:
        """Launch the resident kernel for all steps, if it can do them."""
        found = recognised(equations, m)
        launch = found and resident.bound(self.kernels, found, self.networks)
        return [launch, self._keep_pace] if launch else None

    def together(self, plans: Sequence[Calls]) -> Calls | None:
        """Make one launch of passes of the resident kernel that share a source, and a graph of each stack."""
        launches = [call for calls in plans for call in calls if isinstance(call, resident.Launch)]
        passes = [call for calls in plans for call in calls if isinstance(call, Later)]
        if len(launches) + len(passes) < len(plans):
            return None
        stacked = stacks.together(self.kernels, passes, self._lower_without_heads) if passes else []
        return None if stacked is None else [*resident.together(launches), *stacked, self._keep_pace]

    def at_once(self, nbytes: int) -> int:
        """Return for how many networks the free memory has room, some of it left for copies."""
        return min(MOST_NETWORKS, max(1, int(SHARE * self.device.free_bytes() / nbytes)))

    @contextmanager
    def side_by_side(self, networks: int) -> Iterator[Callable[[int], None]]:
        """Allocate for networks of one shape in turn, so that stacks can be made of them."""
        memory = InTurn(self.device, networks)
        with self.memory.using(memory):
            yield memory.turn
        memory.blocks.clear()

    def capture(self, calls: Calls) -> Calls:
        """Record the calls as one graph: the host's feeds first, then its replay.

        Sums through host memory divide it into several.
        """
        done: Calls = [call for call in calls if isinstance(call, Feed)]
        rest = [call for call in calls if not isinstance(call, Feed)]
        for through_host, found in groupby(rest, lambda call: isinstance(call, SumOnHost)):
            some = list(found)
            done += some if through_host else [self.device.capture(some)]
        return [*done, self._keep_pace]

    def lower(self, equations: Sequence[Equation]) -> Calls:
        """Fuse the equations, and bind their launches and products."""
        lower_alone = partial(self._lower_without_heads, self.kernels)
        return lower_alone(
            heads(self.kernels, equations, partial(faster_by_the_clock, self.kernels, lower_alone))
        )

    def _lower_without_heads(self, k: Kernels, equations: Sequence[Equation]) -> Calls:
        return lower(fuse(equations), LOWER, k)

    def _keep_pace(self) -> None:
        """Wait for earlier replays, so that the host is never far ahead and the device is always busy."""
        self._replays += 1
        if self._replays % STRIDE == 0:
            self._marks.append(self.device.mark())
            if len(self._marks) > AHEAD:
                self._marks.popleft()()
