"""Columns that runs of spaces and tabs separate."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from tabular import QUICK, write

from gpunn.tables.reader import read
from gpunn.tables.reading import Format, open_file
from gpunn.tables.sources.blanks import with_tabs
from gpunn.tables.table import NUMBER, TEXT

pytest.importorskip("pyarrow")

NOTE = "has columns separated by blanks"
WRITE_TABLE = '"a" "b" "y"\n"1" 1.5 "red hot" "p"\n"2" 2 "blue" "n"\n"3" NA "it\'s" "p"\n'
GLASS = "   1.52   13.64 -4  1\n  -1.5    1.1   4  2\n   1.52    2.1   3  1\n"
MPG = '18.0   8   307.0\t"chevrolet chevelle"\n15.0   8   350.\t"ford"\n18.   ?   1.5\t"vw 1131  deluxe"\n'
SAVETXT = "# a b y\n1.0e+00 2.0e+00 0\n3.0e+00 4.0e+00 1\n"


def opened(content, **format):
    return open_file(Path(write("t.txt", content)), Format(**format))


def rows_of(source):
    """Return the rows, with strings in place of codes and None for missing values."""
    table = read(source, source.kinds, None, "float64")
    texts = [list(column.texts.codes) if column.texts else None for column in table.columns]
    return [
        [None if x != x else names[int(x)] if names else x for x, names in zip(row, texts, strict=True)]
        for row in table.rows.tolist()
    ]


@pytest.mark.parametrize(
    ("content", "names", "rows"),
    [
        (WRITE_TABLE, ["column 1", "a", "b", "y"],
         [[1, 1.5, "red hot", "p"], [2, 2, "blue", "n"], [3, None, "it's", "p"]]),
        ("\n".join(WRITE_TABLE.splitlines()[:2]), ["column 1", "a", "b", "y"], [[1, 1.5, "red hot", "p"]]),
        (GLASS, ["1", "2", "3", "4"], [[1.52, 13.64, -4, 1], [-1.5, 1.1, 4, 2], [1.52, 2.1, 3, 1]]),
        (MPG, ["1", "2", "3", "4"],
         [[18, 8, 307, "chevrolet chevelle"], [15, 8, 350, "ford"], [18, None, 1.5, "vw 1131  deluxe"]]),
        (SAVETXT, ["a", "b", "y"], [[1, 2, 0], [3, 4, 1]]),
        ("x    who  y \r\n1,5  'a b'  0\r\n\r\n22,5 'c'    1\r\n", ["x", "who", "y"],
         [[1.5, "a b", 0], [22.5, "c", 1]]),
    ],
)  # fmt: skip
def test_runs_of_blanks_separate_columns(content, names, rows):
    source = opened(content)
    assert NOTE in source.notes
    assert list(source.kinds) == names
    assert rows_of(source) == rows
    assert source.place(len(rows) - 1) == f"line {len(content.rstrip().splitlines())}"


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        ("city\tstate name\tn\nNew York\tNew York\t1\nLos Angeles\tNew Mexico\t2\n", [TEXT, TEXT, NUMBER]),
        ("name of the city\nNew York\nLos Angeles\n", [TEXT]),
        ("a, b, y\n1, 2, 3\n4, 5, 6\n", [NUMBER, NUMBER, NUMBER]),
        ("a;text\n1;two words\n2;of text\n", [NUMBER, TEXT]),
    ],
)
def test_blanks_within_values_do_not_separate_columns(content, kinds):
    source = opened(content)
    assert NOTE not in source.notes
    assert list(source.kinds.values()) == kinds


def test_whitespace_can_be_named():
    source = opened("a,b y\n1,2 3\n4,5 6\n", delimiter="whitespace")
    assert list(source.kinds) == ["a,b", "y"]
    assert rows_of(source) == [[1.2, 3], [4.5, 6]]


def test_a_value_in_quotes_may_span_lines():
    lines = ["a y\n", '1  "two \n', '  lines  ""here"" "\n', " 2 x\n"]
    expected = 'a\ty\n1\t"two \n  lines  ""here"" "\n2\tx\n'
    for at in range(1, 4):
        blocks = ["".join(lines[:at]).encode(), "".join(lines[at:]).encode()]
        assert b"".join(with_tabs(blocks, '"')).decode() == expected


def test_a_row_of_another_length_is_named_by_its_line(refused):
    write("t.data", "".join(f"{i:5} {i % 3:4} {i % 2}\n" for i in range(60)) + "  60   1\n")
    refused(["train", "t.data", "--target", "3"], "t.data, line 61: 2 values, but the table has 3 columns")
    with pytest.raises(ValueError, match="the delimiter must be one ASCII character or 'whitespace'"):
        Format(delimiter="spaces")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_pipe_of_any_name_is_a_table(gpunn_, trained, refused):
    write("t.data", GLASS * 8)
    trained("t.data", "--target", "4", *QUICK, "--output", "run")
    os.mkfifo("pipe")
    thread = threading.Thread(target=lambda: Path("pipe").write_text(GLASS))
    thread.start()
    code, out, err = gpunn_("predict", "run", "pipe")
    thread.join()
    assert (code, out.count("\n")) == (0, 4)
    assert err.startswith("gpunn: the target '4' is not used to predict")
    thread = threading.Thread(target=lambda: Path("pipe").write_text(GLASS * 8))
    thread.start()
    trained("pipe", "--target", "4", *QUICK, "--output", "piped")
    thread.join()
    refused(["evaluate", "piped"], "was trained on standard input; name a table to evaluate it on")
