"""The networks that are trained, and the images that they are trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

import gpunn
from gpunn import datasets


@dataclass(frozen=True)
class Net:
    """A network and the settings of its stochastic gradient descent.

    Attributes:
        momentum: Nesterov momentum; 0 for plain SGD.
        precision: float32, tf32 or bf16; only GPUs compute in tf32 and bf16.
        networks: how many networks of this shape to train at once.
    """

    sizes: tuple[int, ...]
    batch_size: int
    hidden: str = "relu"
    output: str = "softmax"
    cost: str = "cross-entropy"
    learning_rate: float = 0.1
    momentum: float = 0.0
    precision: str = "float32"
    networks: int = 1

    @property
    def name(self) -> str:
        return "-".join(map(str, self.sizes))

    @property
    def title(self) -> str:
        precision = "" if self.precision == "float32" else f", on a GPU in {self.precision}"
        many = "" if self.networks == 1 else f"{self.networks:,} networks "
        return f"{many}{self.name}, {self.hidden}/{self.output}, batch {self.batch_size}{precision}"

    @property
    def activations(self) -> list[str]:
        """f[1]…f[L]."""
        return [self.hidden] * (len(self.sizes) - 2) + [self.output]

    @property
    def classic(self) -> bool:
        """True for the network of Nielsen's book: sigmoid outputs and the quadratic cost."""
        return self.cost == "quadratic"

    def build(self, seed: int = 0) -> gpunn.Network:
        """Build the network with the initial weights that every contestant starts from."""
        layers = [gpunn.Dense(n, f) for n, f in zip(self.sizes[1:], self.activations, strict=True)]
        return gpunn.Network(self.sizes[0], layers, self.cost, seed)


SMALL = Net((784, 30, 10), 10, "sigmoid", "sigmoid", "quadratic", 3.0)
MIDDLE = Net((784, 128, 10), 128)
WIDE = Net((784, 800, 10), 128)
DEEP = Net((784, 2500, 2000, 1500, 1000, 500, 10), 512)
NETS = [SMALL, MIDDLE, WIDE, DEEP]
BROAD = Net((784, 1024, 1024, 10), 1024)
GPU_NETS = [SMALL, MIDDLE, BROAD]
GPU_NETS += [replace(DEEP, batch_size=1024, precision=precision) for precision in ("tf32", "bf16")]
SWEEP = [replace(MIDDLE, batch_size=m) for m in (1, 4, 16, 64, 128, 256, 1024, 4096)]
MANY = [replace(SMALL, networks=32), Net((784, 64, 10), 32, networks=32)]
MANY_ON_CUDA = [replace(SMALL, networks=k) for k in (132, 1056)] + [replace(MANY[1], networks=1056)]
RECIPE = Net((784, 256, 10), 128, momentum=0.9)  # for the probe of stacks


@dataclass(frozen=True)
class Data:
    """Images X (784, m) in uint8, with examples as columns, and their labels; `name` is mnist or random."""

    name: str
    X: np.ndarray
    labels: np.ndarray
    X_test: np.ndarray
    labels_test: np.ndarray


def load() -> Data:
    """Load MNIST. If it is not available, return noise of the same shape, which trains at the same speed."""
    try:
        mnist = datasets.load("mnist")
    except datasets.DataUnavailable:
        return noise(60_000, 10_000)
    return Data("mnist", mnist.train.X, mnist.train.y, mnist.test.X, mnist.test.y)


def noise(m: int, m_test: int) -> Data:
    """Return random images of MNIST's shape."""
    rng = np.random.default_rng(0)
    X, X_test = (rng.integers(0, 256, (size, 784), np.uint8).T for size in (m, m_test))
    return Data("random", X, rng.integers(0, 10, m), X_test, rng.integers(0, 10, m_test))


@dataclass(frozen=True)
class Problem:
    """A network and its data, in the forms that the contestants need."""

    net: Net
    data: Data
    seed: int = 0

    @cached_property
    def start(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The initial parameters [(w, b), …], with w (n_l, n_{l-1}) and b (n_l,)."""
        net = self.net.build(self.seed)
        return [(w.copy(), b[:, 0].copy()) for w, b in zip(net.weights, net.biases, strict=True)]

    def rows(self, m: int | None = None) -> np.ndarray:
        """Return the first m images as rows of float32 in 0…1."""
        return np.multiply(self.data.X[:, :m].T, np.float32(1 / 255), dtype=np.float32)

    def one_hot(self, m: int | None = None) -> np.ndarray:
        """Return the targets of the first m images as rows (m, n_L)."""
        return np.eye(self.net.sizes[-1], dtype=np.float32)[self.data.labels[:m]]
