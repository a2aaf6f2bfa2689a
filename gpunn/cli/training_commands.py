"""`gpunn train` and `gpunn sweep`, whose options are made from the settings when a command runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import typer

from gpunn.cli import options
from gpunn.cli.plain import Command
from gpunn.cli.usage import (
    BESIDE_RESUME,
    check_network_left_out,
    check_resume_alone,
    given_options,
    join_data,
    renamed,
    repeat_options,
)


class TrainCommand(Command):
    """A command whose repeatable options take several values at once, as in `--drop x z`.

    Options of tables have their earlier names, too, which the help leaves out.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from gpunn.tables.options import TableOptions
        from gpunn.training.option import former_names

        options = [param for param in self.params if param.param_type_name == "option"]
        return super().parse_args(ctx, repeat_options(renamed(args, former_names(TableOptions)), options))


def train(
    ctx: typer.Context,
    data: options.SeveralData = None,
    resume: options.Resume = None,
    start: options.From = None,
    data_dir: options.DataDir = None,
    output: options.Output = None,
    overwrite: options.Overwrite = False,
    plot: options.Plot = False,
    json: options.Json = False,
    debug: options.Debug = False,
    **chosen: Any,
) -> None:
    """Train a network on images or a table, test it and save it.

    Ctrl-C ends training and saves what was learnt so far.

    \b
    Examples:
      gpunn train
      gpunn train digits --hidden 128 64 --activation tanh
      gpunn train fashion-mnist --optimizer adam --epochs 20
      gpunn train ~/my-idx-files --device cuda --output runs/mine
      gpunn train flowers.csv --target species
      gpunn train flowers.csv --target species --ensemble 8
      gpunn train "data/*.parquet" --target price --memory 2G
      gpunn train --checkpoint-every 1
      gpunn train --resume gpunn-runs/mnist-1    after a run was killed
      gpunn train --resume gpunn-runs/mnist-1 --epochs 20
      gpunn train digits --from gpunn-runs/digits-1
    """
    from gpunn.cli import training
    from gpunn.cli.fields import collect
    from gpunn.tables.options import TableOptions
    from gpunn.training.settings import Settings

    if resume:
        check_resume_alone(ctx, BESIDE_RESUME, "a run")
        raise typer.Exit(training.resume(resume, chosen["epochs"], data_dir, json, plot))
    if start:
        check_network_left_out(ctx)
    if chosen["hidden"] == [0]:
        chosen["hidden"] = []
    settings, table = collect(Settings, chosen), collect(TableOptions, chosen)
    given = given_options(ctx)
    place = join_data(data or [])
    asked = training.Request(place, settings, table, data_dir, output, json, plot, given)
    raise typer.Exit(training.train(replace(asked, start=start, overwrite=overwrite)))


def complete_train() -> Callable[..., None]:
    """Return `train` with an option for each field of `Settings` and `TableOptions`."""
    from gpunn.cli.fields import with_options
    from gpunn.tables.options import TableOptions
    from gpunn.training.settings import Settings

    return with_options(train, Settings, TableOptions)


def sweep(
    ctx: typer.Context,
    data: options.TrainingData = None,
    resume: options.ResumeSweep = None,
    data_dir: options.DataDir = None,
    output: options.SweepOutput = None,
    dask: options.Dask = None,
    mpi: options.Mpi = False,
    json: options.Json = False,
    debug: options.Debug = False,
    **chosen: Any,
) -> None:
    """Train networks over settings and random seeds at once, and compare them.

    Networks are compared on training examples that are held out. The best settings are then trained on all
    training examples, tested and saved as a run. Ctrl-C keeps the networks that are finished.

    \b
    Examples:
      gpunn sweep mnist --grid learning_rate=0.5,1,3 --seeds 22
      gpunn sweep digits --grid hidden=16,64,32-16 l2=0,1e-4 --folds 5
      gpunn sweep flowers.csv --target species --grid learning_rate=0.001..0.1 --draws 20
      gpunn sweep --resume gpunn-runs/mnist-sweep-1    after it was killed
      mpiexec -n 9 gpunn sweep mnist --seeds 100 --mpi    on eight ranks, on any machines
    """
    from gpunn.cli import clusters, sweeping
    from gpunn.cli.fields import collect
    from gpunn.cli.grids import SweepOptions
    from gpunn.cli.training import Request
    from gpunn.tables.options import TableOptions
    from gpunn.training.settings import Settings

    if resume:
        check_resume_alone(ctx, ("resume", "data_dir", "dask", "mpi", "json", "debug"), "a sweep")
        with clusters.connected(dask, mpi) as cluster:
            raise typer.Exit(sweeping.resume(resume, data_dir, json, cluster))
    if chosen["hidden"] == [0]:
        chosen["hidden"] = []
    settings, table = collect(Settings, chosen), collect(TableOptions, chosen)
    asked = Request(data, settings, table, data_dir, output, json, False, given_options(ctx))
    with clusters.connected(dask, mpi) as cluster:
        wanted = sweeping.SweepRequest(asked, collect(SweepOptions, chosen), cluster=cluster)
        raise typer.Exit(sweeping.run(wanted))


def complete_sweep() -> Callable[..., None]:
    """Return `sweep` with an option for each field of `Settings`, `TableOptions` and `SweepOptions`."""
    from gpunn.cli.fields import with_options
    from gpunn.cli.grids import SweepOptions
    from gpunn.tables.options import TableOptions
    from gpunn.training.settings import Settings

    return with_options(sweep, SweepOptions, Settings, TableOptions)


#: The commands whose options are made when they are run.
COMPLETE: dict[str, Callable[[], Callable[..., None]]] = {"train": complete_train, "sweep": complete_sweep}
