"""Train many networks that differ by their random seeds: `python -m benchmarks --sweep`.

Each contestant trains `problem.net.networks` networks of one shape. Network k starts from the weights of
seed k. `seconds` trains all of them, from start to end on a CPU. On CUDA it counts the epochs alone, since
compilation, loading and binding take longer than the short training of a turn.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

import gpunn
from benchmarks.contestants.base import Skipped, Weights, library, timed
from benchmarks.contestants.scikit_learn import ScikitLearn
from benchmarks.contestants.with_jax import loss_of
from benchmarks.nets import Net, Problem


def starts(problem: Problem) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Return the initial parameters [(w, b), …] of each network."""
    return [Problem(problem.net, problem.data, seed).start for seed in range(problem.net.networks)]


def stacked(problem: Problem) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the initial parameters of all networks as [(w (k, n_{l-1}, n_l), b (k, n_l)), …]."""
    layers = zip(*starts(problem), strict=True)
    return [(np.stack([w.T for w, _ in layer]), np.stack([b for _, b in layer])) for layer in layers]


class OneByOne:
    """`Network.fit` for one network after the other."""

    def __init__(self, problem: Problem, device: str = "cpu") -> None:
        self.net, self.data, self.device = problem.net, problem.data, device
        self.max_examples, self.batch_size = self.data.X.shape[1], self.net.batch_size
        self.last = self.net.build()

    def options(self, m: int, epochs: int) -> dict[str, Any]:
        """Return the arguments of a training on the first m examples."""
        optimizer = gpunn.SGD(self.net.learning_rate)
        how = {"epochs": epochs, "batch_size": self.batch_size, "optimizer": optimizer, "device": self.device}
        return {"X": self.data.X[:, :m], "y": self.data.labels[:m], **how}

    def train(self, m: int, epochs: int) -> None:
        for seed in range(self.net.networks):
            self.last = self.net.build(seed)
            self.last.fit(**self.options(m, epochs))

    def seconds(self, m: int, epochs: int) -> float:
        return timed(lambda: self.train(m, epochs), 1)

    def weights(self) -> Weights:
        return [(w, b[:, 0]) for w, b in zip(self.last.weights, self.last.biases, strict=True)]


class Sweep(OneByOne):
    """`gpunn.sweep`, which trains all networks at once."""

    def train(self, m: int, epochs: int) -> None:
        self.swept(m, epochs)

    def swept(self, m: int, epochs: int) -> gpunn.SweepResult:
        """Train all networks."""
        layers, seeds = self.last.layers, self.net.networks
        result = gpunn.sweep(layers=layers, cost=self.net.cost, seeds=seeds, **self.options(m, epochs))
        self.last = result.network(seeds - 1)
        return result


class SweepOnCuda(Sweep):
    """`gpunn.sweep` on CUDA."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem, "cuda")

    def seconds(self, m: int, epochs: int) -> float:
        result = self.swept(m, epochs)
        return sum(result.history(k).seconds for k in range(len(result)))  # of each, its share


class JaxVmap:
    """JAX with `vmap` over the networks; an epoch is one compiled lax.scan. Compilation is not timed."""

    def __init__(self, problem: Problem, device: str = "cpu") -> None:
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        self.jax = jax = library("jax")
        try:
            self.place = jax.devices(device)[0]
        except RuntimeError as error:
            raise Skipped(f"no CUDA device: {str(error).splitlines()[0]}") from None
        jax.config.update("jax_default_matmul_precision", "highest")
        self.net, self.batch_size = problem.net, problem.net.batch_size
        self.X = jax.device_put(np.ascontiguousarray(problem.data.X.T), self.place)
        self.labels = jax.device_put(problem.data.labels.astype(np.int32), self.place)
        self.max_examples = len(self.labels)
        self.params = jax.device_put(stacked(problem), self.place)
        self.rng, self.run = np.random.default_rng(0), jax_epoch(jax, self.net)

    def epoch(self, m: int) -> None:
        """Train all networks for one epoch, each in an order of its own."""
        draws = [self.rng.permutation(m).astype(np.int32) for _ in range(self.net.networks)]
        orders = np.stack(draws).reshape(self.net.networks, -1, self.batch_size).swapaxes(0, 1)
        self.params, _ = self.run(self.params, self.X, self.labels, self.jax.device_put(orders, self.place))
        self.jax.block_until_ready(self.params)

    def seconds(self, m: int, epochs: int) -> float:
        return timed(lambda: self.epoch(m), epochs)

    def weights(self) -> Weights:
        return [(np.asarray(w[-1]).T, np.asarray(b[-1])) for w, b in self.params]


def jax_epoch(jax: Any, net: Net) -> Any:
    """Return epoch(params, X, labels, orders) → (params, losses), with orders (steps, networks, batch)."""
    loss = loss_of(jax, net, "float32")

    def learn(params: Any, X: Any, labels: Any, batch: Any) -> Any:
        x = X[batch].astype(jax.numpy.float32) * (1 / 255)
        value, gradient = jax.value_and_grad(loss)(params, x, labels[batch])
        return jax.tree.map(lambda p, g: p - net.learning_rate * g, params, gradient), value

    learn_all = jax.vmap(learn, in_axes=(0, None, None, 0))

    def epoch(params: Any, X: Any, labels: Any, orders: Any) -> Any:
        return jax.lax.scan(lambda p, batch: learn_all(p, X, labels, batch), params, orders)

    return jax.jit(epoch, donate_argnums=0)


class TorchVmap:
    """PyTorch with batched products over the networks, as `torch.vmap` makes them; a loop over the steps."""

    def __init__(self, problem: Problem, device: str = "cpu") -> None:
        self.torch = torch = library("torch")
        if device == "cuda" and not torch.cuda.is_available():
            raise Skipped("no CUDA device: torch.cuda.is_available() is False")
        self.net, self.batch_size, self.device = problem.net, problem.net.batch_size, device
        self.X = torch.from_numpy(np.ascontiguousarray(problem.data.X.T)).to(device)
        self.Y = torch.from_numpy(problem.one_hot()).to(device)
        self.max_examples = len(self.Y)
        self.params = [torch.from_numpy(array).to(device) for pair in stacked(problem) for array in pair]
        self.gradient = torch.vmap(torch.func.grad(self.loss), in_dims=(0, 0, 0))

    def loss(self, params: Sequence[Any], x: Any, y: Any) -> Any:
        """Return the mean loss of one network over the rows of x."""
        torch, f = self.torch, {"relu": self.torch.relu, "sigmoid": self.torch.sigmoid}
        *hidden, (w, b) = zip(params[::2], params[1::2], strict=True)
        for (w_, b_), name in zip(hidden, self.net.activations, strict=False):
            x = f[name](x @ w_ + b_)
        z = x @ w + b
        if self.net.classic:
            return ((f[self.net.output](z) - y) ** 2).sum() / (2 * len(y))
        return -(torch.log_softmax(z, -1) * y).sum() / len(y)

    def epoch(self, m: int) -> None:
        """Train all networks for one epoch, each in an order of its own."""
        orders = self.torch.stack([self.torch.randperm(m) for _ in range(self.net.networks)])
        for batch in orders.to(self.device).split(self.batch_size, 1):
            gradients = self.gradient(self.params, self.X[batch].float() * (1 / 255), self.Y[batch])
            for p, g in zip(self.params, gradients, strict=True):
                p.sub_(g, alpha=self.net.learning_rate)
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def seconds(self, m: int, epochs: int) -> float:
        return timed(lambda: self.epoch(m), epochs)

    def weights(self) -> Weights:
        arrays = [p[-1].cpu().numpy() for p in self.params]
        return [(w.T, b) for w, b in zip(arrays[::2], arrays[1::2], strict=True)]


IDLE = 60  # seconds that joblib's processes wait for the next turn; they outlive the benchmark by as many


class JoblibScikitLearn:
    """scikit-learn's MLPClassifier in joblib's processes, one a core."""

    def __init__(self, problem: Problem) -> None:
        self.joblib = library("joblib")
        self.problem, self.networks = problem, problem.net.networks
        self.X, self.y = problem.rows(), problem.data.labels
        self.max_examples, self.batch_size = len(self.X), problem.net.batch_size
        self.last: Any = None

    def train(self, m: int, epochs: int) -> None:
        work = self.joblib.delayed(train_one)
        tasks = (work(self.problem.net, self.X[:m], self.y[:m], epochs, k) for k in range(self.networks))
        parallel = self.joblib.Parallel(n_jobs=-1, idle_worker_timeout=IDLE)
        self.last = parallel(tasks)[-1]

    def seconds(self, m: int, epochs: int) -> float:
        return timed(lambda: self.train(m, epochs), 1)

    def weights(self) -> Weights:
        return [(w.T, b) for w, b in zip(self.last.coefs_, self.last.intercepts_, strict=True)]


def train_one(net: Net, X: np.ndarray, y: np.ndarray, epochs: int, seed: int) -> Any:
    """Train one network, in a process of joblib's."""
    model = ScikitLearn.model_of(net, X, y, Problem(net, None, seed).start)  # type: ignore[arg-type]
    for _ in range(epochs):
        model.partial_fit(X, y)
    return model
