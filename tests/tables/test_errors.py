"""Errors in tables and options: one line, with the place, and nothing left behind."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest
from tabular import QUICK, write

pytest.importorskip("pyarrow")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["is empty"]),
        ("\n\n", ["is empty"]),
        ("a,y\n", ["no rows"]),
        ("a,y\n1,0\n2,1\n3\n4,1\n", ["line 4: 1 value, but", "2 columns"]),
        ("a,y\n1,0\n\n2,1,1\n4,1\n", ["line 4", "3 values", "2 columns"]),
        ("a,b,a,y\n1,2,3,0\n", ["2 columns", "'a'"]),
        ("a,y\n1,0\ninf,1\n2,0\n3,1\n", ["line 3", "'a'", "inf", "finite"]),
        ("a,y\n1,0\n1e39,1\n2,0\n3,1\n", ["line 3", "'a'", "too large for float32"]),
        ("a,y\n1,0.5\n1,1e200\n2,0\n3,1\n", ["line 3", "'y'", "1e+200", "too large"]),
        ("a,y\n1,\n2,\n", ["the target 'y' is missing in every row"]),
        ('a,y\n"1\n1",0\n2,x\n3,x\n4,z\n5,z\n', ["line 2", "'0'", "1 example"]),
        (" \n  \n", ["is empty"]),
        (",\n,\n", ["has no rows"]),
        ("a,y\n1,x\n2,x\n3,y\n4,x\n", ["line 4", "'y'", "1 example"]),
        ("a,y\n1,1\n2,1\n3,1\n", ["always 1"]),
        ("a,y\n5,1\n5,0\n5,1\n5,0\n", ["no column is left", "a (always 5)"]),
        ("a,y\n1,0\n", ["always 0"]),
        ("a;y\n1;0\n", []),
        ("a:y\n1:0\n2:1\n", ["only one column", "--delimiter"]),
        ("a,b\n1,2\n", ["unknown column 'y'", "a, b"]),
        ("a,Y\n1,2\n", ["did you mean 'Y'"]),
    ],
)  # fmt: skip
def test_a_malformed_csv_file_is_reported_in_one_line(refused, text, words):
    write("t.csv", text)
    refused(["train", "t.csv", "--target", "y"], "t.csv", *words)


def test_a_string_among_numbers_is_found_in_any_block(refused, trained):
    """The first block decides the types; the string is in that block, or in a later one."""
    lines = [f"{i * 7919 % 1000 / 8},{i % 2}" for i in range(100_000)]
    for m, row in ((2_000, 1_500), (100_000, 90_000)):
        some = lines[:m]
        some[row - 2] = "twelve,1"
        write("t.csv", "\n".join(["size,y", *some]))
        refused(
            ["train", "t.csv", "--target", "y"],
            f"line {row}, column 'size': 'twelve' is not a number",
            "--categorical",
        )
    write(
        "t.csv", "\n".join(["y,size,x", *(f"{i % 2},{line[:-2]},{i * 7 % 9}" for i, line in enumerate(some))])
    )
    assert trained("t.csv", "--target", "y", "--drop", "size", *QUICK)["network"] == "9-8-2"


def test_too_many_classes(refused):
    write("t.csv", "x,name,y\n" + "".join(f"{i * 37 % 11},name{i},{i}\n" for i in range(1100)))
    refused(["train", "t.csv", "--target", "name"], "'name' has more than 1,000 distinct strings, too many")
    refused(
        ["train", "t.csv", "--target", "y", "--task", "classification"], "'y' has more than 1,000 classes"
    )


def test_a_damaged_gzip_file_is_named(refused):
    write("t.csv.gz", "a,y\n1,0\n2,1\n")
    refused(["train", "t.csv.gz", "--target", "y"], "t.csv.gz cannot be decompressed: ")
    for m in (200, 200_000):  # damaged in the first block, or in a later one
        whole = gzip.compress(("a,y\n" + "".join(f"{i * 7919 % 1000},{i % 2}\n" for i in range(m))).encode())
        Path("t.csv.gz").write_bytes(whole[: len(whole) * 9 // 10])
        refused(["train", "t.csv.gz", "--target", "y"], "t.csv.gz cannot be decompressed: ")


def test_options_that_do_not_apply_are_refused(refused):
    write("t.csv", "x,y\n1,0\n2,1\n")
    for option in ("--shift", "--rotate", "--scale", "--elastic"):
        refused(["train", "t.csv", "--target", "y", option, "0.5"], option, "images", "t.csv")
    refused(["train", "t.csv", "--target", "y", "--data-dir", "."], "--data-dir")
    refused(["train", "digits", "--target", "y"], "--target", "tables", "digits")
    refused(["train", "digits", "--no-header"], "--header", "digits")
    refused(["train", "t.csv"], "--target NAME", "x, y")
    refused(["train", "t.csv", "--target", "y", "--cv", "3", "--test", "t.csv"], "--test", "--cv", "exclude")
    refused(["train", "t.csv", "--target", "y", "--held-out", "1"], "--held-out")
    write("many.csv", "x,y\n" + "".join(f"{i / 7},{i % 2}\n" for i in range(60)))
    most = "--held-out", "0.999"
    refused(["train", "many.csv", "--target", "x", *most], "--held-out leaves 0 rows to train on")
    refused(["train", "many.csv", "--target", "y", *most], "--held-out leaves no example of class '0'")
    refused(["train", "t.csv", "--target", "y", "--impute", "mode"], "unknown imputation 'mode'")
    refused(["train", "t.csv", "--target", "y.npy"], "t.csv", "unknown column 'y.npy'", "x, y")
    refused(["train", "nowhere.csv", "--target", "y"], "nowhere.csv does not exist")


def test_the_error_without_pyarrow_says_what_to_install(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.csv", None)
    write("t.csv", "x,y\n1,0\n")
    refused(["train", "t.csv", "--target", "y"], "t.csv", 'pip install "gpunn[tables]"')
