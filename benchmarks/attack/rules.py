"""The rules that every trial is judged by."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.attack.sandbox import CPU, MEMORY, Outcome
from gpunn.files.writing import TEMPORARY

CODES = (0, 1, 2, 130)
OUR_LINES = ("gpunn: error:", "gpunn: warning:", "gpunn: ")
LONGEST = 1000  # characters of an error


@dataclass(frozen=True)
class Step:
    """A process of a trial, the rules that it broke, and whether it met what it was to meet."""

    outcome: Outcome
    broken: Sequence[str] = field(default_factory=list)
    met: bool = True


def judge(outcome: Outcome, names: Sequence[str] = (), *, signals: Sequence[int] = ()) -> Iterator[str]:
    """Yield the rules that a process broke.

    Args:
        names: file names of which a refusal must contain one.
        signals: signals that may end the process.
    """
    yield from _judge_limits(outcome, signals)
    if "Traceback" in outcome.err:
        yield "traceback"
    if "this is a bug" in outcome.err:
        yield "called a bug"
    if "\x1b" in outcome.err + outcome.out:
        yield "control characters printed raw"
    lines = outcome.err.splitlines()
    errors = [line for line in lines if line.startswith("gpunn: error:")]
    if any(not line.startswith(OUR_LINES) for line in lines) and "Traceback" not in outcome.err:
        yield "stray lines on standard error"
    if outcome.code in (1, 2) and len(errors) != 1:
        yield f"{len(errors) or 'no'} error lines"
    elif outcome.code == 2 and names and not any(name in errors[0] for name in names):
        yield "the file is not named"
    if errors and len(errors[0]) > LONGEST:
        yield f"an error of more than {LONGEST:,} characters"


def _judge_limits(outcome: Outcome, signals: Sequence[int]) -> Iterator[str]:
    if outcome.hung or outcome.ended_by == signal.SIGXCPU or outcome.cpu > CPU:
        yield "hang"
    elif outcome.ended_by and outcome.ended_by not in signals:
        yield f"ended by {signal.Signals(outcome.ended_by).name}"
    elif outcome.code is not None and outcome.code not in (*CODES, *(128 + number for number in signals)):
        yield f"exit code {outcome.code}"
    if outcome.memory > MEMORY:
        yield "more than 2 GB of memory"


def leftovers(folder: Path) -> Iterator[str]:
    """Yield a rule if there are temporary files in a folder or below it."""
    if any(TEMPORARY.fullmatch(path.name) for path in folder.rglob(".*")):
        yield "a temporary file is left"


def contents(folder: Path) -> dict[Path, bytes]:
    """Return a checksum of each file in a folder and below it."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: hashlib.blake2b(path.read_bytes(), digest_size=16).digest() for path in files}


def changed(before: Mapping[Path, bytes]) -> bool:
    """Whether one of these files is gone or has another content."""
    return any(
        not path.is_file() or hashlib.blake2b(path.read_bytes(), digest_size=16).digest() != old
        for path, old in before.items()
    )
