"""PyTorch: a hand-written training loop, eager or compiled, and skorch's loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contestants import plain_torch
from benchmarks.contestants.base import Skipped, Weights, library, timed
from benchmarks.nets import Net, Problem

ACTIVATIONS = {"relu": "ReLU", "sigmoid": "Sigmoid"}
MATMUL = {"float32": "highest", "tf32": "high", "bf16": "highest"}  # precision of float32 products


def build(torch: Any, problem: Problem) -> Any:
    """Build the network as a torch.nn.Sequential; softmax is part of PyTorch's cross-entropy."""
    modules = []
    for (w, b), f in zip(problem.start, problem.net.activations, strict=True):
        linear = torch.nn.Linear(w.shape[1], w.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(np.ascontiguousarray(w)))
            linear.bias.copy_(torch.from_numpy(b))
        modules += [linear] if f == "softmax" else [linear, getattr(torch.nn, ACTIVATIONS[f])()]
    return torch.nn.Sequential(*modules)


def cost(torch: Any, net: Net) -> Callable[[Any, Any], Any]:
    """Return a function that computes the mean cost of outputs (m, n_L) and labels (m,)."""
    if not net.classic:
        cross_entropy: Callable[[Any, Any], Any] = torch.nn.functional.cross_entropy
        return cross_entropy

    def quadratic(a: Any, labels: Any) -> Any:
        y = torch.nn.functional.one_hot(labels, net.sizes[-1])
        return (a - y).square().sum() / (2 * len(labels))

    return quadratic


def _weights(model: Any) -> Weights:
    arrays = [parameter.detach().cpu().numpy() for parameter in model.parameters()]
    return list(zip(arrays[::2], arrays[1::2], strict=True))


class PyTorch:
    """PyTorch with its data on the CPU or GPU; gathers bytes or floats, whichever is faster."""

    def __init__(
        self, problem: Problem, device: str = "cpu", precision: str = "float32", compiled: bool = False
    ) -> None:
        torch = self.torch = library("torch")
        if device == "cuda" and not torch.cuda.is_available():
            raise Skipped("no CUDA device: torch.cuda.is_available() is False")
        torch.set_float32_matmul_precision(MATMUL[precision])
        torch.manual_seed(problem.seed)
        net, self.data, self.device = problem.net, problem.data, device
        self.net: Any = net
        self.batch_size = net.batch_size
        self.pixels = torch.from_numpy(np.ascontiguousarray(problem.data.X.T)).to(device)
        self.floats = self.pixels.float() / 255
        self.labels = torch.from_numpy(problem.data.labels).to(device)
        self.max_examples = len(self.labels)
        self.model = build(torch, problem).to(device)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            net.learning_rate,
            net.momentum,
            nesterov=net.momentum > 0,
            fused=device == "cuda",
        )
        self.gather = self._faster()
        self.loss = self._loss(net, precision, compiled)

    def _loss(self, net: Net, precision: str, compiled: bool) -> Callable[[Any, Any], Any]:
        """Return the loss as a function of a mini-batch and its labels."""
        torch, of_outputs = self.torch, cost(self.torch, net)

        def loss(x: Any, labels: Any) -> Any:
            return of_outputs(self.model(x), labels)

        if precision == "bf16":  # float32 weights, bf16 products
            loss = torch.autocast(self.device, torch.bfloat16)(loss)
        mode = "reduce-overhead" if self.device == "cuda" else "default"
        return torch.compile(loss, mode=mode, dynamic=False) if compiled else loss

    def _of_floats(self, batch: Any) -> Any:
        return self.floats.index_select(0, batch)

    def _of_bytes(self, batch: Any) -> Any:
        return self.pixels.index_select(0, batch) * (1 / 255)

    def _faster(self) -> Callable[[Any], Any]:
        """Return the faster way to gather, timed on at most a thousand batches, after a warm-up."""
        times = {}
        for gather in (self._of_floats, self._of_bytes) * 2:
            self._wait()
            start = time.perf_counter()
            for batch in self._batches(min(self.max_examples, 1000 * self.batch_size)):
                gather(batch)
            self._wait()
            times[gather] = time.perf_counter() - start
        return min(times, key=lambda gather: times[gather])

    def _batches(self, m: int) -> Any:
        return self.torch.randperm(m, device=self.device).split(self.batch_size)

    def _wait(self) -> None:
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def epoch(self, m: int) -> float:
        """Train for one epoch and return the mean loss."""
        total = self.torch.zeros((), device=self.device)
        for batch in self._batches(m):
            loss = self.loss(self.gather(batch), self.labels.index_select(0, batch))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.detach()
        return float(total) * self.batch_size / m  # reading it waits for the device

    def seconds(self, m: int, epochs: int) -> float:
        return timed(lambda: self.epoch(m), epochs)

    def weights(self) -> Weights:
        return _weights(self.model)

    def reach(self) -> tuple[float, float]:
        """Train a `Target`; return the seconds and the test accuracy."""
        torch, target = self.torch, self.net
        rates = target.rates(self.max_examples).tolist()
        seconds = plain_torch.train(torch, self.model, self.gather, self.labels, rates, target.plain())
        x = torch.from_numpy(np.ascontiguousarray(self.data.X_test.T)).to(self.device) / 255
        labels = torch.from_numpy(self.data.labels_test).to(self.device)
        with torch.no_grad():
            return seconds, float((self.model(x).argmax(1) == labels).float().mean())


class Skorch:
    """skorch: PyTorch behind scikit-learn's interface, with its own loop and PyTorch's DataLoader."""

    def __init__(self, problem: Problem) -> None:
        skorch, torch = library("skorch"), library("torch")
        net = problem.net
        self.X, self.y = problem.rows(), problem.data.labels
        self.max_examples, self.batch_size = len(self.X), net.batch_size
        of_outputs = cost(torch, net)

        class Cost(torch.nn.Module):  # type: ignore[misc, name-defined]
            def forward(self, outputs: Any, labels: Any) -> Any:
                return of_outputs(outputs, labels)

        self.model = build(torch, problem)
        self.net = skorch.NeuralNet(
            self.model,
            Cost,
            optimizer=torch.optim.SGD,
            lr=net.learning_rate,
            max_epochs=1,
            batch_size=net.batch_size,
            iterator_train__shuffle=True,
            train_split=None,
            callbacks=None,
            verbose=0,
        ).initialize()

    def seconds(self, m: int, epochs: int) -> float:
        X, y = self.X[:m], self.y[:m]
        return timed(lambda: self.net.partial_fit(X, y), epochs)

    def weights(self) -> Weights:
        return _weights(self.net.module_)
