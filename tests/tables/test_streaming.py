"""Tables that are streamed from Parquet files: what is fitted, learnt and predicted is as in memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from tabular import QUICK

import gpunn
from gpunn import Dense, Network
from gpunn.tables.loading import load
from gpunn.tables.opening import open_task
from gpunn.tables.options import TableOptions
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.sizes import in_words, parse
from gpunn.tables.sources.dataset import DataChanged
from gpunn.tables.streaming.memory import Division
from gpunn.tables.streaming.parts import TEST, TRAIN, VALIDATION, Parts
from gpunn.tables.streaming.task import StreamedTask
from gpunn.training.settings import Settings
from gpunn.training.streamed import shuffling

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

SMALL = "1M"  # in which tables of more than a few thousand rows do not fit


def write(path, m=3000, seed=0, *, group=700, **more):
    """Write a table of numbers, one of them far from 0, and categories, of which one appears late."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, m))
    a[rng.random(m) < 0.05] = np.nan
    colours = rng.choice(["red", "green", "blue"], m).astype(object)
    colours[-3:], colours[5] = "late", None
    kinds = np.where(b + (colours == "red") + 0.3 * rng.normal(size=m) > 0, "yes", "no")
    columns = {
        "a": a,
        "b": b,
        "when": 1.7e9 + rng.uniform(0, 100, m),
        "steps": rng.integers(0, 5, m),
        "colour": colours,
        "always": np.ones(m),
        "row": np.arange(m),
        "name": [f"{seed} {i}" for i in range(m)],
        "price": 1e3 + 20 * b,
        "kind": kinds,
        **more,
    }
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return path


def opened(data="d/*.parquet", target="kind", memory=SMALL, **options):
    chosen = TableOptions(target=target, memory=memory, **options)
    return open_task(str(data), Settings(device="cpu"), chosen)


@pytest.fixture
def files(tmp_path):
    for k in range(2):
        write(tmp_path / "d" / f"part-{k}.parquet", seed=k)
    return tmp_path / "d"


def in_memory(task):
    """Return the same table in memory: all its rows, and the numbers of those to learn from."""
    table, target = load("d/*.parquet", replace(task.options, memory=None), "float32")
    parts = task.stream.parts.of(0, len(table.rows))
    return table, target, np.flatnonzero(parts != TEST), np.flatnonzero(parts == TRAIN)


@pytest.mark.parametrize("target", ["kind", "price"])
def test_what_is_fitted_is_as_in_memory(files, target):
    task = opened(target=target, memory="1500K")
    assert isinstance(task, StreamedTask) and task.quantiles > 4500
    table, _, training, _ = in_memory(task)
    assert task.prepared.preprocessing == Preprocessing.fit(table, table.rows[training])
    names = {column.name: column for column in task.prepared.preprocessing.columns}
    assert names["colour"].categories == ("blue", "green", "late", "red", None)
    assert task.prepared.preprocessing.dropped.keys() >= {"always", "name"}
    y = table.y[training]
    if target == "price":
        assert (task.prepared.target.mean, task.prepared.target.scale) == (y.mean(), y.std())
    else:
        assert task.stream.class_counts.tolist() == np.bincount(y).tolist()
    shown = {column.name: column for column in task.columns}
    assert shown["a"].missing == int(np.isnan(table.rows[:, 0]).sum())
    assert task.rows == 6000


@pytest.mark.parametrize("target", ["kind", "price"])
def test_training_is_as_in_memory_in_the_same_order(files, target):
    """The features and the weights are bitwise identical."""
    task = opened(target=target)
    table, _, _, training = in_memory(task)
    X, _ = task.prepared.preprocessing.apply(table, table.rows[training])
    place = {x.tobytes(): k for k, x in enumerate(X.T)}
    y = task.prepared.target.for_network(table.y[training])

    def order(rng):
        return np.array([place[x.tobytes()] for part, _ in task.stream.blocks(16, rng) for x in part.T])

    nets = [
        Network(len(X), [Dense(8, dropout=0.3), Dense(task.prepared.target.n_out, "identity")], seed=0)
        for _ in range(2)
    ]
    if target == "kind":
        nets = [Network(len(X), [Dense(8, dropout=0.3), Dense(2, "softmax")], seed=0) for _ in range(2)]
    options = {"epochs": 2, "batch_size": 16, "schedule": "cosine", "device": "cpu", "threads": 1}
    nets[0].fit(task.stream, **options)
    book = nets[1]
    book.fit(X, y, shuffle=lambda _: order(shuffling(book.rng)), **options)
    assert nets[0].theta.tobytes() == book.theta.tobytes()
    assert sorted(order(np.random.default_rng(0))) == list(range(len(training)))
    assert order(None).tolist() == list(range(len(training)))


def test_no_more_is_held_than_the_memory_allows(tmp_path):
    for k in range(4):
        write(tmp_path / "d" / f"{k}.parquet", 10_000, seed=k, group=2000)
    limit = parse("3M")
    opened(memory="3M", drop=("name", "row"))  # imports modules
    tracemalloc.start()
    try:
        task = opened(memory="3M", drop=("name", "row"))
        assert task.quantiles < 40_000
        sum(X.shape[1] for X, _ in task.stream.blocks(32, np.random.default_rng(0)))
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()
    block = task.stream.division.block(task.stream.shape[0], 32)
    sizes = [X.shape[1] for X, _ in task.stream.blocks(32, np.random.default_rng(0))]
    assert max(sizes) == block and all(m % 32 == 0 for m in sizes[:-1])
    assert sum(sizes) == task.stream.shape[1] < 40_000


def test_rows_are_divided_by_their_number():
    parts = Parts(3, 0.2, 0.1)
    whole = parts.of(0, 10_000)
    assert np.array_equal(whole, np.concatenate([parts.of(0, 777), parts.of(777, 10_000 - 777)]))
    shares = np.bincount(whole) / 10_000
    assert shares[[TEST, VALIDATION]] == pytest.approx([0.2, 0.1], abs=0.02)
    assert not np.array_equal(whole, Parts(4, 0.2, 0.1).of(0, 10_000))


def test_a_file_that_changes_ends_training(files, gpunn_):
    task = opened()
    net = Network(task.stream.shape[0], [Dense(4), Dense(2, "softmax")], seed=0)

    def rewrite(record):
        write(files / "part-1.parquet", 2999, seed=7)

    with pytest.raises(DataChanged, match=r"part-1\.parquet has changed during training"):
        net.fit(task.stream, epochs=2, device="cpu", on_epoch_end=rewrite)


def test_train_evaluate_and_predict(files, gpunn_, trained):
    result = trained("d", "--target", "kind", "--memory", SMALL, "--checkpoint-every", 1, *QUICK[:6])
    assert result["train_examples"] < 4800 and result["test_accuracy"] > 0.85
    code, out, _ = gpunn_("evaluate", result["model"], "--json")
    assert code == 0 and f'"accuracy": {result["test_accuracy"]}' in out
    assert gpunn_("predict", result["model"], "d", "-o", "whole.csv")[0] == 0
    assert gpunn_("predict", result["model"], "d", "--memory", SMALL, "-o", "parts.csv")[0] == 0
    whole, parts = (
        np.genfromtxt(name, delimiter=",", skip_header=1)[:, 1:] for name in ("whole.csv", "parts.csv")
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-5)
    code, out, err = gpunn_("train", "--resume", "gpunn-runs/d-1", "--json")
    assert code == 0 and f'"train_loss": {result["train_loss"]}' in out, err
    write(files / "part-2.parquet", seed=2)
    code, out, err = gpunn_("evaluate", result["model"])
    assert code == 0 and "changed since training" in err


def test_ensembles_are_trained_in_turn(files, gpunn_):
    arguments = ["--target", "price", "--memory", SMALL, "--ensemble", 2, *QUICK[:6]]
    code, out, err = gpunn_("train", "d/part-0.parquet", "d/part-1.parquet", *arguments)
    assert code == 0, err
    assert "2 × " in out and "streamed from 2 files, 10 row groups, within 1M" in out


def test_a_filesystem_of_fsspec(files, trained):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for path in files.iterdir():
        memory.pipe(f"/bucket/{path.name}", path.read_bytes())
    arguments = "--target", "kind", "--memory", SMALL, *QUICK[:6]
    there, here = trained("memory://bucket/*.parquet", *arguments), trained("d", *arguments)
    assert there["train_loss"] == here["train_loss"]


def test_python(files):
    paths = [str(files / f"part-{k}.parquet") for k in range(2)]
    model = gpunn.tables.train(
        paths, "kind", memory=SMALL, epochs=3, hidden=[8], device="cpu", class_weight="balanced"
    )
    scores = model.evaluate()
    assert scores["accuracy"] > 0.85 and scores["examples"] > 900
    assert model.predict(paths, memory=SMALL).shape == (6000,)


def test_small_tables_of_several_files_are_read_as_a_whole(files):
    task = opened(memory=None)
    assert not isinstance(task, StreamedTask) and task.rows == 6000


def test_sizes():
    assert parse("2g") == 2 << 30
    assert parse(in_words(123_456_789)) >= 123_456_789
    with pytest.raises(ValueError, match="must be a size such as 2G"):
        parse("much")


def test_bad_input(files, refused):
    train = ["train", "d/*.parquet", "--target", "kind", "--memory", SMALL]
    refused(["train", "e/*.parquet", "--target", "kind"], "e/*.parquet", "no file matches")
    refused(["train", "foo://d/*.parquet", "--target", "kind"], "foo://d/*.parquet", "cannot be opened")
    refused([*train, "--cv", 5], "--cv needs the whole table in memory")
    refused([*train[:-1], "20K"], "--memory 20K is too small for a row group", "or more")
    refused(["sweep", *train[1:], "--seeds", 2], "gpunn sweep needs the table in memory")
    (files.parent / "x.csv").write_text("a,b\n1,2\n")
    refused(["train", "x.csv", "--target", "b", "--memory", "2G"], "--memory is for Parquet files", "x.csv")
    pq.write_table(pa.table({"a": [1.0], "kind": ["no"]}), files / "z.parquet")
    refused(train, "z.parquet lacks the column 'b', which d/part-0.parquet has")
    write(files / "z.parquet", b=["x"] * 3000)
    refused(train, "z.parquet: the column 'b' holds strings, but numbers in d/part-0.parquet")
    write(files / "z.parquet", more=np.ones(3000))
    refused(train, "z.parquet has the column 'more', which d/part-0.parquet lacks")
    (files / "z.parquet").write_bytes(b"PAR1 this is no such file PAR1")
    refused(train, "z.parquet is not a readable Parquet file")


def test_rows_without_a_target(tmp_path, gpunn_, refused):
    kinds = np.where(np.arange(3000) % 2, "yes", "no").astype(object)
    kinds[[3, 1999]] = None
    write(tmp_path / "d" / "0.parquet", kind=kinds, group=100)
    code, out, _ = gpunn_("train", "d", "--target", "kind", "--memory", "500K", *QUICK[:6])
    assert code == 0
    assert "left out 2 rows without the target 'kind': " in out and "d/0.parquet, row 4" in out
    write(tmp_path / "e" / "0.parquet", kind=pa.array([None] * 3000, pa.string()), group=100)
    refused(["train", "e", "--target", "kind", "--memory", "500K"], "is missing in every row")


def test_a_division_says_what_it_needs(files):
    files = opened(memory=None).table.source
    with pytest.raises(
        ValueError, match=r"too small for a row group of .*part-0\.parquet: it needs --memory"
    ):
        Division.of(files, files.kinds, 1000, 4)


@pytest.mark.parametrize("kind", ["date32", "s", "us", "ns", "Europe/Berlin"])
def test_typed_dates_are_those_of_text(tmp_path, kind):
    """Nothing is parsed, and the numbers are bitwise those of parsed text."""
    rng = np.random.default_rng(0)
    at = np.datetime64("1967-01-01", "ms") + rng.integers(0, 2_000_000_000_000, 300)
    moments = pa.array(at).cast(pa.timestamp("ms", "UTC"))
    if kind == "date32":
        column = moments.cast(pa.date32())
    elif "/" in kind:
        column = moments.cast(pa.timestamp("ms", kind))
    else:
        column = moments.cast(pa.timestamp("ms")).cast(pa.timestamp(kind), safe=False)
    column = pa.array([None, *column.to_pylist()[1:]], column.type)
    columns = {"t": column, "y": rng.normal(size=300)}
    write(tmp_path / "typed" / "0.parquet", 300, **columns)
    write(tmp_path / "text" / "0.parquet", 300, **{**columns, "t": column.cast(pa.string())})
    typed, text = (load(name, TableOptions(target="y"), "float64")[0] for name in ("typed", "text"))
    assert [column.name for column in typed.columns] == [column.name for column in text.columns]
    assert ("t hour" in [column.name for column in typed.columns]) == (kind != "date32")
    assert typed.rows.tobytes() == text.rows.tobytes()
