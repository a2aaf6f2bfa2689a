"""Dialects of CSV files: everything that programs write around and between the values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tabular import QUICK, fruits, not_used, write

from gpunn import Network
from gpunn.tables.reader import read
from gpunn.tables.reading import Format, open_file
from gpunn.tables.table import NUMBER, TEXT

pytest.importorskip("pyarrow")


def opened(content, **format):
    return open_file(Path(write("t.csv", content)), Format(**format))


def values(source):
    table = read(source, source.kinds, None, "float64")
    return [
        [texts[int(code)] for code in table.rows[:, j]]
        if column.texts and (texts := list(column.texts.codes)) is not None
        else table.rows[:, j].tolist()
        for j, column in enumerate(table.columns)
    ]


PLAIN = "a,b,y\n1,x,0\n2,z,1\n4,x,0\n"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (PLAIN, None),
        ("sep=;\n" + PLAIN.replace(",", ";"), None),
        ('"sep=!"\r\n' + PLAIN.replace(",", "!"), None),
        ("'a','b','y'\n1,'x',0\n2,'z',1\n4,'x',0\n", "has single quotes around values"),
        ("# made by a program, in 2020\n# unit: m\n\n" + PLAIN, "has 2 comment lines, left out"),
        (PLAIN + "# the end\n#\n", "has 2 comment lines, left out"),
        ("# " + PLAIN, None),
        (PLAIN.replace("1,x", "\n  \n,,\n1,x") + ",,\n , \t, \n,,", "has 4 empty rows, left out"),
        ("a,b,y,\n1,x,0,\n2,z,1,\n4,x,0,\n", None),
        ("a,b,y\n1,x,0,\n2,z,1,\n4,x,0,\n", None),
    ],
)  # fmt: skip
def test_a_table_is_the_same_however_it_is_written(content, note):
    source = opened(content)
    assert list(source.kinds)[:3] == ["a", "b", "y"]
    assert values(source)[:3] == [[1, 2, 4], ["x", "z", "x"], [0, 1, 0]]
    notes = [found for found in source.notes if not found.startswith("has only text")]
    assert (note in notes) if note else not any("left out" in found for found in notes)
    assert source.place(2) == f"line {1 + next(k for k, l in enumerate(content.splitlines()) if '4' in l)}"


def test_row_names_of_r_have_no_name_in_the_header():
    source = opened('"a" "y"\n"one" 1 0\n"two" 2 1\n"three" 4 0\n', delimiter=" ")
    assert source.kinds == {"column 1": TEXT, "a": NUMBER, "y": NUMBER}
    assert "has one name fewer than columns: the first column is named 'column 1'" in source.notes
    assert values(source) == [["one", "two", "three"], [1, 2, 4], [0, 1, 0]]


def test_values_that_begin_with_a_hash_are_no_comments():
    source = opened("colour,y\n#ff0000,1\n#00ff00,2\nblue,3\n# two words\n")
    assert values(source) == [["#ff0000", "#00ff00", "blue"], [1, 2, 3]]
    assert list(opened("#,name,y\n1,x,2\n2,y,4\n").kinds) == ["#", "name", "y"]


def test_rows_within_quotes_are_text():
    source = opened('a,y\n"1\n,\n# no comment\n2",1\n3,2\n')
    assert values(source) == [["1\n,\n# no comment\n2", "3"], [1, 2]]


@pytest.mark.parametrize("rows", [30, 300_000])
def test_a_quote_that_is_never_closed_is_named_by_its_line(refused, rows):
    lines = ["a,b,y", *(f"{i},b{i % 3},{'np'[i % 2]}" for i in range(rows))]
    lines[11] = '9,b0,"p'
    write("t.csv", "\n".join(lines))
    refused(["train", "t.csv", "--target", "y"], "t.csv, line 12: the quote that opens here is never closed")
    lines[11], lines[-2] = "9,b0,p", '9,b0,"p'
    write("t.csv", "\n".join(lines))
    refused(["train", "t.csv", "--target", "y"], f"line {rows}: the quote that opens here is never closed\n")
    lines[-2] = '9,5" pipe,p'
    write("t.csv", "\n".join(lines))
    assert open_file(Path("t.csv"), Format()).kinds == {"a": NUMBER, "b": TEXT, "y": TEXT}


def test_left_out_rows_get_no_prediction(trained, gpunn_):
    write("fruits.csv", fruits())
    trained("fruits.csv", "--target", "kind", *QUICK, "--output", "run")
    write("more.csv", fruits() + ",,,\n\n# end\n")
    _, out, err = gpunn_("predict", "run", "more.csv")
    assert (out, not_used("kind")) == gpunn_("predict", "run", "fruits.csv")[1:]
    said = ["has 1 empty row, left out", "has 1 comment line, left out"]
    expected = [*(f"gpunn: more.csv {words}" for words in said), not_used("kind").rstrip()]
    assert sorted(err.splitlines()) == sorted(expected)
    trained("more.csv", "--target", "kind", *QUICK, "--output", "more")
    assert np.array_equal(Network.load("run").theta, Network.load("more").theta)
