"""The emulated device refuses everything that would go wrong on a GPU."""

from __future__ import annotations

import gc
import subprocess
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import emulated
import host_products
import numpy as np
import pytest
from emulated import EmulatedDevice

import gpunn
from gpunn import backends
from gpunn.backends.cuda.backend import AHEAD, STRIDE, Cuda
from gpunn.backends.cuda.device import BF16, Buffer
from gpunn.backends.cuda.source import KERNELS, preamble
from gpunn.core import plan

pytestmark = pytest.mark.skipif(not emulated.COMPILER, reason="no C++ compiler for the emulated device")

BARRIERS = """
typedef long long Index;
extern "C" __global__ void all_meet(Index n, T* x) {
    __shared__ T seen[256];
    seen[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = seen[(threadIdx.x + 1) % n];
}
extern "C" __global__ void one_leaves(Index n, T* x) {
    if (threadIdx.x == n - 1) return;
    __syncthreads();
    x[threadIdx.x] = 0;
}
extern "C" __global__ void reads_what_nobody_wrote(Index n, T* x) {
    __shared__ T never[32];
    x[threadIdx.x % n] = never[threadIdx.x];
    never[threadIdx.x] = x[threadIdx.x];  // too late, but a compiler must believe that it may change
}
extern "C" __global__ void writes_too_far(Index n, T* x) {
    x[n] = 1;
}
extern "C" __global__ void swaps_lanes(Index n, T* x) {
    x[threadIdx.x] = __shfl_xor_sync(0xffffffff, x[threadIdx.x], n);
}
"""


@pytest.fixture
def device() -> EmulatedDevice:
    return EmulatedDevice()


def vector(device: EmulatedDevice, values: np.ndarray) -> Buffer:
    values = values.astype(np.float32)
    pointer, memory = device.allocate(values.nbytes)
    device.write(pointer, values)
    return Buffer(pointer, values.shape, values.dtype, memory)


def read(device: EmulatedDevice, x: Buffer) -> np.ndarray:
    out = np.empty(x.shape, x.dtype)
    device.read(x.pointer, out)
    return out


def run(device: EmulatedDevice, kernel: str, n: int, x: Buffer, threads: int = 64) -> None:
    find = device.compile(preamble(np.dtype("float32")) + BARRIERS)
    device.launch(find(kernel), 1, threads, (np.int64(n), x))()


class TestThreads:
    def test_a_barrier_synchronises(self, device: EmulatedDevice) -> None:
        x = vector(device, np.arange(64))
        run(device, "all_meet", 64, x)
        assert np.array_equal(read(device, x), np.roll(np.arange(64), -1))

    def test_a_thread_that_misses_a_barrier(self, device: EmulatedDevice) -> None:
        x = vector(device, np.arange(64))
        run(device, "one_leaves", 64, x)
        with pytest.raises(AssertionError, match="one_leaves: a thread has left, and others wait"):
            read(device, x)
        run(device, "all_meet", 64, x)  # the device can still be used
        assert np.array_equal(read(device, x), np.roll(np.arange(64), -1))

    def test_shared_memory_begins_as_poison(self, device: EmulatedDevice) -> None:
        x = vector(device, np.zeros(32))
        run(device, "reads_what_nobody_wrote", 32, x, 32)
        assert np.isnan(read(device, x)).all()

    def test_lanes_exchange(self, device: EmulatedDevice) -> None:
        x = vector(device, np.arange(64))
        run(device, "swaps_lanes", 16, x)
        assert np.array_equal(read(device, x), np.arange(64) ^ 16)

    @pytest.mark.parametrize(("blocks", "threads"), [(1, 1025), (1, 0), (0, 32), (2**31, 32)])
    def test_launch_limits(self, device: EmulatedDevice, blocks: int, threads: int) -> None:
        find = device.compile(preamble(np.dtype("float32")) + BARRIERS)
        with pytest.raises(AssertionError, match=r"all_meet: .* (threads|blocks)"):
            device.launch(find("all_meet"), blocks, threads, (np.int64(1), vector(device, np.zeros(1))))

    def test_too_much_shared_memory(self, device: EmulatedDevice) -> None:
        source = BARRIERS.replace("seen[256]", "seen[12289]")
        with pytest.raises(AssertionError, match="more shared memory than a block has"):
            device.compile(preamble(np.dtype("float32")) + source)

    def test_wrong_types(self, device: EmulatedDevice) -> None:
        find = device.compile(preamble(np.dtype("float32")) + BARRIERS)
        with pytest.raises(AssertionError, match="all_meet"):
            device.launch(find("all_meet"), 1, 32, (np.int64(1), np.float32(1), np.float32(1)))


class TestMemory:
    def test_new_memory_is_poison_and_aligned(self, device: EmulatedDevice) -> None:
        pointer, memory = device.allocate(100)
        assert pointer % 256 == 0
        out = np.empty(25, np.float32)
        device.read(pointer, out)
        assert np.isnan(out).all()
        assert memory.nbytes == 100

    def test_a_write_past_the_end(self, device: EmulatedDevice) -> None:
        x = vector(device, np.zeros(7))
        run(device, "writes_too_far", 7, x, 32)
        with pytest.raises(AssertionError, match="a write before or past a buffer"):
            device.check()

    def test_a_write_past_the_end_of_freed_memory(self, device: EmulatedDevice) -> None:
        x = vector(device, np.zeros(7))
        run(device, "writes_too_far", 7, x, 32)
        device.mark()()
        del x
        gc.collect()
        with pytest.raises(AssertionError, match="a write before or past a buffer"):
            device.check()

    def test_views_end_where_their_memory_does(self, device: EmulatedDevice) -> None:
        x = vector(device, np.zeros(7))
        with pytest.raises(AssertionError, match="a view past the end"):
            run(device, "all_meet", 7, replace(x, shape=(8,)))
        with pytest.raises(AssertionError, match="never gave"):
            run(device, "all_meet", 7, replace(x, pointer=8))


class TestTheStream:
    def test_launches_are_asynchronous(self, device: EmulatedDevice) -> None:
        x = vector(device, np.arange(64))
        device.mark()()
        run(device, "all_meet", 64, x)
        assert not device.launches
        wait = device.mark()
        run(device, "all_meet", 64, x)
        wait()
        assert device.launches == {"all_meet": 1}
        assert np.array_equal(read(device, x), np.roll(np.arange(64), -2))

    def test_pinned_memory_is_read_when_its_turn_comes(self, device: EmulatedDevice) -> None:
        x, pinned, paged = (
            vector(device, np.zeros(4)),
            device.pinned(16).view(np.float32),
            np.ones(4, np.float32),
        )
        device.write(x.pointer, paged)
        paged[:] = 5
        assert np.array_equal(read(device, x), np.ones(4))
        pinned[:] = 1
        device.write(x.pointer, pinned)
        pinned[:] = 5
        assert np.array_equal(read(device, x), np.full(4, 5))


class TestGraphs:
    def test_capture_runs_nothing_but_replays_do(self, device: EmulatedDevice) -> None:
        x = vector(device, np.arange(64))
        find = device.compile(preamble(np.dtype("float32")) + BARRIERS)
        replay = device.capture([device.launch(find("all_meet"), 1, 64, (np.int64(64), x))] * 3)
        assert np.array_equal(read(device, x), np.arange(64))
        replay()
        replay()
        assert np.array_equal(read(device, x), np.roll(np.arange(64), -6))

    @pytest.mark.parametrize("what", ["allocate", "write", "read", "pinned", "compile", "mark", "capture"])
    def test_nothing_else_may_happen_during_capture(self, device: EmulatedDevice, what: str) -> None:
        x, host = vector(device, np.zeros(4)), np.zeros(4, np.float32)
        arguments = {"allocate": [8], "write": [x.pointer, host], "read": [x.pointer, host], "pinned": [8]}
        arguments |= {"compile": [""], "mark": [], "capture": [[]]}
        with pytest.raises(AssertionError, match="during capture"):
            device.capture([lambda: getattr(device, what)(*arguments[what])])
        device.allocate(8)  # capture is over

    def test_a_graph_keeps_its_memory(self, device: EmulatedDevice) -> None:
        x = vector(device, np.arange(64))
        find = device.compile(preamble(np.dtype("float32")) + BARRIERS)
        replay = device.capture([device.launch(find("all_meet"), 1, 64, (np.int64(64), x))])
        del x
        gc.collect()
        replay()
        device.check()

    def test_memory_freed_while_a_graph_names_it(self, device: EmulatedDevice) -> None:
        """This would happen if a bound launch or a graph did not keep its memory alive."""
        x = vector(device, np.arange(64))
        find = device.compile(preamble(np.dtype("float32")) + BARRIERS)
        replay = device.capture(
            [device.launch(find("all_meet"), 1, 64, (np.int64(64), replace(x, memory=None)))]
        )
        replay()
        device.check()
        del x
        gc.collect()
        with pytest.raises(AssertionError, match="a pointer whose memory was freed"):
            replay()


def test_tensor_cores_read_fewer_bits() -> None:
    x = np.array([1 + 2**-10, 1 + 2**-11 + 2**-12, 1 + 2**-7, np.pi, -np.pi], np.float32)
    assert np.array_equal(host_products.read(x), x)
    tf32, bf16 = host_products.read(x, "tf32"), host_products.read(host_products.written(x, BF16))
    assert np.array_equal(tf32[:3], [1 + 2**-10, 1 + 2**-10, 1 + 2**-7])
    assert np.array_equal(bf16[:3], [1, 1, 1 + 2**-7])
    np.testing.assert_allclose(tf32, x, rtol=2**-11)
    np.testing.assert_allclose(bf16, x, rtol=2**-9)


@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-6), ("tf32", 1e-3), ("bf16", 1e-2)])
def test_precisions(device: EmulatedDevice, precision: str, most: float) -> None:
    """Products lose as many digits as their precision says, and the stored weights lose none."""
    found = []
    for be in (Cuda(device, precision), gpunn.backends.Host("float32")):
        net = gpunn.Network(20, [gpunn.Dense(30, "relu"), gpunn.Dense(4, "softmax")], seed=0)
        model, outputs = net.bind(be), be.memory.matrix(4, 12)
        X = np.random.default_rng(0).standard_normal((20, 12)).astype(np.float32)
        plan.Plan(model, be.data.examples(X, None, None), 12, 12, outputs=outputs)(np.arange(12))
        found.append(np.array(be.memory.download(outputs)))
        assert np.array_equal(be.memory.download(model.theta.flat), net._theta.flat)
    error = np.abs(found[0] - found[1]).max()
    assert error < most
    assert precision == "float32" or error > most / 1e3


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., gpunn.Network]:
    """Train a small network on a device."""

    def fit(device: EmulatedDevice, **how: Any) -> gpunn.Network:
        monkeypatch.setattr(backends, "choose", lambda *_: Cuda(device))
        layers = [gpunn.Dense(40, batch_norm=True, dropout=0.1), gpunn.Dense(3, "softmax")]
        net = gpunn.Network(30, layers, seed=0)
        X = np.random.default_rng(0).standard_normal((30, 200)).astype(np.float32)
        net.fit(X, np.arange(200) % 3, batch_size=32, optimizer=gpunn.Adam(clip_norm=1.0), **how)
        return net

    return fit


class TestAnEpoch:
    def test_one_copy_each_way(self, device: EmulatedDevice, fit: Callable[..., gpunn.Network]) -> None:
        one, six = EmulatedDevice(), EmulatedDevice()
        fit(one, epochs=1)
        fit(six, epochs=6)
        assert six.uploads == one.uploads + 5
        assert six.synchronisations == one.synchronisations + 5

    def test_two_runs_are_bitwise_identical(
        self, device: EmulatedDevice, fit: Callable[..., gpunn.Network]
    ) -> None:
        """The order of every sum is fixed, which atomics would not guarantee."""
        thetas = [fit(EmulatedDevice(), epochs=2)._theta.flat for _ in range(2)]
        assert thetas[0].tobytes() == thetas[1].tobytes()

    def test_the_host_is_never_far_ahead(self, device: EmulatedDevice) -> None:
        be, ahead = Cuda(device), []
        calls = be.capture(be.kernels.each("times", 1, be.memory.one, be.memory.put(np.ones(1))))
        for _ in range(10 * STRIDE * AHEAD):
            for call in calls:
                call()
            ahead.append(len(device.queue))
        assert STRIDE * AHEAD < max(ahead) <= STRIDE * (AHEAD + 1) + 20
        device.check()


def test_the_cost_of_a_replay_on_the_host(device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay is one call into the device, with a mark now and then, and allocates no memory.

    The time is printed but decides nothing. Kernels are left out, so that it is the host's alone.
    """
    asked: Counter[str] = Counter()

    def capture(calls: Any) -> Callable[[], None]:
        return lambda: asked.update(replay=1)

    be = Cuda(device)
    net = gpunn.Network(10, [gpunn.Dense(5), gpunn.Dense(3)], seed=0)
    examples = be.data.examples(np.zeros((10, 2000), np.uint8), np.zeros(2000, int), None)
    monkeypatch.setattr(device, "capture", capture)
    monkeypatch.setattr(device, "mark", lambda: lambda: asked.update(mark=1))
    monkeypatch.setattr(Cuda, "chunk_steps", 1)
    stages = plan.bind(net.bind(be), examples, be.data.new_pass(2000), 2000, 1)
    plan.run(be, stages)  # warm up
    asked.clear()
    start = time.perf_counter()
    plan.run(be, stages)
    microseconds = (time.perf_counter() - start) / 2000 * 1e6
    assert asked == {"replay": 2000, "mark": 2000 // STRIDE}
    tracemalloc.start()
    plan.run(be, stages)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000
    print(f"the host's part of a replay: {microseconds:.1f} µs, of which a counter takes some")


def test_no_kernel_uses_atomics() -> None:
    assert "atomic" not in KERNELS.replace("No atomics", "")


def test_compiler_errors_are_raised(device: EmulatedDevice) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        EmulatedDevice().compile('extern "C" __global__ void broken(long long n) { nonsense; }')
