"""The number of threads: what is allowed, what trials choose, and what a run keeps of it."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import gpunn
from gpunn.backends import Host
from gpunn.backends.host import choice, threads
from gpunn.backends.host import pool as pool_module
from gpunn.backends.host.choice import COST, LONGEST, WINDOW, Choice, Shared, numbers
from gpunn.backends.host.pool import Pool
from gpunn.backends.host.threads import Threads
from gpunn.training.checkpoint_files import Checkpoints, read

GUESS = 4  # times longer than a call takes with one thread


class Machine:
    """Threads whose calls take as long as the test says, on a clock that nothing else moves.

    It is the compiled kernels and a BLAS library at once. A call takes `seconds` with one thread and
    `factor` · `seconds` / n with n threads.
    """

    def __init__(self, seconds: float = 1e-3, factor: float = 1.0, n: int = 4) -> None:
        self.threads = 1
        self.n, self.now, self.seconds, self.factor = n, 0.0, seconds, factor
        self.calls: list[int] = []  # the number of threads of each
        self.slow: Iterator[float] = iter(())  # extra seconds of the next calls with several threads

    def get_num_threads(self) -> int:
        return self.n

    def set_num_threads(self, num_threads: int) -> None:
        self.n = num_threads

    def call(self) -> None:
        self.calls.append(self.threads)
        several = self.threads > 1
        self.now += self.seconds * (self.factor if several else 1) / self.threads
        self.now += next(self.slow, 0.0) if several else 0.0

    def clock(self) -> float:
        return self.now


class Blas(Machine):
    """Without compiled kernels."""

    @property
    def threads(self) -> int:
        return self.n

    @threads.setter
    def threads(self, n: int) -> None:
        pass


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "cores", lambda: 8)
    monkeypatch.setattr(threads, "physical_cores", lambda: 8)
    monkeypatch.delenv(threads.VARIABLE, raising=False)


def make(machine: Machine, asked: int | None = None, pool: Pool | None = None) -> Threads:
    kernels = None if isinstance(machine, Blas) else machine
    return Threads(asked, kernels, pool or Pool([machine]), machine.clock)


def shared(machine: Machine, chosen: Threads, most: int = 99) -> Shared:
    return Shared(Choice(chosen, most, GUESS * machine.seconds), [machine.call])


def train(machine: Machine, chosen: Threads, seconds: float) -> list[int]:
    """Make calls of a new plan for so many seconds; return the number of threads of each."""
    return run(machine, chosen, shared(machine, chosen), seconds)


def run(machine: Machine, chosen: Threads, calls: Shared, seconds: float) -> list[int]:
    machine.calls, end = [], machine.now + seconds
    with chosen:
        while machine.now < end:
            calls()
    return machine.calls


def test_powers_of_two_are_compared() -> None:
    assert [numbers(n) for n in (1, 2, 3, 8)] == [[1], [1, 2], [1, 2, 3], [1, 2, 4, 8]]


@pytest.mark.parametrize(("seconds", "span"), [(1e-4, 2), (1e-2, 40), (4.0, 60)])
def test_on_a_quiet_machine_trials_cost_little(seconds: float, span: float) -> None:
    machine = Machine(seconds)
    used = train(machine, make(machine), span)
    assert used[-1] == 4
    lost = (used.count(2) / 4 + used.count(1) * 3 / 4) * seconds
    assert lost < span * COST + 4 * WINDOW
    assert (lost > 0) == (seconds < 1)


def test_a_busy_machine_goes_on_with_one_thread_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(factor=60)
    chosen = make(machine)
    used = train(machine, chosen, 5)
    assert used[-1] == 1 and used.count(1) * machine.seconds > 4
    train(machine, make(machine, pool=chosen.pool), 1)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    line = caplog.records[0].getMessage()
    assert line == (
        "gpunn: 4 threads are 15.0 times slower than 1 beside other busy processes; fewer go on "
        "(--threads, fit(threads=N) or GPUNN_THREADS sets the number)"
    )


def test_long_calls_that_wait_are_compared_although_that_could_take_long() -> None:
    machine = Machine(0.1, factor=40)
    used = train(machine, make(machine), 5)
    assert used[:2] == [4, 1] and used.count(4) == 1


def test_a_new_network_trusts_the_choice_for_a_while() -> None:
    machine = Machine(factor=60)
    first = make(machine)
    train(machine, first, 5)
    assert train(machine, make(machine, pool=first.pool), 1)[0] == 1
    machine.now += 11
    assert train(machine, make(machine, pool=first.pool), 1)[0] == 4


@pytest.mark.parametrize("seconds", [0.01, 0.3])
def test_a_short_disturbance_changes_nothing(seconds: float) -> None:
    machine = Machine()
    machine.slow = iter([0.0] * 500 + [seconds])
    used = train(machine, make(machine), 2)
    assert used.count(1) < 50
    assert used[-1] == 4


def test_fewer_threads_are_tried_again_although_they_were_slow() -> None:
    machine = Machine(5e-3, factor=0.2, n=2)
    chosen = make(machine)
    calls = shared(machine, chosen)
    assert run(machine, chosen, calls, 10)[-1] == 2
    machine.seconds, machine.factor = 1e-3, 2 * 1.1
    assert run(machine, chosen, calls, 30)[-1] == 1


def test_load_that_comes_and_goes_is_followed() -> None:
    machine = Machine()
    chosen = make(machine)
    calls = shared(machine, chosen)
    assert run(machine, chosen, calls, 1)[-1] == 4
    machine.factor = 60
    used = run(machine, chosen, calls, 5)
    assert used[-1] == 1 and used.count(1) * machine.seconds > 4
    machine.factor = 1
    assert run(machine, chosen, calls, 6 * LONGEST)[-1] == 4


def test_as_many_threads_as_are_worth_it_are_used() -> None:
    machine = Machine()
    chosen = make(machine)
    used = run(machine, chosen, shared(machine, chosen, most=2), 1)
    assert set(used) == {1, 2} and used[-1] == 2


def test_blas_on_a_quiet_machine_keeps_its_bits() -> None:
    machine = Blas()
    assert set(train(machine, make(machine), 60)) == {4}
    assert machine.n == 4


def test_blas_on_a_busy_machine_goes_on_with_fewer_threads(caplog: pytest.LogCaptureFixture) -> None:
    machine = Blas(factor=60)
    assert train(machine, make(machine), 5)[-1] == 1
    assert "fewer go on, which may change the last bits (" in caplog.records[0].getMessage()
    assert machine.n == 4  # as it was found


@pytest.mark.parametrize(("asked", "used"), [(1, 1), (3, 3), (100, 4)])
def test_a_number_that_is_asked_for_is_used_up_to_the_limit(asked: int, used: int) -> None:
    machine = Machine()
    chosen = make(machine, asked)
    with chosen:
        assert (machine.threads, machine.n) == (used, 4)
    assert chosen.take_used() == used


def test_the_number_that_computed_longest_counts_unless_bits_depend_on_it() -> None:
    for chosen, expected in ((make(Machine()), 2), (make(Blas()), None)):
        for n, seconds in ((4, 0.5), (2, 1.0), (1, 0.9)):
            chosen.count(n, seconds)
        assert chosen.take_used() == expected
        assert chosen.take_used() == 4


def test_openmp_limits_the_threads_beside_an_unknown_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, expected in (("3", 3), ("2,1", 2), ("0", 8), ("", 8)):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert Pool([]).limit() == expected


def test_blas_has_one_thread_beside_those_of_the_kernels() -> None:
    machine = Machine()
    chosen = make(machine)
    chosen.calls_blas = True
    with chosen:
        assert (machine.threads, machine.n) == (4, 1)
    assert machine.n == 4


def test_a_library_that_is_loaded_later_is_limited_too() -> None:
    pool, late = Pool([Machine()]), Machine()
    pool.limit()
    pool.use("a backend", 1)
    pool.join(late)
    assert late.n == 1
    pool.leave("a backend")
    assert late.n == 4


def test_the_environment_and_the_cores_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(threads.VARIABLE, " 2 ")
    assert make(Machine()).most == 2
    assert make(Machine(), 3).most == 3
    monkeypatch.setenv(threads.VARIABLE, "two")
    with pytest.raises(ValueError, match="GPUNN_THREADS must be a whole number of at least 1, not 'two'"):
        make(Machine())
    monkeypatch.delenv(threads.VARIABLE)
    monkeypatch.setattr(pool_module, "cores", lambda: 3)
    assert make(Machine()).most == 3


def test_of_several_networks_at_once_blas_has_the_fewest_threads_and_nothing_is_tried() -> None:
    machine = Blas()
    pool = Pool([machine])
    one, all_of_them = make(machine, 1, pool), make(machine, None, pool)
    with one:
        assert set(train(machine, all_of_them, 1)) == {1}
        assert all_of_them.now == 4
    assert machine.n == 4


def test_a_limit_that_changes_between_epochs_holds() -> None:
    machine = Machine()
    chosen = make(machine)
    train(machine, chosen, 1)
    machine.n = 1
    assert set(train(machine, chosen, 1)) == {1}
    machine.n = 2
    assert 2 in train(machine, chosen, 1)


def test_compiled_kernels_use_one_thread_a_core_unless_more_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "physical_cores", lambda: 2)
    assert [make(Machine(), n).cap for n in (None, 3)] == [2, 3]
    assert make(Blas()).cap == 4


def test_hyper_threads_of_a_core_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5}, raising=False)
    monkeypatch.setattr(pool_module, "_siblings", lambda cpu: f"{cpu % 4},{cpu % 4 + 4}\n")
    assert pool_module.physical_cores() == 3


def test_short_calls_begin_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(1e-4)
    used = train(machine, make(machine), 1)
    assert (used[0], used[-1]) == (1, 4)
    machine = Machine(1e-4, factor=5)
    assert train(machine, make(machine), 1)[-1] == 1


def test_a_resumed_run_without_compiled_kernels_goes_on_with_as_many_threads() -> None:
    machine = Blas()
    for n, expected in [(1, 1), (3, 3), (4, 4), (16, 4)]:
        chosen = make(machine)
        assert chosen.go_on_with(n) == expected
        with chosen:
            assert machine.n == expected
    assert make(machine, 2).go_on_with(4) == 2
    assert make(Machine(), 2).go_on_with(4) == 4  # no bits depend on it


# in training

X, Y = np.random.default_rng(0).random((300, 64), np.float32), np.arange(64) % 10


def fit(**options: object) -> tuple[gpunn.Network, gpunn.History]:
    net = gpunn.Network(300, [gpunn.Dense(64, "relu"), gpunn.Dense(10, "softmax")], seed=0)
    how = {"epochs": 2, "batch_size": 64, "device": "cpu", **options}
    return net, net.fit(X, Y, **how)  # type: ignore[arg-type]


def test_records_checkpoints_and_histories_keep_the_number(tmp_path: Path) -> None:
    _, history = fit(threads=1, checkpoint=tmp_path)
    assert [record.threads for record in history] == [1, 1]
    kept = [read(path) for path in Checkpoints(tmp_path).files()]
    assert [record["threads"] for record in kept[-1].state["records"]] == [1, 1]


def test_a_resumed_run_without_compiled_kernels_warns_of_another_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUNN_COMPILED", "0")
    machine = Machine(n=2)
    monkeypatch.setenv("GPUNN_COMPILED", "0")  # compiled kernels have the same bits for any number
    monkeypatch.setattr(threads, "blas", lambda: Pool([machine]))
    _, history = fit(threads=2, checkpoint=tmp_path)
    assert [record.threads for record in history] == [2, 2]
    with pytest.warns(UserWarning, match="so far used 2 threads, and 1 from now on"):
        fit(threads=1, checkpoint=tmp_path, resume=True, epochs=3)
    with pytest.warns(UserWarning, match="so far used 1 thread, and 2 from now on"):
        fit(threads=2, checkpoint=tmp_path, resume=True, epochs=4)
    history = fit(checkpoint=tmp_path, resume=True, epochs=5)[1]
    assert [record.threads for record in history] == [2, 2, 1, 2, 2]


@pytest.mark.skipif(not Host().repeats, reason="no compiled kernels")
def test_with_compiled_kernels_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "blas", lambda: Pool([Machine(n=3)]))
    monkeypatch.setattr(choice, "WINDOW", 0.0)
    monkeypatch.setattr(Choice, "_next", lambda self: 3 if self.trying == 1 else 1)
    net, history = fit(epochs=8)
    assert history[-1].threads in (1, 3)
    assert {record.threads for record in history} != {3}
    np.testing.assert_array_equal(net.theta, fit(epochs=8, threads=1)[0].theta)


def test_a_run_with_one_thread_goes_on_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUNN_COMPILED", "0")  # compiled kernels have the same bits for any number
    machine = Machine(n=1)
    monkeypatch.setattr(threads, "blas", lambda: Pool([machine]))
    fit(checkpoint=tmp_path)
    machine.n = 2
    history = fit(checkpoint=tmp_path, resume=True, epochs=4)[1]
    assert [record.threads for record in history] == [1, 1, 1, 1]


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_a_number_that_is_none_is_refused(threads: object) -> None:
    with pytest.raises(ValueError, match="threads must be a whole number of at least 1"):
        fit(threads=threads)


def test_one_thread_repeats_whatever_the_environment_allows() -> None:
    program = (
        "import sys; sys.path.insert(0, 'tests/backends')\n"
        "from test_threads import fit\n"
        "print(fit(threads=1)[0].theta.tobytes().hex())"
    )
    outputs = set()
    for n in ("1", "2"):
        environment = os.environ | {"OPENBLAS_NUM_THREADS": n, "OMP_NUM_THREADS": n}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        outputs.add(subprocess.check_output([sys.executable, "-c", program], env=environment))
    assert len(outputs) == 1
