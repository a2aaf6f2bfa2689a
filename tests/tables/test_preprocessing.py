"""Preprocessing agrees with scikit-learn's, and every class is held out from."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, RobustScaler

from gpunn.tables import splitting
from gpunn.tables.fitting import edges_of, fill_of, middle_and_scale
from gpunn.tables.preprocessing import Number, Preprocessing, bins_for
from gpunn.tables.reader import read
from gpunn.tables.reading import Format, open_table
from gpunn.tables.table import NUMBER, TEXT, Column
from gpunn.training.splitting import sample_each_class

pytest.importorskip("pyarrow")


def pipeline(numbers, categories, impute="median"):
    """Build the preprocessing, but for codes and indicators of missing numbers, of scikit-learn's parts."""
    number = make_pipeline(RobustScaler(), FunctionTransformer(lambda z: z / np.sqrt(1 + (z / 3) ** 2)))
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
    theirs = pipeline([k for k in used if k < 2], [k for k in used if k >= 2])
    expected = theirs.fit(frame[: m // 2]).transform(frame) if used else np.empty((m, 0))
    firsts = np.cumsum([0, *(column.features for column in fitted.columns)])
    for k, (column, first) in enumerate(zip(fitted.numbers, firsts, strict=False)):
        present = ~np.isnan(frame[:, at[column.name]].astype(float))
        low, high = np.nanquantile(frame[: m // 2, at[column.name]].astype(float), [0.25, 0.75])
        if high - low > 1e-12:  # otherwise scikit-learn's scale is 1
            assert pytest.approx(expected[present, k].astype(float), rel=1e-9, abs=1e-9) == X[first, present]
    n = len(fitted.numbers)
    assert np.array_equal(expected[:, n:].astype(float), X[firsts[n] :].T)
    assert X.flags.f_contiguous
    known = {k: set(frame[: m // 2, k]) for k in used if k >= 2}
    missing = {f"t{k - 2}": sum(v not in known[k] for v in frame[:, k]) for k in known}
    assert unknown == {name: n for name, n in missing.items() if n}
    again = Preprocessing.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again == fitted
    fitted.apply(table, table.rows, reuse=True)


@example([0, 0, 0, 0, 1, 2, 0.5], 0, np.float64, 2)
@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.just(np.nan), st.floats(-(2.0**50), 2.0**50, width=32)), min_size=1, max_size=300
    ),
    shift=st.sampled_from([0, 1, 1e6]),
    dtype=st.sampled_from([np.float32, np.float64]),
    bins=st.integers(2, 20),
)
def test_fitting_agrees_with_numpy(values, shift, dtype, bins):
    x = (np.array(values) + shift).astype(dtype)
    present = np.sort(x[~np.isnan(x)])
    if not len(present):
        return
    wide = present.astype(np.float64)
    assert fill_of(present, "median") == pytest.approx(np.median(wide), rel=1e-12, abs=1e-30)
    assert fill_of(present, "mean") == pytest.approx(np.mean(wide), rel=1e-6, abs=1e-3)
    low, middle, high = np.quantile(wide, [0.25, 0.5, 0.75])
    spread = high - low if high > low else (wide[-1] - wide[0]) / 2
    assert middle_and_scale(present) == pytest.approx((middle, spread), rel=1e-9, abs=1e-30)
    edges, distinct = edges_of(present, bins), np.unique(wide)
    if len(distinct) <= bins + 1:
        assert edges.tolist() == (distinct.tolist() if len(distinct) > 2 else [])
    else:
        ends = np.unique(np.quantile(wide, np.linspace(0, 1, bins + 1)))
        if len(edges) == 0:  # every quantile is the smallest number or the largest
            assert np.isclose(ends[:, None], distinct[[0, -1]]).any(axis=1).all()
            return
        assert len(edges) <= bins + 1 and set(distinct[[0, -1]]) <= set(edges)
        assert np.interp(ends, edges, edges) == pytest.approx(ends, rel=1e-9, abs=1e-9)


def apply(column, *values):
    """Return the features of numbers, a row for each."""
    out = np.empty((len(values), column.features))
    column.apply(np.array(values, float), Column("x"), out)
    return out.tolist()


def test_a_number_is_scaled_coded_and_marked_if_it_is_missing():
    column = Number("x", fill=2.0, mean=1.0, scale=2.0, clip=3.0, edges=(0.0, 1.0, 4.0), gaps=True)
    z = [0, 0.75, 0.5, -4, 1e9]
    first, *others = zip(*apply(column, 1, 2.5, np.nan, -7, 2e9 + 1), strict=True)
    assert first == pytest.approx([each / np.sqrt(1 + each**2 / 9) for each in z])
    assert others[0] == (1, 1, 1, 0, 1)
    assert others[1] == pytest.approx((0, 1 / 2, 1 / 3, 0, 1))
    assert others[2] == (0, 0, 1, 0, 0)
    assert apply(column, 1e300, -1e300) == [[pytest.approx(3), 1, 1, 0], [pytest.approx(-3), 0, 0, 0]]


def test_a_number_of_an_older_model_is_only_standardised():
    kept = {"columns": [{"name": "x", "fill": 2.0, "mean": 1.0, "scale": 2.0}], "dropped": {}}
    (column,) = Preprocessing.from_json(kept).columns
    assert apply(column, 1, 5, np.nan, 1e6) == [[0], [2], [0.5], [499_999.5]]


def test_wide_and_long_tables_have_fewer_codes():
    assert [bins_for(100, n) for n in (0, 1, 170, 256, 512, 513)] == [12, 12, 12, 8, 4, 0]
    assert [bins_for(m, 10) for m in (10**5, 10**6, 10**7)] == [12, 6, 0]


def test_a_median_of_the_largest_numbers_is_finite():
    x = np.full(4, np.finfo(np.float32).max)
    assert fill_of(x, "median") == x[0]
    assert middle_and_scale(np.array([-x[0], x[0]])) == (0, x[0])


def test_a_table_of_very_many_columns_is_prepared():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, 20_000))
    source = open_table({"X": X}, Format())
    table = read(source, source.kinds, None, "float32")
    fitted = Preprocessing.fit(table, table.rows)
    scaled, _ = fitted.apply(table, table.rows)
    expected = RobustScaler().fit_transform(X)
    assert np.allclose(scaled.T, expected / np.sqrt(1 + (expected / 3) ** 2), atol=1e-5)


def test_rows_may_be_overwritten_by_their_features(tmp_path):
    rng = np.random.default_rng(0)
    source = open_table({"X": rng.normal(size=(20_000, 600)).astype(np.float32)}, Format())
    table = read(source, source.kinds, None, "float32")
    fitted = Preprocessing.fit(table, table.rows[:100])
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
