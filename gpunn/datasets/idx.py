"""IDX, the file format of MNIST.

A file has two zero bytes, the element type, the number of dimensions, each dimension as a big-endian uint32,
and then the elements, big-endian and C-ordered. Source: LeCun, Cortes, Burges, "The MNIST database".
"""

import gzip
import io
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ELEMENT_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMENSIONS = 32
CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read the array in an IDX file, plain or gzipped (its first bytes decide, not its name).

    The elements are in the machine's byte order. Memory grows with the data that the file really holds, not
    with the size in the header, and a gzip stream is decompressed to one byte past that size at most.

    Raises:
        ValueError: the file cannot be read, is damaged, or holds less or more data than its header announces.
            The message is one line that names the file.
    """
    path = Path(path)
    try:
        with open(path, "rb") as raw:
            gzipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with gzip.open(raw) if gzipped else raw as file:
                return _parse(file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged or truncated gzip file ({error})") from error
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _parse(file: io.BufferedIOBase) -> NDArray[Any]:
    dtype, shape = _read_header(file)
    size = math.prod(shape) * dtype.itemsize  # Python integers: no overflow
    data = _read_up_to(file, size + 1)
    if len(data) != size:
        found = f"only {len(data):,}" if len(data) < size else "more"
        raise ValueError(
            f"header announces {size:,} bytes of data ({_times(shape)}), but the file has {found}"
        )
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _read_header(file: io.BufferedIOBase) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = file.read(4)
    if not magic:
        raise ValueError("empty file, expected IDX")
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise ValueError(f"starts with bytes {magic.hex(' ')}, expected IDX (00 00 type dimensions) or gzip")
    _, element_type, ndim = struct.unpack(">HBB", magic)
    if element_type not in ELEMENT_TYPES:
        known = ", ".join(f"0x{code:02x}" for code in ELEMENT_TYPES)
        raise ValueError(f"element type 0x{element_type:02x} is unknown, expected one of {known}")
    if not 1 <= ndim <= MAX_DIMENSIONS:
        raise ValueError(f"header announces {ndim} dimensions, expected 1 to {MAX_DIMENSIONS}")
    dimensions = file.read(4 * ndim)
    if len(dimensions) < 4 * ndim:
        raise ValueError(f"ends in the header, expected {ndim} dimensions of 4 bytes")
    shape = struct.unpack(f">{ndim}I", dimensions)
    if 0 in shape:
        raise ValueError(f"holds no elements, its shape is {_times(shape)}")
    return np.dtype(ELEMENT_TYPES[element_type]), shape


def _read_up_to(file: io.BufferedIOBase, size: int) -> bytearray:
    """Read up to size bytes, in chunks: read(size) would allocate whatever a damaged header says."""
    data = bytearray()
    while chunk := file.read(min(CHUNK, size - len(data))):
        data += chunk
    return data


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
