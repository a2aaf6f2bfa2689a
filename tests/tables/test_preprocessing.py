"""Preprocessing agrees with scikit-learn's, and every class is held out from."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from gpunn.tables import splitting
from gpunn.tables.fitting import fill_of, mean_and_scale
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.reading import Format, open_table, read
from gpunn.tables.sources.csv import CsvFile
from gpunn.tables.table import NUMBER, TEXT
from gpunn.training.splitting import sample_each_class

pytest.importorskip("pyarrow")


def pipeline(numbers, categories, impute="median"):
    """Build the preprocessing from scikit-learn's parts."""
    number = make_pipeline(SimpleImputer(strategy=impute), StandardScaler())
    category = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer([("n", number, numbers), ("c", category, categories)])


@settings(max_examples=40)
@given(data=st.data())
def test_preprocessing_agrees_with_scikit_learn(tmp_path_factory, data):
    m = data.draw(st.integers(12, 40))
    number = st.one_of(st.none(), st.floats(-1e3, 1e3, width=32))
    text = st.sampled_from([None, "a", "b", "c", "ä b"])
    numbers = [data.draw(st.lists(number, min_size=m, max_size=m)) for _ in range(2)]
    texts = [data.draw(st.lists(text, min_size=m, max_size=m)) for _ in range(2)]
    folder = tmp_path_factory.mktemp("parity")
    path = folder / "t.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["n0", "n1", "t0", "t1", "row"])  # a row without any value would be left out
        writer.writerows(zip(*numbers, *texts, range(m), strict=True))
    kinds = {"n0": NUMBER, "n1": NUMBER, "t0": TEXT, "t1": TEXT}
    impute = data.draw(st.sampled_from(["median", "mean"]))
    table = read(open_table(path, Format()), kinds, None, "float64")
    fitted = Preprocessing.fit(table, table.rows[: m // 2], impute)
    X, unknown = fitted.apply(table, table.rows)
    frame = np.array([*numbers, *texts], object).T
    frame[:, :2] = frame[:, :2].astype(float)
    at = {name: k for k, name in enumerate(kinds)}
    used = [at[name] for name in fitted.kinds]
    theirs = pipeline([k for k in used if k < 2], [k for k in used if k >= 2], impute)
    expected = theirs.fit(frame[: m // 2]).transform(frame) if used else np.empty((m, 0))
    assert pytest.approx(expected.astype(float), rel=1e-9, abs=1e-9) == X.T
    assert X.flags.f_contiguous
    known = {k: set(frame[: m // 2, k]) for k in used if k >= 2}
    missing = {f"t{k - 2}": sum(v not in known[k] for v in frame[:, k]) for k in known}
    assert unknown == {name: n for name, n in missing.items() if n}
    again = Preprocessing.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again == fitted
    fitted.apply(table, table.rows, reuse=True)


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.just(np.nan), st.floats(-(2.0**50), 2.0**50, width=32)), min_size=1, max_size=300
    ),
    shift=st.sampled_from([0, 1, 1e6]),
    dtype=st.sampled_from([np.float32, np.float64]),
    impute=st.sampled_from(["median", "mean"]),
)
def test_fitting_is_bitwise_that_of_scikit_learn(values, shift, dtype, impute):
    x = (np.array(values) + shift).astype(dtype)
    if np.isnan(x).all():
        return
    imputer, scaler = SimpleImputer(strategy=impute), StandardScaler()
    filled = imputer.fit_transform(x[:, None])
    scaler.fit(filled)
    assert fill_of(x, impute) == imputer.statistics_[0]
    assert mean_and_scale(filled[:, 0]) == (scaler.mean_[0], scaler.scale_[0])


def test_a_median_of_the_largest_numbers_is_finite():
    x = np.full(4, np.finfo(np.float32).max)
    assert fill_of(x, "median") == x[0]


def test_a_table_of_very_many_columns_is_prepared():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, 20_000))
    source = open_table({"X": X}, Format())
    table = read(source, source.kinds, None, "float32")
    fitted = Preprocessing.fit(table, table.rows)
    scaled, _ = fitted.apply(table, table.rows)
    assert np.allclose(scaled.T, StandardScaler().fit_transform(X), atol=1e-5)


def test_rows_may_be_overwritten_by_their_features(tmp_path):
    lines = (f"{i * 7 % 50},{i % 3},{i * 3 % 11},{i * 1.5}\n" for i in range(50_000))
    (tmp_path / "t.csv").write_text("a,b,c,y\n" + "".join(lines))
    source = CsvFile(tmp_path / "t.csv")
    kinds = dict.fromkeys("abc", NUMBER)
    table = read(source, kinds, None, "float32")
    fitted = Preprocessing.fit(table, table.rows)
    apart, _ = fitted.apply(table, table.rows)
    inside, _ = fitted.apply(table, table.rows, reuse=True)
    assert np.shares_memory(inside, table.rows)
    assert np.array_equal(apart, inside)


@given(
    y=st.lists(st.integers(0, 3), min_size=2, max_size=60),
    share=st.floats(0.05, 0.9),
    seed=st.integers(0, 5),
)
def test_each_class_is_held_out_from(y, share, seed):
    y = np.array(y)
    held = sample_each_class(share, y, len(y), np.random.default_rng(seed))
    assert len(np.unique(held)) == len(held)
    for k in np.unique(y):
        m, n = np.sum(y == k), np.sum(y[held] == k)
        assert n == (0 if m == 1 else max(1, round(share * m)))
        rows, labels = np.arange(2 * len(y)).reshape(-1, 2), y.copy()
    splitting.move_to_end(rows, labels, held)
    assert sorted(rows[len(y) - len(held) :, 0] // 2) == held.tolist()
    assert np.array_equal(y[rows[:, 0] // 2], labels)
