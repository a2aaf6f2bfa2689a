"""CUDA: the verbs as kernels of kernels.cu and products, on whatever `Device` there is."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpunn.backends.cuda.device import Buffer, Device, Product
from gpunn.backends.cuda.fusing import joined
from gpunn.backends.cuda.memory import Norm, OnHost
from gpunn.backends.cuda.persistent import all_steps
from gpunn.backends.cuda.source import activation_source, cost_source, layer_source
from gpunn.backends.cuda.stream import Feed
from gpunn.backends.cuda.vectors import Vectors
from gpunn.core.backend import NORM_EPSILON, NORM_MOMENTUM, UINT8_SCALE, Examples, Gathered, Pass, Rule
from gpunn.core.parameters import NORM_COLUMNS, Parameters
from gpunn.core.rates import Scalar
from gpunn.functions import randoms
from gpunn.functions.activations import ACTIVATIONS, Activation
from gpunn.functions.augmentation import Augmentation
from gpunn.functions.calls import Call, Calls
from gpunn.functions.costs import Cost

IN_THE_PRODUCT = ("identity", "relu")  # what the product with bias can do besides
STRIDE, AHEAD = 16, 4  # replays between two marks, and marks that the host may be ahead


class Cuda(Vectors):
    """The verbs on a CUDA device: every plan becomes a graph."""

    chunk_bytes = 1 << 22  # gathered together: one graph of many steps where they are small
    chunk_steps = 64
    runs_ahead = True

    def __init__(self, device: Device, precision: str = "float32") -> None:
        super().__init__(device, precision)
        self._replays = 0
        self._marks: deque[Call] = deque()

    def plan(self, calls: Calls) -> Calls:
        feeds: Calls = [call for call in calls if isinstance(call, Feed)]
        graph = self.device.capture(joined(self, [call for call in calls if not isinstance(call, Feed)]))
        return [*feeds, graph, self._keep_pace]

    def all_steps(
        self,
        theta: Parameters,
        f: Sequence[Activation],
        cost: Cost,
        rule: Rule,
        chunk: Gathered,
        p: Pass,
        scheduled: bool,
    ) -> Calls | None:
        return all_steps(self, theta, f, cost, rule, chunk, p, scheduled)

    def _keep_pace(self) -> None:
        """Wait for the replays of some time ago: so the device is busy, and the host not far ahead of it."""
        self._replays += 1
        if self._replays % STRIDE == 0:
            self._marks.append(self.device.mark())
            if len(self._marks) > AHEAD:
                self._marks.popleft()()

    # examples

    def gather(
        self, examples: Examples, p: Pass, *, x: Buffer, y: Buffer, labels: Buffer, weights: Any = None
    ) -> Calls:
        calls = self._gather(examples.X, p, x)
        if examples.targets is not None:
            calls += self._gather(examples.targets, p, y)
        if examples.labels is not None:
            where, on_and_off = (examples.labels, p.order, p.position), examples.on_and_off(y.shape[0])
            calls += self._columns("gather_labels", labels.size, y.shape[0], *where, *on_and_off, labels, y)
        if weights is not None:
            calls += self._gather(examples.weights, p, weights)
        return calls

    def _gather(self, source: Buffer | OnHost, p: Any, out: Buffer) -> Calls:
        (n, m), module = out.shape, layer_source(out.dtype)
        kernel, scale = ("gather_bytes", UINT8_SCALE) if source.dtype == "uint8" else ("gather_values", 1.0)
        if isinstance(source, Buffer):
            return self._columns(kernel, m, n, source, p.order, p.position, scale, out, module=module)
        feed, as_they_lie = Feed(self, source, p, m), self._put(np.arange(m), np.int64)
        places = feed.block, as_they_lie, as_they_lie, scale, out
        return [feed, *self._columns(kernel, m, n, *places, module=module)]

    def distort(self, augmentation: Augmentation, x: Buffer, p: Pass) -> Calls:
        (height, width), (n, m) = augmentation.shape, x.shape
        images, drawn = self.operand(n, m), (p.key, p.position)
        calls = self._each("copy", x.size, x, images)
        down, aside = self.zero, self.zero
        if augmentation.elastic:
            along_row, along_column = (self._put(augmentation.smoothing(k)) for k in (width, height))
            fields = self.matrix(n, m), self.matrix(n, m)
            down, aside = self.matrix(n, m), self.matrix(n, m)
            sides = height, width
            calls += self._each("noise_along_rows", x.size, *sides, along_row, *drawn, *fields)
            calls += self._each("along_columns", x.size, *sides, along_column, *fields, down, aside)
        most = [float(v) for v in (np.radians(augmentation.rotate), augmentation.scale, augmentation.shift)]
        bent = float(augmentation.elastic), down, aside
        return [*calls, *self._each("distort", x.size, height, width, *drawn, *most, *bent, images, x)]

    def collect(self, a: Buffer, p: Pass, *, into: Buffer) -> Calls:
        return self._each("collect", a.size, a.shape[0], a, p.position, into)

    def advance(self, p: Pass, m: int) -> Calls:
        return self._each("advance", 1, m, p.position)

    def next_step(self, p: Pass) -> Calls:
        return self._each("advance", 1, 1, p.step)

    # feedforward

    def narrow(self, theta: Parameters) -> Calls:
        narrowed = self._narrowed(theta)
        return [] if narrowed is theta else self._each("narrow", theta.flat.size, theta.flat, narrowed.flat)

    def feed(
        self, theta: Parameters, layer: int, f: Activation, a: Buffer, *, z: Buffer, out: Buffer
    ) -> Calls:
        (n, m), b, narrowed, module = z.shape, theta.b[layer], self._narrowed(theta), layer_source(z.dtype)
        product = Product(self._fixed(a.scale), narrowed.w[layer], a, self.zero, z)
        if f.name in IN_THE_PRODUCT and z.pointer == out.pointer:
            bias = (theta if z.dtype == self.dtype else narrowed).b[layer]
            whole = replace(product, bias=bias, relu=f.name == "relu")
            if call := self.device.product(whole, self.precision):
                return [call]
        calls: Calls = [self._product(product)]
        if f.name == "softmax":
            return calls + self._columns("feed_softmax", m, n, b, z, out, module=module)
        return calls + self._each("feed", z.size, n, b, z, out, module=module + activation_source(f))

    def affine(self, theta: Parameters, layer: int, a: Buffer, *, out: Buffer) -> Calls:
        return self.feed(theta, layer, ACTIVATIONS["identity"], a, z=out, out=out)

    def normalize(self, theta: Parameters, layer: int, norm: Norm, *, out: Buffer) -> Calls:
        own = theta.norm[layer]
        assert own
        columns = (own[name] for name in NORM_COLUMNS)
        limits = int(norm.by_batch), NORM_EPSILON, NORM_MOMENTUM
        return self._rows("normalize", *out.shape, *limits, *columns, out, norm.z, norm.gain)

    def activate(self, f: Activation, z: Buffer, *, out: Buffer) -> Calls:
        if f.name == "softmax":
            (n, m), no_bias = z.shape, self._put(np.zeros(z.shape[0]))
            return self._columns("feed_softmax", m, n, no_bias, z, out, module=layer_source(z.dtype))
        return self._each("activate", out.size, z, out, module=activation_source(f))

    def drop(self, a: Buffer, mask: Buffer, rate: float, layer: int, p: Pass) -> Calls:
        return self._each("drop", a.size, randoms.threshold(rate), layer, p.key, p.step, mask, a)

    # back-propagation

    def output_error(
        self, cost: Cost, f: Activation, z: Buffer, a: Buffer, y: Buffer, *, out: Buffer
    ) -> Calls:
        n, m = out.shape
        if f.name == "softmax" and cost.pairs_with == f.name:
            return self._each("difference", out.size, a, y, out)
        if cost.cuda_columns:
            gradient = self._columns(cost.cuda_columns[1], m, n, a, y, out)
            return [*gradient, *self._times_derivative(f, z, a, None, out)]
        calls = self._rows("output_error", n, m, a, y, z, out, *self._nowhere, module=cost_source(cost, f))
        return calls + self._times_derivative(f, z, a, None, out) if f.name == "softmax" else calls

    def weigh(self, weights: Buffer, delta: Buffer) -> Calls:
        return self._each("weigh", delta.size, delta.shape[0], weights, delta)

    def hidden_error(
        self,
        theta: Parameters,
        layer: int,
        delta: Buffer,
        f: Activation,
        z: Buffer,
        a: Buffer,
        mask: Buffer | None,
        *,
        out: Buffer,
    ) -> Calls:
        w = self._narrowed(theta).w[layer]
        product = Product(self._fixed(a.scale), w, delta, self.zero, out, trans_a=True)
        return [self._product(product), *self._times_derivative(f, z, a, mask, out)]

    def _times_derivative(
        self, f: Activation, z: Buffer, a: Buffer, mask: Buffer | None, delta: Buffer
    ) -> Calls:
        """delta ← delta ⊙ f′(z) ⊙ mask, if there is one."""
        (n, m), module = delta.shape, layer_source(a.dtype)
        if f.name == "softmax":
            masking = [] if mask is None else self._each("times", delta.size, mask, delta)
            return [*self._columns("times_softmax_jacobian", m, n, a, delta, module=module), *masking]
        module += activation_source(f)
        if mask is None:
            return self._rows("times_derivative", n, m, a, z, delta, *self._nowhere, module=module)
        places = a, z, mask, delta
        return self._rows("times_derivative_and_mask", n, m, *places, *self._nowhere, module=module)

    @property
    def _nowhere(self) -> tuple[Any, ...]:
        """Where a kernel that makes δ lands the bias's gradient: see `joined`."""
        return 0, self.zero, self.zero, self.zero

    def gradient(
        self, delta: Buffer, a: Buffer, alpha: Scalar, beta: Scalar, *, into: Parameters, layer: int
    ) -> Calls:
        by, keep, scaled = self._cell(alpha), self._cell(beta), self._cell(alpha.times(a.scale))
        return [
            *self._rows("bias_gradient", *delta.shape, delta, by, keep, into.b[layer]),  # BP3
            self._product(Product(scaled, delta, a, keep, into.w[layer], trans_b=True)),  # BP4
        ]

    def norm_error(
        self, norm: Norm, alpha: Scalar, beta: Scalar, *, out: Buffer, into: Parameters, layer: int
    ) -> Calls:
        own = into.norm[layer]
        assert own
        factors, places = (self._cell(alpha), self._cell(beta)), (own["gamma"], own["beta"])
        by_batch = int(norm.by_batch)
        return self._rows("norm_error", *out.shape, by_batch, *factors, norm.z, norm.gain, out, *places)

    # how good it is

    def measure(
        self, cost: Cost, f: Activation, z: Buffer, a: Buffer, y: Buffer, labels: Any, p: Pass
    ) -> Calls:
        n, m = y.shape
        hits = p.order if labels is None else labels, float(cost.threshold), p.hits
        if cost.cuda_columns:
            return self._columns(cost.cuda_columns[0], m, n, a, y, p.position, p.losses, *hits)
        loss, labelled = (z, p.position, p.losses), int(labels is not None)
        return self._columns("measure", m, n, a, y, *loss, labelled, *hits, module=cost_source(cost, f))

    def weigh_losses(self, weights: Buffer, p: Pass) -> Calls:
        return self._each("weigh_losses", weights.size, weights, p.losses, p.position)
