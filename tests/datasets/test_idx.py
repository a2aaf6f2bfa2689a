"""IDX files: every file is read correctly, or refused in one line that names it."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from idx_files import PIXELS, idx_bytes, refused

from gpunn.datasets import read_idx
from gpunn.datasets.idx import ELEMENT_TYPES

FUZZ = settings(max_examples=150)


@pytest.mark.parametrize("code", ELEMENT_TYPES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_element_type_is_read(tmp_path: Path, code: int, pack: Callable[[bytes], bytes]) -> None:
    expected = np.arange(24).reshape(2, 3, 4).astype(ELEMENT_TYPES[code])
    (tmp_path / "a").write_bytes(pack(idx_bytes(expected, code)))
    array = read_idx(tmp_path / "a")
    np.testing.assert_array_equal(array, expected)
    assert array.dtype == expected.dtype.newbyteorder("=")
    assert array.dtype.isnative and array.flags.c_contiguous and array.flags.writeable


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["empty"]),
        (b"\0\0", ["00 00", "IDX"]),
        (b"\x89PNG\r\n", ["89 50 4e 47", "IDX"]),
        (struct.pack(">HBBI", 0, 0x07, 1, 3) + bytes(3), ["0x07", "0x08"]),
        (struct.pack(">HBB", 0, 0x08, 0), ["0 dimensions"]),
        (struct.pack(">HBB", 0, 0x08, 200), ["200 dimensions"]),
        (struct.pack(">HBBI", 0, 0x08, 2, 3), ["header"]),
        (struct.pack(">HBBII", 0, 0x08, 2, 0, 3), ["0×3"]),
        (struct.pack(">HBBII", 0, 0x08, 2, 2, 3) + bytes(5), ["6 bytes", "only 5"]),
        (struct.pack(">HBBII", 0, 0x08, 2, 2, 3) + bytes(7), ["6 bytes", "more"]),
        (struct.pack(">HBB4I", 0, 0x0E, 4, *[2**32 - 1] * 4) + bytes(9), ["header", "only 9"]),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_wrong_file_is_refused(
    tmp_path: Path, content: bytes, words: list[str], pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "wrong-idx"
    path.write_bytes(pack(content))
    refused(ValueError, lambda: read_idx(path), path, *words)


def test_unreadable_paths_are_refused(tmp_path: Path) -> None:
    refused(ValueError, lambda: read_idx(tmp_path), tmp_path, "cannot be read")
    refused(ValueError, lambda: read_idx(tmp_path / "none"), "none", "cannot be read")


def test_a_gzip_bomb_is_not_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    original = gzip.GzipFile.read

    def counted(self: gzip.GzipFile, size: int = -1) -> bytes:
        read.append(size)
        return original(self, size)

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(struct.pack(">HBBI", 0, 0x08, 1, 5) + bytes(1 << 24)))
    refused(ValueError, lambda: read_idx(path), path, "5 bytes", "more")
    assert min(read) >= 0 and sum(read) == 4 + 4 + 6


def read_or_refused(path: Path, data: bytes) -> bool:
    """Whether damaged data are read; then the damage was harmless, as in the time stamp of a gzip header."""
    path.write_bytes(data)
    try:
        array = read_idx(path)
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return False
    np.testing.assert_array_equal(array, PIXELS)
    return True


@FUZZ
@given(gzipped=st.booleans(), part=st.floats(0, 1, exclude_max=True))
def test_truncation_anywhere_is_refused(tmp_path: Path, gzipped: bool, part: float) -> None:
    whole = gzip.compress(idx_bytes(PIXELS)) if gzipped else idx_bytes(PIXELS)
    assert not read_or_refused(tmp_path / "a", whole[: int(part * len(whole))])


@FUZZ
@given(gzipped=st.booleans(), extra=st.binary(min_size=1, max_size=40))
def test_trailing_bytes_are_refused(tmp_path: Path, gzipped: bool, extra: bytes) -> None:
    whole = gzip.compress(idx_bytes(PIXELS)) if gzipped else idx_bytes(PIXELS)
    harmless = gzipped and not extra.strip(b"\0")  # gzip allows padding with zeros
    assert read_or_refused(tmp_path / "a", whole + extra) == harmless


@FUZZ
@given(position=st.integers(0, 15), value=st.integers(1, 255))
def test_a_flipped_header_byte_is_refused(tmp_path: Path, position: int, value: int) -> None:
    assume((position, value) != (2, 1))  # 0x08 → 0x09: signed bytes, just as valid
    data = bytearray(idx_bytes(PIXELS))
    data[position] ^= value
    assert not read_or_refused(tmp_path / "a", bytes(data))


@FUZZ
@given(position=st.integers(0, 10**6), value=st.integers(1, 255))
def test_damaged_gzip_is_refused_or_harmless(tmp_path: Path, position: int, value: int) -> None:
    data = bytearray(gzip.compress(idx_bytes(PIXELS)))
    data[position % len(data)] ^= value
    read_or_refused(tmp_path / "a", bytes(data))


@FUZZ
@given(
    data=st.binary(max_size=64),
    start=st.sampled_from([b"", b"\0\0\x08", b"\0\0\x08\x01\0\0", b"\x1f\x8b\x08\0"]),
)
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes, start: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(start + data)
    try:
        assert read_idx(path).nbytes <= len(data)
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)
