"""Model files: safetensors, with the network as JSON in the metadata.

The tensors are `w1`, `b1`, … `wL`, `bL`: w (n_l, n_{l-1}) and b (n_l, 1), little-endian float32 or float64. A
batch-normalised layer also has `gamma`, `beta`, `mean` and `variance`, each (n_l, 1).

The metadata are strings: `format` "gpunn", `version` "1", and two JSON texts: `network` {"n_in", "layers":
[{"n", "activation", "init", "dropout", "batch_norm"}], "cost", "input_dropout"}, and `meta`, anything that
the user keeps with the network. `gpunn/files/schema/model.json` is the JSON schema of the file; it says which
names in `meta` have a meaning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from gpunn.files.writing import InvalidJSON, explain_mismatch, parse_json, write_whole

FORMAT, VERSION = "gpunn", "1"
NORMS = ("gamma", "beta", "mean", "variance")


def write(
    path: Path, network: dict[str, Any], meta: dict[str, Any], tensors: Mapping[str, np.ndarray]
) -> None:
    """Write a model file atomically. Raises OSError if the folder is not writable."""
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "network": json.dumps(network),
        "meta": json.dumps(meta),
    }
    write_whole(path, save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, metadata))


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, np.ndarray]]:
    """Read (network, meta, tensors). Raises ValueError, with the path, unless it is a valid gpunn model."""
    path = file_of(path)
    try:
        path.open("rb").close()  # safetensors reports unreadable files as missing
        metadata, tensors = _read_safetensors(path)
        network, meta = parse_json(metadata["network"]), parse_json(metadata.get("meta", "{}"))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except PermissionError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (SafetensorError, OSError, KeyError, TypeError, AttributeError, InvalidJSON) as error:
        raise ValueError(f"{path} is not a readable model: {error}") from None
    if mismatch := explain_mismatch(network, "model.json", "network"):
        raise ValueError(f"{path} does not describe a network: {mismatch}")
    shapes, types = {name: a.shape for name, a in tensors.items()}, {a.dtype for a in tensors.values()}
    if shapes != dict(expected_shapes(network)) or len(types) > 1:
        raise ValueError(
            f"{path} does not describe a network: its arrays do not have the shapes of its layers"
        )
    if not isinstance(meta, dict):
        raise ValueError(f"{path} is not a readable model: its meta is not a JSON object")
    return network, meta, tensors


def _read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Read the metadata and the tensors. Raises ValueError unless the file is gpunn's, of this version."""
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise ValueError(f"{path} is a safetensors file, but not a gpunn model")
        if metadata.get("version") != VERSION:
            version = metadata.get("version")
            raise ValueError(f"{path} has version {version}, but this gpunn reads version {VERSION}")
        return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def file_of(path: Path) -> Path:
    """Return the path of a model file, given that path or the folder that contains model.safetensors."""
    return path / "model.safetensors" if path.is_dir() else path


def expected_shapes(network: dict[str, Any]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the name and the shape of each array of a network."""
    n_before = network["n_in"]
    for l, layer in enumerate(network["layers"], start=1):
        n = layer["n"]
        yield f"w{l}", (n, n_before)
        for name in ("b", *(NORMS if layer["batch_norm"] else ())):
            yield f"{name}{l}", (n, 1)
        n_before = n


def check_meta(path: Path, meta: dict[str, Any]) -> None:
    """Raise ValueError, with the path, if a name in `meta` that gpunn's commands use has an invalid value."""
    if mismatch := explain_mismatch(meta, "model.json", "meta"):
        raise ValueError(f"{file_of(path)} is damaged: {mismatch}")


@contextmanager
def blame_file(path: Path) -> Iterator[None]:
    """Turn errors caused by the content of a well-formed file into one line about that file."""
    try:
        yield
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ValueError(f"{path} does not describe a network: {error}") from None
