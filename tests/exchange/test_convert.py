"""Networks from PyTorch and scikit-learn, and to PyTorch, compute the same function on both sides."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpunn import ACTIVATIONS, Activation, Dense, Network
from gpunn.datasets import Dataset

IN_TORCH = [name for name, f in ACTIVATIONS.items() if f.torch]
X = np.random.default_rng(0).standard_normal((5, 40))


def outputs(module: Any, X: np.ndarray) -> np.ndarray:
    """Compute a module's outputs (n_out, m) for X (n_in, m)."""
    import torch

    with torch.no_grad():
        return module(torch.tensor(X.T)).numpy().T


def with_statistics(net: Network) -> Network:
    """Give the network random running means and variances, as if it had been trained."""
    rng = np.random.default_rng(1)
    for norm in net.norms:
        for x in (norm or {}).values():
            x[:] = rng.uniform(0.5, 2, x.shape)
    return net


# PyTorch


@pytest.mark.parametrize("f", IN_TORCH)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_round_trip_keeps_the_function(f: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    layers = [Dense(7, f, dropout=0.25, batch_norm=True), Dense(6, f), Dense(3, f)]
    net = with_statistics(Network(5, layers, "quadratic", 0, dtype, input_dropout=0.125))
    module = net.to_torch()
    assert not module.training and next(module.parameters()).dtype == getattr(torch, dtype)
    tolerance = 1e-5 if dtype == "float32" else 1e-8  # PyTorch's softplus equals z for z above 20
    np.testing.assert_allclose(
        outputs(module, X.astype(dtype)), net.forward(X), rtol=tolerance, atol=tolerance
    )
    again = Network.from_torch(module, "quadratic")
    assert (repr(again), again.dropout) == (repr(net), net.dropout)
    assert again.theta.tobytes() == net.theta.tobytes()
    np.testing.assert_array_equal(again.forward(X), net.forward(X))


@settings(max_examples=30)
@given(
    layers=st.lists(
        st.tuples(st.integers(1, 5), st.sampled_from(IN_TORCH), st.booleans(), st.booleans()),
        min_size=1,
        max_size=4,
    )
)
def test_a_round_trip_of_any_layers(layers: list[tuple[int, str, bool, bool]]) -> None:
    pytest.importorskip("torch")
    *hidden, (n, f, _, _) = layers
    dense = [Dense(n, f, dropout=dropped / 2, batch_norm=normed) for n, f, dropped, normed in hidden]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = with_statistics(Network(4, [*dense, Dense(n, f)], "quadratic", 0))
        again = Network.from_torch(net.to_torch(), "quadratic")
    assert (repr(again), again.theta.tobytes()) == (repr(net), net.theta.tobytes())
    assert [layer.dropout for layer in again.layers] == [layer.dropout for layer in net.layers]


def test_a_module_made_in_pytorch(digits: Dataset) -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Dropout(0.1),
        nn.Linear(64, 20, bias=False),
        nn.BatchNorm1d(20, affine=False),
        nn.ReLU(inplace=True),
        nn.Linear(20, 15),
        nn.Linear(15, 10),
        nn.Softmax(dim=-1),
    )
    pixels = digits.train.X[:, :200]
    module(torch.tensor(pixels.T / np.float32(255)))  # moves the running statistics
    net = Network.from_torch(module.eval(), meta={"image_shape": (8, 8)})
    assert [layer.f.name for layer in net.layers] == ["relu", "identity", "softmax"]
    assert (net.cost.name, net.dropout, net.meta) == ("cross-entropy", (0.1, 0, 0), {"image_shape": (8, 8)})
    np.testing.assert_allclose(
        net.forward(pixels), outputs(module, pixels / np.float32(255)), rtol=1e-5, atol=1e-6
    )
    before = net.theta.copy()
    net.fit(pixels, digits.train.y[:200], epochs=1)
    assert net.theta.tobytes() != before.tobytes()  # a copy that can be trained
    assert Network.from_torch(module).theta.tobytes() == before.tobytes()


def test_an_unknown_module_is_named_with_its_place() -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    linear = nn.Linear(4, 4)
    for modules, words in (
        ([linear, nn.Conv1d(4, 4, 1)], "layer 1, Conv1d"),
        ([nn.Flatten(), linear], "layer 0, Flatten"),
        ([linear, nn.Sequential(nn.ReLU())], "layer 1, Sequential"),
        ([linear, nn.ReLU(), nn.BatchNorm1d(4)], "layer 2, BatchNorm1d"),
        ([linear, nn.Dropout(0.1), nn.Dropout(0.1), linear], "layer 2, Dropout"),
        ([linear, nn.LeakyReLU(0.2)], "layer 1, LeakyReLU(negative_slope=0.2)"),
        ([linear, nn.GELU("tanh")], "layer 1, GELU(approximate='tanh')"),
        ([linear, nn.Softmax(0)], "layer 1, Softmax(dim=0)"),
        ([linear, nn.BatchNorm1d(4, eps=1e-3), linear], "layer 1, BatchNorm1d(4, eps=0.001"),
        ([linear, nn.Linear(1, 4)], "layer 1, Linear, takes 1 features, but gets 4"),
        ([linear, nn.BatchNorm1d(1), linear], "layer 1, BatchNorm1d, takes 1 features, but gets 4"),
        ([linear, type("ReLU", (nn.Module,), {})()], f"layer 1, {__name__}.ReLU"),
        ([nn.Linear(4, 4, dtype=torch.bfloat16)], "bfloat16"),
        ([nn.Dropout(0.5)], "no Linear"),
        ([linear, nn.Dropout(0.5)], "the last layer must have dropout=0"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)) as raised:
            Network.from_torch(nn.Sequential(*modules))
        assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match=r"nn\.Sequential can be read, not Linear"):
        Network.from_torch(linear)


def test_an_activation_that_torch_lacks_is_refused() -> None:
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match="layer 2's 'exp' is not in torch"):
        Network(2, [Dense(3), Dense(1, "exp")], seed=0).to_torch()
    own = Activation.from_functions(np.square, lambda z: 2 * z, name="relu")
    with pytest.raises(ValueError, match="layer 1's 'relu' is not in torch"):
        Network(2, [Dense(3, own), Dense(1)], seed=0).to_torch()


# scikit-learn


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_classifier(tmp_path: Path, activation: str, n_classes: int) -> None:
    from sklearn.neural_network import MLPClassifier

    y = np.array(["ant", "bee", "cow"])[np.arange(40) % n_classes]
    theirs = MLPClassifier((6, 5), activation, max_iter=3, random_state=0).fit(X.T, y)
    Network.from_sklearn(theirs).save(tmp_path / "m")
    net = Network.load(tmp_path / "m")
    probabilities = net.forward(X)
    a = np.concatenate([1 - probabilities, probabilities]) if n_classes == 2 else probabilities
    np.testing.assert_allclose(a.T, theirs.predict_proba(X.T), rtol=1e-12, atol=1e-14)
    assert [net.meta["classes"][k] for k in net.predict(X)] == theirs.predict(X.T).tolist()
    assert net.cost.name == ("binary-cross-entropy" if n_classes == 2 else "cross-entropy")


@pytest.mark.parametrize(("loss", "cost"), [("squared_error", "quadratic"), ("poisson", "poisson")])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_regressor_keeps_its_dtype(loss: str, cost: str) -> None:
    from sklearn.neural_network import MLPRegressor

    if "loss" not in MLPRegressor().get_params():
        pytest.skip("this scikit-learn has no other loss than the squared error")
    X32 = X.astype(np.float32)
    theirs = MLPRegressor(loss=loss, max_iter=3, random_state=0).fit(X32.T, X32[:2].T ** 2)
    net = Network.from_sklearn(theirs, meta={"units": "cm"})
    assert (net.dtype, net.cost.name, net.meta) == (np.float32, cost, {"units": "cm"})
    np.testing.assert_allclose(net.forward(X32).T, theirs.predict(X32.T), rtol=1e-5, atol=1e-6)


def test_other_estimators_are_refused() -> None:
    from sklearn.linear_model import LinearRegression
    from sklearn.neural_network import MLPClassifier

    with pytest.raises(ValueError, match="not LinearRegression"):
        Network.from_sklearn(LinearRegression())
    with pytest.raises(ValueError, match="not fitted"):
        Network.from_sklearn(MLPClassifier())
