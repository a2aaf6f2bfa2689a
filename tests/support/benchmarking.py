"""Data and contestants for the tests of the benchmarks."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import contestants
from benchmarks.contestants.base import Contestant, Skipped
from benchmarks.nets import Data, Net, Problem, noise
from gpunn.datasets import Dataset
from gpunn.datasets.dataset import Split

DATA = noise(300, 50)


def build(name: str, net: Net, data: Data = DATA) -> Contestant:
    """Build a contestant; skip the test if it cannot take part."""
    try:
        return contestants.CONTESTANTS[name](Problem(net, data))
    except Skipped as reason:
        pytest.skip(f"{name}: {reason}")


def random_mnist() -> Dataset:
    """Return a data set of MNIST's shape with a hundred random images, from which nothing can be learned."""
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (784, 100), np.uint8), rng.integers(0, 10, 100))
    return Dataset("mnist", split, split, (28, 28), tuple("0123456789"))
