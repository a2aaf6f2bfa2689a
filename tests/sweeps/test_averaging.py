"""Networks of consecutive seeds, trained at once: each is the one trained by itself, on every backend."""

from __future__ import annotations

import numpy as np
from helpers import MakeBackend
from sweeping import LAYERS, X, Y

from gpunn import EarlyStopping, Ensemble, Network
from gpunn.sweeps import averaging
from gpunn.training.fit_options import FitOptions


def held_out(seed: int) -> np.ndarray:
    """Return indices that differ between seeds."""
    return np.sort(np.random.default_rng(seed).permutation(60)[:12])


def test_each_network_is_the_one_trained_by_itself(backend: MakeBackend) -> None:
    backend()
    options = FitOptions(epochs=6, batch_size=8, stop=EarlyStopping("validation_loss", patience=2))
    trained = averaging.train(Network(5, LAYERS, seed=3), 3, X, Y, options, held_out)
    assert isinstance(trained.predictor, Ensemble)
    for seed, net in zip((3, 4, 5), trained.predictor.networks, strict=True):
        alone = Network(5, LAYERS, seed=seed)
        history = alone.fit(X, Y, options, validation=held_out(seed))
        np.testing.assert_allclose(net.theta, alone.theta, atol=1e-5)
        losses = [r.loss for r in trained.members[seed]]
        np.testing.assert_allclose(losses, [r.loss for r in history], rtol=1e-5)
