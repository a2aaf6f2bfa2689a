"""Encodings of CSV files: recognised and told, or named with --encoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tabular import QUICK, write

from gpunn.tables.model import load_model
from gpunn.tables.reader import read
from gpunn.tables.sources import text
from gpunn.tables.sources.csv import CsvFile
from gpunn.tables.table import TEXT

pytest.importorskip("pyarrow")

NAMES = "größe,naïve\n" + "".join(f"{i},{'éß'[i % 2]}\n" for i in range(40))


def strings(source, name):
    return list(read(source, {name: TEXT}, None, "float32").columns[0].texts.codes)


@pytest.mark.parametrize(
    ("encoding", "note"),
    [
        ("utf-8", []),
        ("utf-8-sig", ["is UTF-8 with a byte order mark"]),
        ("utf-16", ["is UTF-16"]),
        ("utf-32", ["is UTF-32"]),
        ("utf-16-le", ["is UTF-16 without a byte order mark"]),
        ("utf-16-be", ["is UTF-16 without a byte order mark"]),
        ("cp1252", ["is not UTF-8 and was read as cp1252; --encoding names another encoding"]),
    ],
)
def test_an_encoding_is_recognised_and_told(encoding, note):
    source = CsvFile(Path(write("t.csv", NAMES, encoding)))
    assert list(source.kinds) == ["größe", "naïve"]
    assert strings(source, "naïve") == ["é", "ß"]
    assert source.notes == note


@pytest.mark.parametrize("size", [5, 1 << 20])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_blocks_may_end_within_characters_and_line_ends(monkeypatch, size, encoding, end):
    monkeypatch.setattr(text, "BLOCK", size)
    write("t.csv", NAMES.replace("\n", end), encoding)
    with open("t.csv", "rb", buffering=0) as file:
        found = text.TextFile("t.csv", lambda: file, "cp1252" if encoding == "cp1252" and size < 9 else None)
        blocks = list(found.blocks())
    assert b"".join(blocks).decode() == NAMES.replace("\n", end)
    assert all(block.endswith(end.encode()) for block in blocks)
    assert not any(block.startswith(b"\n") for block in blocks)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_bytes_that_are_not_text_are_found_by_their_line(refused, end):
    rows = [f"{i},x{i % 2}" for i in range(1, 300_000)]
    rows[250_000] = "1,\xff"
    lines = end.join(["é,y", *rows]).encode("utf-8")
    Path("t.csv").write_bytes(lines.replace("\xff".encode(), b"\xff"))
    refused(["train", "t.csv", "--target", "y"], "t.csv, line 250002: byte 0xff is not utf-8", "--encoding")
    Path("t.csv").write_bytes(lines.replace("\xff".encode(), b"\0"))
    refused(["train", "t.csv", "--target", "y"], "t.csv, line 250002: found a NUL byte")
    Path("t.csv").write_bytes(b"\xe9,y\n1,x\n2,\x81\n")
    refused(["train", "t.csv", "--target", "y"], "t.csv, line 3: byte 0x81 is neither UTF-8 nor cp1252")


def test_an_encoding_can_be_named(gpunn_, trained, refused):
    rows = "".join(f"{i},{['привет', 'да'][i % 2]},{['кот', 'пёс'][i % 2]}\n" for i in range(60))
    write("t.csv", f"номер,слово,зверь\n{rows}", "koi8-r")
    trained("t.csv", "--target", "зверь", "--encoding", "koi8-r", *QUICK, "--output", "run")
    predicted = gpunn_("predict", "run", "t.csv")  # as in training
    assert predicted[0] == 0 and {line.partition(",")[0] for line in predicted[1].splitlines()[1:]} <= {
        "кот",
        "пёс",
    }
    assert gpunn_("evaluate", "run")[0] == 0
    write("u.csv", f"номер,слово,зверь\n{rows}")
    assert gpunn_("predict", "run", "u.csv", "--encoding", "utf-8") == predicted
    model = load_model("run")
    found = [model.predict("t.csv"), model.predict("u.csv", encoding="utf-8")]
    assert np.array_equal(*found)
    assert model.evaluate("t.csv") == model.evaluate("u.csv", encoding="utf-8")
    refused(["train", "t.csv", "--target", "зверь", "--encoding", "utf-8"], "t.csv, line 1", "is not utf-8")
    for unknown in ("utf-9", "rot13", "hex"):
        refused(["train", "t.csv", "--target", "y", "--encoding", unknown], f"unknown encoding '{unknown}'")
    refused(["train", "digits", "--encoding", "utf-8"], "--encoding", "tables", "digits")
