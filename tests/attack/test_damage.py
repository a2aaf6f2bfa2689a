"""Damage to files: it changes them, and leaves a container whole if it is inside."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

import gpunn
from benchmarks.attack.bombs import BOMBS, bomb
from benchmarks.attack.containers import change_inside
from benchmarks.attack.damage import WAYS, damage

CONTENT, OTHER = b'{"a": 12, "b": [3.5, 4]}' * 9, b"another file" * 9


def test_every_damage_changes_the_file() -> None:
    for way in WAYS:
        assert len({way(CONTENT, Random(seed), OTHER) for seed in range(20)} - {CONTENT}) > 3, way
    assert damage(CONTENT, Random(5), OTHER) == damage(CONTENT, Random(5), OTHER)


def changed(content: bytes, change: bytes = b"changed") -> bytes:
    """Change a part of a container; each seed changes another part."""
    found = change_inside(content, Random(1), lambda part: part + change)
    assert found is not None and found != content
    return found


def test_a_gzip_file_stays_whole() -> None:
    assert gzip.decompress(changed(gzip.compress(b"content"))) == b"contentchanged"


def test_a_zip_file_stays_whole() -> None:
    packed = io.BytesIO()
    np.savez(packed, a=np.zeros(3), b=np.ones(2))
    with zipfile.ZipFile(io.BytesIO(changed(packed.getvalue()))) as archive:
        assert archive.testzip() is None
        assert sorted(archive.read(name)[-7:] == b"changed" for name in archive.namelist()) == [False, True]


def test_a_png_file_stays_whole() -> None:
    packed = io.BytesIO()
    Image.new("L", (4, 3), 7).save(packed, "PNG")
    for seed in range(9):
        found = change_inside(packed.getvalue(), Random(seed), lambda part: part + bytes(5))
        assert found is not None
        assert Image.open(io.BytesIO(found)).size == (4, 3)


def test_a_model_is_sealed_again(tmp_path: Path) -> None:
    net = gpunn.Network([2, 1], seed=0)
    net.save(tmp_path / "m.safetensors")
    content, read = (tmp_path / "m.safetensors").read_bytes(), 0
    for seed in range(20):
        found = change_inside(content, Random(seed), lambda part: part[:-1] + b"\x3d")
        assert found is not None
        (tmp_path / "m.safetensors").write_bytes(found)
        with suppress(ValueError):  # if a text has changed
            read += gpunn.Network.load(tmp_path / "m.safetensors").theta.tolist() != net.theta.tolist()
    assert read  # another weight, with the digest that belongs to it


@pytest.mark.parametrize("name", ["announced.npy", "announced.npz", "announced.png", "model.safetensors"])
def test_a_bomb_is_small(name: str) -> None:
    assert len(bomb(name)) < 5_000_000 and name in BOMBS


def test_other_files_have_no_inside() -> None:
    assert change_inside(CONTENT, Random(0), lambda part: part) is None
    assert change_inside(b"\x1f\x8bdamaged" + os.urandom(9), Random(0), lambda part: part) is None
