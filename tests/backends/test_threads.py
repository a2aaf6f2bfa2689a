"""The number of BLAS threads: what is allowed, what trials choose, and what a run keeps of it."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import gpunn
from gpunn.backends.host import pool as pool_module
from gpunn.backends.host import threads
from gpunn.backends.host.pool import Pool
from gpunn.backends.host.threads import COST, LAST, PAUSE, RECENT, Product, Threads
from gpunn.training.checkpoint import Checkpoints, read


class Machine:
    """A BLAS library whose products take as long as the test says, on a clock that nothing else moves.

    seconds: of a product with one thread and with all.
    """

    def __init__(self, seconds: tuple[float, float] = (1e-3, 0.6e-3), n: int = 4) -> None:
        self.n, self.now, self.seconds = n, 0.0, seconds
        self.calls: list[int] = []
        self.slow: Iterator[float] = iter(())  # extra seconds of the next products with several threads

    def get_num_threads(self) -> int:
        return self.n

    def set_num_threads(self, num_threads: int) -> None:
        self.n = num_threads

    def product(self) -> None:
        self.calls.append(self.n)
        self.now += self.seconds[self.n > 1] + (next(self.slow, 0.0) if self.n > 1 else 0.0)

    def clock(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "cores", lambda: 8)
    monkeypatch.delenv(threads.VARIABLE, raising=False)


def train(machine: Machine, chosen: Threads, seconds: float, chunk: float = 0.01, **how: bool) -> list[int]:
    """Run chunks for so many seconds; return the number of threads of each."""
    product, used, end = Product(machine.product, 40_000_000), [], machine.now + seconds
    with chosen:
        while machine.now < end:
            chosen.before_chunk(product, **({"training": True} | how))
            used.append(machine.n)
            machine.now += chunk * machine.seconds[machine.n > 1] / machine.seconds[0]
    return used


def make(machine: Machine, asked: int | None = None) -> Threads:
    return Threads(asked, Pool([machine]), machine.clock)


def test_a_quiet_machine_uses_all_threads_and_spends_little_on_trials() -> None:
    machine = Machine()
    assert set(train(machine, make(machine), 10)) == {4}
    assert sum(machine.seconds[n > 1] for n in machine.calls) < 10 * COST * 1.2
    assert machine.n == 4


def test_a_busy_machine_goes_on_with_one_thread_from_the_first_step_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = Machine((1e-3, 60e-3))
    chosen = make(machine)
    assert set(train(machine, chosen, 5)) == {1}
    assert machine.calls == [1, 4]  # a wait of 60 ms is evidence enough
    assert chosen.take_used() == 1
    train(machine, Threads(None, chosen.pool, machine.clock), 1)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    line = caplog.records[0].getMessage()
    assert line.startswith("gpunn: 4 threads are 60.0 times slower than one")
    assert "--threads, fit(threads=N) or GPUNN_THREADS sets the number" in line
    assert machine.n == 4  # as it was found


def test_a_new_network_trusts_that_the_machine_is_still_busy_for_a_while() -> None:
    machine = Machine((1e-3, 60e-3))
    first = make(machine)
    train(machine, first, 1)
    machine.calls.clear()
    assert set(train(machine, Threads(None, first.pool, machine.clock), 5)) == {1}
    assert not machine.calls
    machine.seconds = 1e-3, 0.6e-3
    machine.now += RECENT
    assert set(train(machine, Threads(None, first.pool, machine.clock), 1)) == {4}


def test_one_slow_product_changes_nothing() -> None:
    machine = Machine()
    machine.slow = iter([0.02])
    assert set(train(machine, make(machine), 2)) == {4}


def test_load_that_comes_and_goes_is_followed() -> None:
    machine = Machine()
    chosen = make(machine)
    assert train(machine, chosen, 1)[-1] == 4
    machine.seconds = 1e-3, 20e-3
    used = train(machine, chosen, 5)
    assert used[-1] == 1 and used.count(4) * 0.2 < 1
    assert chosen.take_used() is None
    machine.seconds = 1e-3, 0.6e-3
    used = train(machine, chosen, 3 + LAST * PAUSE)
    assert (used[0], used[-1]) == (1, 4)


def test_slightly_slower_threads_keep_the_bits() -> None:
    machine = Machine((1e-3, 1.1e-3))
    assert set(train(machine, make(machine), 5)) == {4}


def test_a_short_prediction_is_not_worth_a_trial() -> None:
    machine = Machine((1e-3, 60e-3))
    train(machine, make(machine), 0.01, training=False)
    assert not machine.calls


@pytest.mark.parametrize(("asked", "used"), [(1, 1), (3, 3), (100, 4)])
def test_a_number_that_is_asked_for_is_used_up_to_the_limit_and_not_tried(asked: int, used: int) -> None:
    machine = Machine((1e-3, 60e-3))
    assert set(train(machine, make(machine, asked), 1)) == {used}
    assert not machine.calls


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


def test_of_several_networks_at_once_the_fewest_threads_hold_and_nothing_is_tried() -> None:
    machine = Machine((1e-3, 60e-3))
    pool = Pool([machine])
    one, all_of_them = Threads(1, pool, machine.clock), Threads(None, pool, machine.clock)
    with all_of_them:
        with one:
            all_of_them.before_chunk(Product(machine.product, 1 << 26), training=True)
            assert machine.n == 1
        assert machine.n == 4
    assert not machine.calls


def test_a_limit_that_changes_between_epochs_holds() -> None:
    machine = Machine()
    chosen = make(machine)
    train(machine, chosen, 1)
    machine.n = 1
    assert set(train(machine, chosen, 1)) == {1}
    machine.n = 2
    assert set(train(machine, chosen, 1)) == {2}


def test_a_resumed_run_goes_on_with_as_many_threads() -> None:
    machine = Machine()
    for n, expected in [(1, 1), (3, 3), (4, 4), (16, 4)]:
        chosen = make(machine)
        assert chosen.go_on_with(n) == expected
        with chosen:
            assert machine.n == expected
    assert make(machine, 2).go_on_with(4) == 2


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


def test_a_resumed_run_warns_of_another_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(n=2)
    monkeypatch.setenv("GPUNN_COMPILED", "0")  # compiled kernels have the same bits for any number
    monkeypatch.setattr(threads, "blas", lambda: Pool([machine]))
    monkeypatch.setattr(Threads, "_trial", lambda self, product: (1, 1))
    _, history = fit(threads=2, checkpoint=tmp_path)
    assert [record.threads for record in history] == [2, 2]
    with pytest.warns(UserWarning, match="so far used 2 threads, and 1 from now on"):
        fit(threads=1, checkpoint=tmp_path, resume=True, epochs=3)
    with pytest.warns(UserWarning, match="so far used 1 thread, and 2 from now on"):
        fit(threads=2, checkpoint=tmp_path, resume=True, epochs=4)
    history = fit(checkpoint=tmp_path, resume=True, epochs=5)[1]
    assert [record.threads for record in history] == [2, 2, 1, 2, 2]


def test_trials_change_nothing_that_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(n=2)
    monkeypatch.setattr(threads, "blas", lambda: Pool([machine]))
    tried: list[Product] = []
    monkeypatch.setattr(
        Threads, "_trial", lambda self, product: (tried.append(product), product.call(), (1, 1))[2]
    )
    theta = fit()[0].theta
    assert tried
    np.testing.assert_array_equal(theta, fit(threads=2)[0].theta)


def test_a_run_that_was_bound_for_one_thread_goes_on_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
