"""Tell a process that hangs from one that a loaded machine lets wait."""

from __future__ import annotations

import time
from pathlib import Path

ASLEEP = 30.0  # seconds in which no thread wants the CPU until a process counts as hanging
UNSEEN = 900.0  # seconds in all on a system without /proc
RUNNABLE = frozenset("RD")  # states of a thread that wants the CPU, or waits for a disk


class Watch:
    """Watch a process: it hangs if it sleeps and uses no CPU time for ASLEEP seconds."""

    def __init__(self, pid: int) -> None:
        self.folder = Path(f"/proc/{pid}/task")
        self.used, self.since, self.start = -1, time.monotonic(), time.monotonic()

    def hangs(self) -> bool:
        now = time.monotonic()
        if not self.folder.parent.parent.is_dir():
            return now - self.start > UNSEEN
        used, runnable = self._look()
        if runnable or used != self.used:
            self.used, self.since = used, now
        return now - self.since > ASLEEP

    def _look(self) -> tuple[int, bool]:
        """Return the CPU time used so far, in ticks, and whether a thread wants more."""
        used, runnable = 0, False
        try:
            for thread in self.folder.iterdir():
                words = (thread / "stat").read_text().rpartition(")")[2].split()
                used += int(words[11]) + int(words[12])
                runnable |= words[0] in RUNNABLE
        except OSError:  # the process or a thread has just ended
            return -2, True
        return used, runnable
