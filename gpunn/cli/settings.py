"""What a training was asked for, and the optimizer and the network that it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gpunn.core.layers import Dense
from gpunn.core.optimizers import OPTIMIZERS, Optimizer
from gpunn.names import look_up
from gpunn.network import Network

DTYPES = {"float32": "float32", "float64": "float64", "tf32": "float32", "bf16": "float32"}


@dataclass(frozen=True)
class Settings:
    """None where it depends on the rest."""

    hidden: list[int] | None
    activation: str
    output_activation: str | None
    cost: str | None
    init: str | None
    dropout: float | None
    input_dropout: float
    batch_norm: bool
    optimizer: str | None
    learning_rate: float | None
    schedule: str | None
    l2: float | None
    l1: float
    max_norm: float | None
    clip_norm: float | None
    class_weight: str | None
    label_smoothing: float
    shift: float
    rotate: float
    scale: float
    elastic: float
    epochs: int | None
    batch_size: int | None
    patience: int | None
    checkpoint_every: int | None
    tensorboard: bool
    seed: int
    device: str
    precision: str

    @property
    def dtype(self) -> str:
        return look_up(DTYPES, self.precision, "precision")

    def filled(self, usual: Mapping[str, Any]) -> Settings:
        """With what is usual where nothing was said."""
        return replace(self, **{name: v for name, v in usual.items() if getattr(self, name) is None})

    def complete(self, net: Network, optimizer: Any) -> Settings:
        """With what the network and the optimizer have chosen."""
        return replace(self, cost=net.cost.name, learning_rate=optimizer.learning_rate, l2=optimizer.l2)


def build_optimizer(settings: Settings) -> Optimizer:
    make = look_up(OPTIMIZERS, settings.optimizer or "", "optimizer")
    chosen = {
        name: getattr(settings, name) for name in ("learning_rate", "l2", "l1", "max_norm", "clip_norm")
    }
    optimizer: Optimizer = make(**{name: value for name, value in chosen.items() if value is not None})
    return optimizer


def build_network(settings: Settings, n_in: int, n_out: int) -> Network:
    chosen = settings.activation, settings.init, settings.dropout or 0.0, settings.batch_norm
    layers = [Dense(n, *chosen) for n in settings.hidden or []]
    layers.append(Dense(n_out, settings.output_activation or "softmax", settings.init))
    return Network(
        n_in, layers, settings.cost, settings.seed, settings.dtype, input_dropout=settings.input_dropout
    )
