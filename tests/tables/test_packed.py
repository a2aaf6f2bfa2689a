"""CSV files that are packed, or come from standard input or a pipe."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tabular import QUICK, fruits, write

from gpunn.tables.sources.csv import CsvFile

pytest.importorskip("pyarrow")


def zipped(content, names=("fruits.csv",)):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return file.getvalue()


PACK = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zip": zipped}


@pytest.mark.parametrize("kind", PACK)
def test_packed_files_are_read(trained, kind):
    content = fruits().encode()
    Path(f"fruits.csv.{kind}").write_bytes(PACK[kind](content))
    write("fruits.csv", fruits())
    packed, plain = (
        trained(name, "--target", "kind", *QUICK) for name in (f"fruits.csv.{kind}", "fruits.csv")
    )
    assert packed["train_loss"] == plain["train_loss"]
    Path("misnamed.csv").write_bytes(PACK[kind](content))
    assert CsvFile(Path("misnamed.csv")).kinds == CsvFile(Path("fruits.csv")).kinds


@pytest.mark.parametrize("kind", PACK)
def test_damaged_packed_files_are_named(refused, kind):
    noise = np.random.default_rng(29).bytes(1 << 17).hex().encode()  # damaged, bzip2 unpacks a NUL
    whole = PACK[kind](noise + b",y\n" + fruits().encode())
    for damaged in (whole[: len(whole) // 2], whole[:70_000] + bytes(8) + whole[70_008:], b"no such format"):
        Path(f"t.csv.{kind}").write_bytes(damaged)
        refused(["train", f"t.csv.{kind}", "--target", "kind"], f"t.csv.{kind} cannot be decompressed: ")


def test_a_zip_file_holds_one_table(refused):
    Path("t.csv.zip").write_bytes(zipped("a,y\n1,2\n", ["a.csv", "b.csv"]))
    refused(["train", "t.csv.zip", "--target", "y"], "t.csv.zip", "2 files", "expected one")
    Path("t.csv.zip").write_bytes(zipped("a,y\n1,2\n3,4\n", ["a.csv", "__MACOSX/._a.csv", "folder/"]))
    assert list(CsvFile(Path("t.csv.zip")).kinds) == ["a", "y"]


@pytest.mark.parametrize("name", ["t.txt", "t.data", "t.tsv", "t.tab", "t.txt.gz"])
def test_further_suffixes(trained, name):
    content = fruits().replace(",", "\t").encode()
    Path(name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert trained(name, "--target", "kind", *QUICK)["test_examples"] == 24


@pytest.fixture
def piped(gpunn_, monkeypatch):
    def run(content, *arguments):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        return gpunn_(*arguments)

    return run


def test_standard_input(piped, gpunn_):
    content = fruits().encode()
    code, out, err = piped(content, "train", "-", "--target", "kind", *QUICK)
    assert (code, err) == (0, "")
    assert out.startswith("standard input: 120 rows")
    assert "gpunn evaluate gpunn-runs/table-1/model.safetensors FILE.csv\n" in out
    write("fruits.csv", fruits())
    expected = gpunn_("predict", "gpunn-runs/table-1", "fruits.csv")
    assert piped(gzip.compress(content), "predict", "gpunn-runs/table-1", "-") == expected
    code, out, err = piped(content, "evaluate", "gpunn-runs/table-1", "-", "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert (result["dataset"], result["examples"]) == ("standard input", 120)
    code, out, err = piped(content, "evaluate", "gpunn-runs/table-1")
    assert (code, out) == (2, "")
    assert "trained on standard input; name a table to evaluate it on" in err
    assert piped(b"", "train", "-", "--target", "kind")[2] == "gpunn: error: standard input is empty\n"
    _, _, err = piped(b"a,y\n1,2\n3\n", "train", "-", "--target", "y")
    assert err == "gpunn: error: standard input, line 3: 1 value, but the table has 2 columns\n"


def test_a_run_on_standard_input_can_be_resumed(piped):
    content = fruits().encode()
    run = "train", "-", "--target", "kind", "--checkpoint-every", "1", *QUICK
    assert piped(content, *run)[0] == 0
    Path("gpunn-runs/table-1/model.safetensors").unlink()
    assert piped(content, "train", "--resume", "gpunn-runs/table-1")[0] == 0
    assert (
        "another data set"
        in piped(content + b"1,red,2,apple\n", "train", "--resume", "gpunn-runs/table-1")[2]
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_named_pipe_is_read_once(trained):
    os.mkfifo("pipe.csv")
    writer = threading.Thread(target=lambda: Path("pipe.csv").write_text(fruits()))
    writer.start()
    assert trained("pipe.csv", "--target", "kind", *QUICK)["test_examples"] == 24
    writer.join()
