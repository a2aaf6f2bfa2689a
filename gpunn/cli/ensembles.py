"""`gpunn train --ensemble`: the folder of the networks that are finished, and what is said about them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpunn.files.strict_json import InvalidJSON, dump_json, parse_json
from gpunn.files.writing import write_whole
from gpunn.training.history import History, best_epoch
from gpunn.training.settings import Settings

MEMBERS, REQUEST = "members", "request.json"


def check(settings: Settings) -> None:
    """Raise ValueError for settings that an ensemble cannot have."""
    if settings.networks == 1:
        return
    if settings.checkpoint_every:
        raise ValueError(
            "--checkpoint-every is for one network: an ensemble keeps every network that is finished, and "
            "--resume trains the others"
        )
    if settings.tensorboard:
        raise ValueError("--tensorboard logs the epochs of one network: leave out --ensemble")


# the folder, which the run keeps until the ensemble is whole


def begin(run: Path, meta: dict[str, Any]) -> Path:
    """Make the folder, with what resuming the run needs, and return it."""
    folder = run / MEMBERS
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / REQUEST, dump_json(meta).encode())
    return folder


def read_request(run: Path) -> dict[str, Any]:
    """Return what `begin` was given; an empty dictionary if there is no ensemble to go on with."""
    try:
        found = parse_json((run / MEMBERS / REQUEST).read_bytes())
    except (OSError, InvalidJSON):
        return {}
    return found if isinstance(found, dict) else {}


def exists(run: Path) -> bool:
    """Whether a run has begun an ensemble that is not whole."""
    return (run / MEMBERS / REQUEST).is_file()


def finished(run: Path) -> list[Path]:
    """Return the files of the networks that are finished."""
    return sorted((run / MEMBERS).glob("network-*.safetensors"))


def remove(run: Path) -> None:
    """Remove the folder, if there is one."""
    if exists(run):
        shutil.rmtree(run / MEMBERS)


# in words


def describe_unfinished(run: Path) -> str:
    """Say how many networks of an ensemble are finished."""
    total = read_request(run).get("settings", {}).get("ensemble", "?")
    return f"{len(finished(run)):,} of {total} networks"


def figures(
    members: Mapping[int, History], tests: Sequence[dict[str, Any]], settings: Settings, metric: str
) -> list[dict[str, Any]]:
    """Return for JSON what became of each network. tests: the figures of each network's own test."""
    found = []
    for (seed, history), tested in zip(members.items(), tests, strict=True):
        found.append(
            {
                "seed": seed,
                "epochs": len(history),
                "stopped": history.stopped,
                "best_epoch": best_epoch(history, metric) if settings.patience else None,
                "train_loss": history[-1].loss,
                **{name: value for name, value in tested.items() if name.startswith("test_")},
                "seconds": history.seconds,
            }
        )
    return found
