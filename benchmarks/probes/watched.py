"""A device that knows what its bound calls are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpunn.backends.cuda.device import Buffer, Device, Product
from gpunn.functions.calls import Call


@dataclass(frozen=True)
class Bound:
    """A launch or a product.

    Attributes:
        what: the kernel, or the product and what it does besides.
        size: blocks × threads, or n_out × n_inner × m.
        flop: of a product.
        nbytes: of the arrays that a kernel is given, each counted once.
        problem: a product's name among the algorithms; empty if it has none.
    """

    what: str
    size: str
    flop: int = 0
    nbytes: int = 0
    problem: str = ""


class Watched:
    """A device that passes everything on, and keeps a `Bound` of each call."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.bound: dict[int, tuple[Call, Bound]] = {}  # by the call's identity, which the call keeps alive

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)

    def describe(self, call: Call) -> Bound:
        """Return what the call is."""
        return self.bound[id(call)][1]

    def compile(self, source: str, *, together: bool = False) -> Callable[[str], tuple[str, Any]]:
        """Compile; kernels are pairs of a name and the device's kernel."""
        find = self.device.compile(source, together=together)
        return lambda name: (name, find(name))

    def launch(
        self,
        kernel: tuple[str, Any],
        blocks: int,
        threads: int,
        arguments: tuple[Any, ...],
        shared: int = 0,
        networks: int = 1,
    ) -> Call:
        """Bind a launch."""
        name, own = kernel
        call = self.device.launch(own, blocks, threads, arguments, shared, networks)
        arrays = {x.pointer: x.nbytes for x in arguments if isinstance(x, Buffer)}
        return self._keep(call, Bound(name, f"{blocks} × {threads}", nbytes=sum(arrays.values())))

    def product(self, product: Product, precision: str) -> Call | None:
        """Bind a product."""
        noted = self.device.note_algorithms()
        call = self.device.product(product, precision)
        if call is None:
            return None
        n, m = product.c.shape
        inner = product.a.shape[0 if product.trans_a else 1]
        size, problem = f"{n} × {inner} × {m}", next(iter(noted), "")
        return self._keep(call, Bound(spelled(product), size, 2 * n * inner * m, problem=problem))

    def _keep(self, call: Call, bound: Bound) -> Call:
        self.bound[id(call)] = call, bound
        return call


def spelled(product: Product) -> str:
    """Spell a product, as in "relu(a b + bias)"."""
    a, b = ("aᵀ" if product.trans_a else "a"), ("bᵀ" if product.trans_b else "b")
    if product.bits and not product.bias:
        return f"{a} {b} ⊙ relu′"
    text = f"{a} {b}" + (" + bias" if product.bias else "")
    return f"relu({text})" if product.relu else text
