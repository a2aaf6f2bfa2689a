"""Model files: a digest tells every damage, older files have none, and sizes are checked before reading."""

from __future__ import annotations

import json
import math
import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import change_metadata
from safetensors.numpy import load_file, save_file
from small_network import small

from gpunn import Network
from gpunn.files import tensors
from gpunn.files.strict_json import dump_json, null_if_not_finite, parse_json, tag_numbers, untag_numbers
from gpunn.files.tensors import UnreadableTensors, read_tensors
from gpunn.training import checkpoint_files


@pytest.fixture
def model(tmp_path: Path) -> Path:
    small(meta={"classes": ["a", "b", "c"]}).save(tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def raw(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_every_flipped_bit_is_refused_or_harmless(model: Path) -> None:
    """Only names of metadata that nobody reads may change, such as that of the digest itself."""
    whole, harmless, theta = model.read_bytes(), 0, Network.load(model).theta.tobytes()
    for byte in range(len(whole)):
        damaged = bytearray(whole)
        damaged[byte] ^= 1 << (byte % 8)
        model.write_bytes(damaged)
        try:
            net = Network.load(model)
        except ValueError as error:
            assert str(error).startswith(str(model)) and "\n" not in str(error)
        else:
            harmless += 1
            assert net.theta.tobytes() == theta and net.meta == {"classes": ["a", "b", "c"]}
    assert harmless <= len("digest" + "meta")


def test_a_wrong_digest_is_one_line_with_the_path(model: Path) -> None:
    damaged = bytearray(model.read_bytes())
    damaged[-1] ^= 1
    model.write_bytes(damaged)
    with pytest.raises(
        ValueError, match=r"m\.safetensors is damaged: its content does not match its digest$"
    ):
        Network.load(model)


def test_a_file_without_a_digest_is_read(model: Path) -> None:
    net = Network.load(model)
    change_metadata(model, model)
    assert "digest" not in read_tensors(model)[0]
    assert np.array_equal(Network.load(model).theta, net.theta)


def test_the_reader_agrees_with_safetensors(tmp_path: Path) -> None:
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(5), "c": np.zeros((0, 4)),
        "d": np.array([True, False]), "e": np.arange(3, dtype=np.uint8),
    }  # fmt: skip
    save_file(arrays, tmp_path / "t", {"x": "ä"})
    metadata, found = read_tensors(tmp_path / "t")
    assert metadata == {"x": "ä"} and found.keys() == arrays.keys()
    for name, array in load_file(tmp_path / "t").items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array)
    save_file({}, tmp_path / "t")
    assert read_tensors(tmp_path / "t") == ({}, {})


ONE = {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "truncated"),
        (struct.pack("<Q", 2**63), "header is damaged"),
        (struct.pack("<Q", 90_000_000), "header is damaged"),
        (raw(b"{"), "header is not JSON"),
        (raw(b"[" * 100_000), "header is not JSON"),
        (raw([]), "not a JSON object"),
        (raw({"__metadata__": {"format": 1}}), "not strings"),
        (raw({"__metadata__": []}), "not strings"),
        (raw({"x": 5}), "does not describe the array 'x'"),
        (raw({"x": ONE | {"dtype": "F8"}}, bytes(4)), "does not describe"),
        (raw({"x": ONE | {"data_offsets": [0]}}, bytes(4)), "does not describe"),
        (raw({"x": ONE | {"shape": "11"}}, bytes(4)), "size of its shape"),
        (raw({"x": ONE | {"shape": [-1, -1]}}, bytes(4)), "size of its shape"),
        (raw({"x": ONE | {"shape": [10**18, 10**18]}}, bytes(4)), "size of its shape"),
        (raw({"x": ONE | {"shape": [1] * 70}}, bytes(4)), "size of its shape"),
        (raw({"x": ONE | {"shape": [1.0, 1.0]}}, bytes(4)), "size of its shape"),
        (raw({"x": ONE}), "truncated"),
        (raw({"x": ONE}, bytes(5)), "bytes after"),
        (raw({"x": ONE, "y": ONE}, bytes(4)), "overlap"),
        (raw({"x": ONE | {"data_offsets": [4, 8]}}, bytes(8)), "gaps"),
    ],
)
def test_a_hostile_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(UnreadableTensors, match=said):
        read_tensors(tmp_path / "t")
    with pytest.raises(ValueError, match=f"t is not a readable model: .*{said}") as error:
        Network.load(tmp_path / "t")
    assert "\n" not in str(error.value)


def test_nothing_large_is_allocated_for_a_file_that_lies(tmp_path: Path) -> None:
    path, size = tmp_path / "t", 1 << 40
    content = raw({"x": {"dtype": "F32", "shape": [1 << 20, 1 << 20], "data_offsets": [0, 4 << 40]}})
    for length in (len(content), size):
        path.write_bytes(content)
        os.truncate(path, length)  # sparse
        tracemalloc.start()
        with pytest.raises(UnreadableTensors):
            read_tensors(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        tracemalloc.stop()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no FIFOs")
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(ValueError, match="is not a readable model: it is not a regular file"):
            Network.load(path)


def test_a_file_truncated_while_it_is_read_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tensors._check_header
    Network([200, 100], seed=0).save(model)

    def truncating(*arguments: Any) -> Any:
        os.truncate(model, 500)
        return real(*arguments)

    monkeypatch.setattr(tensors, "_check_header", truncating)
    with pytest.raises(ValueError, match="is not a readable model: it is truncated"):
        Network.load(model)


# strict JSON


def test_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    content = {"a": [math.nan, (math.inf, 1.5)], "b": {"c": -math.inf}}
    assert dump_json(content) == '{"a": [null, [null, 1.5]], "b": {"c": null}}'
    small(meta=content).save(tmp_path / "m")
    assert Network.load(tmp_path / "m").meta == {"a": [None, [None, 1.5]], "b": {"c": None}}
    assert math.isnan(parse_json("NaN"))  # as version 0.1.0 wrote
    assert null_if_not_finite([10**400, -(10**400), True, 10**300]) == [None, None, True, 10**300]
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="Circular"):
        dump_json(circle)


def test_tagged_numbers_are_exact() -> None:
    content = {"score": math.inf, "records": [{"loss": 0.1, "worst": -math.inf}], "name": "inf"}
    tagged = tag_numbers(content)
    assert json.loads(json.dumps(tagged, allow_nan=False)) == tagged
    assert untag_numbers(tagged) == content
    assert math.isnan(untag_numbers(tag_numbers(math.nan)))


def test_a_checkpoint_with_a_wrong_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "epoch-000001.safetensors"
    whole: dict[str, Any] = {"generator": {}, "first_generator": {}, "records": [], "what": {}, "meta": {}}
    path.write_bytes(checkpoint_files.pack_state({"theta": np.zeros(3)}, whole))
    assert checkpoint_files.read(path).state == whole
    for state in ({}, [], {**whole, "records": [{}]}, {**whole, "what": {"seed": 3}}, {**whole, "meta": 5}):
        path.write_bytes(checkpoint_files.pack_state({"theta": np.zeros(3)}, state))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"epoch-000001\.safetensors is damaged: state"):
            checkpoint_files.read(path)
