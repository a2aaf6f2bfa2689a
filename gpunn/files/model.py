"""Model files: safetensors, with the network as JSON in the metadata.

The tensors are `w1`, `b1`, … `wL`, `bL`: w (n_l, n_{l-1}) and b (n_l, 1), little-endian float32 or float64. A
batch-normalised layer also has `gamma`, `beta`, `mean` and `variance`, each (n_l, 1).

The metadata are strings: `format` "gpunn", `version` "1", two JSON texts, and `digest`, a checksum of these
texts and the tensors, which files of gpunn 0.1.0 lack. The texts are `network` {"n_in", "layers": [{"n",
"activation", "init", "dropout", "batch_norm"}], "cost", "input_dropout"}, and `meta`, anything that the user
keeps with the network. `gpunn/files/schema/model.json` is the JSON schema of the file; it says which names in
`meta` have a meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from gpunn.files.strict_json import InvalidJSON, dump_json, explain_mismatch, parse_json
from gpunn.files.tensors import DIGEST, UnreadableTensors, digest, pack, read_tensors
from gpunn.files.writing import write_whole

Description: TypeAlias = (
    "tuple[dict[str, Any], dict[str, Any], dict[str, np.ndarray]]"  # network, meta, arrays
)

FORMAT, VERSION = "gpunn", "1"
COVERED = ("network", "meta")  # the metadata that the digest covers
KINDS = {
    FORMAT: "a single network: read it with gpunn.Network.load",
    "gpunn-ensemble": "an ensemble: read it with gpunn.Ensemble.load",
}
NORMS = ("gamma", "beta", "mean", "variance")


def write(
    path: Path, network: dict[str, Any], meta: dict[str, Any], tensors: Mapping[str, np.ndarray]
) -> None:
    """Write a model file atomically. Raises OSError if the folder is not writable."""
    metadata = {"format": FORMAT, "version": VERSION, "network": dump_json(network), "meta": dump_json(meta)}
    write_whole(path, pack(tensors, metadata, COVERED))


def read(path: Path) -> Description:
    """Read (network, meta, tensors). Raises ValueError, with the path, unless it is a valid gpunn model."""
    path = file_of(path)
    metadata, tensors = read_file(path, FORMAT, COVERED)
    try:
        network, meta = parse_json(metadata["network"]), parse_json(metadata.get("meta", "{}"))
    except (KeyError, InvalidJSON) as error:
        raise ValueError(f"{path} is not a readable model: {error}") from None
    check(path, network, meta, tensors)
    return network, meta, tensors


def check(path: Path, network: Any, meta: Any, tensors: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError, with the path, unless these are a network, its meta and its arrays."""
    if mismatch := explain_mismatch(network, "model.json", "network"):
        raise ValueError(f"{path} does not describe a network: {mismatch}")
    shapes, types = {name: a.shape for name, a in tensors.items()}, {a.dtype.name for a in tensors.values()}
    if shapes != dict(expected_shapes(network)) or len(types) > 1 or not types <= {"float32", "float64"}:
        raise ValueError(
            f"{path} does not describe a network: its arrays do not have the shapes of its layers"
        )
    if not isinstance(meta, dict):
        raise ValueError(f"{path} is not a readable model: its meta is not a JSON object")


def read_file(
    path: Path, wanted: str, covered: Sequence[str]
) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Read the metadata and the tensors. Raises ValueError unless it is a whole file of this format.

    covered: the metadata that the digest covers.
    """
    try:
        metadata, tensors = read_tensors(path)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnreadableTensors as error:
        raise ValueError(f"{path} is not a readable model: {error}") from None
    if (found := metadata.get("format")) != wanted:
        held = f"holds {KINDS[found]}" if found in KINDS else "is a safetensors file, but not a gpunn model"
        raise ValueError(f"{path} {held}")
    if metadata.get("version") != VERSION:
        version = metadata.get("version")
        raise ValueError(f"{path} has version {version}, but this gpunn reads version {VERSION}")
    if DIGEST in metadata and metadata[DIGEST] != digest(tensors, *(metadata.get(n, "") for n in covered)):
        raise ValueError(f"{path} is damaged: its content does not match its digest")
    return metadata, tensors


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
