"""The options of `Network.fit`: one list, which the signature, the checks and the errors are made from."""

from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

import gpunn
from gpunn import FitOptions, Network

X, Y = np.eye(2), [0, 1]


def network() -> Network:
    return Network([2, 3, 1], seed=0)


def test_the_signature_of_fit_has_every_option_with_its_default() -> None:
    parameters = inspect.signature(Network.fit).parameters
    assert list(parameters)[:4] == ["self", "X", "y", "options"]
    shown = {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert shown == {field.name: field.default for field in fields(FitOptions)}
    assert shown["epochs"] == 10


def test_every_option_is_documented() -> None:
    for field in fields(FitOptions):
        assert f"\n        {field.name}: " in str(FitOptions.__doc__)


def test_options_by_name_replace_those_in_the_object() -> None:
    options = FitOptions(epochs=3, batch_size=1, device="cpu")
    assert len(network().fit(X, Y, options)) == 3
    assert len(network().fit(X, Y, options, epochs=4)) == 4
    by_name, by_object = network(), network()
    by_name.fit(X, y=Y, epochs=3, batch_size=1, device="cpu")
    by_object.fit(X, Y, options)
    assert np.array_equal(by_name.theta, by_object.theta)
    with pytest.raises(FrozenInstanceError):
        options.epochs = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "hint"), [("epoch", "did you mean 'epochs'"), ("qwxyz", "choose from epochs, batch_size, ")]
)
def test_an_unknown_option_is_a_type_error_with_the_nearest_match(name: str, hint: str) -> None:
    with pytest.raises(TypeError, match=rf"fit\(\) got an unexpected keyword argument '{name}': {hint}"):
        network().fit(X, Y, **{name: 3})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FitOptions(epochs=0), "epochs must be a whole number of at least 1, not 0"),
        (lambda: FitOptions(batch_size=2.5), "batch_size must be a whole number of at least 1, not 2.5"),
        (lambda: network().fit(X, Y, score=np.mean), "score needs a validation set: pass validation"),
        (lambda: network().fit(X, Y, resume=True), "resume needs the folder of the checkpoints"),
        (lambda: network().fit(X, Y, augmentation=gpunn.Augmentation((2, 2))), "2"),
    ],
)
def test_options_that_do_not_go_together_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
