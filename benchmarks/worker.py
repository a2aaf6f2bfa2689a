"""Each contestant in a process of its own, kept alive between its turns, so that no library's threads
spin while another is timed. The parent asks, one worker at a time; a worker that is not asked waits for
its pipe and does nothing.
"""

from __future__ import annotations

import multiprocessing
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.contestants import CONTESTANTS, Skipped
from benchmarks.machine import explain_cuda, gpu, threads
from benchmarks.nets import Data, Net, Problem

PATIENCE = 120  # seconds until a worker that does not answer is given up


class Worker:
    """A contestant's process; raises Skipped with the reason when it cannot do what is asked."""

    def __init__(self, name: str, data: Data) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, name), daemon=True)
        self.process.start()
        theirs.close()
        self.connection.send(data)

    def prepare(self, net: Net, seed: int = 0) -> tuple[int, int]:
        """Build the contestant for that network; returns how many examples it holds, and its batch size."""
        most, batch_size = self._ask("prepare", net, seed)
        return most, batch_size

    def seconds(self, m: int, epochs: int) -> float:
        """As Contestant.seconds."""
        return float(self._ask("seconds", m, epochs))

    def until(self, accuracy: float, epochs: int) -> tuple[float, list[float]]:
        """As Gpunn.until."""
        seconds, accuracies = self._ask("until", accuracy, epochs)
        return seconds, accuracies

    def facts(self) -> dict[str, Any]:
        """What a GPU's floor is made of."""
        return dict(self._ask("facts"))

    def threads(self) -> list[dict[str, Any]]:
        """The thread pools in that process."""
        return list(self._ask("threads"))

    def _ask(self, *request: Any) -> Any:
        try:
            self.connection.send(request)
            if not self.connection.poll(PATIENCE):
                self.close()
                raise Skipped(f"no answer in {PATIENCE} s")
            kind, answer = self.connection.recv()
        except (OSError, EOFError):
            raise Skipped("its process has ended") from None
        if kind == "skipped":
            raise Skipped(answer)
        return answer

    def close(self) -> None:
        """End the process: it goes when its pipe is closed, or else is made to."""
        self.connection.close()
        self.process.join(5)
        self.process.terminate()
        self.process.join()


class Workers:
    """The workers that have been needed so far, by contestant; raises Skipped for those in vain."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.no_cuda = "" if gpu() else explain_cuda()
        self.workers: dict[str, Worker] = {}

    def __getitem__(self, name: str) -> Worker:
        if self.no_cuda and "CUDA" in name:  # no need to ask, for which a process would have to start
            raise Skipped(f"no CUDA device: nvidia-smi finds no GPU; gpunn says: {self.no_cuda}")
        if name not in self.workers or not self.workers[name].process.is_alive():
            self.workers[name] = Worker(name, self.data)
        return self.workers[name]

    def threads(self) -> dict[str, Any]:
        """The thread pools in each process that is still there."""
        found = {}
        for name, worker in self.workers.items():
            with suppress(Skipped):
                found[name] = worker.threads()
        return found

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self.workers.values():
            worker.close()


def serve(connection: Connection, name: str) -> None:
    """The worker's side: answer requests until the parent goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    data, contestant = connection.recv(), None
    while True:
        try:
            request, *args = connection.recv()
        except EOFError:
            return
        try:
            if request == "prepare":
                contestant = None  # so that the old one's memory is free
                contestant = CONTESTANTS[name](Problem(args[0], data, args[1]))
                answer: Any = contestant.most, contestant.batch_size
            elif request == "facts":
                answer = contestant.facts  # type: ignore[union-attr]
            else:
                answer = threads() if request == "threads" else getattr(contestant, request)(*args)
        except Skipped as error:
            connection.send(("skipped", str(error)))
        except Exception as error:  # after which a GPU's context may be lost: the next one is another's
            connection.send(("skipped", f"failed: {type(error).__name__}: {error}".splitlines()[0]))
            return
        else:
            connection.send(("done", answer))
