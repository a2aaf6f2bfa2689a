"""Ensemble files: the networks of an ensemble in one safetensors file.

The tensors are those of model files, with the number of the network in front: `0.w1`, `0.b1`, …, `1.w1`, …
The metadata are strings: `format` "gpunn-ensemble", `version` "1", `networks` (JSON: a list of {"network",
"meta"}, each as in a model file), `meta` (JSON: what the networks' meta have in common, which is not in them)
and `digest`, a checksum of both texts and the tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpunn.files import model
from gpunn.files.model import Description
from gpunn.files.strict_json import InvalidJSON, dump_json, parse_json
from gpunn.files.tensors import UnreadableTensors, pack, read_metadata
from gpunn.files.writing import write_whole

FORMAT, VERSION = "gpunn-ensemble", "1"
COVERED = ("networks", "meta")


def is_ensemble(path: Path) -> bool:
    """Whether a model file, or the model of a run's folder, is an ensemble; False for an unreadable file."""
    try:
        return read_metadata(model.file_of(path)).get("format") == FORMAT
    except (OSError, UnreadableTensors):
        return False


def write(path: Path, networks: Sequence[Description], meta: dict[str, Any]) -> None:
    """Write an ensemble file atomically. Raises OSError if the folder is not writable."""
    tensors = {f"{i}.{name}": a for i, (_, _, arrays) in enumerate(networks) for name, a in arrays.items()}
    described = dump_json([{"network": network, "meta": own} for network, own, _ in networks])
    metadata = {"format": FORMAT, "version": VERSION, "networks": described, "meta": dump_json(meta)}
    write_whole(path, pack(tensors, metadata, COVERED))


def read(path: Path) -> list[Description]:
    """Read the networks. Raises ValueError, with the path, unless it is a valid ensemble."""
    path = model.file_of(path)
    metadata, tensors = model.read_file(path, FORMAT, COVERED)
    try:
        common = dict(parse_json(metadata["meta"]))
        described = [(each["network"], common | each["meta"]) for each in parse_json(metadata["networks"])]
    except (KeyError, TypeError, ValueError, InvalidJSON) as error:
        raise ValueError(f"{path} is not a readable ensemble: {error}") from None
    found: list[Description] = []
    for i, (network, meta) in enumerate(described):
        own = {name.partition(".")[2]: a for name, a in tensors.items() if name.startswith(f"{i}.")}
        model.check(path, network, meta, own)
        found.append((network, meta, own))
    return found
