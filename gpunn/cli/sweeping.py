"""`gpunn sweep`: train networks over settings and seeds, compare them, and save the best as a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpunn import backends
from gpunn.cli.clusters import Cluster
from gpunn.cli.display import SweepDisplay
from gpunn.cli.grids import SweepOptions, parse
from gpunn.cli.job import Job, build_network, check_settings, chosen_metric, fit_arguments
from gpunn.cli.output import Failed, say
from gpunn.cli.reports import warn_on_error
from gpunn.cli.runs import RUNS, check_output, run_folder
from gpunn.cli.training import Ready, Request, open_data, train_and_save
from gpunn.cli.words import saved
from gpunn.files.strict_json import dump_json
from gpunn.files.writing import remove_temporary_files, write_whole
from gpunn.names import counted
from gpunn.sweeps.data import columns
from gpunn.sweeps.preparing import Asked, prepare
from gpunn.sweeps.result import SweepResult
from gpunn.sweeps.sweep import train
from gpunn.tables.options import TableOptions
from gpunn.training.fit_options import FitOptions
from gpunn.training.option import from_kept, option_name
from gpunn.training.settings import Settings, without_rates
from gpunn.training.splitting import stratified_split

HELD_OUT = 0.1  # of the training examples, to compare networks: the test examples must not decide that
ASKED, NETWORKS, TABLE, PAGE, BEST = "sweep.json", "networks", "sweep.csv", "sweep.html", "best"
FORMAT, VERSION = "gpunn-sweep-run", "1"
OF_SWEEP = [field.name for field in fields(SweepOptions)]


@dataclass(frozen=True)
class SweepRequest:
    """A sweep as it was asked for on the command line.

    Attributes:
        training: what `gpunn train` would be asked for.
        sweep: which networks to train.
        resumed: whether the folder holds the sweep already.
        cluster: who trains the networks; None for this machine.
    """

    training: Request
    sweep: SweepOptions
    resumed: bool = False
    cluster: Cluster | None = None

    def kept(self, data: str) -> dict[str, Any]:
        """Return what the folder keeps of the request, so that it can be resumed."""
        asked = self.training
        return {
            "format": FORMAT,
            "version": VERSION,
            "data": data,
            "data_dir": str(asked.data_dir.absolute()) if asked.data_dir else None,
            "settings": asdict(asked.settings),
            "table": asdict(asked.table.absolute()),
            "sweep": asdict(self.sweep),
            "options": list(asked.options),
        }


def resume(folder: Path, data_dir: Path | None, as_json: bool, cluster: Cluster | None = None) -> int:
    """Go on with the sweep in a folder, without the networks that are finished. Return the exit code.

    Raises ValueError, naming the folder, if it holds no sweep or one that cannot go on.
    """
    try:
        kept = json.loads((folder / ASKED).read_bytes())
        settings, table = from_kept(Settings, kept["settings"]), from_kept(TableOptions, kept["table"])
        options = from_kept(SweepOptions, {**kept["sweep"], "grid": tuple(kept["sweep"]["grid"])})
        where = kept["data_dir"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(
            f"{folder} has no {ASKED} that could be read, so there is no sweep to resume"
        ) from None
    data_dir = data_dir or (Path(where) if where else None)
    asked = Request(kept["data"], settings, table, data_dir, folder, as_json, False, kept["options"])
    try:
        return run(SweepRequest(asked, options, resumed=True, cluster=cluster))
    except ValueError as error:
        named = str(folder) in str(error)
        raise error if named else ValueError(f"{folder / ASKED}: {error}") from None


def run(request: SweepRequest) -> int:
    """Train the networks, save the table, the page and the best of them; return the exit code."""
    asked = request.training
    if asked.table.cv:
        raise ValueError("--cv is for one network: compare the networks of a sweep by --folds")
    rights = {"resumed": request.resumed, "overwrite": False}
    check_output(asked.output or RUNS, **rights)
    grid = parse(request.sweep.grid, drawn=request.sweep.draws is not None)
    job = open_data(asked)
    if job.y is None:
        raise ValueError(
            f"gpunn sweep needs the table in memory, but {job.name} is streamed: choose a larger --memory"
        )
    usual = without_rates(job.usual) if "optimizer" in grid else job.usual
    settings = asked.settings.with_defaults({**usual, "ensemble": 1})
    net = build_network(settings, len(job.X), job.n_out)
    check_settings(settings, job, net)
    with run_folder(asked.output, f"{job.folder}-sweep", **rights) as folder:
        if (folder / ASKED).exists() and not request.resumed:
            raise ValueError(
                f"{folder} holds a sweep: continue it with --resume {folder}, or choose another folder with "
                "--output"
            )
        remove_temporary_files(folder / NETWORKS)  # of a sweep that was killed
        if not request.resumed:
            write_whole(folder / ASKED, dump_json(request.kept(job.name), indent=1).encode())
        try:
            result = train_all(request, job, settings, grid, folder)
        except ValueError:
            if not (folder / NETWORKS).exists():  # refused before anything was trained
                (folder / ASKED).unlink()
            raise
        return finish(request, job, settings, result, folder)


def train_all(
    request: SweepRequest, job: Job, settings: Settings, grid: dict[str, Any], folder: Path
) -> SweepResult:
    """Train the networks of a sweep, and show the best of them meanwhile."""
    chosen, asked = request.sweep, request.training
    X, y, validation = hold_out(job, settings) if chosen.folds is None else (job.X, job.y, None)
    options = FitOptions(
        **fit_arguments(job, settings),
        augmentation=job.augmentation(settings),
        validation=validation,
        checkpoint=folder / NETWORKS,
        resume=(folder / NETWORKS).exists(),
    )
    network = settings.network_arguments(len(X), job.n_out)
    wanted = Asked(
        network["layers"],
        network["cost"],
        network["dtype"],
        network["input_dropout"],
        grid,
        chosen.draws,
        range(settings.seed, settings.seed + chosen.seeds),
        chosen.folds,
        chosen.halving,
        chosen_metric(job, settings)[0] if settings.metric else None,
        settings.seed,
    )
    with SweepDisplay(quiet=asked.as_json) as display:
        options = replace(options, verbose=display.lines)
        cluster = request.cluster
        prepared = prepare(X, y, wanted, options, here=cluster is None)
        networks, examples = counted(len(prepared.members), "network"), counted(X.shape[1], "example")
        if cluster:
            where = cluster.description
        else:
            where = f"on {backends.choose(settings.device, network['dtype'], settings.precision).description}"
        asked.echo(*job.words, f"{job.name}, {examples}: {networks}, {where}")
        display.begin(len(prepared.members))
        try:
            return train(prepared, options, cluster.executor if cluster else None, display)
        except RuntimeError as error:
            raise Failed(str(error)) from error


def hold_out(job: Job, settings: Settings) -> tuple[Any, np.ndarray, tuple[Any, np.ndarray]]:
    """Hold out a tenth of the training examples, the same for all networks: X, y, and a pair of both."""
    labels = job.y if job.y.ndim == 1 and job.y.dtype.kind in "iu" else None
    rng = np.random.default_rng(settings.seed)
    try:
        kept, held = stratified_split(HELD_OUT, labels, job.X.shape[1], rng)
    except ValueError as error:
        raise ValueError(f"{job.name}: {error}") from None
    return columns(job.X, kept), job.y[..., kept], (columns(job.X, held), job.y[..., held])


# the results


def finish(request: SweepRequest, job: Job, settings: Settings, result: SweepResult, folder: Path) -> int:
    """Write the table and the page, train the best settings on all examples, and say what came out."""
    asked = request.training
    result.table.to_csv(folder / TABLE)
    page = write_page(result, job, folder)
    if result.interrupted:
        counts = f"{result.finished:,} of {counted(len(result), 'network')}"
        if result.broken:
            raise Failed(f"{result.broken}; {counts} are finished: gpunn sweep --resume {folder}")
        asked.echo(f"interrupted after {counts}; gpunn sweep --resume {folder}")
        return 130
    best, failed = result.best, [row for row in result.table if row["status"] in ("diverged", "failed")]
    member = result.members[best.network]
    asked.echo(describe_best(result), f"table {folder / TABLE}", *([f"page {page}"] if page else []))
    asked.echo(*describe_failed(failed))
    tuned = apply(settings, member.settings, member.seed)
    options = [*without(asked.options, member.settings), *spell(member.settings), "--seed", str(member.seed)]
    run = train_best(replace(asked, options=options), tuned, job, folder / BEST)
    write_page(result, job, folder, run)
    found = {
        "table": str(folder / TABLE),
        "page": page,
        "metric": best.metric,
        "score": best.score,
        "settings": describe(member.settings),
        "failed": len(failed),
        "best": run,
    }
    say(dump_json(found) if asked.as_json else closing_words(run, job))
    return 130 if run["interrupted"] else 0


def describe_best(result: SweepResult) -> str:
    """Say which settings are the best."""
    best = result.best
    candidate = result.members[best.network].candidate
    alike = sum(member.candidate == candidate for member in result.members)
    mean = f", the mean of {alike:,} networks" if alike > 1 else ""
    return f"best of {counted(len(result), 'network')}: {best}{mean}"


def describe_failed(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Say how many networks diverged or failed, and why the first of them did."""
    if not rows:
        return []
    first = rows[0]
    failed = f"{counted(len(rows), 'network')} {first['status'] if len(rows) == 1 else 'diverged or failed'}"
    return [f"{failed}; network {first['network']}: {first['message']}"]


def describe(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as JSON can hold them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def apply(settings: Settings, chosen: dict[str, Any], seed: int) -> Settings:
    """Return the settings of a network of the sweep, as `gpunn train` takes them."""
    return replace(settings, **describe(chosen), seed=seed)


def train_best(asked: Request, settings: Settings, job: Job, folder: Path) -> dict[str, Any]:
    """Train the best settings on all the training examples, as a run of its own.

    asked: with the options that train it again.
    """
    net = build_network(settings, len(job.X), job.n_out)
    optimizer = settings.build_optimizer()
    settings = settings.with_choices(net.cost.name, optimizer)
    settings = settings if settings.patience else replace(settings, metric=None)  # nothing follows it
    be = backends.choose(settings.device, net.dtype, settings.precision)
    asked.echo(f"training {net.name} with the best settings on all {counted(job.X.shape[1], 'example')}")
    with run_folder(folder, BEST, resumed=True) as made:
        found = train_and_save(asked, Ready(settings, job, net, be.name, be.description), made)
        assert found is not None
        return found


def spell(settings: dict[str, Any]) -> list[str]:
    """Spell settings as options of `gpunn train`."""
    words: list[str] = []
    for name, value in settings.items():
        if name == "hidden":
            words += [word for n in value or (0,) for word in (option_name(name), str(n))]
        elif value is True:
            words.append(option_name(name))
        elif value is not None and value is not False:
            words += [option_name(name), str(value)]
    return words


def without(options: Sequence[str], settings: dict[str, Any]) -> list[str]:
    """Leave out the options of the sweep, the seed, and the options that these settings replace."""
    left_out = {option_name(name) for name in (*OF_SWEEP, "seed", *settings)}
    kept: list[str] = []
    option = ""
    for word in options:
        option = word if word.startswith("--") else option
        if option not in left_out:
            kept.append(word)
    return kept


def write_page(result: SweepResult, job: Job, folder: Path, run: dict[str, Any] | None = None) -> str | None:
    """Write the page about a sweep; return None, after a warning, if that fails.

    run: what is known of the run of the best settings, once there is one.
    """
    path, written = folder / PAGE, None
    with warn_on_error("page"):
        from gpunn.report import sweep as page

        best = None
        if run and run["report"]:
            report = Path(run["report"]).relative_to(folder).as_posix()
            best = page.BestRun(report, job.describe_result(run).rstrip(" ,:"))
        page.write(result, job.name, path, best)
        written = str(path)
    return written


def closing_words(run: dict[str, Any], job: Job) -> str:
    """Describe the best network after its training, and the commands to try next."""
    first, *steps = saved(run, job)
    return "\n".join([*job.remarks(run), f"{job.describe_result(run)}{first}", *steps])
