"""Examples on a CUDA device, and passes over them.

A pass costs one copy to the device when it starts and one copy back when it is over.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpunn.backends.cuda.device import Buffer
from gpunn.backends.cuda.memory import CudaMemory
from gpunn.core.examples import Examples, Pass
from gpunn.core.inputs import dense, on_device
from gpunn.functions.calls import Call

SHARE_FOR_EXAMPLES = 0.7  # of the free memory
COUNTERS = 3  # position, step and key


@dataclass
class CudaPass(Pass):
    """A pass whose fields are views of two buffers.

    Attributes:
        inbox: position, step, key, order and etas side by side.
        outbox: losses and hits.
        on_host: two pinned staging buffers for `inbox`, for this pass and the next.
        back: pinned buffer that receives `outbox`.
        sent: waits until the next staging buffer may be written again.
        expected: the order that was prefetched.
        fed: how many columns of each `OnHost`, by its id, have been sent.
    """

    inbox: Buffer
    outbox: Buffer
    on_host: list[np.ndarray]
    back: np.ndarray
    sent: Call
    expected: np.ndarray | None = None
    fed: dict[int, int] = field(default_factory=dict)

    @property
    def order_on_host(self) -> np.ndarray:
        return self.on_host[0][COUNTERS : COUNTERS + self.order.size]


@dataclass
class OnHost:
    """A matrix that stays on the host because the device has no room for it.

    Attributes:
        array: the matrix, dense or sparse.
        dtype: of its columns on the device, where they are dense.
    """

    array: np.ndarray
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape


class CudaData:
    """Examples, on the device if they fit, and passes over them."""

    def __init__(self, memory: CudaMemory) -> None:
        self.memory, self.device, self.dtype = memory, memory.device, memory.dtype

    def examples(
        self,
        X: np.ndarray,
        labels: np.ndarray | None,
        targets: np.ndarray | None,
        smoothing: float = 0.0,
        weights: np.ndarray | None = None,
    ) -> Examples:
        dtype = np.dtype("uint8") if X.dtype == np.uint8 else self.dtype
        with self.memory.using(None):  # networks share them
            return Examples(
                self.device.adopt(X, dtype) if on_device(X) else self._place(X, dtype),
                None if labels is None else self.memory.put(labels, np.int64),
                None if targets is None else self._place(targets, self.dtype),
                smoothing,
                None if weights is None else self.memory.put(weights),
            )

    def _place(self, array: np.ndarray, dtype: np.dtype[Any]) -> Buffer | OnHost:
        """Copy the array to the device if that leaves enough room; else warn and keep it on the host."""
        needed, free = math.prod(array.shape) * dtype.itemsize, self.device.free_bytes()
        if needed <= SHARE_FOR_EXAMPLES * free:
            return self.memory.put(dense(array), dtype)
        warnings.warn(
            f"{needed / 2**20:,.0f} MiB of examples stay on the host and are streamed to "
            f"{self.device.description}, which has {free / 2**20:,.0f} MiB free: training is slower than if "
            "they fitted",
            stacklevel=2,
        )
        return OnHost(array, dtype)

    def refill(
        self,
        examples: Examples,
        X: np.ndarray,
        labels: np.ndarray | None,
        targets: np.ndarray | None,
        weights: np.ndarray | None,
    ) -> None:
        new = X, labels, targets, weights
        old = examples.X, examples.labels, examples.targets, examples.weights
        for array, place in zip(new, old, strict=True):
            if isinstance(place, OnHost) and array is not None:
                place.array = array
            elif array is not None:
                self.device.write(place.pointer, np.asfortranarray(array, place.dtype))

    def new_pass(self, m: int, steps: int | None = None, places: np.ndarray | None = None) -> CudaPass:
        steps = m if steps is None else steps
        inbox = self.memory.new((COUNTERS + m + steps,), np.int64)
        outbox = self.memory.new((m * (self.dtype.itemsize + 1),), np.uint8)
        p = CudaPass(
            position=inbox.part(0, (1,)),
            step=inbox.part(1, (1,)),
            key=inbox.part(2, (1,)),
            order=inbox.part(COUNTERS, (m,)),
            places=None if places is None else self.memory.put(places, np.int64),
            etas=inbox.part(COUNTERS + m, (steps,), np.float64),
            losses=outbox.part(0, (m,), self.dtype),
            hits=outbox.part(m * self.dtype.itemsize, (m,)),
            inbox=inbox,
            outbox=outbox,
            on_host=[self.device.pinned(inbox.nbytes).view(np.int64) for _ in range(2)],
            back=self.device.pinned(outbox.nbytes),
            sent=self.device.mark(),
        )
        self.start_pass(p, np.arange(m))
        return p

    def start_pass(
        self, p: Any, order: np.ndarray, etas: np.ndarray | None = None, key: int = 0, step: int = 0
    ) -> None:
        if p.expected is not order:
            self.prefetch(p, order, key, step)
        p.expected = None
        p.on_host.reverse()
        p.fed.clear()
        if etas is not None:
            at = COUNTERS + len(order)
            now = p.on_host[0][at : at + len(etas)].view(np.float64)
            now[:] = etas
            self.device.write(p.etas.pointer, now)
            p.sent = self.device.mark()

    def prefetch(self, p: Any, order: np.ndarray, key: int, step: int = 0) -> None:
        """Queue the copy behind everything the device has still to do, which may read the current order."""
        p.sent()
        following = p.on_host[1][: COUNTERS + len(order)]
        following[:COUNTERS] = 0, step, key
        following[COUNTERS:] = order
        self.device.write(p.inbox.pointer, following)
        p.expected, p.sent = order, self.device.mark()

    def results(self, p: Any) -> tuple[np.ndarray, np.ndarray]:
        self.device.read(p.outbox.pointer, p.back)
        m = p.losses.size
        return p.back[:-m].view(self.dtype), p.back[-m:]
