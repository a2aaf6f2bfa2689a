"""Read and write safetensors files: arrays by name, metadata, and a digest of both.

A file is read once, as bytes: a memory map kills the process if the file is truncated in the meantime. The
sizes in the header are compared with the size of the file before anything is allocated.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors.numpy import save

from gpunn.files.strict_json import InvalidJSON, parse_json

DTYPES = {
    "F32": "<f4", "F64": "<f8", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
MAX_HEADER = 100_000_000  # bytes, the limit of safetensors
MAX_DIMENSIONS = 8
DIGEST = "digest"


class UnreadableTensors(ValueError):
    """A file that is no safetensors file, or a truncated one; the message is the reason."""


def pack(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str], covered: Sequence[str]) -> bytes:
    """Return the content of a file. Its digest covers the tensors and the named metadata."""
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    return save(arrays, {**metadata, DIGEST: digest(arrays, *(metadata[name] for name in covered))})


def digest(tensors: Mapping[str, np.ndarray], *texts: str) -> str:
    """Return a checksum of texts and of tensors, with their names, types and shapes."""
    checksum = hashlib.blake2b("\0".join(texts).encode(errors="surrogatepass"), digest_size=16)
    for name in sorted(tensors):
        checksum.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        checksum.update(np.ascontiguousarray(tensors[name]).data)
    return checksum.hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Return the metadata and the arrays, which are read-only.

    Raises UnreadableTensors if it is not a complete safetensors file, and OSError if it cannot be opened.
    """
    with _open(path) as file:
        header, size = _read_header(file)
        metadata, places = _check_header(header, size)
        content = _read(file, size)
    arrays = {}
    for name, (dtype, shape, begin) in places.items():
        flat = np.frombuffer(content, dtype, math.prod(shape), begin) if content else np.empty(0, dtype)
        arrays[name] = flat.reshape(shape)
    return metadata, arrays


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata alone, even if the arrays are damaged. Raises as `read_tensors` does."""
    with _open(path) as file:
        header, _ = _read_header(file)
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _open(path: Path) -> BinaryIO:
    if not stat.S_ISREG(path.stat().st_mode):
        raise UnreadableTensors("it is not a regular file")
    return path.open("rb")


def _read_header(file: BinaryIO) -> tuple[Any, int]:
    """Return the header, and the number of the bytes after it."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(_read(file, 8), "little")
    if length > min(MAX_HEADER, size - 8):
        raise UnreadableTensors("its header is damaged or incomplete")
    try:
        return parse_json(_read(file, length)), size - 8 - length
    except InvalidJSON as error:
        raise UnreadableTensors(f"its header is not JSON: {error}") from None


def _read(file: BinaryIO, size: int) -> bytes:
    try:
        content = file.read(size)
    except MemoryError:
        raise UnreadableTensors(f"its {size:,} bytes do not fit in memory") from None
    if len(content) != size:
        raise UnreadableTensors("it is truncated")
    return content


def _check_header(header: Any, size: int) -> tuple[dict[str, str], dict[str, tuple[str, list[int], int]]]:
    """Return the metadata and each array's dtype, shape and first byte. The arrays must fill `size` bytes"""
    if not isinstance(header, dict):
        raise UnreadableTensors("its header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise UnreadableTensors("its metadata are not strings")
    places, spans = {}, []
    for name, about in header.items():
        try:
            dtype, shape, (begin, end) = DTYPES[about["dtype"]], about["shape"], about["data_offsets"]
            numbers = [*shape, begin, end]
        except (TypeError, KeyError, ValueError):
            raise UnreadableTensors(f"its header does not describe the array {name!r:.40}") from None
        valid = isinstance(shape, list) and len(shape) <= MAX_DIMENSIONS
        valid = valid and all(type(n) is int and n >= 0 for n in numbers)
        if not valid or end - begin != math.prod(shape) * np.dtype(dtype).itemsize:
            raise UnreadableTensors(f"the array {name!r:.40} does not have the size of its shape")
        places[name] = dtype, shape, begin
        spans.append((begin, end))
    last = 0
    for begin, end in sorted(spans):
        if begin != last:
            raise UnreadableTensors("its arrays overlap or leave gaps")
        last = end
    if last != size:
        raise UnreadableTensors("it is truncated" if last > size else "there are bytes after its arrays")
    return metadata, places
