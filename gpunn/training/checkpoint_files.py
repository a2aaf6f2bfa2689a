"""The files of checkpoints, and the folder that they are in.

A checkpoint is a safetensors file, `epoch-000012.safetensors`. Tensors: `theta`, `best` (of early stopping)
and `optimizer.…` (velocity, moments, step counts), each flat in θ's layout (see `core.parameters`), as they
were on the device. They mean the same to every backend, so a run can go on with another one. Metadata, all
strings: `format` "gpunn-checkpoint", `version` "2", `state` (JSON: the rest of the state, the description of
the run, and its network's meta) and `digest`, a checksum of the tensors and the state. The state is strict
JSON: infinity is {"number": "inf"}, and NaN is {"number": "nan"}.

Version 1 differs in Adam's moments alone, which the CPU kept divided by powers of β₁ and β₂. They are
multiplied out when they are read.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.files.strict_json import InvalidJSON, dump_json, explain_mismatch, parse_json, untag_numbers
from gpunn.files.tensors import DIGEST, UnreadableTensors, digest, pack, read_tensors

FORMAT, VERSION, FIRST_VERSION = "gpunn-checkpoint", "2", "1"
PATTERN = "epoch-*.safetensors"


@dataclass(frozen=True)
class Checkpoints:
    """Settings: the folder, the epochs between checkpoints, and how many of the newest to keep."""

    folder: Path
    every: int = 1
    keep: int = 2

    def __post_init__(self) -> None:
        for name in ("every", "keep"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"checkpoints: {name} must be a whole number of at least 1, not {value!r}")

    def files(self) -> list[Path]:
        """Return the files in the folder, the oldest first."""
        return sorted(self.folder.glob(PATTERN))


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint read from its file."""

    path: Path
    tensors: dict[str, np.ndarray]
    state: dict[str, Any]


def pack_state(tensors: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> bytes:
    """Return the content of a checkpoint file."""
    return pack(tensors, {"format": FORMAT, "version": VERSION, "state": dump_json(state)}, ["state"])


def read(path: Path) -> SavedCheckpoint:
    """Read a checkpoint. Raises ValueError, naming the file, if it is damaged or not gpunn's."""
    try:
        metadata, tensors = read_tensors(path)
    except OSError as error:
        raise ValueError(f"{path} is not a readable checkpoint: {error.strerror}") from None
    except UnreadableTensors as error:
        raise ValueError(f"{path} is not a readable checkpoint: {error}") from None
    if metadata.get("format") != FORMAT or metadata.get("version") not in (VERSION, FIRST_VERSION):
        raise ValueError(f"{path} is not a checkpoint that this version of gpunn reads")
    text = metadata.get("state", "")
    if metadata.get(DIGEST) != digest(tensors, text):
        raise ValueError(f"{path} is damaged: its content does not match its digest")
    try:
        state = parse_json(text)
    except InvalidJSON as error:
        raise ValueError(f"{path} is damaged: its state is not JSON: {error}") from None
    restored = untag_numbers(state)
    if wrong := explain_mismatch(restored, "checkpoint.json", "state"):
        raise ValueError(f"{path} is damaged: {wrong}")
    if metadata["version"] == FIRST_VERSION and "optimizer.steps" in tensors:
        _multiply_out(tensors, restored)
    return SavedCheckpoint(path, tensors, {**restored, "meta": state["meta"]})


def _multiply_out(tensors: dict[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Multiply out Adam's moments of version 1, in place.

    The CPU kept them divided by βᵏ, where k counted the steps since they were last multiplied out: before βᵏ
    fell below 1/1024. CUDA kept them plain. It also noted its algorithms, or the pace of the last step after
    the number of steps.
    """
    t, *pace = tensors["optimizer.steps"]
    if any(pace) or "algorithms" in state:
        return
    betas = re.findall(r"beta[12]=([^,)]+)", state["what"]["optimizer"])
    for name, beta in zip(("optimizer.m", "optimizer.v"), map(float, betas), strict=True):
        period = max(1, int(math.log(1024) / -math.log(beta))) if beta else 1
        tensors[name] = tensors[name] * beta ** float((t - 1) % period)


def newest(folder: Path) -> SavedCheckpoint | None:
    """Read the newest undamaged checkpoint of a folder; None if the folder has no checkpoint.

    Warns of each damaged file that is skipped. Raises ValueError if none can be read.
    """
    errors = []
    for path in reversed(Checkpoints(folder).files()):
        try:
            saved = read(path)
        except ValueError as error:
            errors.append(str(error))
        else:
            for message in errors:
                warnings.warn(f"{message}; resuming from {path.name}", stacklevel=2)
            return saved
    if errors:
        raise ValueError(f"no checkpoint in {folder} can be resumed: {errors[0]}")
    return None
