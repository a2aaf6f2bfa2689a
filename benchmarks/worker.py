"""Run each contestant in its own process, so that no library's threads spin while another is timed.

A worker process stays alive between its turns and waits for requests on a pipe. The parent sends a request to
one worker at a time.
"""

from __future__ import annotations

import multiprocessing
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.contestants import CONTESTANTS, MANY, MANY_ON_CUDA, Skipped
from benchmarks.machine import gpu, threads
from benchmarks.nets import Data, Net, Problem
from gpunn.backends import explain_cuda

PATIENCE = 120  # seconds to wait for a worker's answer


class Worker:
    """A contestant's process. Its methods raise Skipped with the reason if the contestant fails."""

    def __init__(self, name: str, data: Data) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        many = {"name": "MainProcess"} if name in MANY else {"daemon": True}  # may start processes itself
        self.process = context.Process(target=serve, args=(theirs, name), **many)
        self.process.start()
        theirs.close()
        self.connection.send(data)

    def prepare(self, net: Net, seed: int = 0) -> tuple[int, int]:
        """Build the contestant for a network; return its number of examples and its batch size."""
        max_examples, batch_size = self._ask("prepare", net, seed)
        return max_examples, batch_size

    def seconds(self, m: int, epochs: int) -> float:
        """Call `Contestant.seconds`."""
        return float(self._ask("seconds", m, epochs))

    def reach(self) -> tuple[float, float]:
        """Call `Gpunn.reach`."""
        seconds, accuracy = self._ask("reach")
        return seconds, accuracy

    def facts(self) -> dict[str, Any]:
        """Return the measurements behind a GPU's floor."""
        return dict(self._ask("facts"))

    def threads(self) -> list[dict[str, Any]]:
        """Describe the thread pools of the process."""
        return list(self._ask("threads"))

    def _ask(self, *request: Any) -> Any:
        try:
            self.connection.send(request)
            if not self.connection.poll(PATIENCE):
                self.close()
                raise Skipped(f"no answer within {PATIENCE} s")
            kind, answer = self.connection.recv()
        except (OSError, EOFError):
            raise Skipped("the process ended") from None
        if kind == "skipped":
            raise Skipped(answer)
        return answer

    def close(self) -> None:
        """Close the pipe, which ends the process; terminate it if it does not end by itself."""
        self.connection.close()
        self.process.join(5)
        self.process.terminate()
        self.process.join()


class Workers:
    """The workers started so far, by contestant. Raises Skipped for contestants that cannot run here."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.no_cuda = "" if gpu() else explain_cuda()
        self.workers: dict[str, Worker] = {}

    def check(self, name: str) -> None:
        """Raise Skipped for a contestant that needs a GPU if there is no GPU."""
        if self.no_cuda and "CUDA" in name:  # without starting a process to find out
            raise Skipped(f"no CUDA device: nvidia-smi finds no GPU, and gpunn reports: {self.no_cuda}")

    def __getitem__(self, name: str) -> Worker:
        self.check(name)
        if name not in self.workers or not self.workers[name].process.is_alive():
            self.workers[name] = Worker(name, self.data)
        return self.workers[name]

    def threads(self) -> dict[str, Any]:
        """Describe the thread pools of every worker that is still alive."""
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
    """Answer requests in the worker process until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    data, contestant = connection.recv(), None
    while True:
        try:
            request, *args = connection.recv()
        except EOFError:
            return
        try:
            if request == "prepare":
                contestant = None  # frees the memory of the previous contestant
                contestant = {**CONTESTANTS, **MANY, **MANY_ON_CUDA}[name](Problem(args[0], data, args[1]))
                answer: Any = contestant.max_examples, contestant.batch_size
            elif request == "facts":
                answer = contestant.facts  # type: ignore[union-attr]
            else:
                answer = threads() if request == "threads" else getattr(contestant, request)(*args)
        except Skipped as error:
            connection.send(("skipped", str(error)))
        except Exception as error:  # the CUDA context may be lost: end the process
            connection.send(("skipped", f"failed: {type(error).__name__}: {error}".splitlines()[0]))
            return
        else:
            connection.send(("done", answer))
