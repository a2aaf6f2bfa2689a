"""The model file: safetensors, with the network as JSON in its metadata.

Tensors `w1`, `b1`, … `wL`, `bL`: w (n_l, n_{l-1}) and b (n_l, 1), little-endian float32 or float64; of a
batch-normalised layer also `gamma`, `beta`, `mean` and `variance`, each (n_l, 1).
Metadata, all strings: `format` "gpunn", `version` "1", `network` {"n_in", "layers": [{"n", "activation",
"init", "dropout", "batch_norm"}], "cost", "input_dropout"} and `meta` (what its maker wanted kept), both
JSON. `gpunn/schema/model.json` is the file's JSON schema, with the meaning of `meta`'s names.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

FORMAT, VERSION = "gpunn", "1"


def write(
    path: Path, network: dict[str, Any], meta: dict[str, Any], tensors: Mapping[str, np.ndarray]
) -> None:
    """Write beside, fsync, rename. OSError where the folder cannot be written."""
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "network": json.dumps(network),
        "meta": json.dumps(meta),
    }
    write_whole(path, save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, metadata))


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file by a whole one, or leave it as it was. OSError, with its name, where that cannot be."""
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(beside, 0o666 & ~_umask())
            os.replace(beside, path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)  # Ctrl-C may come when it is already in place
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, np.ndarray]]:
    """(network, meta, tensors). ValueError, naming the file, where it is not a good gpunn model."""
    if path.is_dir():
        path = path / "model.safetensors"
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(f"{path} is a safetensors file, but not a gpunn model")
            if metadata.get("version") != VERSION:
                raise ValueError(f"{path} has version {metadata.get('version')}; this gpunn reads {VERSION}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        network, meta = json.loads(metadata["network"]), json.loads(metadata.get("meta", "{}"))
        if not (isinstance(network, dict) and isinstance(meta, dict)):
            raise ValueError(f"{path} is not a readable model: its metadata are no JSON objects")
        return network, meta, tensors
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a readable model: {error}") from None


@contextmanager
def complaining_about(path: Path) -> Iterator[None]:
    """Turn what a wrong but well-formed file causes into one line about that file."""
    try:
        yield
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ValueError(f"{path} does not describe a network: {error}") from None
