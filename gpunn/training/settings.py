"""The settings of a run: the one list behind the command line, the training of tables and saved runs.

To add a setting, add a field: its `Option` makes the command-line option, and older runs are loaded with its
default. A field that an optimizer has too is passed to the optimizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Annotated, Any

from gpunn.core import optimizers
from gpunn.core.layers import Dense
from gpunn.core.optimizers import OPTIMIZERS, Optimizer
from gpunn.functions import activations, costs, initializers
from gpunn.functions.activations import ACTIVATIONS
from gpunn.functions.costs import COSTS, FAMILIES
from gpunn.functions.initializers import INITIALIZERS
from gpunn.names import listed, look_up
from gpunn.training import class_weights
from gpunn.training.fit_options import Score
from gpunn.training.option import Option, option_name
from gpunn.training.schedules import SCHEDULES
from gpunn.training.stopping import EarlyStopping
from gpunn.training.trainable import Trainable

#: The network's dtype for each precision.
DTYPES = {"float32": "float32", "float64": "float64", "tf32": "float32", "bf16": "float32"}
CUDA_ONLY = [precision for precision, dtype in DTYPES.items() if precision != dtype]

#: The settings that describe the network, not its training.
NETWORK = (
    "hidden",
    "activation",
    "output_activation",
    "cost",
    "init",
    "dropout",
    "input_dropout",
    "batch_norm",
)

network, training = partial(Option, "Network"), partial(Option, "Training")


#: How each setting that names a function or an optimizer is turned into gpunn's own name.
NAMES: dict[str, Callable[[str], str]] = {
    "activation": lambda name: activations.get(name).name,
    "output_activation": lambda name: activations.get(name).name,
    "cost": lambda name: costs.get(name).name,
    "init": initializers.name_of,
    "optimizer": optimizers.name_of,
}
OPTIMIZER_DEFAULTS = {name: asdict(make()) for name, make in OPTIMIZERS.items()}


def takers(setting: str) -> list[str]:
    """Return the names of the optimizers that have this setting."""
    return [name for name, defaults in OPTIMIZER_DEFAULTS.items() if setting in defaults]


def _defaults(setting: str) -> str:
    """Describe the default in each optimizer, as in "0.1; rmsprop, adam, adamw 0.001"."""
    by_value: dict[str, list[str]] = {}
    for name in takers(setting):
        by_value.setdefault(f"{OPTIMIZER_DEFAULTS[name][setting]:g}", []).append(name)
    first, *others = by_value
    return "; ".join([first, *(f"{listed(by_value[value])} {value}" for value in others)])


def _spelt(names: Iterable[str]) -> str:
    """List names as one types them on the command line."""
    return listed([name.replace(" ", "-") for name in names])


def without_rates(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return default settings without those that suit the default optimizer only."""
    return {name: value for name, value in defaults.items() if name not in ("learning_rate", "l2")}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run. None: chosen from the data and the other settings."""

    hidden: Annotated[
        list[int] | None,
        network("Neurons in each hidden layer; 0 for no hidden layer.", "512; tables 256 256", metavar="N …"),
    ] = None
    activation: Annotated[
        str,
        network(f"Activation of the hidden layers: {_spelt(f for f in ACTIVATIONS if f != 'softmax')}."),
    ] = "relu"
    output_activation: Annotated[
        str | None,
        network(
            "Activation of the output layer: any of the above, or softmax.",
            "softmax; identity for regression",
        ),
    ] = None
    cost: Annotated[
        str | None,
        network(
            f"Cost to minimise: {_spelt(COSTS)}. {listed(FAMILIES)} take a parameter, as in huber(2.0).",
            "the one that fits the output layer",
        ),
    ] = None
    init: Annotated[
        str | None,
        network(f"Initial weights: {_spelt(INITIALIZERS)}.", "the one that fits each activation"),
    ] = None
    dropout: Annotated[
        float | None,
        network("Fraction of each hidden layer's outputs to drop in training.", "0; tables 0.15"),
    ] = None
    input_dropout: Annotated[float, network("Fraction of the inputs to drop in training.")] = 0.0
    batch_norm: Annotated[bool, network("Apply batch normalisation to the hidden layers.")] = False
    optimizer: Annotated[
        str | None, training(f"Optimizer: {_spelt(OPTIMIZERS)}.", "nesterov; tables adamw")
    ] = None
    learning_rate: Annotated[
        float | None, training("Learning rate η.", f"{_defaults('learning_rate')}; tables 0.004")
    ] = None
    beta1: Annotated[
        float | None,
        training(f"Decay β₁ of the mean gradient ({listed(takers('beta1'))}).", _defaults("beta1")),
    ] = None
    beta2: Annotated[
        float | None,
        training(f"Decay β₂ of the mean squared gradient ({listed(takers('beta2'))}).", _defaults("beta2")),
    ] = None
    schedule: Annotated[
        str | None, training(f"Learning-rate schedule: {_spelt(SCHEDULES)}.", "constant; tables cosine")
    ] = None
    l2: Annotated[
        float | None, training("Weight decay (L2 regularisation) λ.", f"{_defaults('l2')}; tables 0.03")
    ] = None
    l1: Annotated[float, training("L1 regularisation λ; sets small weights to 0.")] = 0.0
    max_norm: Annotated[
        float | None, training("Upper bound on the norm of each neuron's incoming weights.", "no bound")
    ] = None
    clip_norm: Annotated[float | None, training("Upper bound on the norm of the gradient.", "no bound")] = (
        None
    )
    class_weight: Annotated[
        str | None,
        training(
            "Weights of the classes in training: balanced, inversely to their frequency, or NAME=W,….",
            "the same for all",
            metavar="NAME=W,…",
        ),
    ] = None
    label_smoothing: Annotated[
        float, training("Label smoothing ε: targets are (1 − ε) one-hot + ε / classes.")
    ] = 0.0
    shift: Annotated[float, training("Augmentation: shift images by up to this many pixels.")] = 0.0
    rotate: Annotated[float, training("Augmentation: rotate images by up to this many degrees.")] = 0.0
    scale: Annotated[
        float, training("Augmentation: scale images by up to this fraction; 0.15 means 0.85 to 1.15.")
    ] = 0.0
    elastic: Annotated[float, training("Augmentation: strength α of elastic distortion, for example 36.")] = (
        0.0
    )
    image_size: Annotated[
        int | None,
        training(
            "Resize the pictures in a folder to N×N pixels.", "the most frequent size, at most 64", least=1
        ),
    ] = None
    epochs: Annotated[
        int | None,
        training("Passes over the training examples.", "10; digits 20; tables up to 40", least=1),
    ] = None
    batch_size: Annotated[
        int | None,
        training("Examples in a mini-batch.", "128; digits 16; tables by number of rows", least=1),
    ] = None
    patience: Annotated[
        int | None,
        training(
            "Stop after this many epochs without improvement (see --metric) on a tenth of the training data, "
            "held out, or a fifth for tables; 0 to never stop early.",
            "never, but tables keep the best epoch",
            least=0,
        ),
    ] = None
    metric: Annotated[
        str | None,
        training(
            "Measure on the held-out data that decides when to stop and which epoch to keep: loss; for "
            "classes accuracy, balanced_accuracy, roc_auc, average_precision, log_loss or brier; for numbers "
            "rmse, mae or r2.",
            "images accuracy, tables loss",
        ),
    ] = None
    ensemble: Annotated[
        int | None,
        training(
            "Train this many networks, with seeds of their own, and average them.", "1; tables 8", least=1
        ),
    ] = None
    checkpoint_every: Annotated[
        int | None,
        training("Save a checkpoint every this many epochs; see --resume.", "no checkpoints", least=1),
    ] = None
    tensorboard: Annotated[bool, training("Log each epoch for TensorBoard, too.")] = False
    seed: Annotated[
        int, training("Random seed for initial weights, shuffling and held-out rows.", least=0)
    ] = 0
    device: Annotated[
        str, training("Device: auto, cpu, cuda or cuda:N; auto uses a GPU if one works.", metavar="DEVICE")
    ] = "auto"
    precision: Annotated[
        str,
        training(f"Precision: {listed(DTYPES)}; {' and '.join(CUDA_ONLY)} need CUDA.", metavar="PRECISION"),
    ] = "float32"
    threads: Annotated[
        int | None,
        training(
            "Threads on the CPU; without compiled kernels, the last bits of the result may depend on it.",
            "$GPUNN_THREADS, or one or all of them, whichever is quicker",
            least=1,
        ),
    ] = None

    def __post_init__(self) -> None:
        """Replace aliases and other spellings by gpunn's own names, which saved runs keep.

        Raises ValueError for an unknown name, or an ensemble of no network.
        """
        for setting, name_of in NAMES.items():
            if (name := getattr(self, setting)) is not None:
                object.__setattr__(self, setting, name_of(name))
        if self.ensemble is not None and self.ensemble < 1:
            raise ValueError(f"--ensemble must be at least 1, not {self.ensemble}")

    @property
    def dtype(self) -> str:
        """The network's dtype for this precision."""
        return look_up(DTYPES, self.precision, "precision")

    def with_defaults(self, defaults: Mapping[str, Any]) -> Settings:
        """Fill in the settings that are None.

        Checkpoints and TensorBoard are for a single network, and an optimizer of choice keeps its own
        learning rate and weight decay.
        """
        usual = {"ensemble": 1, **defaults}
        if self.checkpoint_every or self.tensorboard:
            usual["ensemble"] = 1
        if self.optimizer is not None:
            usual = without_rates(usual)
        return replace(self, **{name: v for name, v in usual.items() if getattr(self, name) is None})

    @property
    def networks(self) -> int:
        """The number of networks to train."""
        return self.ensemble or 1

    def with_network(self, net: Trainable) -> Settings:
        """Describe a single network: its layers, whose hidden ones are taken to be alike, and its cost."""
        *hidden, output = net.layers
        first = hidden[0] if hidden else None
        return replace(
            self,
            hidden=[layer.n for layer in hidden],
            activation=first.f.name if first else self.activation,
            output_activation=output.f.name,
            cost=net.cost.name,
            dropout=first.dropout if first else 0.0,
            input_dropout=net.dropout[0],
            batch_norm=bool(first and first.batch_norm),
            ensemble=1,
        )

    def with_choices(self, cost: str, optimizer: Any) -> Settings:
        """Fill in the name of the cost, and the settings whose defaults differ between optimizers."""
        return replace(self, cost=cost, learning_rate=optimizer.learning_rate, l2=optimizer.l2)

    def build_optimizer(self) -> Optimizer:
        """Build the optimizer, with its own default for each setting that was not chosen.

        Raises ValueError if a setting was chosen that this optimizer does not have.
        """
        name = optimizers.name_of(self.optimizer or "")
        make = OPTIMIZERS[name]
        chosen = {s: value for s, value in self._chosen().items() if takers(s)}
        for setting in chosen:
            if name not in takers(setting):
                raise ValueError(
                    f"{option_name(setting)} applies to {listed(takers(setting))}, not to {name}"
                )
        optimizer: Optimizer = make(**chosen)
        return optimizer

    def _chosen(self) -> dict[str, Any]:
        """Return the settings that differ from their defaults."""
        values = {field: getattr(self, field.name) for field in fields(self)}
        return {field.name: value for field, value in values.items() if value != field.default}

    def build_layers(self, n_out: int) -> list[Dense]:
        """Build the hidden layers and an output layer of n_out neurons."""
        chosen = self.activation, self.init, self.dropout or 0.0, self.batch_norm
        layers = [Dense(n, *chosen) for n in self.hidden or []]
        return [*layers, Dense(n_out, self.output_activation or "softmax", self.init)]

    def network_arguments(self, n_in: int, n_out: int) -> dict[str, Any]:
        """Return the arguments of `Network` for n_in inputs and n_out outputs."""
        return {
            "n_in": n_in,
            "layers": self.build_layers(n_out),
            "cost": self.cost,
            "seed": self.seed,
            "dtype": self.dtype,
            "input_dropout": self.input_dropout,
        }

    def check_metric(self) -> None:
        """Raise ValueError if there is a metric, but no early stopping to follow it."""
        if self.metric and not self.patience:
            raise ValueError(f"--metric {self.metric} chooses the epoch to keep: choose --patience as well")

    def fit_arguments(
        self, metric: str, classes: Sequence[str] = (), score: Score | None = None
    ) -> dict[str, Any]:
        """Return the arguments of `Network.fit` that the settings decide.

        Args:
            metric: the field of `Record` for early stopping.
            classes: the names of the classes.
            score: what to record as `validation_score`.
        """
        return {
            "epochs": self.epochs or 0,
            "batch_size": self.batch_size or 0,
            "optimizer": self.build_optimizer(),
            "schedule": self.schedule,
            "stop": EarlyStopping(metric, self.patience) if self.patience else None,
            "class_weight": class_weights.parse(self.class_weight, classes),
            "label_smoothing": self.label_smoothing,
            "score": score,
            "device": self.device,
            "precision": self.precision,
            "threads": self.threads,
        }
