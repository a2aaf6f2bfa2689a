"""Damaged and hostile files: refused in one line that names the file, in little time and memory."""

from __future__ import annotations

import gzip
import io
import os
import random
import resource
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from tabular import columns_of_fruits, fruits, write

from gpunn.tables.loading import load
from gpunn.tables.options import TableOptions
from gpunn.tables.reading import Format, open_file
from gpunn.tables.sources import arrays
from gpunn.tables.sources.csv import CsvFile
from gpunn.tables.table import TEXT

pytest.importorskip("pyarrow")

MIB = 1 << 20


def table(suffix):
    """Return a small file of this kind."""
    file, rng = io.BytesIO(), np.random.default_rng(0)
    if suffix == "npz":
        np.savez_compressed(file, X=rng.normal(size=(60, 3)), kind=np.array(["a", "b"] * 30))
    elif suffix == "npy":
        np.save(file, rng.normal(size=(60, 3)))
    elif suffix == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table(columns_of_fruits()), file, row_group_size=20)
    else:
        content = (
            fruits(60).replace("red", '"red, ""dark"""').encode("utf-16" if suffix == "txt" else "utf-8")
        )
        return gzip.compress(content, mtime=0) if suffix == "csv.gz" else content
    return file.getvalue()


BITS = (
    b'"',
    b"\0",
    b"\n",
    b"\r",
    b",",
    b"#",
    b"'",
    b"-",
    b"1e400",
    b"\xe9",
    b"\xff\xfe",
    b",,,\n",
    b"=",
    b"x" * 70,
)


def mutate(rng, content):
    """Flip a bit, or overwrite, delete, repeat, cut off or insert bytes."""
    content, n, at = bytearray(content), rng.choice((1, 2, 4, 16, 200)), rng.randrange(len(content))
    kind = rng.randrange(7)
    if kind == 0:
        content[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        content[at : at + n] = rng.randbytes(n)
    elif kind == 2:
        content[at : at + n] = rng.choice((b"\0", b"\xff")) * n
    elif kind == 3:
        del content[at : at + n]
    elif kind == 4:
        content[at:at] = content[at : at + n] * rng.choice((1, 3, 50))
    elif kind == 5:
        del content[at:]
    else:
        content[at:at] = rng.choice(BITS)
    return bytes(content) or b"\n"


@pytest.mark.parametrize("suffix", ["csv", "txt", "csv.gz", "npz", "npy", "parquet"])
def test_a_mutated_file_is_read_or_refused_in_one_line(suffix):
    content, name = table(suffix), f"mutated.{suffix}"
    options = TableOptions(target="X1" if suffix == "npy" else "kind")
    read = 0
    for seed in range(100):
        rng = random.Random(f"{suffix} {seed}")
        mutated = content
        for _ in range(rng.choice((1, 1, 2, 8))):
            mutated = mutate(rng, mutated)
        Path(name).write_bytes(mutated)
        try:
            load(Path(name), options, "float32")
            read += 1
        except (ValueError, OSError) as error:
            assert name in str(error), seed
            assert "\n" not in str(error), seed
            assert len(str(error)) < 600, seed
    assert read < 100


# bombs


def peak_growth(path, target):
    """Return the error of loading a table in a process of its own, and the memory it took, in MiB."""
    receive, send = os.pipe()
    if (process := os.fork()) == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # what this process has of the tests
        try:
            load(Path(path), TableOptions(target=target), "float32")
            error = ""
        except ValueError as refusal:
            error = str(refusal)
        with os.fdopen(send, "w") as file:
            file.write(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before} {error}")
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as file:
        peak, _, error = file.read().partition(" ")
    os.waitpid(process, 0)
    return error, int(peak) >> 10


ROWS = b"a,y\n1,2\n3,4\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process of its own")
@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([(ROWS, 1), (b"x" * MIB, 200)], "line 4: the line is longer than 64 MiB"),
        ([(b"," * MIB, 200)], "line 1: the line is longer than 64 MiB"),
        ([(ROWS, 1), (b"\n" * MIB, 200)], "16 MiB of rows without any value"),
        ([(ROWS, 1), (b",\n" * (MIB // 2), 200)], "16 MiB of rows without any value"),
        ([(ROWS + b'5,"6\n', 1), (b"7,8\n" * (MIB // 4), 200)], "line 4: the quote that opens here is never"),
        ([(b"x," * MIB + b"y\n1,2\n", 1)], "has 1,048,577 columns; at most 1,000,000"),
    ],
)  # fmt: skip
def test_a_small_file_that_unpacks_to_much_is_refused(parts, words):
    with gzip.open("bomb.csv.gz", "wb", compresslevel=1) as file:
        for content, times in parts:
            for _ in range(times):
                file.write(content)
    error, peak = peak_growth("bomb.csv.gz", "y")
    assert error.startswith("bomb.csv.gz") and words in error
    assert peak < 1000


def npz_of_zeros(**shapes):
    """Write a .npz file of zeros without holding them in memory."""
    with zipfile.ZipFile("bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, shape in shapes.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for _ in range(shape[0]):
                    file.write(bytes(4 * int(np.prod(shape[1:]))))


def test_a_npz_file_is_checked_before_it_is_unpacked(refused, monkeypatch):
    monkeypatch.setattr(np.lib.format, "read_array", None)  # nothing is unpacked
    npz_of_zeros(X=(1 << 12, 1 << 12), y=(1 << 10,))
    refused(["train", "bomb.npz"], "bomb.npz: found X (4096, 4096), y (1024,)", "as many rows")
    monkeypatch.setattr(arrays, "ALWAYS", 32 * MIB)
    npz_of_zeros(X=(1 << 12, 1 << 12), y=(1 << 12,))
    refused(["train", "bomb.npz"], "bomb.npz has ", "but unpacks to 67,125,", "numpy.savez")
    npz_of_zeros(X=(1, MIB), y=(1,))
    refused(["train", "bomb.npz"], "bomb.npz has 1,048,577 columns; at most 1,000,000")


def test_headers_that_lie_are_refused(refused):
    for suffix, write_ in (("npz", np.savez), ("npy", np.save)):
        write_(f"t.{suffix}", np.zeros((4, 3)))
        whole = Path(f"t.{suffix}").read_bytes()
        for lie in (b"(9, 3)", b"(-4,3)", b"(4,99)"):
            Path(f"t.{suffix}").write_bytes(whole.replace(b"(4, 3)", lie))
            refused(
                ["train", f"t.{suffix}", "--target", "X1"], f"t.{suffix} is not a readable .{suffix} file"
            )
    np.savez("o.npz", X=np.zeros((2, 3)), y=np.array([{}, {}], object))
    refused(["train", "o.npz"], "o.npz: 'y' is object of shape (2,); expected numbers or strings")


# errors that are the file's


@pytest.mark.parametrize("content", [" \n \n", "   ", ",,\n,,\n", "\n\n\n", "\ufeff", "sep=;\n"])
def test_a_file_of_blanks_is_empty(refused, content):
    write("t.csv", content)
    refused(["train", "t.csv", "--target", "y"], "gpunn: error: t.csv")


def test_a_long_cell_is_read():
    cell = "x" * 200_000 + ', ""quoted""'
    write("t.csv", f'a,y\n"{cell}",1\n"",2\n3,4,5\n')
    with pytest.raises(ValueError, match=r"t.csv, line 4: 3 values, but the table has 2 columns"):
        load(Path("t.csv"), TableOptions(target="y"), "float32")
    write("t.csv", f'a,y\n"{cell}",1\nz,2\n')
    assert next(CsvFile(Path("t.csv")).batches({"a": TEXT}))["a"][1][0] == cell.replace('""', '"')


def test_paths_that_lead_nowhere(refused):
    os.symlink("loop.csv", "loop.csv")
    refused(["train", "loop.csv", "--target", "y"], "loop.csv cannot be read: ")
    refused(["train", "~nouser/x.csv", "--target", "y"], "~nouser/x.csv does not exist")
    name = os.fsdecode(b"\xff.csv")
    write(name, fruits())
    refused(["train", name, "--target", "kind"], "'\\udcff.csv': the file's name is not UTF-8; rename it")
    Path("folder.csv").mkdir()
    with pytest.raises(ValueError, match=r"folder.csv is not a file"):
        open_file(Path("folder.csv"), Format())


def test_unusual_types_of_parquet(refused):
    import pyarrow as pa
    import pyarrow.parquet

    def written(column):
        pa.parquet.write_table(pa.table({"x": column, "y": pa.array(["a", "b"] * 10)}), "t.parquet")
        return load(Path("t.parquet"), TableOptions(target="y"), "float64")[0].rows[:2, 0].tolist()

    assert written(pa.array([Decimal("1.25"), Decimal("2.5")] * 10)) == [1.25, 2.5]
    assert written(pa.array([Decimal("1.25"), Decimal("2.5")] * 10, pa.decimal256(60, 2))) == [1.25, 2.5]
    assert written(pa.array([2**63, 5] * 10, pa.uint64())) == [2.0**63, 5]
    assert written(pa.array(np.arange(20, dtype=np.float16))) == [0, 1]
    assert written(pa.array([1, None] * 10, pa.int8()))[0] == 1
    for nested in ([[1]] * 20, [{"a": 1}] * 20):
        with pytest.raises(ValueError, match=r"t.parquet: column 'x' has type (list|struct)"):
            written(pa.array(nested))
    with pytest.raises(ValueError, match=r"t.parquet, column 'x' of type binary: Invalid UTF8"):
        written(pa.array([b"\xff", b"a"] * 10))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_with_any_line_ends(refused, end):
    rows = [f'{i},"two{end}lines"' if i == 5 else f"{i},{i % 2}" for i in range(2000)]
    write("t.csv", end.join(["", "# a comment", "a,y", *rows, "1,2,3"]))
    refused(["train", "t.csv", "--target", "y"], "t.csv, line 2005: 3 values, but the table has 2 columns")
