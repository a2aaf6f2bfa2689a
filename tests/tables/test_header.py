"""A first line that is data: found by the numbers in it, told in one line, and overruled by an option."""

from __future__ import annotations

import csv
import random

import pytest
from tabular import QUICK, decided, not_used, write

from gpunn import Network
from gpunn.tables.sources.header import is_header
from gpunn.tables.spelling import is_written_number

pytest.importorskip("pyarrow")


@pytest.mark.parametrize(
    ("header", "lines"),
    [
        (False, ["2,red,0.5", "1,red,0.82", "1,blue,0.58", "3,red,0.04"]),
        (False, ["M,0.455,15", "M,0.35,7", "F,0.53,9"]),
        (False, ["2019,2020,2021", "1,2,3", "4,5,6"]),
        (False, ["ab,2019,2020", "cd,1,2", "ef,4,5"]),
        (False, ["?,3,male", "1,2,female", "0,1,male"]),
        (False, ["-,3", "1,2", "0,1"]),
        (False, ["'40-49',no", "'50-59',yes", "'50-59',no", "'40-49',no"]),
        (False, ['"$1,200",a', '"$900",b', '"$1,000",c']),
        (False, ["\u0663,x", "\u0664,y", "\u0665,z"]),
        (True, ["a,b", "1,2", "3,4"]),
        (True, ["city,people,2019", "Rome,1,2", "Oslo,3,4"]),
        (True, [",x,y", "0,1,red", "1,2,blue"]),
        (True, ["price,y", '"$1,200",a', '"$900",b']),
        (True, ["a,a,kind", "1,2,x", "3,4,x"]),
        (None, ["name,colour", "ann,red", "bob,blue"]),
        (None, ["name,colour"]),
        (False, ["1,2"]),
    ],
)
def test_a_line_of_numbers_above_columns_of_numbers_is_data(header, lines):
    first, *rows = csv.reader(lines)
    assert is_header(first, rows, is_written_number) is header


def seeds():
    random.seed(0)
    lines = ["2,red,0.5"]
    lines += [f"{1 + i % 3},{'red' if i % 2 else 'blue'},{random.random():.2f}" for i in range(59)]
    return "\n".join(lines) + "\n"


def test_the_first_row_of_a_file_without_a_header_is_a_row(gpunn_):
    write("t.csv", seeds())
    code, out, err = gpunn_("train", "t.csv", "--target", "2", *QUICK)
    assert (code, err) == (0, "")
    assert out.splitlines()[:3] == [
        "t.csv: 60 rows, 2 numeric columns",
        "t.csv has no header: its first line, '2,red,0.5', is data, and its columns are named 1 to 3; use "
        "--header if the line names them",
        "target '2': classification, 2 classes: blue, red",
    ]


def test_the_header_of_the_training_is_that_of_predictions(gpunn_, trained):
    write("t.csv", seeds())
    trained("t.csv", "--target", "2", *QUICK, "--output", "run")
    write("one.csv", "2,red,0.5\n")
    code, out, err = gpunn_("predict", "run", "one.csv")
    assert (code, err, out.count("\n")) == (0, not_used("2"), 2)


def test_years_above_numbers_are_named_with_an_option(gpunn_, trained):
    write("y.csv", "2019,2020,2021\n" + "".join(f"{i},{i * i % 7},{i % 2}\n" for i in range(40)))
    code, out, _ = gpunn_("train", "y.csv", "--target", "1", *QUICK)
    assert code == 0
    assert "'2019,2020,2021', is data" in out
    assert "--header" in out
    result = trained("y.csv", "--target", "2019", "--header", *QUICK)
    assert (result["target"], result["test_examples"]) == ("2019", 8)
    assert "use --header" in gpunn_("train", "y.csv", "--target", "2019", *QUICK)[2]


def test_an_undecided_first_line_is_told(gpunn_):
    write("t.csv", "name,y\n" + "".join(f"{'ab'[i % 2]},{'uv'[i // 2 % 2]}\n" for i in range(40)))
    out = gpunn_("train", "t.csv", "--target", "y", *QUICK)[1]
    assert "t.csv has only text: its first line is taken to name the columns; if not, use --no-header" in out


def test_empty_columns_without_a_name_are_dropped(gpunn_):
    write("t.csv", "a;b;y;;\n" + "".join(f"{i},5;{i % 3};{'np'[i % 2]};;\n" for i in range(60)))
    code, out, err = gpunn_("train", "t.csv", "--target", "y", *QUICK)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "t.csv: 60 rows, 2 numeric columns"
    assert decided(out)["column 4"] == decided(out)["column 5"] == "left out: empty"


def test_two_columns_of_values_need_names(refused):
    write("t.csv", "Report,,\na,b,y\n" + "".join(f"{i},{i % 3},{'np'[i % 2]}\n" for i in range(60)))
    refused(["train", "t.csv", "--target", "Report"], "t.csv: 2 columns have no name")


def test_a_wide_first_line_is_compared_with_few_rows():
    columns, read = 100_000, []

    def counting(text):
        read.append(text)
        return is_written_number(text)

    assert is_header([f"c{k}" for k in range(columns)], [["1"] * columns] * 20, counting) is True
    assert len(read) < 5 * columns


def test_the_model_keeps_what_was_found(trained):
    write("t.csv", seeds())
    trained("t.csv", "--target", "2", *QUICK, "--output", "run")
    assert Network.load("run").meta["table"]["options"]["header"] is False
