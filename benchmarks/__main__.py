"""The command: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import bars, contestants, machine, measure, report
from benchmarks.nets import GPU_NETS, NETS, RECIPE, SWEEP, Data, Net, load
from benchmarks.worker import Workers

RESULTS = Path(__file__).parent / "results"
SLOW = ("torch.compile", "skorch", "thinc")  # to start, or to run
STEERING = ("OPENBLAS_", "OMP_", "MKL_", "GOMP_", "XLA_", "JAX_")


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    nets: Sequence[Net]
    sweep: Sequence[Net]
    names: Sequence[str]
    rounds: int
    target: float  # seconds a turn
    seeds: int  # for the time to an accuracy

    def ticks(self) -> int:
        """How many steps its progress has."""
        sweep = [name for name in contestants.SWEEP if name in self.names]
        runs = [name for name in contestants.ACCURACY if name in self.names]
        each = self.rounds + 1
        by_net = sum(len(self.taking_part(net)) + each for net in self.nets)
        return by_net + len(self.sweep) * (len(sweep) + each) + self.seeds * len(runs)

    def taking_part(self, net: Net) -> list[str]:
        """Who of them has something to show on that network."""
        return contestants.taking_part(self.names, net)


FULL = Effort(NETS, SWEEP, list(contestants.CONTESTANTS), rounds=7, target=0.4, seeds=3)
QUICK = Effort(
    NETS[:2],
    SWEEP[1:5:3],
    [name for name in contestants.CONTESTANTS if not name.startswith(SLOW)],
    rounds=2,
    target=0.06,
    seeds=0,
)
GPU = Effort(
    GPU_NETS,
    SWEEP[::2],
    [contestants.OURS, contestants.LOOP, *(name for name in contestants.CONTESTANTS if "CUDA" in name)],
    rounds=3,
    target=0.1,
    seeds=1,
)


def run(
    effort: Effort, data: Data, console: Console, results: dict[str, Any], keep: Callable[[], object]
) -> None:
    """Measure, into the results, which are kept whenever there are new ones."""
    chosen = set(effort.names)
    sweep = [name for name in contestants.SWEEP if name in chosen]
    finalists = [name for name in contestants.ACCURACY if name in chosen]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Workers(data) as workers, Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=effort.ticks())

        def tick(what: str) -> None:
            progress.update(task, description=what, advance=1)

        args = (effort.rounds, effort.target, tick)
        for net in effort.nets:
            results["nets"].append(measure.compare(workers, effort.taking_part(net), net, *args))
            keep()
        if effort.seeds and data.name != "random":
            results["time_to_accuracy"] = measure.time_to(
                0.98, workers, finalists, RECIPE, effort.seeds, 20, tick
            )
            keep()
        for net in effort.sweep:
            results["sweep"].append(measure.compare(workers, sweep, net, *args))
            keep()
        results["threads"] = workers.threads()


def circumstances(data: Data) -> dict[str, Any]:
    """Where, when and how it is measured, and room for what is."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "seconds": 0,
        "data": data.name,
        "cuda": machine.explain_cuda() or "available",
        "machine": machine.describe(),
        "environment": {name: value for name, value in os.environ.items() if name.startswith(STEERING)},
        "nets": [],
        "sweep": [],
        "time_to_accuracy": None,
        "bars": [],
        "threads": {},
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description="Measure gpunn beside other libraries."
    )
    parser.add_argument("--quick", action="store_true", help="two networks and few rounds, in under a minute")
    parser.add_argument(
        "--gpu", action="store_true", help="what runs on a GPU, and gpunn on the CPU beside it"
    )
    parser.add_argument("--nets", help="only networks whose sizes contain this, such as 784-30; no sweep")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="only contestants with one of these in their name"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON and the charts")
    return parser.parse_args(arguments)


def choose(options: argparse.Namespace) -> Effort:
    """How much is measured, by the options."""
    effort = QUICK if options.quick else GPU if options.gpu else FULL
    fields = dict(vars(effort))
    if options.nets:
        fields |= {"nets": [net for net in effort.nets if options.nets in net.name], "sweep": [], "seeds": 0}
    if options.only:
        wanted = [part.lower() for part in options.only]
        fields["names"] = [
            name for name in contestants.CONTESTANTS if any(part in name.lower() for part in wanted)
        ]
    if not fields["names"] or not fields["nets"]:
        raise SystemExit("no contestant or network has that name")
    return Effort(**fields)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write; what there is of a run that is stopped stays in a file of its own.

    On a GPU, exit 1 where gpunn does not clear a bar.
    """
    options = parse(arguments)
    effort, data, start, console = choose(options), load(), time.monotonic(), Console()
    results = circumstances(data)

    def keep(part: str = "-so-far") -> Path:
        results["seconds"] = round(time.monotonic() - start)
        if options.gpu:
            results["bars"] = bars.judged(results["nets"])
        return report.write(results, options.output, part)

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    so_far = keep()
    try:
        run(effort, data, Console(stderr=True), results, keep)
    except KeyboardInterrupt:
        report.show(results, console)
        raise SystemExit(f"stopped: what was measured until then is in {so_far}") from None
    report.show(results, console)
    path = keep("")
    so_far.unlink()
    written = [path, *_charts(results, path)]
    console.print("wrote " + ", ".join(str(path) for path in written))
    if not all(row["clears"] for row in results["bars"]):
        raise SystemExit("gpunn does not clear every bar")


def _charts(results: dict[str, Any], path: Path) -> list[Path]:
    try:
        from benchmarks import charts
    except ImportError as error:
        print(f"no charts: {error}", file=sys.stderr)
        return []
    return charts.draw(results, path)


if __name__ == "__main__":
    main()
