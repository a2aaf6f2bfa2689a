"""CSV dialects, Parquet and NumPy files: the same table gives the same network."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from tabular import QUICK, columns_of_fruits, fruits, write

from gpunn import Network
from gpunn.tables.reader import read
from gpunn.tables.sources.csv import CsvFile
from gpunn.tables.table import NUMBER, TEXT

pytest.importorskip("pyarrow")


def test_decimal_commas(gpunn_, refused):
    lines = [f"{i * 37 % 11},{i % 10};a,b;{'xy'[i % 2]}" for i in range(60)]
    write("t.csv", "\n".join(["size;two;y", *lines]))
    source = CsvFile(Path("t.csv"))
    assert source.kinds == {"size": NUMBER, "two": TEXT, "y": TEXT}
    assert read(source, {"size": NUMBER}, None, "float64").rows[1, 0] == 4.1
    out = gpunn_("train", "t.csv", "--target", "y", *QUICK)[1]
    assert out.splitlines()[1] == "t.csv has decimal commas"
    lines[50] = "3,o;a,b;x"
    write("t.csv", "\n".join(["size;two;y", *lines]))
    refused(["train", "t.csv", "--target", "size"], "line 52", "'3,o'")


@pytest.mark.parametrize("ends", [["\n"], ["\r\n"], ["\r"], ["\n", "\r\n", "\r"]])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_byte_order_marks_and_line_ends_do_not_matter(ends, mark):
    lines = ["a,b,y", "1,x,0", '2,"x, z",1', ",?,1", "4,x,0"]
    text = mark + "".join(line + end for line, end in zip(lines, itertools.cycle(ends), strict=False))
    write("t.csv", text)
    source = CsvFile(Path("t.csv"))
    assert source.kinds == {"a": NUMBER, "b": TEXT, "y": NUMBER}
    table = read(source, source.kinds, "y", "float64")
    assert table.rows == pytest.approx(np.array([[1, 0], [2, 1], [np.nan, np.nan], [4, 0]]), nan_ok=True)
    assert list(table.columns[1].texts.codes) == ["x", "x, z"]
    assert table.y.tolist() == [0, 1, 1, 0]
    assert [table.place(row) for row in range(4)] == ["line 2", "line 3", "line 4", "line 5"]


@pytest.mark.parametrize(
    ("name", "delimiter"), [("t.csv", ";"), ("t.tsv", "\t"), ("t.csv.gz", ","), ("t.csv", "|")]
)
def test_delimiters_are_detected(name, delimiter):
    text = 'a,"b,;",y\n1,"x,x,x",0\n2,z,1\n'
    text = text.replace(",y", f"{delimiter}y").replace("a,", f"a{delimiter}").replace("1,", f"1{delimiter}")
    text = text.replace(",0", f"{delimiter}0").replace("2,z,", f"2{delimiter}z{delimiter}")
    Path(name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert CsvFile(Path(name)).kinds == {"a": NUMBER, "b,;": TEXT, "y": NUMBER}


def test_a_delimiter_can_be_chosen(trained, refused, gpunn_):
    write("t.csv", "x:y,y\n" + "".join(f"{i * 37 % 11}:{i % 2},\n" for i in range(40)))
    refused(["train", "t.csv", "--target", "y"], "t.csv")
    write("t.csv", "x:y\n" + "".join(f"{i * 37 % 11}:{i % 2}\n" for i in range(40)))
    assert trained("t.csv", "--target", "y", "--delimiter", ":", *QUICK)["test_examples"] == 8
    refused(["train", "t.csv", "--target", "y", "--delimiter", "::"], "delimiter", "one ASCII character")
    write("u.csv", "a,b:x:y\n" + "".join(f"{i},0:{i * 37 % 11}:{i % 2}\n" for i in range(40)))
    tested = "--test", "u.csv", "--delimiter", ":", "--output", "tested"
    result = trained("u.csv", "--target", "y", *tested, *QUICK)
    code, out, err = gpunn_("evaluate", "tested", "--json")
    assert (code, err, json.loads(out)["accuracy"]) == (0, "", result["test_accuracy"])


def test_a_missing_header_is_detected_and_remembered(gpunn_, trained):
    write("n.csv", "".join(f"{i * 37 % 11},{i * 5 % 7},{i % 2}\n" for i in range(60)))
    code, out, _ = gpunn_("train", "n.csv", "--target", "3", *QUICK)
    assert code == 0
    assert "n.csv has no header: its first line, '0,0,0', is data, and its columns are named 1 to 3" in out
    write("x.csv", "a,1,u\n" + "".join(f"{'ab'[i % 2]},{i * 37 % 11},{'uv'[i % 2]}\n" for i in range(59)))
    trained("x.csv", "--target", "3", *QUICK)
    assert gpunn_("predict", "gpunn-runs/x-1", "x.csv")[1].count("\n") == 61
    write("one.csv", "a,1,u\n")
    assert gpunn_("predict", "gpunn-runs/x-1", "one.csv")[1].count("\n") == 2
    assert gpunn_("evaluate", "gpunn-runs/x-1")[0] == 0


def test_parquet_and_csv_train_the_same_network(trained, refused):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(columns_of_fruits())
    pyarrow.parquet.write_table(table, "p.parquet", row_group_size=7)
    write("c.csv", fruits(60))
    for name in ("p.parquet", "c.csv"):
        trained(name, "--target", "kind", *QUICK, "--output", name[0])
    p, c = Network.load("p"), Network.load("c")
    assert np.array_equal(p.theta, c.theta)
    assert p.meta["table"]["columns"] == c.meta["table"]["columns"]
    pyarrow.parquet.write_table(table.append_column("list", pyarrow.array([[1]] * 60)), "l.parquet")
    refused(["train", "l.parquet", "--target", "kind"], "l.parquet", "'list'")
    pyarrow.parquet.write_table(table.slice(0, 0), "e.parquet")
    refused(["train", "e.parquet", "--target", "kind"], "e.parquet has no rows")
    write("d.parquet", "no parquet at all")
    refused(["train", "d.parquet", "--target", "kind"], "d.parquet", "not a readable Parquet")


def test_truth_values_are_the_same_in_every_format(gpunn_, trained):
    import pyarrow
    import pyarrow.parquet

    rng = np.random.default_rng(0)
    x, b = rng.normal(size=60), rng.random(60) > 0.5
    y = b ^ (x > 1)
    write("a.csv", "x,b,y\n" + "".join(f"{x[i]},{b[i]},{y[i]}\n" for i in range(60)))
    write("R.csv", Path("a.csv").read_text().replace("True", "TRUE").replace("False", "FALSE"))
    write("sql.csv", Path("a.csv").read_text().lower())
    pyarrow.parquet.write_table(pyarrow.table({"x": x, "b": b, "y": y}), "a.parquet")
    np.savez("a.npz", x=x, b=b, y=y)
    trained("a.csv", "--target", "y", "--output", "run", *QUICK)
    results = []
    for name in ("a.csv", "R.csv", "sql.csv", "a.parquet", "a.npz"):
        code, out, err = gpunn_("evaluate", "run", name, "--json")
        assert (code, err) == (0, "")
        results.append({**json.loads(out), "dataset": None})
    assert all(result == results[0] for result in results)


def test_npz_and_npy(trained, gpunn_, refused):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    y = np.where(X[:, 0] > 0, "up", "down")
    np.savez("a.npz", X=X, y=y)
    np.savez("b.npz", first=X[:, 0], second=X[:, 1], third=X[:, 2], way=y)
    np.save("X.npy", X.astype(np.float32))
    np.save("y.npy", y)
    nets = []
    for name, target in (("a.npz", []), ("b.npz", ["--target", "way"]), ("X.npy", ["--target", "y.npy"])):
        result = trained(name, *target, "--device", "cpu", "--precision", "float32", "--output", name[0])
        assert result["test_accuracy"] > 0.8
        nets.append(Network.load(name[0]))
    assert np.array_equal(nets[0].theta, nets[1].theta)
    assert np.allclose(nets[0].theta, nets[2].theta, atol=1e-3)
    assert nets[0].meta["table"]["columns"][0]["name"] == "X1"
    whole = ["evaluate", "X", "X.npy", "--target", "y.npy"]
    assert gpunn_("evaluate", "X")[0] == gpunn_(*whole)[0] == 0
    refused(whole[:3], "X.npy lacks the column 'y'")
    refused(["evaluate", "a", "a.npz", "--target", "y.npy"], "y.npy", "not a.npz")
    assert gpunn_("predict", "X", "X.npy")[1].count("\n") == 91
    assert gpunn_("predict", "a", "X.npy")[0] == 0
    np.save("Xt.npy", X.T)
    refused(["train", "Xt.npy", "--target", "y.npy"], "transpose")
    refused(["train", "X.npy"], "--target y.npy")
    np.savez("c.npz", X=X, y=y[:-1])
    refused(["train", "c.npz"], "c.npz", "(90, 3)", "(89,)")
    for clashing in ({"X": X, "X1": y}, {"X1": y, "X": X}):
        np.savez("c.npz", **clashing)
        refused(["train", "c.npz", "--target", "X1"], "c.npz", "'X1'", "rename")
    np.savez("o.npz", X=X, y=np.array([{}] * 90, object))
    refused(["train", "o.npz"], "o.npz")
    write("t.npz", "nothing")
    refused(["train", "t.npz"], "t.npz")
    write("t.npy", "nothing")
    refused(["train", "t.npy", "--target", "y.npy"], "t.npy")
    np.save("i.npy", np.where(X > 2, np.inf, X))
    refused(["train", "i.npy", "--target", "y.npy"], "row ", "finite")
