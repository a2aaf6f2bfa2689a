"""Run the benchmark: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from tqdm import tqdm

from benchmarks import bars, busy, charts, contestants, machine, measure, reaching, report, scaling
from benchmarks.nets import GPU_NETS, NETS, SWEEP, Data, Net, load
from benchmarks.nets import MANY as MANY_NETS
from benchmarks.nets import MANY_ON_CUDA as MANY_CUDA
from benchmarks.worker import Workers
from gpunn.backends import explain_cuda
from gpunn.files.writing import write_whole

RESULTS = Path(__file__).parent / "results"
SLOW = ("torch.compile", "skorch", "thinc")  # slow to start or to run
ENVIRONMENT = ("GPUNN_THREADS", "OPENBLAS_", "OMP_", "MKL_", "GOMP_", "XLA_", "JAX_")


@dataclass(frozen=True)
class Effort:
    """How much to measure.

    Attributes:
        target: seconds per turn.
        seeds: number of runs for the time to reach an accuracy.
    """

    nets: Sequence[Net]
    sweep: Sequence[Net]
    names: Sequence[str]
    rounds: int
    target: float
    seeds: int

    def ticks(self) -> int:
        """Return the number of steps in the progress bar."""
        sweep = [name for name in contestants.SWEEP if name in self.names]
        runs = [name for name in contestants.ACCURACY if name in self.names]
        turns = self.rounds + 1
        by_net = sum(len(self.participants(net)) + turns for net in self.nets)
        targets = self.seeds and reaching.ticks(runs, self.seeds)
        return by_net + len(self.sweep) * (len(sweep) + turns) + targets

    def participants(self, net: Net) -> list[str]:
        """Return the contestants that can train a network."""
        if net.networks > 1:
            return list(self.names)
        return contestants.participants(self.names, net)


FULL = Effort(NETS, SWEEP, list(contestants.CONTESTANTS), rounds=7, target=0.4, seeds=3)
QUICK = Effort(
    NETS[:2],
    SWEEP[1:6:4],
    [name for name in contestants.CONTESTANTS if not name.startswith(SLOW)],
    rounds=2,
    target=0.06,
    seeds=0,
)
GPU = Effort(
    GPU_NETS,
    [net for net in SWEEP if net.batch_size in (1, 16, 256, 4096)],
    [contestants.OURS, contestants.LOOP, *(name for name in contestants.CONTESTANTS if "CUDA" in name)],
    rounds=3,
    target=0.1,
    seeds=0,
)

MANY = Effort(MANY_NETS, [], list(contestants.MANY), rounds=3, target=6, seeds=0)
MANY_ON_CUDA = Effort(MANY_CUDA, [], [*contestants.MANY_ON_CUDA, contestants.AT_ONCE], 3, target=0.5, seeds=0)


def run(effort: Effort, data: Data, results: dict[str, Any], keep: Callable[[], object]) -> None:
    """Measure everything, add it to the results, and call `keep` after each addition."""
    chosen = set(effort.names)
    sweep = [name for name in contestants.SWEEP if name in chosen]
    finalists = [name for name in contestants.ACCURACY if name in chosen]
    with Workers(data) as workers, tqdm(total=effort.ticks(), leave=False, disable=None) as bar:

        def tick(what: str) -> None:
            bar.set_description(what, refresh=False)
            bar.update()

        args = (effort.rounds, effort.target, tick)
        for net in effort.nets:
            results["nets"].append(measure.compare(workers, effort.participants(net), net, *args))
            keep()
        if effort.seeds and data.name != "random":

            def keep_targets(found: list[Any]) -> None:
                results["targets"] = found
                keep()

            reaching.measure(workers, finalists, effort.seeds, keep_targets, tick)
        for net in effort.sweep:
            results["sweep"].append(measure.compare(workers, sweep, net, *args))
            keep()
        results["threads"] = workers.threads()


def circumstances(data: Data) -> dict[str, Any]:
    """Describe the circumstances of a measurement."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "seconds": 0,
        "data": data.name,
        "machine": machine.describe(),
        "environment": {name: value for name, value in os.environ.items() if name.startswith(ENVIRONMENT)},
    }


def new_results(data: Data) -> dict[str, Any]:
    """Describe the circumstances, with empty fields for the results."""
    return {
        **circumstances(data),
        "cuda": explain_cuda() or "available",
        "nets": [],
        "sweep": [],
        "targets": [],
        "bars": [],
        "threads": {},
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description="Measure the training speed of gpunn and other libraries."
    )
    parser.add_argument("--quick", action="store_true", help="two networks, few rounds; about a minute")
    parser.add_argument(
        "--gpu", action="store_true", help="contestants that run on a GPU, and gpunn on the CPU"
    )
    parser.add_argument(
        "--sweep", action="store_true", help="many small networks at once, by gpunn.sweep and by its peers"
    )
    parser.add_argument(
        "--busy", action="store_true", help="the number of threads that is chosen, beside busy processes"
    )
    parser.add_argument(
        "--scaling", action="store_true", help="one and two MPI ranks here, and a model of up to 64 GPUs"
    )
    parser.add_argument(
        "--targets",
        action="store_true",
        help="only the time to 98 %% and to 99 %% of MNIST's test images; also part of a run without options",
    )
    parser.add_argument(
        "--nets",
        metavar="SIZES",
        help="only networks whose sizes contain this text, such as 784-30; no sweep",
    )
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="only contestants whose names contain one of these texts"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON and the charts")
    return parser.parse_args(arguments)


def choose(options: argparse.Namespace) -> Effort:
    """Return how much to measure according to the options."""
    effort = QUICK if options.quick else GPU if options.gpu else FULL
    if options.sweep:
        effort = MANY_ON_CUDA if options.gpu else MANY
        effort = replace(effort, nets=effort.nets[:2], target=0.3, rounds=2) if options.quick else effort
    fields = dict(vars(effort))
    if options.targets:
        fields |= {"nets": [], "sweep": [], "seeds": FULL.seeds}
    if options.nets:
        fields |= {"nets": [net for net in effort.nets if options.nets in net.name], "sweep": [], "seeds": 0}
    if options.only:
        wanted = [part.lower() for part in options.only]
        names = effort.names if options.sweep else contestants.CONTESTANTS
        fields["names"] = [name for name in names if any(part in name.lower() for part in wanted)]
    if not fields["names"] or not (fields["nets"] or options.targets):
        raise SystemExit("no contestant or network matches --only and --nets")
    return Effort(**fields)


def measure_busy(options: argparse.Namespace) -> None:
    """Measure the choice of threads, print it and write it; the exit status is 1 if it is too slow."""
    effort = busy.Effort(rounds=1, target=2) if options.quick else busy.Effort(rounds=3, target=5)
    data, start = load(), time.monotonic()
    results = circumstances(data)
    with tqdm(total=effort.ticks(), leave=False, disable=None) as bar:

        def tick(what: str) -> None:
            bar.set_description(what, refresh=False)
            bar.update()

        results["nets"] = busy.measure(effort, data, tick)
    results["seconds"], results["threads"] = round(time.monotonic() - start), machine.threads()
    busy.show(results["nets"], Console())
    print(f"wrote {report.write(results, options.output, '-busy')}")
    if not all(row["clears"] for row in results["nets"]):
        raise SystemExit("the number of threads that training chooses is too slow")


def measure_scaling(options: argparse.Namespace) -> None:
    """Measure one and two ranks, predict GPUs, and write and draw both."""
    rounds, seconds = (1, 0.1) if options.quick else (3, 0.5)
    start, results = time.monotonic(), circumstances(load())
    with tqdm(total=rounds * len(scaling.measure.WAYS), leave=False, disable=None) as bar:

        def tick(what: str) -> None:
            bar.set_description(what, refresh=False)
            bar.update()

        results["ranks"] = scaling.measure.measure(rounds, seconds, tick)
    results["seconds"] = round(time.monotonic() - start)
    results["predicted"] = scaling.model.predict(RESULTS)
    results["assumptions"] = scaling.drawing.assumptions()
    scaling.measure.show(results["ranks"], Console())
    path = options.output / "scaling.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(results, indent=1, ensure_ascii=False) + "\n").encode())
    scaling.drawing.draw(results["predicted"], path)
    print(f"wrote {path}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write the results.

    The results of an interrupted run are kept in a separate file. On a GPU, the exit status is 1 if gpunn
    does not clear every bar.
    """
    options = parse(arguments)
    if options.busy:
        return measure_busy(options)
    if options.scaling:
        return measure_scaling(options)
    effort, data, start, console = choose(options), load(), time.monotonic(), Console()
    results = new_results(data)

    kind = "-sweep" if options.sweep else "-targets" if options.targets else ""

    def keep(part: str = "-so-far") -> Path:
        results["seconds"] = round(time.monotonic() - start)
        if options.gpu and results["nets"] and not options.sweep:
            results["bars"] = bars.judge(results["nets"])
        return report.write(results, options.output, kind + part)

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    so_far = keep()
    try:
        run(effort, data, results, keep)
    except KeyboardInterrupt:
        report.show(results, console)
        raise SystemExit(f"interrupted: the results so far are in {so_far}") from None
    report.show(results, console)
    path = keep("")
    so_far.unlink()
    written = [path, *(charts.draw(results, path) if results["nets"] else [])]
    console.print("wrote " + ", ".join(str(path) for path in written))
    if not all(row["clears"] for row in results["bars"]):
        raise SystemExit("gpunn does not clear every bar")


if __name__ == "__main__":
    main()
