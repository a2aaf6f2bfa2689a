"""CupyDevice on stand-ins for CuPy and nvmath that check every call, and the real cuBLASLt without a GPU."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import emulated
import fake_cupy
import numpy as np
import pytest
from fake_cupy import Machine
from heads import only

import gpunn
from gpunn import backends
from gpunn.backends import BackendError
from gpunn.backends.cuda import cublaslt, resident
from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.cupy_device import CupyDevice

pytestmark = pytest.mark.skipif(not emulated.COMPILER, reason="no C++ compiler for the emulated device")

X = np.random.default_rng(0).standard_normal((5, 40)).astype(np.float32)
Y = np.arange(40) % 3


def network(hidden: str = "relu", dtype: str = "float32") -> gpunn.Network:
    return gpunn.Network(5, [gpunn.Dense(8, hidden), gpunn.Dense(3, "softmax")], seed=0, dtype=dtype)


class TestChoosing:
    def test_a_device_that_works(self, machine: Machine) -> None:
        machine.devices = 2
        assert backends.explain_cuda() == ""
        assert backends.cuda_devices() == ["cuda:0 (Fake)", "cuda:1 (Fake)"]
        assert backends.choose("auto", "float32").description == "cuda:0 (Fake)"
        assert backends.choose("cuda:1", "float32", "tf32").name == "cuda"
        assert machine.device == 0

    @pytest.mark.parametrize(
        ("found", "said"),
        [
            ({"driver": 0}, "no NVIDIA driver is installed"),
            (
                {"driver": 12040},
                "supports CUDA 12, but this cupy is for CUDA 13: update the driver to 580 or later",
            ),
            ({"driver": 11080, "runtime": 12090}, "for CUDA 12: update the driver to 525 or later$"),
            ({"devices": 0}, "no CUDA device answers: cudaErrorNoDevice: no CUDA-capable device is detected"),
            ({"capability": (7, 0)}, r"Fake has compute capability 7\.0: gpunn needs 7\.5 or later"),
            ({"nvrtc": False}, r"NVRTC is missing: pip install 'gpunn\[cuda13\]' \(libnvrtc.so.13"),
            (
                {"broken_products": True},
                r"CUDA device 0 failed its trial: a trial product, I·I ⊙ I, gave a wrong result",
            ),
            ({"refused": {"float32"}}, "failed its trial: .* has no algorithm"),
            (
                {"nbytes": 1 << 20},
                "failed its trial: cuda:0 .Fake. is out of memory: 32 MiB were needed, 1 of 1",
            ),
        ],
    )
    def test_an_obstacle_is_explained(self, machine: Machine, found: dict[str, Any], said: str) -> None:
        machine.__dict__.update(found)
        with pytest.raises(BackendError, match=f"no CUDA device: .*{said}"):
            backends.choose("cuda", "float32")
        assert backends.choose("auto", "float32").name == "cpu"
        assert backends.cuda_devices() == []

    def test_a_missing_device(self, machine: Machine) -> None:
        assert backends.explain_cuda(3) == "there is no CUDA device 3: this machine has 1"

    def test_a_silent_driver(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken() -> int:
            raise RuntimeError("libcuda is\nbroken")

        monkeypatch.setattr(sys.modules["cupy"].cuda.runtime, "driverGetVersion", broken)
        assert backends.explain_cuda() == "no NVIDIA driver: libcuda is broken"

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    def test_a_forked_process_asks_again(self, machine: Machine, tmp_path: Path) -> None:
        """CUDA does not survive a fork, so the parent's finding does not hold in the child."""
        assert backends.explain_cuda() == ""
        if (child := os.fork()) == 0:
            machine.devices = 0
            (tmp_path / "said").write_text(backends.explain_cuda(), encoding="utf-8")
            os._exit(0)
        os.waitpid(child, 0)
        assert "no CUDA device answers" in (tmp_path / "said").read_text(encoding="utf-8")

    def test_missing_nvmath(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "nvmath.bindings", None)
        said = "nvmath-python with cuBLASLt is missing: pip install 'gpunn[cuda13]' ("
        assert backends.explain_cuda().startswith(said)

    def test_a_cupy_that_cannot_be_imported(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs", None)
        assert backends.explain_cuda().startswith("cupy cannot be imported: ")


class TestTraining:
    @pytest.mark.parametrize(("dtype", "most"), [("float32", 1e-5), ("float64", 1e-13)])
    @pytest.mark.parametrize("hidden", ["relu", "sigmoid", "identity"])
    def test_training_equals_the_cpus(self, machine: Machine, hidden: str, dtype: str, most: float) -> None:
        nets = [network(hidden, dtype) for _ in range(2)]
        for net, device in zip(nets, ("cuda", "cpu"), strict=True):
            net.fit(
                X, Y, epochs=3, batch_size=7, device=device, optimizer="momentum", class_weight="balanced"
            )
        np.testing.assert_allclose(nets[0].weights[0], nets[1].weights[0], rtol=0, atol=most)
        assert nets[0].evaluate(X, Y, device="cuda") == pytest.approx(nets[1].evaluate(X, Y))

    @pytest.mark.parametrize(("precision", "most"), [("tf32", 1e-2), ("bf16", 1e-1)])
    def test_tensor_cores(self, machine: Machine, precision: str, most: float) -> None:
        nets = [network() for _ in range(2)]
        nets[0].fit(X, Y, epochs=3, device="cuda", precision=precision)
        nets[1].fit(X, Y, epochs=3, device="cpu")
        error = np.abs(nets[0].weights[0] - nets[1].weights[0]).max()
        assert most / 1e4 < error < most

    def test_a_gpu_too_old_for_bf16(self, machine: Machine) -> None:
        machine.capability = 7, 5
        said = r"precision bf16 needs compute capability 8\.0, cuda:0 \(Fake\) has 7\.5: use float32"
        with pytest.raises(BackendError, match=said):
            network().fit(X, Y, epochs=1, device="cuda", precision="bf16")
        network().fit(X, Y, epochs=1, device="cuda", precision="tf32")

    def test_a_product_applies_bias_and_relu(self, machine: Machine) -> None:
        network("relu").fit(X, Y, epochs=1, device="cuda")
        assert "feed" not in machine.log
        network("sigmoid").fit(X, Y, epochs=1, device="cuda")
        assert "forward" in machine.log

    def test_a_kernel_applies_them_if_the_product_cannot(self, machine: Machine) -> None:
        machine.epilogues = False
        nets = [network() for _ in range(2)]
        nets[0].fit(X, Y, epochs=2, device="cuda")
        nets[1].fit(X, Y, epochs=2, device="cpu")
        assert "forward" in machine.log
        np.testing.assert_allclose(nets[0].weights[0], nets[1].weights[0], rtol=0, atol=1e-6)

    @pytest.mark.parametrize("failing", [1, 2])
    def test_an_algorithm_that_fails_is_skipped(self, machine: Machine, failing: int) -> None:
        machine.failing_algorithms = failing
        network().fit(X, Y, epochs=1, device="cuda")

    def test_no_algorithm_runs(self, machine: Machine) -> None:
        machine.failing_algorithms = 9
        with pytest.raises(BackendError, match=r"cuda:0 .* has no algorithm for a product of these shapes"):
            network().fit(X, Y, epochs=1, device="cuda")

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_a_small_network_in_one_kernel(self, machine: Machine, dtype: str) -> None:
        machine.shared_bytes = 200 << 10
        nets = [network("tanh", dtype) for _ in range(2)]
        for net, device in zip(nets, ("cuda", "cpu"), strict=True):
            net.fit(X, Y, epochs=3, batch_size=7, device=device, optimizer="adam")
        assert "train" in machine.log
        np.testing.assert_allclose(nets[0].weights[0], nets[1].weights[0], rtol=0, atol=1e-5)

    @pytest.mark.parametrize(("capability", "way"), [((9, 0), (4, 4)), ((8, 0), (4, 0)), ((7, 5), (1, 1))])
    def test_a_head(
        self,
        machine: Machine,
        capability: tuple[int, int],
        way: tuple[int, int],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        machine.shared_bytes, machine.capability = 200 << 10, capability
        monkeypatch.setattr(resident, "best_shapes", lambda *_: ())
        only(*way, monkeypatch)
        nets = [gpunn.Network(5, [gpunn.Dense(64), gpunn.Dense(9, "softmax")], seed=0) for _ in range(2)]
        for net, device in zip(nets, ("cuda", "cpu"), strict=True):
            net.fit(X, Y, epochs=2, batch_size=20, device=device)
        assert "head" in machine.log
        np.testing.assert_allclose(nets[0].weights[0], nets[1].weights[0], rtol=0, atol=1e-5)

    def test_an_epoch_has_one_copy_each_way_and_one_wait(self, machine: Machine) -> None:
        network().fit(
            X, Y, epochs=1, batch_size=7, device="cuda"
        )  # tries the device and chooses its products
        counts = []
        for epochs in (3, 4):
            machine.log.clear()
            network().fit(X, Y, epochs=epochs, batch_size=7, device="cuda")
            counts.append(Counter(machine.log))
        of_an_epoch = counts[1] - counts[0]
        assert {
            name: of_an_epoch[name] for name in ("graph", "copy 1", "copy 2", "copy 3", "synchronize")
        } == {
            "graph": 1,
            "copy 1": 1,  # to the device: the order
            "copy 2": 1,  # from it: losses and hits
            "copy 3": 1,  # θ, kept for going back
            "synchronize": 1,
        }

    def test_out_of_memory(self, machine: Machine) -> None:
        machine.nbytes = 100 << 20
        be = backends.choose("cuda", "float32")
        with pytest.raises(
            BackendError, match=r"out of memory: 400 MiB were needed, \d+ of 100 MiB are free; use smaller"
        ):
            be.memory.matrix(1 << 20, 100)


class TestTheDevice:
    def test_new_memory_is_zero(self, machine: Machine) -> None:
        memory = Cuda(CupyDevice()).memory
        assert not memory.download(memory.matrix(3, 4)).any()

    def test_a_replay_keeps_what_its_graph_names(self, machine: Machine) -> None:
        be = Cuda(CupyDevice())
        x = be.memory.upload(np.full(4, 3.0))
        replay = be.capture(be.kernels.each("times", 4, x, x))[0]
        memory = weakref.ref(x.memory)
        del x
        gc.collect()
        replay()
        assert view_of(memory) == 9
        del replay
        gc.collect()
        assert memory() is None

    @pytest.mark.parametrize("what", ["allocate", "write", "read", "copy", "pinned", "mark", "capture"])
    def test_capture_refuses(self, machine: Machine, what: str) -> None:
        device, host = CupyDevice(), np.zeros(4, np.float32)
        pointer, memory = device.allocate(16)
        arguments: dict[str, list[Any]] = {
            "allocate": [8],
            "write": [pointer, host],
            "read": [pointer, host],
            "copy": [pointer, pointer, 16],
            "pinned": [8],
            "mark": [],
            "capture": [[]],
        }
        with pytest.raises(BackendError, match=r"a bound call must not .*: it is part of a graph"):
            device.capture([lambda: getattr(device, what)(*arguments[what])])
        device.write(pointer, host)  # capture is over
        assert machine.recording is None
        assert memory is not None

    def test_the_current_device_stays_the_callers(self, machine: Machine) -> None:
        machine.devices, machine.device = 3, 2
        used: list[int] = []

        def switch(record: gpunn.Record) -> None:
            used.append(machine.device)
            machine.device = record.epoch % 3
            nets[1].evaluate(X, Y, device="cuda")

        nets = [network() for _ in range(3)]
        nets[0].fit(X, Y, epochs=4, batch_size=7, device="cuda:1", on_epoch_end=switch, schedule="cosine")
        nets[2].fit(X, Y, epochs=4, batch_size=7, device="cuda:1", schedule="cosine")
        assert used == [2, 1, 2, 0]
        np.testing.assert_array_equal(nets[0].theta, nets[2].theta)

    @pytest.mark.parametrize(
        ("given", "device", "offset", "copied"),
        [
            (np.asfortranarray(X), 1, 0, False),
            (np.ascontiguousarray(X), 1, 0, True),
            (np.asfortranarray(X, np.float64), 1, 0, True),
            (np.asfortranarray(X), 0, 0, True),
            (np.ascontiguousarray(X), 0, 0, True),
            (np.asfortranarray(X), 1, 4, True),
        ],
    )
    def test_cupys_arrays_are_adopted_or_copied(
        self, machine: Machine, given: np.ndarray, device: int, offset: int, copied: bool
    ) -> None:
        """An array on another device, or out of alignment, must be copied."""
        be = Cuda(CupyDevice(1))
        with fake_cupy.Device(machine, device):
            array = fake_cupy.Array(machine, given, offset)
        machine.log.clear()
        adopted = be.device.adopt(array, np.dtype("float32"))
        assert machine.log[0] == "wait in the stream"
        assert (adopted.pointer != array.data.ptr) == copied
        assert adopted.pointer % 32 == 0
        np.testing.assert_array_equal(be.memory.download(adopted), X)
        if adopted.memory is not array:  # a copy keeps nothing of the array
            memory = weakref.ref(array.memory)
            del array
            gc.collect()
            assert memory() is None

    def test_a_kernel_adds_a_bias_out_of_alignment(self, machine: Machine) -> None:
        nets = [gpunn.Network(5, [gpunn.Dense(7, "relu"), gpunn.Dense(3, "softmax")], seed=0) for _ in "ab"]
        nets[0].fit(X, Y, epochs=2, device="cuda")
        assert nets[0].biases[0].ctypes.data % 16
        assert "forward" in machine.log
        nets[1].fit(X, Y, epochs=2, device="cpu")
        np.testing.assert_allclose(nets[0].weights[0], nets[1].weights[0], rtol=0, atol=1e-6)

    def test_each_thread_has_one_backend(self, machine: Machine) -> None:
        """All fits share its compiled kernels and chosen products."""
        be = backends.choose("cuda", "float32")
        assert backends.choose("cuda", "float32") is be
        assert backends.choose("cuda", "float32", "bf16") is not be
        others: list[backends.Backend] = []
        thread = threading.Thread(target=lambda: others.append(backends.choose("cuda", "float32")))
        thread.start()
        thread.join()
        assert others[0] is not be

    def test_the_fastest_way_is_kept(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("GPUNN_ALGORITHMS", str(tmp_path))

        def taking(seconds: float) -> Any:
            def ticks() -> None:
                machine.clock += seconds

            return lambda: machine.do("way", ticks)

        calls = {"one": [taking(3)], "two": [taking(1), taking(1)], "three": [taking(2), taking(1)]}
        ways = {name: calls[name].copy for name in calls}
        device = CupyDevice()
        noted = device.note_algorithms()
        assert device.fastest("a task", ways) == "two"
        assert list(noted) == ["a task"]
        assert device.fastest("a task", {}) == "two"  # is not asked again
        machine.log.clear()
        assert CupyDevice().fastest("a task", ways) == "two"
        assert machine.log.count("way") == 2  # from the file, and tried
        monkeypatch.setenv("GPUNN_ALGORITHMS", "first")
        assert CupyDevice().fastest("a task", ways) == "one"

    @pytest.mark.parametrize("precision", ["float32", "bf16"])
    def test_trials_leave_theta_alone(
        self, machine: Machine, precision: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Trials that are timed when a step is bound write to memory of their own."""
        thetas = []
        for folder in ("first", str(tmp_path)):
            monkeypatch.setenv("GPUNN_ALGORITHMS", folder)
            monkeypatch.setattr(backends, "choose", lambda *_: Cuda(CupyDevice(), precision))
            net = network()
            net.fit(X, Y, epochs=2, batch_size=7, optimizer=gpunn.Momentum(0.1))
            thetas.append(net.theta.copy())
        np.testing.assert_allclose(*thetas, rtol=0, atol=1e-6)

    def test_many_fits_leak_nothing(self, machine: Machine) -> None:
        network().fit(X, Y, epochs=1, device="cuda")
        memory, descriptions = dict(machine.live), machine.descriptions
        for dropout in np.linspace(0.1, 0.9, 70):  # more scalars than a step may have
            net = gpunn.Network(5, [gpunn.Dense(3, "softmax")], seed=0, input_dropout=dropout)
            net.fit(X, Y, epochs=1, device="cuda")
        gc.collect()
        assert len(machine.live) <= len(memory) + 70  # the scalars
        assert machine.descriptions <= descriptions

    def test_alignment(self) -> None:
        buffers = [
            cublaslt.Buffer(pointer, (1,), np.dtype("float32"), None) for pointer in (4, 24, 256, 1 << 20)
        ]
        assert [cublaslt.aligned(buffer) for buffer in buffers] == [4, 8, 16, 16]


def view_of(memory: Any) -> float:
    return float(fake_cupy.view(memory().ptr, np.float32, 1)[0])


DESCRIBE = """
from nvmath.bindings import cublas, cublasLt as lt
from nvmath import CudaDataType
from gpunn.backends.cuda import cublaslt
from gpunn.backends.cuda.device import Buffer, Product
import numpy as np
products = cublaslt.Products.__new__(cublaslt.Products)
products.lt, products.compute = lt, cublas.ComputeType
float32, float64, bf16 = (int(getattr(CudaDataType, name)) for name in cublaslt.TYPES.values())
bias = Buffer(4096, (30, 1), np.dtype("float32"), None)
bits = Buffer(8192, (4, 10), np.dtype("uint8"), None, pitch=16)
product = Product(*[bias] * 5, bias=bias, relu=True, bits=bits)
for precision in cublaslt.COMPUTE:
    types = {"float64": [float64] * 3, "bf16": (float32, bf16, bf16)}.get(precision, [float32] * 3)
    shapes, ld, trans = ((30, 784), (784, 10), (30, 10)), (32, 784, 40), (False, False)
    problem = cublaslt.Problem(shapes, ld, trans, precision, tuple(types), (16, 4, 8), True, True, 128)
    description, layouts = products._describe(problem, product), products._layouts(problem)
    for layout, kind, rows in zip(layouts, (types[1], types[1], types[2]), ld):
        for name, value in (("TYPE", kind), ("LD", rows)):
            name = lt.MatrixLayoutAttribute[name]
            kept, size = np.zeros(1, lt.get_matrix_layout_attribute_dtype(name)), np.zeros(1, np.uint64)
            lt.matrix_layout_get_attribute(layout, name, kept.ctypes.data, kept.nbytes, size.ctypes.data)
            assert kept[0] == value, (layout, kept)
    chosen = {"POINTER_MODE": 1, "TRANSA": 0, "EPILOGUE": 134, "BIAS_POINTER": 4096}
    chosen |= {"EPILOGUE_AUX_POINTER": 8192, "EPILOGUE_AUX_LD": 128}
    for name, value in chosen.items():
        attribute = lt.MatmulDescAttribute[name]
        kept, size = np.zeros(1, lt.get_matmul_desc_attribute_dtype(attribute)), np.zeros(1, np.uint64)
        arguments = kept.ctypes.data, kept.nbytes, size.ctypes.data
        lt.matmul_desc_get_attribute(description, attribute, *arguments)
        assert kept[0] == value, (name, kept)
    products.handle = 0
    try:
        products._heuristic(problem, description, layouts)
    except lt.cuBLASLtError as error:
        print(error)
"""
LIBCUDA = "int cuDriverGetVersion(int* version) { *version = 13000; return 0; }"


@pytest.mark.skipif(find_spec("nvmath") is None, reason="nvmath-python is not installed")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="builds a libcuda.so")
def test_the_real_library_accepts_our_descriptions(tmp_path: Path) -> None:
    """Check types, sizes and names against cuBLASLt, up to the handle, which needs a GPU.

    nvmath refuses to load the library without libcuda, of which one function is enough.
    """
    (tmp_path / "libcuda.c").write_text(LIBCUDA, encoding="utf-8")
    command = [str(emulated.COMPILER), "-shared", "-fPIC", "-x", "c", str(tmp_path / "libcuda.c")]
    subprocess.run([*command, "-o", str(tmp_path / "libcuda.so.1")], check=True)
    environment = os.environ | {"LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("NOT_INITIALIZED") == len(cublaslt.COMPUTE)
