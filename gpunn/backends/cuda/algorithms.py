"""The choice among the algorithms that cuBLASLt offers for a product: the fastest by the clock.

An algorithm decides the order of a product's sums, so two runs are only bitwise identical if they use the
same algorithms. A choice is therefore made once for each product on each machine, and kept in the user's
cache: a JSON file for each GPU, driver and library. The library is asked again in every process, and a kept
algorithm is only used if it is still among the candidates.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from gpunn.files.locking import locked
from gpunn.files.strict_json import InvalidJSON, dump_json, parse_json
from gpunn.files.writing import write_whole
from gpunn.functions.calls import Call, Calls

VARIABLE = "GPUNN_ALGORITHMS"  # a folder for the choices, or FIRST
FIRST = "first"  # take the library's first answer; time and keep nothing
CALLS = 20  # in the graph that is timed
ROUNDS = 4  # in which the candidates take turns; the best counts, since the first finds the GPU's clocks low
CLOSE = 1.02  # an earlier candidate is kept if it takes at most this many times the best time
PATIENCE = 60  # seconds to wait for another process that times its products
FORMAT, VERSION = "gpunn-algorithms", 1

Timer = Callable[[Calls], Callable[[], float]]


class Algorithms:
    """Choices on one device.

    Args:
        machine: what the choices hold for: names and versions.
        works: runs a product once; returns False if its algorithm fails.
        timer: see `Device.timer`.
    """

    def __init__(self, machine: Mapping[str, str], works: Callable[[Call], bool], timer: Timer) -> None:
        self.machine, self.works, self.timer = dict(machine), works, timer
        folder = os.environ.get(VARIABLE) or str(user_cache_path("gpunn") / "algorithms")
        path = Path(folder).expanduser().absolute()
        self.file = None if folder == FIRST else ChoiceFile(path, self.machine)

    def choose(self, product: str, algorithms: Sequence[bytes], calls: Sequence[Call]) -> int | None:
        """Return the index of the algorithm to use for a product; None if no algorithm works.

        Args:
            product: its name in the file.
            algorithms: the candidates, in the library's order.
            calls: the product by each of them.
        """
        names = [algorithm.hex() for algorithm in algorithms]
        if self.file is None:
            return next((k for k, call in enumerate(calls) if self.works(call)), None)
        if (kept := self._kept(product, names, calls)) is not None:
            return kept
        with locked(Path(f"{self.file.path}.lock"), PATIENCE):
            self.file.read()  # another process may have timed the product meanwhile
            if (kept := self._kept(product, names, calls)) is not None:
                return kept
            return self._choose_by_the_clock(product, names, calls)

    def _kept(self, product: str, names: list[str], calls: Sequence[Call]) -> int | None:
        """Return the index of the kept algorithm, unless it is no longer offered or fails."""
        assert self.file
        name = self.file.choices.get(product, {}).get("algorithm")
        return names.index(name) if name in names and self.works(calls[names.index(name)]) else None

    def _choose_by_the_clock(self, product: str, names: list[str], calls: Sequence[Call]) -> int | None:
        """Time the candidates that work, and keep the choice."""
        assert self.file
        start = time.perf_counter()
        working = [k for k, call in enumerate(calls) if self.works(call)]
        if len(working) < 2:
            return working[0] if working else None
        seconds = timed(self.timer, [calls[k] for k in working])
        first = next(k for k, taken in enumerate(seconds) if taken <= CLOSE * min(seconds))
        choice = {
            "algorithm": names[working[first]],
            "candidate": working[first],
            "microseconds": {str(k): round(1e6 * x, 3) for k, x in zip(working, seconds, strict=True)},
            "tuning_seconds": round(time.perf_counter() - start, 4),
        }
        self.file.keep(product, choice)
        return working[first]

    def digest(self, algorithm: bytes) -> str:
        """Identify an algorithm of this GPU, driver and library."""
        return checksum(dump_json(self.machine), algorithm.hex())


def timed(timer: Timer, calls: Sequence[Call]) -> list[float]:
    """Return the shortest time of each call in seconds; the calls take turns."""
    timers = [timer([call] * CALLS) for call in calls]
    rounds = [[run() / CALLS for run in timers] for _ in range(ROUNDS)]
    return [min(times) for times in zip(*rounds, strict=True)]


def checksum(*texts: str) -> str:
    """Return a short checksum of texts."""
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=6).hexdigest()


class ChoiceFile:
    """The choices for one machine, by product, and the JSON file that keeps them.

    A damaged file is ignored with a warning, and replaced when the next choice is kept. If the file cannot be
    written, choices hold for this process only, which is said once.
    """

    def __init__(self, folder: Path, machine: Mapping[str, str]) -> None:
        named = re.sub(r"[^a-z0-9.]+", "-", " ".join(f"{k} {v}" for k, v in machine.items()).lower())
        self.path, self.machine = folder / f"{named.strip('-')}.json", dict(machine)
        self.choices: dict[str, dict[str, Any]] = {}
        self._warned = False
        self.read()

    def read(self) -> None:
        """Add the choices in the file; those that this process has made stay."""
        try:
            content = parse_json(self.path.read_bytes())
        except OSError:  # there is none yet
            return
        except InvalidJSON as error:
            self._warn_of_damage(str(error))
            return
        if wrong := explain_wrong(content, self.machine):
            self._warn_of_damage(wrong)
        else:
            self.choices = {**content["choices"], **self.choices}

    def keep(self, product: str, choice: dict[str, Any]) -> None:
        """Add a choice, and write the file."""
        self.choices[product] = choice
        content = {"format": FORMAT, "version": VERSION, "machine": self.machine, "choices": self.choices}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, dump_json(content, indent=1).encode() + b"\n")
        except OSError as error:
            self._warn_once(
                f"the choice of cuBLASLt's algorithms cannot be kept in {self.path.parent} "
                f"({error.strerror}), so another run may differ in the last bits: set {VARIABLE} to a "
                f"folder, or to '{FIRST}' for the library's own choice"
            )

    def _warn_of_damage(self, why: str) -> None:
        self._warn_once(f"{self.path} is damaged, so cuBLASLt's algorithms are timed again: {why}")

    def _warn_once(self, message: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(message, stacklevel=2)


def explain_wrong(content: Any, machine: Mapping[str, str]) -> str | None:
    """Say what is wrong with the content of a file of choices; None if it is sound."""
    if not isinstance(content, dict) or (content.get("format"), content.get("version")) != (FORMAT, VERSION):
        return f"it is not a {FORMAT} file of version {VERSION}"
    if content.get("machine") != machine:
        return "it belongs to another GPU, driver or library"
    choices = content.get("choices")
    if isinstance(choices, dict) and all(
        isinstance(choice, dict) and isinstance(choice.get("algorithm"), str) for choice in choices.values()
    ):
        return None
    return "a choice has no algorithm"
