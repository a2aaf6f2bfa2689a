"""Examples that are too large for the device: they stay on the host, and come in chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpunn.backends.cuda.device import Buffer
from gpunn.backends.cuda.memory import CudaPass, OnHost, Storage
from gpunn.core.inputs import dense
from gpunn.functions.calls import Call


@dataclass
class Slot:
    """Page-locked memory for a chunk, a row an example; `sent` waits until it may be written again."""

    rows: np.ndarray
    sent: Call


class Feed:
    """What the host does before a plan is replayed: the next c columns of the pass, gathered into page-locked
    memory and sent to `block`.

    There are two slots, so one is filled while the other is sent and the device works. The block is one: the
    copy into it waits its turn in the stream.
    """

    def __init__(self, be: Storage, source: OnHost, p: CudaPass, c: int) -> None:
        self.device, self.source, self.p, self.c = be.device, source, p, c
        n = source.shape[0]
        self.block: Buffer = be._new((n, c), source.dtype)
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
