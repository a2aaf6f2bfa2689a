"""Matrix products by cuBLASLt, through nvmath's bindings; CuPy refuses cuBLAS while a graph is captured.

The algorithm is chosen when a product is bound, once for each problem: the fastest of the library's
candidates (see `algorithms`). It is run once before it is needed, so that nothing has to be loaded during
capture.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from gpunn.backends.cuda.algorithms import Algorithms, Timer
from gpunn.backends.cuda.device import BF16, Buffer, Product, keeping
from gpunn.functions.calls import Call, Calls

WORKSPACE = 32 << 20  # bytes, as NVIDIA recommends for its largest GPUs
CANDIDATES = 8  # algorithms to ask for; an H200's library has no more if asked for 24
ALIGNMENT = 16  # bytes, for the library's widest loads; larger alignments change nothing
COMPUTE = {
    "float32": "COMPUTE_32F",
    "float64": "COMPUTE_64F",
    "tf32": "COMPUTE_32F_FAST_TF32",
    "bf16": "COMPUTE_32F",
}

TYPES = {np.dtype("float32"): "CUDA_R_32F", np.dtype("float64"): "CUDA_R_64F", BF16: "CUDA_R_16BF"}


@dataclass(frozen=True)
class Problem:
    """c (n, m) ← op(a) op(b): everything that the choice of an algorithm depends on.

    Attributes:
        shapes: of a, b and c as stored.
        ld: their leading dimensions.
        trans: whether a and b are transposed.
        precision: see `COMPUTE`.
        types: of alpha; of a and b; of c and the bias.
        alignment: of a; of b; of c and the bias, in bytes.
        bias: a bias is added to each column.
        relu: the sum goes through max(0, ·).
        ld_bits: the leading dimension of the bits that are written or read; 0 if there are none.
        stack: for a stack of networks their number, and the elements from a network's a, b, c, bias and bits
            to the next one's.
    """

    shapes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    ld: tuple[int, int, int]
    trans: tuple[bool, bool]
    precision: str
    types: tuple[int, int, int]
    alignment: tuple[int, int, int]
    bias: bool = False
    relu: bool = False
    ld_bits: int = 0
    stack: tuple[int, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """Its name among the choices of algorithms."""
        return f"{self}, stack={self.stack}" if self.stack else str(self)


@dataclass(frozen=True)
class Choice:
    """The addresses of the layouts of a, b and c, and the algorithm as an array of one."""

    layouts: tuple[int, int, int]
    algorithm: np.ndarray


class Products:
    """Products on one stream.

    Args:
        stream: its address.
        allocate: allocate(nbytes) returns (pointer, memory) of zeros.
        wait: waits until everything launched is done.
        timer: see `Device.timer`.
        machine: the names and versions that the choice of an algorithm depends on, besides the library's.

    Attributes:
        ways: the chosen way of each task.
        noted: a checksum of the algorithm of each product that was bound, and of each way, by problem.
    """

    def __init__(
        self,
        stream: int,
        allocate: Callable[[int], tuple[int, Any]],
        wait: Call,
        timer: Timer,
        machine: Mapping[str, str],
    ) -> None:
        from nvmath import CudaDataType
        from nvmath.bindings import cublas, cublasLt

        self.lt, self.compute = cublasLt, cublas.ComputeType
        self.types = {name: int(getattr(CudaDataType, kind)) for name, kind in TYPES.items()}
        self.stream, self.allocate, self.wait = stream, allocate, wait
        self.handle = cublasLt.create()  # for as long as the process runs
        self.workspace, self._memory = allocate(WORKSPACE)
        self.choices: dict[Problem, Choice | None] = {}
        versions = {**machine, "cuBLASLt": str(cublasLt.get_version())}
        self.algorithms = Algorithms(versions, self._works, timer)
        self.ways: dict[str, str] = {}
        self.noted: dict[str, str] = {}

    def bind(self, product: Product, precision: str) -> Call | None:
        """Bind a product; return None if the library has no algorithm for it."""
        a, b, c, bias = product.a, product.b, product.c, product.bias
        if bias and aligned(bias) < ALIGNMENT:  # documented as supported, but a fatal error on some GPUs
            return None
        alignment = aligned(a), aligned(b), min(aligned(c), aligned(bias or c))
        shapes, trans = (a.shape, b.shape, c.shape), (product.trans_a, product.trans_b)
        types = self.types[product.alpha.dtype], self.types[a.dtype], self.types[c.dtype]
        ld_bits = 8 * product.bits.ld if product.bits else 0
        ld, epilogue = (a.ld, b.ld, c.ld), (bias is not None, product.relu, ld_bits)
        problem = Problem(shapes, ld, trans, precision, types, alignment, *epilogue, stack_of(product))
        description = self._describe(problem, product)
        run = partial(self._run, description, product)
        if problem not in self.choices:
            self.choices[problem] = self._choose(problem, description, product, run)
        if (chosen := self.choices[problem]) is None:
            self.lt.matmul_desc_destroy(description)
            return None
        self.noted[problem.name] = self.algorithms.digest(chosen.algorithm.tobytes())
        call = keeping(run(chosen, c.pointer), chosen, *(x.memory for x in product.buffers))
        weakref.finalize(call, self.lt.matmul_desc_destroy, description).atexit = False
        return call

    def _run(self, description: int, product: Product, chosen: Choice, out: int) -> Call:
        """Bind the product with that algorithm; it reads c and writes to `out`."""
        (la, lb, lc), p = chosen.layouts, product
        return partial(
            self.lt.matmul, self.handle, description, p.alpha.pointer, p.a.pointer, la, p.b.pointer, lb,
            p.beta.pointer, p.c.pointer, lc, out, lc,
            chosen.algorithm.ctypes.data, self.workspace, WORKSPACE, self.stream,
        )  # fmt: skip

    def _choose(
        self, problem: Problem, description: int, product: Product, run: Callable[[Choice, int], Call]
    ) -> Choice | None:
        """Choose an algorithm. Its trials write to matrices of their own instead of c."""
        layouts = self._layouts(problem)
        try:
            found = self._heuristic(problem, description, layouts)
        except self.lt.cuBLASLtError:  # there is no algorithm
            return None
        c = product.c
        out, memory = self.allocate((product.networks - 1) * c.apart + c.nbytes)
        choices = [Choice(layouts, algorithm) for algorithm in found]
        trials = [keeping(run(choice, out), memory) for choice in choices]
        best = self.algorithms.choose(problem.name, [x.tobytes() for x in found], trials)
        return None if best is None else choices[best]

    def _works(self, call: Call) -> bool:
        """Run a product; return False if the library refuses it."""
        try:
            call()
            self.wait()
        except self.lt.cuBLASLtError:
            return False
        return True

    def fastest(self, task: str, ways: Mapping[str, Callable[[], Calls]]) -> str:
        """See `Device.fastest`."""
        if task not in self.ways:
            noted, self.noted = self.noted, {}  # trials are no part of a run
            trials = [partial(run_all, bind()) for bind in ways.values()]
            self.noted = noted
            best = self.algorithms.choose(task, [name.encode() for name in ways], trials)
            self.ways[task] = list(ways)[best or 0]
        self.noted[task] = self.algorithms.digest(self.ways[task].encode())
        return self.ways[task]

    def _describe(self, problem: Problem, product: Product) -> int:
        lt, name = self.lt, self.lt.MatmulDescAttribute
        compute = getattr(self.compute, COMPUTE[problem.precision])
        description: int = lt.matmul_desc_create(compute, problem.types[0])
        chosen = {
            name.POINTER_MODE: lt.PointerMode.DEVICE,  # of alpha and beta
            name.TRANSA: int(problem.trans[0]),
            name.TRANSB: int(problem.trans[1]),
        }
        if product.bias:
            with_relu = lt.Epilogue.RELU_AUX_BIAS if product.bits else lt.Epilogue.RELU_BIAS
            chosen[name.EPILOGUE] = with_relu if problem.relu else lt.Epilogue.BIAS
            chosen[name.BIAS_POINTER] = product.bias.pointer
        if product.bits:
            chosen.setdefault(name.EPILOGUE, lt.Epilogue.DRELU)
            chosen[name.EPILOGUE_AUX_POINTER] = product.bits.pointer
            chosen[name.EPILOGUE_AUX_LD] = problem.ld_bits
        if problem.stack and product.bias:
            chosen[name.BIAS_BATCH_STRIDE] = problem.stack[4]
        if problem.stack and product.bits:
            chosen[name.EPILOGUE_AUX_BATCH_STRIDE] = problem.stack[5]
        for attribute, value in chosen.items():
            held = np.array([value], lt.get_matmul_desc_attribute_dtype(attribute))
            lt.matmul_desc_set_attribute(description, attribute, held.ctypes.data, held.nbytes)
        return description

    def _layouts(self, problem: Problem) -> tuple[int, int, int]:
        """Create the layouts of a, b and c, all column-major."""
        _, read, written = problem.types
        kinds = zip((read, read, written), problem.shapes, problem.ld, strict=True)
        la, lb, lc = (self.lt.matrix_layout_create(kind, n, m, ld) for kind, (n, m), ld in kinds)
        if problem.stack:
            name = self.lt.MatrixLayoutAttribute
            for layout, apart in zip((la, lb, lc), problem.stack[1:4], strict=True):
                chosen = {name.BATCH_COUNT: problem.stack[0], name.STRIDED_BATCH_OFFSET: apart}
                for attribute, value in chosen.items():
                    held = np.array([value], self.lt.get_matrix_layout_attribute_dtype(attribute))
                    self.lt.matrix_layout_set_attribute(layout, attribute, held.ctypes.data, held.nbytes)
        return la, lb, lc

    def _heuristic(
        self, problem: Problem, description: int, layouts: tuple[int, int, int]
    ) -> list[np.ndarray]:
        """Return the library's candidates, best first, each as an array of one."""
        lt, name = self.lt, self.lt.MatmulPreferenceAttribute
        preference = lt.matmul_preference_create()
        a, b, c = problem.alignment
        least = (name.MIN_ALIGNMENT_A_BYTES, name.MIN_ALIGNMENT_B_BYTES, name.MIN_ALIGNMENT_C_BYTES)
        chosen = {name.MAX_WORKSPACE_BYTES: WORKSPACE, **dict(zip(least, (a, b, c), strict=True))}
        chosen[name.MIN_ALIGNMENT_D_BYTES] = c
        for attribute, value in chosen.items():
            held = np.array([value], lt.get_matmul_preference_attribute_dtype(attribute))
            lt.matmul_preference_set_attribute(preference, attribute, held.ctypes.data, held.nbytes)
        results, count = np.zeros(CANDIDATES, lt.matmul_heuristic_result_dtype), np.zeros(1, np.int32)
        try:
            lt.matmul_algo_get_heuristic(
                self.handle, description, *layouts, layouts[2], preference,
                CANDIDATES, results.ctypes.data, count.ctypes.data,
            )  # fmt: skip
        finally:
            lt.matmul_preference_destroy(preference)
        return [results[i : i + 1]["algo"].copy() for i in range(count[0]) if results[i]["state"] == 0]


def run_all(calls: Calls) -> None:
    for call in calls:
        call()


def stack_of(product: Product) -> tuple[int, ...]:
    """Return `Problem.stack` of a product."""
    if product.networks == 1:
        return ()
    assert product.alpha.apart == product.beta.apart == 0
    operands = (product.a, product.b, product.c, product.bias)
    apart = [x.apart // x.dtype.itemsize if x else 0 for x in operands]
    return product.networks, *apart, 8 * product.bits.apart if product.bits else 0


def aligned(buffer: Buffer) -> int:
    """Return the alignment of the buffer's start: a power of 2, at most ALIGNMENT."""
    return min(ALIGNMENT, buffer.pointer & -buffer.pointer)
