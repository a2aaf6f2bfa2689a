"""The rules of an attack, and the moments at which it disturbs: both are decided by facts, not by time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no fork")

if os.name != "nt":
    from benchmarks.attack import progress, rules, sandbox
    from benchmarks.attack.moments import Moment
    from benchmarks.attack.sandbox import Outcome


def outcome(code: int | None = 2, err: str = "gpunn: error: x.csv: odd\n", **changes: object) -> Outcome:
    values = {"ended_by": 0, "out": "", "cpu": 0.1, "memory": 1 << 20, **changes}
    return Outcome(("predict",), code, err=err, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "err", "changes", "rule"),
    [
        (2, "Traceback (most recent call last):\n", {}, "traceback"),
        (1, "gpunn: error: KeyError: 'x' (this is a bug; --debug shows it)\n", {}, "called a bug"),
        (3, "gpunn: error: x.csv: odd\n", {}, "exit code 3"),
        (2, "gpunn: error: odd\n", {}, "the file is not named"),
        (2, "gpunn: error: x.csv\ngpunn: error: x.csv\n", {}, "2 error lines"),
        (2, "", {}, "no error lines"),
        (2, "odd\ngpunn: error: x.csv\n", {}, "stray lines on standard error"),
        (2, "gpunn: error: x.csv \x1b[31m\n", {}, "control characters printed raw"),
        (2, f"gpunn: error: x.csv {'9' * 1000}\n", {}, "an error of more than 1,000 characters"),
        (None, "", {"ended_by": 11}, "ended by SIGSEGV"),
        (None, "", {"ended_by": 24}, "hang"),
        (0, "", {"cpu": 11.0}, "hang"),
        (None, "", {"ended_by": 9, "hung": True}, "hang"),
        (0, "", {"memory": 3 << 30}, "more than 2 GB of memory"),
    ],
)
def test_a_broken_rule_is_told(code: int | None, err: str, changes: dict[str, object], rule: str) -> None:
    assert rule in rules.judge(outcome(code, err, **changes), ["x.csv"])


def test_a_good_outcome_breaks_no_rule() -> None:
    for good in (outcome(), outcome(0, ""), outcome(0, "gpunn: warning: x\n"), outcome(None, "", ended_by=9)):
        assert not list(rules.judge(good, ["x.csv"], signals=[9]))


def test_a_changed_or_lost_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    before = rules.contents(tmp_path)
    (tmp_path / "b").write_text("new")
    assert not rules.changed(before)
    path.write_text("y")
    assert rules.changed(before)
    path.unlink()
    assert rules.changed(before)


def forked(act: Callable[[], object]) -> int:
    """Fork a process that calls a function, and return its number."""
    if pid := os.fork():
        return pid
    try:
        act()
    finally:
        os._exit(0)


def end(pid: int) -> int:
    """Kill a process, and return the signal that ended it."""
    os.kill(pid, signal.SIGKILL)
    return os.WTERMSIG(os.waitpid(pid, 0)[1])


def test_a_process_that_sleeps_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "ASLEEP", 0.0)
    pid = forked(signal.pause)
    watch = progress.Watch(pid)
    while not watch.hangs():
        time.sleep(0.01)
    end(pid)


def test_a_process_that_wants_the_cpu_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> None:
        while True:
            pass

    monkeypatch.setattr(progress, "ASLEEP", 0.0)
    pid = forked(run)
    watch = progress.Watch(pid)
    assert not any(watch.hangs() for _ in range(50))
    end(pid)


def test_a_process_dies_at_its_nth_file_operation(tmp_path: Path) -> None:
    def write() -> None:
        Moment(2, 0.0).kill()
        for name in "abc":
            (tmp_path / name).touch()

    assert os.WTERMSIG(os.waitpid(forked(write), 0)[1]) == signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_process_dies_after_some_cpu_time() -> None:
    def run() -> None:
        Moment(0, 0.01).kill()
        while True:
            pass

    assert os.WTERMSIG(os.waitpid(forked(run), 0)[1]) == signal.SIGPROF


def test_a_stopped_process_goes_on(tmp_path: Path) -> None:
    process = sandbox.start(["--version"], tmp_path, lambda: os.kill(os.getpid(), signal.SIGSTOP))
    assert process.wait_until_stopped()
    process.go_on()
    assert not process.wait_until_stopped()
    done = process.wait()
    assert (done.code, done.err) == (0, "") and done.out.startswith("gpunn ")
