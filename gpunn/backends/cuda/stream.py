"""Examples that do not fit on the device: they stay on the host and are sent chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpunn.backends.cuda.data import CudaPass, OnHost
from gpunn.backends.cuda.device import Buffer
from gpunn.backends.cuda.memory import CudaMemory
from gpunn.core.inputs import dense
from gpunn.functions.calls import Call


@dataclass
class Slot:
    """Pinned memory for a chunk, one row an example; `sent` waits until it may be written again."""

    rows: np.ndarray
    sent: Call


class Feed:
    """The host's work before a plan is replayed: gather the next c columns of the pass and send them.

    The columns go into one of two pinned slots, so that one is filled while the other is sent and the device
    works, and from there to `block`. There is only one block: the copy into it waits its turn in the stream.
    """

    def __init__(self, memory: CudaMemory, source: OnHost, p: CudaPass, c: int) -> None:
        self.device, self.source, self.p, self.c = memory.device, source, p, c
        n = source.shape[0]
        self.block: Buffer = memory.new((n, c), source.dtype)
        self.slots = [
            Slot(self.device.pinned(self.block.nbytes).view(source.dtype).reshape(c, n), self.device.mark())
            for _ in range(2)
        ]

    def __call__(self) -> None:
        slot = self.slots[0]
        self.slots.reverse()
        slot.sent()
        start = self.p.fed.get(id(self.source), 0)
        self.p.fed[id(self.source)] = start + self.c
        slot.rows[:] = dense(self.source.array.T[self.p.order_on_host[start : start + self.c]])
        self.device.write(self.block.pointer, slot.rows)
        slot.sent = self.device.mark()
