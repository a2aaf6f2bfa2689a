"""Do something at a chosen moment of a process: at its nth file operation, or after some CPU time."""

from __future__ import annotations

import mmap
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

SYNC = "os.fsync"
OPERATIONS = frozenset(
    ["open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.chown", SYNC]
)


@dataclass(frozen=True)
class Length:
    """How long a command runs, and how much it writes.

    Attributes:
        operations: its file operations.
        cpu: its seconds of CPU time.
        size: bytes in the largest file that it writes.
    """

    operations: int
    cpu: float
    size: int


@dataclass(frozen=True)
class Moment:
    """The nth file operation or, if that is 0, a CPU time in seconds."""

    operation: int
    cpu: float

    @staticmethod
    def choose(length: Length, rng: Random) -> Moment:
        """Choose a moment of a command of this length, more often a file operation than not."""
        operation = rng.randint(1, length.operations) if rng.random() < 0.7 else 0
        return Moment(operation, rng.uniform(0.001, length.cpu))

    def kill(self) -> None:
        """Let the process die at this moment, by SIGKILL or, without any handler, by SIGPROF."""
        if self.operation:
            at_operation(self.operation, lambda: os.kill(os.getpid(), signal.SIGKILL))
        else:
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_PROF, self.cpu)

    def call(self, act: Callable[[], object]) -> None:
        """Let the process call a function at this moment."""
        if self.operation:
            at_operation(self.operation, act)
        else:
            signal.signal(signal.SIGPROF, lambda *_: act())
            signal.setitimer(signal.ITIMER_PROF, self.cpu)


def at_operation(number: int, act: Callable[[], object]) -> None:
    """Call a function at the nth file operation of this process."""
    count = 0

    def hook(event: str, _: Any) -> None:
        nonlocal count
        if event in OPERATIONS:
            count += 1
            if count == number:
                act()

    _watch(hook)


def count_operations(counter: mmap.mmap) -> None:
    """Count the file operations of this process, in memory that it shares with its parent."""
    counter[:8] = bytes(8)

    def hook(event: str, _: Any) -> None:
        if event in OPERATIONS:
            counter[:8] = (int.from_bytes(counter[:8], "little") + 1).to_bytes(8, "little")

    _watch(hook)


def _watch(hook: Callable[[str, Any], None]) -> None:
    """Add an audit hook, which also sees `os.fsync`, before and after."""
    sync = os.fsync

    def audited(descriptor: int) -> None:
        sys.audit(SYNC, descriptor)
        sync(descriptor)
        sys.audit(SYNC, descriptor)

    os.fsync = audited  # type: ignore[assignment]
    sys.addaudithook(hook)
