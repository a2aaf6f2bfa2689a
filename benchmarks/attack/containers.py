"""Damage what is inside a container, so that no checksum of the container gives the damage away."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

from benchmarks.attack.bombs import png_chunk
from gpunn.files.model import COVERED
from gpunn.files.tensors import DIGEST, digest

PNG = b"\x89PNG\r\n\x1a\n"
Change = Callable[[bytes], bytes]


def change_inside(content: bytes, rng: Random, change: Change) -> bytes | None:
    """Change a part of a gzip, zip, PNG or safetensors file, and seal it again; None for other files."""
    try:
        if content.startswith(b"\x1f\x8b"):
            return gzip.compress(change(gzip.decompress(content)), 1, mtime=0)
        if content.startswith(b"PK\x03\x04"):
            return _change_zip(content, rng, change)
        if content.startswith(PNG):
            return _change_png(content, rng, change)
        if content[8:10] == b'{"':
            return _change_safetensors(content, rng, change)
    except (OSError, EOFError, ValueError, KeyError, zlib.error, zipfile.BadZipFile, struct.error):
        pass  # it was damaged before
    return None


def _change_zip(content: bytes, rng: Random, change: Change) -> bytes:
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(result, "w") as new:
        chosen = rng.choice(old.namelist())
        for info in old.infolist():
            member = old.read(info)
            new.writestr(info, change(member) if info.filename == chosen else member)
    return result.getvalue()


def _change_png(content: bytes, rng: Random, change: Change) -> bytes:
    """Change the data of a chunk, unpacked if they are the pixels."""
    chunks, at = [], len(PNG)
    while at < len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += size + 12
    chosen = rng.randrange(len(chunks))
    kind, data = chunks[chosen]
    data = zlib.compress(change(zlib.decompress(data))) if kind == b"IDAT" else change(data)
    chunks[chosen] = kind, data
    return PNG + b"".join(png_chunk(kind, data) for kind, data in chunks)


def _change_safetensors(content: bytes, rng: Random, change: Change) -> bytes:
    """Change a text of the metadata or the tensors' bytes, and compute the digest anew."""
    length = int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    texts, data = header["__metadata__"], content[8 + length :]
    name = rng.choice([*texts, "data"])
    if name == "data":
        data = change(data)[: len(data)].ljust(len(data), b"\x7f")
    else:
        texts[name] = change(texts[name].encode()).decode(errors="replace")
    arrays = {}
    for tensor, about in header.items():
        if tensor != "__metadata__":
            begin, end = about["data_offsets"]
            dtype = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "U8": "u1"}[about["dtype"]]
            arrays[tensor] = np.frombuffer(data[begin:end], dtype).reshape(about["shape"])
    if name != DIGEST:
        covered = ["state"] if "state" in texts else COVERED
        texts[DIGEST] = digest(arrays, *(texts.get(text, "") for text in covered))
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + data
