"""The choice of cuBLASLt's algorithms: timed once, kept, and alike in all processes of a machine."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import emulated
import numpy as np
import pytest
from fake_cupy import Machine
from filelock import FileLock
from helpers import need_cuda

import gpunn
from gpunn import backends
from gpunn.backends.cuda import algorithms, cupy_device
from gpunn.backends.cuda.algorithms import Algorithms
from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.cuda.cupy_device import CupyDevice
from gpunn.backends.cuda.device import Product
from gpunn.cli import reports
from gpunn.files.writing import write_whole
from gpunn.functions.calls import Call, Calls
from gpunn.training.identity import explain_other_algorithms

MACHINE = {"GPU": "Fake", "driver": "13000", "cuBLASLt": "130800"}
NAMES = [b"\x00", b"\x01", b"\x02"]

needs_compiler = pytest.mark.skipif(not emulated.COMPILER, reason="no C++ compiler for the emulated device")


class Clock:
    """A device whose algorithms take these times; those in `failing` do not work."""

    def __init__(self, *times: float, failing: tuple[int, ...] = ()) -> None:
        self.calls: list[Call] = [lambda k=k: self.ran.append(k) for k in range(len(times))]  # type: ignore[misc]
        self.times, self.failing, self.ran, self.timed = times, failing, [], 0

    def works(self, call: Call) -> bool:
        call()
        return self.ran[-1] not in self.failing

    def timer(self, calls: Calls) -> Callable[[], float]:
        self.timed += 1
        return lambda: len(calls) * self.times[self.calls.index(calls[0])]

    def choose(self, product: str = "p", machine: dict[str, str] = MACHINE) -> int | None:
        """Choose as a new process does."""
        return Algorithms(machine, self.works, self.timer).choose(product, NAMES, self.calls)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(algorithms.VARIABLE, str(tmp_path / "algorithms"))
    return tmp_path / "algorithms"


def kept(folder: Path) -> Path:
    (path,) = folder.glob("*.json")
    return path


def test_the_fastest_is_timed_once_and_kept(folder: Path) -> None:
    clock = Clock(5e-6, 9e-6, 2e-6)
    assert [clock.choose(), clock.choose()] == [2, 2]
    assert clock.timed == 3  # in the first process only
    content = json.loads(kept(folder).read_text("utf-8"))
    assert content["machine"] == MACHINE
    choice = content["choices"]["p"]
    assert (choice["algorithm"], choice["candidate"]) == ("02", 2)
    assert choice["microseconds"] == {"0": 5.0, "1": 9.0, "2": 2.0}
    assert clock.choose("another product") == 2
    assert clock.timed == 6
    assert set(json.loads(kept(folder).read_text("utf-8"))["choices"]) == {"p", "another product"}


def test_the_librarys_order_decides_between_equals(folder: Path) -> None:
    assert Clock(9e-6, 2.02e-6, 2e-6).choose() == 1


def test_algorithms_that_fail_are_not_chosen(folder: Path) -> None:
    assert Clock(5e-6, 1e-6, 2e-6, failing=(1,)).choose() == 2
    assert Clock(5e-6, 1e-6, 2e-6, failing=(0, 1)).choose("alone") == 2  # there is nothing to compare
    assert Clock(5e-6, 1e-6, 2e-6, failing=(0, 1, 2)).choose("hopeless") is None
    assert set(json.loads(kept(folder).read_text("utf-8"))["choices"]) == {"p"}


@pytest.mark.parametrize("gone", [True, False])
def test_a_kept_algorithm_that_is_gone_or_fails_is_replaced(folder: Path, gone: bool) -> None:
    assert Clock(5e-6, 1e-6, 2e-6).choose() == 1
    if gone:
        path = kept(folder)
        path.write_text(path.read_text("utf-8").replace('"01"', '"99"'), encoding="utf-8")
    assert Clock(5e-6, 1e-6, 2e-6, failing=(1,)).choose() == 2
    assert '"02"' in kept(folder).read_text("utf-8")


def test_each_gpu_driver_and_library_has_a_file(folder: Path) -> None:
    clock = Clock(5e-6, 1e-6, 2e-6)
    assert clock.choose() == 1
    clock.times = (1e-6, 2e-6, 3e-6)
    for name, value in (("GPU", "NVIDIA H200"), ("driver", "13010"), ("cuBLASLt", "130900")):
        assert clock.choose(machine=MACHINE | {name: value}) == 0
    names = sorted(path.name for path in folder.glob("*.json"))
    assert "gpu-nvidia-h200-driver-13000-cublaslt-130800.json" in names
    assert len(names) == 4
    assert clock.choose() == 1


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: len(text) // 2], "Unterminated|Expecting"),
        (lambda text: "[]", "it is not a gpunn-algorithms file of version 1"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "of version 1"),
        (lambda text: text.replace("13000", "12000"), "it belongs to another GPU, driver or library"),
        (lambda text: text.replace('"algorithm"', '"algorythm"'), "a choice has no algorithm"),
    ],
)
def test_a_damaged_file_is_ignored_and_replaced(
    folder: Path, damage: Callable[[str], str], said: str
) -> None:
    Clock(5e-6, 1e-6, 2e-6).choose()
    path = kept(folder)
    path.write_text(damage(path.read_text("utf-8")), encoding="utf-8")
    clock = Clock(1e-6, 5e-6, 2e-6)
    with pytest.warns(UserWarning, match=f"is damaged, so cuBLASLt's algorithms are timed again: .*({said})"):
        assert clock.choose() == 0
    assert clock.choose() == 0
    assert clock.timed == 3


def test_choices_that_cannot_be_kept_hold_for_the_process(folder: Path) -> None:
    folder.write_text("a file", encoding="utf-8")
    clock = Clock(5e-6, 1e-6, 2e-6)
    chosen = Algorithms(MACHINE, clock.works, clock.timer)
    with pytest.warns(UserWarning, match="another run may differ in the last bits: set GPUNN_ALGORITHMS"):
        assert chosen.choose("p", NAMES, clock.calls) == 1
    assert chosen.choose("p", NAMES, clock.calls) == 1
    assert clock.timed == 3


def test_the_librarys_own_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(algorithms.VARIABLE, algorithms.FIRST)
    monkeypatch.chdir(tmp_path)
    clock = Clock(5e-6, 1e-6, 2e-6, failing=(0,))
    assert (clock.choose(), clock.timed, clock.ran) == (1, 0, [0, 1])
    assert not any(tmp_path.iterdir())


def test_by_default_choices_are_kept_in_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(algorithms.VARIABLE)
    monkeypatch.setattr(algorithms, "user_cache_path", lambda name: tmp_path / name)
    assert Clock(5e-6, 1e-6, 2e-6).choose() == 1
    assert kept(tmp_path / "gpunn" / "algorithms").exists()


class TestProcessesAtOnce:
    def test_a_process_waits_for_another_and_takes_its_choice(self, folder: Path) -> None:
        Clock(5e-6, 1e-6, 2e-6).choose()
        text = kept(folder).read_text("utf-8").replace('"p"', '"q"')  # what the other process will write
        clock, found = Clock(1e-6, 5e-6, 2e-6), []
        lock = FileLock(f"{kept(folder)}.lock", thread_local=False)
        lock.acquire()
        thread = threading.Thread(target=lambda: found.append(clock.choose("q")))
        thread.start()
        write_whole(kept(folder), text.encode())
        lock.release()
        thread.join()
        assert (found, clock.timed) == ([1], 0)

    def test_two_processes_agree(self, folder: Path) -> None:
        """Each finds another algorithm to be the fastest."""
        code = (
            "import sys; from test_algorithms import Clock\n"
            "clock = Clock(*map(float, sys.argv[1:]))\n"
            "print([clock.choose(f'product {k}') for k in range(9)], clock.timed)"
        )
        path = f"import sys; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}\n"
        processes = [
            subprocess.Popen([sys.executable, "-c", path + code, *times], stdout=subprocess.PIPE, text=True)
            for times in (("1", "2", "3"), ("3", "2", "1"))
        ]
        (one, other), timed = zip(*(p.communicate()[0].rsplit(maxsplit=1) for p in processes), strict=True)
        assert one == other
        assert sum(map(int, timed)) == 9 * 3
        assert len(json.loads(kept(folder).read_text("utf-8"))["choices"]) == 9

    def test_a_lock_that_cannot_be_had_is_done_without(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Clock(5e-6, 1e-6, 2e-6).choose()
        monkeypatch.setattr(algorithms, "PATIENCE", 0)
        found = []
        with FileLock(f"{kept(folder)}.lock"):  # as of a process that hangs
            thread = threading.Thread(target=lambda: found.append(Clock(5e-6, 4e-6, 2e-6).choose("q")))
            thread.start()
            thread.join()
        assert found == [2]
        assert set(json.loads(kept(folder).read_text("utf-8"))["choices"]) == {"p", "q"}


@needs_compiler
class TestOnTheDevice:
    def product(self, machine: Machine) -> tuple[Call, str]:
        """Bind a product on a new device; return it and the checksum of its algorithm."""
        be = Cuda(CupyDevice())
        noted = be.device.note_algorithms()
        a, c = be.memory.matrix(4, 4), be.memory.matrix(4, 4)
        call = be.kernels.product(Product(be.memory.one, a, a, be.memory.zero, c))
        (checksum,) = noted.values()
        machine.log.clear()
        machine.ran.clear()
        return call, checksum

    def test_the_fastest_runs(self, machine: Machine, folder: Path) -> None:
        machine.offered, machine.taken = 8, {0: 51e-6, 4: 6e-6, **dict.fromkeys((2, 3, 5, 6, 7), 20e-6)}
        call, checksum = self.product(machine)
        call()
        assert machine.ran == [4]
        (choice,) = json.loads(kept(folder).read_text("utf-8"))["choices"].values()
        assert choice["candidate"] == 3  # of those that the library does not mark as failing
        assert choice["microseconds"]["0"] == pytest.approx(51)
        machine.taken = {}
        assert self.product(machine)[1] == checksum
        machine.driver = 13010
        assert self.product(machine)[1] != checksum

    def test_a_kept_choice_is_not_timed(self, machine: Machine, folder: Path) -> None:
        self.product(machine)
        be = Cuda(CupyDevice())
        a, c = be.memory.matrix(4, 4), be.memory.matrix(4, 4)
        machine.log.clear()
        be.kernels.product(Product(be.memory.one, a, a, be.memory.zero, c))
        assert machine.log.count("product") == 1  # so that nothing has to be loaded during capture
        assert "elapsed" not in machine.log

    def test_timing_leaves_the_result_alone(self, machine: Machine, folder: Path) -> None:
        be = Cuda(CupyDevice())
        a, c = be.memory.upload(np.eye(4)), be.memory.upload(np.ones((4, 4)))
        be.kernels.product(Product(be.memory.one, a, a, be.memory.one, c))
        assert (be.memory.download(c) == 1).all()


@needs_compiler
class TestOfARun:
    X, Y = np.eye(4, dtype=np.float32), [0, 1, 2, 0]

    def fit(self, epochs: int, seed: int = 0, **options: Any) -> gpunn.History:
        net = gpunn.Network([4, 3], seed=seed)
        return net.fit(self.X, self.Y, epochs=epochs, batch_size=4, device="cuda", **options)

    def test_a_history_has_the_algorithms_of_its_run(self, machine: Machine, folder: Path) -> None:
        gpunn.Network([4, 3, 17, 3], seed=0).fit(self.X, self.Y, epochs=1, device="cuda")
        one, other = self.fit(1), self.fit(1, seed=1)
        assert one.algorithms == other.algorithms
        assert any(name.startswith("Problem(") for name in one.algorithms)
        assert not any("17" in name for name in one.algorithms)
        kept = reports.versions(one)["cuBLASLt algorithms"]
        assert len(kept) == 12
        assert kept == reports.versions(other)["cuBLASLt algorithms"]

    def test_a_resumed_run_says_that_algorithms_differ(
        self, machine: Machine, folder: Path, tmp_path: Path
    ) -> None:
        run = {"checkpoint": tmp_path / "run", "resume": True}
        self.fit(1, **run)
        self.fit(2, **run)
        machine.driver = 13010
        cupy_device._device.cache_clear()
        cupy_device._backend.cache_clear()
        with pytest.warns(UserWarning, match="matrix products? use another algorithm than the run so far"):
            self.fit(3, **run)
        self.fit(4, **run)  # it has said so

    def test_a_product_that_only_one_of_them_knows_does_not_count(self) -> None:
        assert explain_other_algorithms({"p": "1", "q": "2"}, {"p": "1", "r": "3"}) is None
        said = explain_other_algorithms({"p": "1", "q": "2"}, {"p": "1", "q": "3"})
        assert said is not None and said.startswith("1 of 2 matrix products use")


def check_what_is_kept(folder: Path, precision: str) -> None:
    """A second device is offered the kept algorithms again, times nothing, and computes the same."""
    net, X, y = gpunn.Network([784, 12, 10], seed=0), np.eye(784, 64, dtype=np.float32), np.arange(64) % 10
    found, losses = [], []
    for _ in range(2):
        be = Cuda(CupyDevice(), precision)
        noted = be.device.note_algorithms()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(backends, "choose", lambda *_, be=be: be)
            losses.append(net.evaluate(X, y, device="cuda")[0])
        found.append((dict(noted), kept(folder).read_text("utf-8")))
    assert found[0] == found[1]
    assert losses[0] == losses[1] == pytest.approx(net.evaluate(X, y)[0], rel=0.01)


@needs_compiler
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_what_is_kept(machine: Machine, folder: Path, precision: str) -> None:
    check_what_is_kept(folder, precision)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_what_is_kept_on_cuda(folder: Path, precision: str) -> None:
    need_cuda()
    check_what_is_kept(folder, precision)
