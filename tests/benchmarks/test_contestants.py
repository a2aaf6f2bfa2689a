"""Check that all contestants do the same work, and what the floors measure."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from benchmarking import DATA, build

from benchmarks import contestants
from benchmarks.contestants import gpu_floor
from benchmarks.contestants.base import Skipped, library
from benchmarks.contestants.floor import Floor, products
from benchmarks.nets import DEEP, MIDDLE, NETS, SMALL, Data, Net, Problem, load
from benchmarks.steps import training_step
from gpunn.backends.cuda.backend import Cuda
from gpunn.datasets import DataUnavailable

DEEPER = Net((784, 20, 15, 10), 64, "relu")
LEARNERS = [name for name in contestants.CONTESTANTS if name != contestants.FLOOR and "CUDA" not in name]


@pytest.mark.parametrize(
    "net", [SMALL, replace(MIDDLE, batch_size=32), replace(DEEPER, batch_size=32)], ids=str
)
@pytest.mark.parametrize("name", [name for name in LEARNERS if name != "torch.compile"])
def test_all_contestants_learn_the_same_from_a_batch(name: str, net: Net) -> None:
    if name == "scikit-learn" and net.classic:
        pytest.skip("scikit-learn has no quadratic cost")
    start = Problem(net, DATA).start
    ours, theirs = build(contestants.OURS, net), build(name, net)
    for contestant in (ours, theirs):
        assert contestant.seconds(net.batch_size, 1) > 0
    for (w, b), (w_, b_), (w_0, b_0) in zip(theirs.weights(), ours.weights(), start, strict=True):
        np.testing.assert_allclose(w, w_, rtol=0, atol=1e-4)
        np.testing.assert_allclose(b, b_, rtol=0, atol=1e-4)
        assert np.abs(w - w_0).max() > 1e-3
        assert np.abs(b - b_0).max() > 1e-4


@pytest.mark.parametrize("name", ["gpunn CPU", "JAX", "PyTorch", "thinc"])
def test_an_epoch_trains_every_example(name: str) -> None:
    """On black images only the biases change, so that the order of the examples does not matter."""
    net = replace(SMALL, batch_size=10, learning_rate=1e-3)
    black = Data("black", np.zeros_like(DATA.X), np.full(300, 3), DATA.X_test, DATA.labels_test)
    contestant, book = build(name, net, black), build("textbook loop", net, black)
    for one in (contestant, book):
        one.seconds(300, 2)
    for (_, b), (_, b_) in zip(contestant.weights(), book.weights(), strict=True):
        np.testing.assert_allclose(b, b_, rtol=0, atol=1e-5)


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_floor_has_the_flops_of_a_step(net: Net) -> None:
    """Feedforward and BP4 use every weight, BP2 all but the first layer's; a multiply-add is two FLOP."""
    weights = [n_in * n_out for n_in, n_out in zip(net.sizes, net.sizes[1:], strict=False)]
    expected = 2 * net.batch_size * (3 * sum(weights) - weights[0])
    assert sum(product.flops for product in products(net.sizes, net.batch_size)) == expected


def test_floor_multiplies_in_place() -> None:
    floor = Floor(Problem(DEEPER, DATA))
    w, a, delta = ([part.copy() for part in parts] for parts in (floor.w, floor.a, floor.delta))
    floor.seconds(floor.batch_size, 1)
    np.testing.assert_allclose(floor.a[1], w[1] @ a[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(floor.delta[2], w[3].T @ delta[3], rtol=1e-3, atol=1e-4)
    assert np.array_equal(floor.delta[0], delta[0])  # the error of layer 0 is not needed
    assert len(products(DEEP.sizes, 1)) == 3 * 6 - 1


def test_kernels_of_a_step(gpu: Cuda) -> None:
    """A step has five products, and three other kernels at most: f; f, BP1 and BP3; f′ and BP3."""
    for net in (SMALL, replace(MIDDLE, batch_size=8)):
        assert 1 <= len(gpu.lower(training_step(gpu, net))) <= 5 + 3


def test_the_gpu_floor_is_the_largest_of_three_bounds(gpu: Cuda) -> None:
    floor: Any = build("CUDA floor tf32", replace(MIDDLE, batch_size=10))
    facts = floor.facts
    assert facts["flop"] == sum(product.flops for product in products(MIDDLE.sizes, 10))
    assert facts["flop_per_second"] > 0 < facts["bytes_per_second"]
    assert facts["seconds"]["kernels"] == facts["kernels"] * facts["seconds_a_kernel"] > 0
    assert facts["seconds"]["memory"] == sum(facts["bytes"].values()) / facts["bytes_per_second"]
    assert floor.seconds(300, 2) == pytest.approx(60 * max(facts["seconds"].values()))
    assert json.dumps(facts)


def test_the_bytes_of_a_step() -> None:
    """Products read two operands and write a result; the update reads and writes each of its arrays."""
    a, w, b = 7 * 5, 3 * 5, 3
    net = Net((5, 3), 7)
    products = w + a + 3 * 7 + 3 * 7 + a  # z = w a, and δ aᵀ, whose result is θ's
    assert gpu_floor.bytes_moved(net, 4) == {"products": 4 * products, "update": (w + b) * 8}
    assert gpu_floor.bytes_moved(net, 2) == {"products": 2 * products, "update": (w + b) * 10}
    assert gpu_floor.bytes_moved(replace(net, momentum=0.9), 4)["update"] == (w + b) * 16


def test_gpunn_learns_the_same_on_a_gpu(gpu: Cuda) -> None:
    net = replace(SMALL, batch_size=32)
    ours, theirs = build("gpunn CUDA", net), build("textbook loop", net)
    for contestant in (ours, theirs):
        contestant.seconds(32, 1)
    np.testing.assert_allclose(ours.weights()[0][0], theirs.weights()[0][0], rtol=0, atol=1e-5)


def test_every_contestant_has_a_floor() -> None:
    for name in contestants.CONTESTANTS:
        assert contestants.floor_of(name) in contestants.CONTESTANTS
    assert (
        contestants.floor_of("CUDA floor bf16")
        == contestants.floor_of("gpunn CUDA bf16")
        == "CUDA floor bf16"
    )
    assert contestants.floor_of("torch.compile CUDA") == "CUDA floor"


@pytest.mark.parametrize("name", ["gpunn CUDA", "gpunn CUDA tf32", "CUDA floor"])
def test_without_cuda_a_contestant_is_skipped_with_the_reason(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("gpu_floor", "ours"):
        monkeypatch.setattr(
            f"benchmarks.contestants.{place}.explain_cuda", lambda: "the driver does not answer"
        )
    with pytest.raises(Skipped, match="no CUDA device: the driver does not answer"):
        contestants.CONTESTANTS[name](Problem(SMALL, DATA))


def test_a_missing_library_is_skipped() -> None:
    with pytest.raises(Skipped, match=r"^not installed$"):
        library("no_such_library_here.api")


def test_without_mnist_the_data_are_random(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(name: str) -> None:
        raise DataUnavailable(name)

    monkeypatch.setattr("gpunn.datasets.load", unavailable)
    data = load()
    assert (data.name, data.X.shape, data.X_test.shape) == ("random", (784, 60_000), (784, 10_000))
