"""Clusters on the emulated device: blocks that run together and read each other's shared memory."""

from __future__ import annotations

import emulated
import fake_cupy
import numpy as np
import pytest
import sanitizing
from emulated import EmulatedDevice

from gpunn.backends.cuda.cupy_device import CupyDevice
from gpunn.backends.cuda.device import Buffer
from gpunn.backends.cuda.source import preamble

pytestmark = pytest.mark.skipif(not emulated.COMPILER, reason="no C++ compiler for the emulated device")

THREADS = 64
KERNEL = """
typedef long long Index;
extern __shared__ T chip[];

// x[i] = the sum of the cluster's x at this thread
extern "C" __global__ __cluster_dims__(4, 1, 1) __launch_bounds__(64) void sum_of_cluster(Index ends, T* x) {
    const Index i = blockIdx.x * blockDim.x + threadIdx.x;
    chip[threadIdx.x] = x[i];
    __cluster_barrier_arrive();
    __cluster_barrier_wait();
    T sum = 0;
    for (unsigned rank = 0; rank < 4; ++rank) {
        const T* theirs = (const T*)__cluster_map_shared_rank(chip, rank);
        sum += theirs[threadIdx.x];
    }
    x[i] = sum + 100 * __clusterRelativeBlockRank();
    if (!ends) return;  // others may still read this block's shared memory
    __cluster_barrier_arrive();
    __cluster_barrier_wait();
}
"""
READS_LATE = """
typedef long long Index;
extern __shared__ T chip[];

// the second block reads the first block's shared memory when the first has left
extern "C" __global__ __cluster_dims__(2, 1, 1) void reads_late(Index pauses, T* x) {
    chip[threadIdx.x] = 1;
    __cluster_barrier_arrive();
    __cluster_barrier_wait();
    if (__clusterRelativeBlockRank() == 0) return;
    for (Index k = 0; k < pauses; ++k) __nanosleep(20);
    x[threadIdx.x] = *((const T*)__cluster_map_shared_rank(chip, 0) + threadIdx.x);
}
"""
MAIN = """
#include <cstdio>
int main() {
    static T x[512];
    launch(8, 64, [=] { sum_of_cluster(1, x); }, 256, false, 4);
    std::puts("done");
}
"""
HEAD = preamble(np.dtype("float32"))


def launch(
    device: EmulatedDevice, source: str, name: str, blocks: int, argument: int, size: int
) -> np.ndarray:
    """Run a kernel on x = 0, 1, 2, … and return x."""
    values = np.arange(size, dtype=np.float32)
    pointer, memory = device.allocate(values.nbytes)
    device.write(pointer, values)
    x = Buffer(pointer, values.shape, values.dtype, memory)
    find = device.compile(HEAD + source)
    device.launch(find(name), blocks, THREADS, (np.int64(argument), x), THREADS * 4)()
    device.read(pointer, values)
    device.check()
    return values


@pytest.fixture
def device() -> EmulatedDevice:
    return EmulatedDevice(shared_bytes=1 << 10, cluster=4)


def test_the_blocks_of_a_cluster_read_each_others_shared_memory(device: EmulatedDevice) -> None:
    x = launch(device, KERNEL, "sum_of_cluster", 8, 1, 8 * THREADS)
    blocks = np.arange(8 * THREADS).reshape(2, 4, THREADS)
    expected = blocks.sum(axis=1, keepdims=True) + 100 * np.arange(4).reshape(1, 4, 1)
    np.testing.assert_array_equal(x, expected.ravel())


def test_shared_memory_of_a_block_that_has_left_is_lost(device: EmulatedDevice) -> None:
    assert np.isnan(launch(device, READS_LATE, "reads_late", 2, 1, THREADS)).all()


def test_launch_limits(device: EmulatedDevice) -> None:
    with pytest.raises(AssertionError, match="sum_of_cluster: 6 blocks in clusters of 4"):
        launch(device, KERNEL, "sum_of_cluster", 6, 1, 6 * THREADS)
    device.cluster = 2
    with pytest.raises(AssertionError, match="sum_of_cluster: a cluster of 4 blocks"):
        launch(device, KERNEL, "sum_of_cluster", 8, 1, 8 * THREADS)


@pytest.mark.parametrize(("capability", "cluster"), [((8, 9), 1), ((9, 0), 8), ((12, 0), 8)])
def test_which_gpus_have_clusters(
    capability: tuple[int, int], cluster: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_cupy.install(monkeypatch, fake_cupy.Machine(capability=capability))
    assert CupyDevice().cluster == cluster


@pytest.mark.parametrize(
    "barrier", [None, 0, 1], ids=["all barriers", "without the first", "without the last"]
)
def test_the_sanitizer_sees_a_missing_barrier(barrier: int | None) -> None:
    pair = "    __cluster_barrier_arrive();\n    __cluster_barrier_wait();\n"
    parts = KERNEL.split(pair)
    kernel = "".join(part + (pair if k < 2 and k != barrier else "") for k, part in enumerate(parts))
    done = sanitizing.run(sanitizing.program(HEAD, kernel, MAIN))
    assert ("data race" in done.stderr) == (barrier is not None)
