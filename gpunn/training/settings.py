"""The settings of a run: one list for the command line, for training on tables, and for what a run keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from gpunn.core.layers import Dense
from gpunn.core.optimizers import OPTIMIZERS, Optimizer
from gpunn.names import look_up

DTYPES = {"float32": "float32", "float64": "float64", "tf32": "float32", "bf16": "float32"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run. None: chosen from the data and the other settings."""

    hidden: list[int] | None = None
    activation: str = "relu"
    output_activation: str | None = None
    cost: str | None = None
    init: str | None = None
    dropout: float | None = None
    input_dropout: float = 0.0
    batch_norm: bool = False
    optimizer: str | None = None
    learning_rate: float | None = None
    schedule: str | None = None
    l2: float | None = None
    l1: float = 0.0
    max_norm: float | None = None
    clip_norm: float | None = None
    class_weight: str | None = None
    label_smoothing: float = 0.0
    shift: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    elastic: float = 0.0
    epochs: int | None = None
    batch_size: int | None = None
    patience: int | None = None
    checkpoint_every: int | None = None
    tensorboard: bool = False
    seed: int = 0
    device: str = "auto"
    precision: str = "float32"

    @classmethod
    def from_kept(cls, kept: Mapping[str, Any]) -> Settings:
        """Read the settings that a run kept.

        A setting that is newer than the run has its default; one that no longer exists is ignored.
        """
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in kept.items() if name in known})

    @property
    def dtype(self) -> str:
        """The network's dtype for this precision."""
        return look_up(DTYPES, self.precision, "precision")

    def with_defaults(self, defaults: Mapping[str, Any]) -> Settings:
        """Fill in the settings that are None."""
        return replace(self, **{name: v for name, v in defaults.items() if getattr(self, name) is None})

    def with_choices(self, cost: str, optimizer: Any) -> Settings:
        """Fill in the cost's name and what the optimizer chose by itself."""
        return replace(self, cost=cost, learning_rate=optimizer.learning_rate, l2=optimizer.l2)

    def build_optimizer(self) -> Optimizer:
        """Build the optimizer, with its own default for each setting that is None."""
        make = look_up(OPTIMIZERS, self.optimizer or "", "optimizer")
        names = ("learning_rate", "l2", "l1", "max_norm", "clip_norm")
        chosen = {name: value for name in names if (value := getattr(self, name)) is not None}
        optimizer: Optimizer = make(**chosen)
        return optimizer

    def build_layers(self, n_out: int) -> list[Dense]:
        """Build the hidden layers and an output layer of n_out neurons."""
        chosen = self.activation, self.init, self.dropout or 0.0, self.batch_norm
        layers = [Dense(n, *chosen) for n in self.hidden or []]
        return [*layers, Dense(n_out, self.output_activation or "softmax", self.init)]
