"""Describe a training before and after it, as `gpunn train` prints it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from gpunn.cli.job import Job
from gpunn.names import counted
from gpunn.network import Network
from gpunn.report.facts import single_networks
from gpunn.training.settings import Settings


def describe(settings: Settings, job: Job, net: Network, device: str) -> str:
    """Describe a training in one line: data, network, optimizer and device."""
    n = settings.networks
    name = net.name if n == 1 else f"{n:,} × {net.name}"
    return (
        f"{job.name}, {counted(job.X.shape[1], 'example')}: "
        f"{name}, {n * net.parameters:,} parameters, {settings.optimizer}, on {device}"
    )


def closing_words(result: dict[str, Any], job: Job) -> str:
    """Describe the result of a training, the files written and the commands to try next."""
    drawn = [f"{name} {result[name]}" for name in ("report", "curve") if result.get(name)]
    return "\n".join(
        [
            f"{job.describe_result(result)}{course(result)}",
            *job.remarks(result),
            *drawn,
            *saved(result, job),
        ]
    )


def course(result: dict[str, Any]) -> str:
    """Describe the course of a training: how it ended, epochs and speed."""
    n, members = result["epochs"], result.get("members")
    words = f"{result['seconds']:.3g} s, {result['examples_per_second']:,.0f} examples/s"
    words = f"{'up to ' if members and result['stopped'] == 'early' else ''}{counted(n, 'epoch')} in {words}"
    if members:
        done = f"{len(members):,} of {result['settings']['ensemble']:,} networks"
        parts = [f"single networks {found}"] if (found := single_networks(result)) else []
        parts += [f"interrupted after {done}"] if result["interrupted"] else []
        return ", ".join([*parts, words])
    if n == 0:
        return "interrupted in the first epoch"
    if result["stopped"]:
        return f"{'interrupted' if result['interrupted'] else 'stopped early'} after {words}"
    return words


def saved(result: dict[str, Any], job: Job) -> list[str]:
    """Say where the model is, and which commands to try next."""
    steps = job.next_steps(shlex.quote(result["model"]))
    if result.get("members"):
        steps = [step for step in steps if not step.startswith("gpunn demo")]
        if result["interrupted"]:
            steps.insert(0, f"gpunn train --resume {shlex.quote(str(Path(result['model']).parent))}")
    return [f"saved {result['model']}; now try", *(f"  {step}" for step in steps)]
