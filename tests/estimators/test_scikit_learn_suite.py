"""Run the installed scikit-learn's tests of its MLPs on gpunn's estimators."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn import neural_network

import gpunn

SUITE = Path(neural_network.__file__).parent / "tests" / "test_mlp.py"
if not SUITE.exists():
    pytest.skip("this scikit-learn was installed without its tests", allow_module_level=True)

EXCEPTIONS = {
    "test_fit": "builds a network from private attributes instead of fitting",
    "test_gradient": "calls the private _loss_grad_lbfgs",
    "test_learning_rate_warmstart": "reads the private _optimizer; gpunn has learning_rate_",
    "test_adaptive_learning_rate": "reads the private _optimizer; gpunn has learning_rate_",
    "test_early_stopping_stratified": "expects an error for a class of one row; gpunn holds out any rows",
    "test_mlp_partial_fit_after_fit": "expects partial_fit to refuse early_stopping; gpunn supports it",
}
pytestmark = pytest.mark.filterwarnings("default", "ignore::sklearn.exceptions.ConvergenceWarning")


def adapted() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the tests by name, with scikit-learn's two classes replaced by gpunn's."""
    module = types.ModuleType("adapted")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLPClassifier", "MLPRegressor"):
            patch.setattr(neural_network, name, getattr(gpunn, name))
        exec(compile(SUITE.read_text(encoding="utf-8"), SUITE, "exec"), vars(module))
    for name, thing in vars(module).items():
        if name.startswith("test_"):
            why = EXCEPTIONS.get(name)
            yield name, pytest.mark.xfail(strict=True, reason=why)(thing) if why else thing


globals().update(adapted())


@pytest.fixture
def global_random_seed() -> int:
    """Stand in for the fixture of scikit-learn's conftest."""
    return 0


def test_every_exception_is_a_test_of_the_suite() -> None:
    assert set(EXCEPTIONS) <= set(globals())
