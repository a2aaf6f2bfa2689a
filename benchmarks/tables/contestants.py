"""The contestants: each learns from a table with its defaults, on one thread, and predicts another one.

A contestant takes strings and missing numbers as its library does, or behind scikit-learn's encoders. Its
predictions are probabilities (m, n_classes), or numbers (m,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from sklearn import ensemble, linear_model, neural_network
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import gpunn


@dataclass(frozen=True)
class Task:
    """The data of a contestant. y: class numbers, all of which occur, or numbers."""

    X: pd.DataFrame
    y: np.ndarray
    X_test: pd.DataFrame
    classifies: bool
    seed: int


Predict = Callable[[Task], np.ndarray]


def recipe(task: Task) -> np.ndarray:
    """Train as `gpunn train` does by default, on all the rows; the test that it makes is of two of them."""
    columns = {str(name): _plain(task.X[name]) for name in task.X}
    test = {**{name: values[:2] for name, values in columns.items()}, "y": task.y[:2]}
    kind, data = "classification" if task.classifies else "regression", {**columns, "y": task.y}
    model = gpunn.tables.train(data, "y", test=test, task=kind, device="cpu", seed=8 * task.seed)
    asked = {str(name): _plain(task.X_test[name]) for name in task.X_test}
    return model.predict_proba(asked) if task.classifies else model.predict(asked)


def _plain(column: pd.Series) -> Any:
    """Return numbers with NaN, or strings with None."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return [None if pd.isna(text) else str(text) for text in column]
    return column.to_numpy()


def encoded(scaled: bool = True) -> ColumnTransformer:
    """Fill numbers by their median, with indicators, and standardise them if asked; make strings one-hot."""
    number: list[Any] = [SimpleImputer(strategy="median", add_indicator=True)]
    numbers = make_column_selector(dtype_include="number")
    texts = make_column_selector(dtype_include="category")
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(*number, *[StandardScaler()] * scaled), numbers),
            ("texts", one_hot, texts),
        ]
    )


def behind(classifier: Callable[..., Any], regressor: Callable[..., Any], scaled: bool = True) -> Predict:
    """Return the contestant of an estimator that takes encoded columns."""

    def predict(task: Task) -> np.ndarray:
        made = (classifier if task.classifies else regressor)(task.seed)
        return _outputs(make_pipeline(encoded(scaled), made).fit(task.X, task.y), task, task.X_test)

    return predict


def _outputs(model: Any, task: Task, X: pd.DataFrame) -> np.ndarray:
    return np.asarray(model.predict_proba(X) if task.classifies else model.predict(X))


def standardising(regressor: Callable[..., Any]) -> Callable[[int], Any]:
    """Return a maker of regressors that learn the standardised target."""
    return lambda seed: TransformedTargetRegressor(regressor(random_state=seed), transformer=StandardScaler())


def hist_gradient_boosting(task: Task) -> np.ndarray:
    kind: Any = (
        ensemble.HistGradientBoostingClassifier if task.classifies else ensemble.HistGradientBoostingRegressor
    )
    return _outputs(kind(random_state=task.seed).fit(task.X, task.y), task, task.X_test)


def xgboost(task: Task) -> np.ndarray:
    import xgboost

    kind = xgboost.XGBClassifier if task.classifies else xgboost.XGBRegressor
    model = kind(enable_categorical=True, n_jobs=1, random_state=task.seed)
    return _outputs(model.fit(task.X, task.y), task, task.X_test)


def lightgbm(task: Task) -> np.ndarray:
    import lightgbm

    kind = lightgbm.LGBMClassifier if task.classifies else lightgbm.LGBMRegressor
    model = kind(n_jobs=1, random_state=task.seed, verbose=-1)
    return _outputs(model.fit(task.X, task.y), task, task.X_test)


def catboost(task: Task) -> np.ndarray:
    import catboost

    kind = catboost.CatBoostClassifier if task.classifies else catboost.CatBoostRegressor
    X, X_test = _strings(task.X), _strings(task.X_test)
    texts = [name for name in task.X if isinstance(task.X[name].dtype, pd.CategoricalDtype)]
    model = kind(
        random_seed=task.seed, thread_count=1, cat_features=texts, verbose=0, allow_writing_files=False
    )
    return _outputs(model.fit(X, task.y), task, X_test)


def _strings(X: pd.DataFrame) -> pd.DataFrame:
    """Return the table with strings as strings, as CatBoost wants them; missing ones are "missing"."""
    texts = [name for name in X if isinstance(X[name].dtype, pd.CategoricalDtype)]
    return X.assign(**{name: X[name].astype(object).fillna("missing") for name in texts})


def real_mlp(task: Task) -> np.ndarray:
    from pytabkit import RealMLP_TD_S_Classifier, RealMLP_TD_S_Regressor

    kind = RealMLP_TD_S_Classifier if task.classifies else RealMLP_TD_S_Regressor
    middle = task.X.median(numeric_only=True)  # it takes no missing numbers
    model = kind(device="cpu", n_threads=1, random_state=task.seed)
    fitted = model.fit(task.X.fillna(middle), task.y)
    return _outputs(fitted, task, task.X_test.fillna(middle)).reshape(len(task.X_test), -1).squeeze()


RECIPE, BOOSTING = "gpunn", "HistGradientBoosting"

CONTESTANTS: dict[str, Predict] = {
    RECIPE: recipe,
    "gpunn, plain MLP": behind(
        lambda seed: gpunn.MLPClassifier(device="cpu", random_state=seed),
        standardising(partial(gpunn.MLPRegressor, device="cpu")),
    ),
    "scikit-learn MLP": behind(
        lambda seed: neural_network.MLPClassifier(random_state=seed),
        standardising(neural_network.MLPRegressor),
    ),
    "linear": behind(
        lambda seed: linear_model.LogisticRegression(max_iter=1000), lambda seed: linear_model.Ridge()
    ),
    "random forest": behind(
        lambda seed: ensemble.RandomForestClassifier(random_state=seed),
        lambda seed: ensemble.RandomForestRegressor(random_state=seed),
        scaled=False,
    ),
    BOOSTING: hist_gradient_boosting,
    "XGBoost": xgboost,
    "LightGBM": lightgbm,
    "CatBoost": catboost,
    "RealMLP-TD-S": real_mlp,
}
NEEDS = {"XGBoost": "xgboost", "LightGBM": "lightgbm", "CatBoost": "catboost", "RealMLP-TD-S": "pytabkit"}


def installed() -> dict[str, Predict]:
    """Return the contestants whose packages are installed."""
    return {name: f for name, f in CONTESTANTS.items() if name not in NEEDS or find_spec(NEEDS[name])}
