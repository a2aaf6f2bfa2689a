"""Processes in which something happens to the threads of the compiled kernels; run by test_compiled_faults.

    python kernel_faults.py NAME

Each prints what it has to say, and "right" if the networks are right.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from kernel_operations import let_threads_share_everything

import gpunn
from gpunn import Dense
from gpunn.backends.host.compiled.operations import Program
from gpunn.backends.host.pool import Pool

M = 200
RNG = np.random.default_rng(0)
X, LABELS = RNG.random((300, M)), RNG.integers(0, 5, M)


def train(threads: int = 3, seed: int = 0, epochs: int = 3) -> bytes:
    """Train a network, and return the bits of θ."""
    net = gpunn.Network(300, [Dense(40, "relu"), Dense(5, "softmax")], seed=seed)
    net.fit(X, LABELS, epochs=epochs, batch_size=32, device="cpu", threads=threads)
    bits: bytes = net.theta.tobytes()
    return bits


def helpers() -> int:
    """Count the threads of this process besides its first."""
    return len(os.listdir("/proc/self/task")) - 1


def two_networks() -> None:
    """Train in two Python threads at once; only one of the runs has the helpers at a time."""
    expected, found = [train(1, seed, 20) for seed in (0, 1)], [[], []]

    def again(seed: int) -> None:
        found[seed].extend(train(3, seed, 20) for _ in range(5))

    running = [threading.Thread(target=again, args=[seed]) for seed in (0, 1)]
    for each in running:
        each.start()
    for each in running:
        each.join()
    assert found == [[bits] * 5 for bits in expected]


def fork() -> None:
    """Train, and go on in a child, which has no helpers yet."""
    expected = train(1)
    assert train() == expected
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(train, [3] * 4) == [expected] * 4
    assert train() == expected


def no_helper() -> None:
    """Train when no thread can be started: there is no memory for its stack."""
    expected, before = train(1), helpers()
    size = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + (6 << 20), limits[1]))  # stacks have 8 MiB
    with pytest.raises(RuntimeError, match="can't start new thread"):
        threading.Thread(target=print).start()
    assert (train(), helpers()) == (expected, before)
    resource.setrlimit(resource.RLIMIT_AS, limits)
    assert (train(), helpers()) == (expected, before + 2)


def many_threads() -> None:
    """Ask for more threads than there are cores, and for more than a team has."""
    expected, before = train(1, epochs=1), helpers()
    assert train(16, epochs=1) == expected
    Pool.limit = lambda self: 1000  # type: ignore[method-assign]
    assert (train(1000, epochs=1), helpers() - before) == (expected, 254)


def interrupt() -> None:
    """Press Ctrl-C while the kernels compute, in the middle of an epoch."""
    call, calls, pressed, begun = Program.__call__, [], [], threading.Event()

    def compute(program: Program) -> None:
        calls.append(program)
        if len(calls) == 5:
            begun.set()
        call(program)

    def press() -> None:
        begun.wait()
        pressed.append(len(calls))
        os.kill(os.getpid(), signal.SIGINT)

    Program.__call__ = compute  # type: ignore[method-assign]
    threading.Thread(target=press, daemon=True).start()
    net, m = gpunn.Network([300, 1000, 5], seed=0), 100 * M
    long, labels = np.tile(X, 100).astype(np.float32), np.zeros(m, int)
    history = net.fit(long, labels, epochs=5, batch_size=50, device="cpu", threads=3)
    assert history.interrupted
    assert len(calls) <= pressed[0] + 1
    assert not history.records
    assert np.isfinite(net.theta).all()


def exit_at_once() -> None:
    """End while the helpers still look out for the next run."""
    assert train() == train()


FAULTS = [two_networks, fork, no_helper, many_threads, interrupt, exit_at_once]

if __name__ == "__main__":
    let_threads_share_everything(pytest.MonkeyPatch())
    {fault.__name__: fault for fault in FAULTS}[sys.argv[1]]()
    print("right")
