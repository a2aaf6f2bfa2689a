"""The network: its sizes, its θ, and what can be done with it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from gpunn import activations, backends, costs, initializers, modelfile, optimizers, schedules, trainer
from gpunn.activations import Activation
from gpunn.backends.base import Backend
from gpunn.costs import Cost
from gpunn.history import History, Record
from gpunn.inputs import ClassWeight, Targets, check_smoothing, check_weights, check_X, check_y
from gpunn.names import look_up
from gpunn.optimizers import Collect, Optimizer
from gpunn.parameters import Parameters, length
from gpunn.progress import ProgressBar
from gpunn.schedules import Schedule


@dataclass(frozen=True)
class Dense:
    """A fully connected layer of n neurons.

    activation: a name (`gpunn.ACTIVATIONS`), an `Activation`, or a pair of NumPy functions (f, f′) of z.
    init: a name (`gpunn.INITIALIZERS`): normal, scaled, glorot, he, zeros; None chooses he for the
    rectifiers and glorot for the rest.
    """

    n: int
    activation: str | Activation | tuple[Callable[..., Any], Callable[..., Any]] = "sigmoid"
    init: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.n, int | np.integer) or self.n < 1:
            raise ValueError(f"a layer needs at least one neuron, not {self.n!r}")
        object.__setattr__(self, "activation", activations.get(self.activation))
        if self.init is not None:
            look_up(initializers.INITIALIZERS, self.init, "initializer")

    @property
    def f(self) -> Activation:
        assert isinstance(self.activation, Activation)
        return self.activation

    @property
    def initializer(self) -> str:
        return self.init or initializers.usual_for(self.f.name)


class Network:
    """A fully connected network of layers 1…L.

    n_in: n_0, the number of input features. layers: `Dense` layers, the last one the output.
    cost: a name (`gpunn.COSTS`) or a `Cost`; None takes the output activation's usual partner.
    seed: of the generator that draws the first weights and every epoch's permutation.
    dtype: "float32" or "float64".
    meta: anything that should travel with the saved model, as JSON.
    """

    def __init__(
        self,
        n_in: int,
        layers: Sequence[Dense],
        cost: str | Cost | None = None,
        seed: int | None = None,
        dtype: DTypeLike = "float32",
        meta: dict[str, Any] | None = None,
    ) -> None:
        if not isinstance(n_in, int | np.integer) or n_in < 1:
            raise ValueError(f"a network needs at least one input, not {n_in!r}")
        if not layers:
            raise ValueError("a network needs at least one layer")
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64, not {self.dtype}")
        self.layers = tuple(layers)
        self.sizes = (int(n_in), *(int(layer.n) for layer in layers))
        self.cost = costs.get(costs.usual_for(self.layers[-1].f.name) if cost is None else cost)
        if doubts := self.cost.doubts_about(self.layers[-1].f):
            warnings.warn(doubts, stacklevel=2)
        self.meta = meta or {}
        self.rng = np.random.default_rng(seed)
        itemsize = self.dtype.itemsize
        self._theta = Parameters(self.sizes, np.zeros(length(self.sizes, itemsize), self.dtype), itemsize)
        self._draw()

    def _draw(self) -> None:
        """The first weights."""
        zeros = [layer.initializer == "zeros" for layer in self.layers]
        for l, layer in enumerate(self.layers, start=1):
            if layer.n > 1 and zeros[l - 1 : l + 1] == [True, True]:
                warnings.warn(
                    f"layers {l} and {l + 1} begin with zeros: the {layer.n} neurons between them stay equal "
                    "for ever, since nothing breaks their symmetry; use another init",
                    stacklevel=3,
                )
            draw = initializers.INITIALIZERS[layer.initializer]
            self._theta.w[l][:], self._theta.b[l][:] = draw(self.rng, *self._theta.w[l].shape)

    # what it is

    @property
    def weights(self) -> list[np.ndarray]:
        """Views of w[1]…w[L], each (n_l, n_{l-1})."""
        return self._theta.w[1:]

    @property
    def biases(self) -> list[np.ndarray]:
        """Views of b[1]…b[L], each (n_l, 1)."""
        return self._theta.b[1:]

    @property
    def parameters(self) -> int:
        """How many weights and biases there are."""
        return sum(w.size + b.size for w, b in zip(self.weights, self.biases, strict=True))

    @property
    def name(self) -> str:
        """The sizes in the book's manner, such as 784-30-10."""
        return "-".join(map(str, self.sizes))

    def __repr__(self) -> str:
        layers = ", ".join(f"Dense({layer.n}, {layer.f.name!r})" for layer in self.layers)
        return f"Network({self.sizes[0]}, [{layers}], cost={self.cost.name!r}, dtype={str(self.dtype)!r})"

    # what it does

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        epochs: int = 10,
        batch_size: int = 32,
        optimizer: str | Optimizer = "sgd",
        schedule: str | Schedule | None = None,
        validation: tuple[ArrayLike, ArrayLike] | None = None,
        sample_weight: ArrayLike | None = None,
        class_weight: ClassWeight | None = None,
        label_smoothing: float = 0.0,
        device: str = "auto",
        precision: str | None = None,
        verbose: bool = False,
        on_epoch_end: Callable[[Record], object] | None = None,
    ) -> History:
        """Train by mini-batch gradient descent; the network is left with the last epoch's weights.

        X (n_in, m): uint8 is taken as pixels and scaled by 1/255. y: class labels (m,) or targets
        (n_out, m). Column-major X is used where it lies; anything else is copied once.
        schedule: a name (`gpunn.schedules.SCHEDULES`) or a function from progress in [0, 1) to the factor of
        the learning rate at that step. validation: (X, y), measured after every epoch. device: auto, cpu,
        cuda or cuda:N.
        sample_weight (m,), class_weight ("balanced", {label: weight} or an array): each example's gradient
        and recorded loss are multiplied by both as given, and averaged over the number of examples, not over
        the weights' sum. label_smoothing: ε in [0, 1); labels' targets become (1 − ε) one-hot + ε / n_out.
        Neither changes the accuracy or the validation.
        precision: the network's dtype, or on CUDA "tf32" or "bf16" products. verbose: a progress bar.

        Ctrl-C ends training and keeps what was learnt (`history.interrupted`).
        Raises ValueError for data that does not fit, `gpunn.Diverged` when the cost is no longer finite,
        `gpunn.BackendError` for a device that cannot be had.
        """
        X = check_X(X, self.sizes[0])
        m = X.shape[1]
        y_ = self._check_y(y, m)
        weights = check_weights(sample_weight, class_weight, y_, m, self.sizes[-1])
        check_smoothing(label_smoothing, y_, self.cost)
        _at_least_one("epochs", epochs)
        _at_least_one("batch_size", batch_size)
        be = backends.choose(device, self.dtype, precision)
        model = self._on(be, y_)
        evaluation = self._evaluation(model, *validation) if validation else None
        with ProgressBar(m, epochs, show=verbose) as bar:

            def after(record: Record) -> None:
                bar.epoch(record)
                if on_epoch_end:
                    on_epoch_end(record)

            try:
                return trainer.train(
                    model,
                    be.examples(X, y_.labels, y_.targets, label_smoothing, weights),
                    m,
                    epochs=epochs,
                    batch_size=min(batch_size, m),
                    optimizer=optimizers.get(optimizer),
                    rng=self.rng,
                    schedule=schedules.get(schedule),
                    evaluation=evaluation,
                    progress=bar.update,
                    on_epoch_end=after,
                )
            finally:
                self._theta.flat[:] = be.download(model.theta.flat)

    def forward(self, X: ArrayLike, *, device: str = "cpu") -> np.ndarray:
        """The outputs a[L] (n_out, m) for X (n_in, m)."""
        X = check_X(X, self.sizes[0])
        model = self._on(backends.choose(device, self.dtype))
        be, m = model.be, X.shape[1]
        outputs, p = be.matrix(self.sizes[-1], m), be.new_pass(m)
        examples = be.examples(X, None, None)
        trainer.run(trainer.bind(model, examples, p, m, trainer.FORWARD_BATCH, outputs=outputs))
        return be.download(outputs)

    def predict(self, X: ArrayLike, *, device: str = "cpu") -> np.ndarray:
        """The class labels (m,): the largest output's index; for a single output, whether it is above ½
        (after hinge, 0)."""
        return classify(self.forward(X, device=device), self.cost.threshold)

    def evaluate(self, X: ArrayLike, y: ArrayLike, *, device: str = "cpu") -> tuple[float, float | None]:
        """(loss, accuracy), means over the examples; accuracy is None where y is not classes."""
        be = backends.choose(device, self.dtype)
        return self._evaluation(self._on(be), X, y)()

    def gradients(
        self, X: ArrayLike, y: ArrayLike, *, device: str = "cpu"
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """[(dw, db), …] for layers 1…L: the mean of ∂C/∂w and ∂C/∂b over the examples."""
        X = check_X(X, self.sizes[0])
        m = X.shape[1]
        y_ = self._check_y(y, m)
        model = self._on(backends.choose(device, self.dtype), y_)
        be, p = model.be, model.be.new_pass(m)
        collected = Collect().bind(be, self.sizes, model.theta)
        trainer.run(trainer.bind(model, be.examples(X, y_.labels, y_.targets), p, m, m, update=collected))
        g = Parameters(self.sizes, be.download(collected.g.flat), self.dtype.itemsize)
        return list(zip(g.w[1:], g.b[1:], strict=True))

    def _check_y(self, y: ArrayLike, m: int) -> Targets:
        """What y means, if that goes with the cost."""
        targets = check_y(y, m, self.sizes[-1])
        if self.cost.of_labels and targets.labels is None:
            raise ValueError(f"{self.cost.name} needs class labels ({m},), not targets")
        return targets

    def _on(self, be: Backend, y: Targets | None = None) -> trainer.Model:
        """This network with a θ of its own on the backend, to be trained on y."""
        cost = self.cost
        if y and not y.distributions and cost.pairs_with == "softmax":
            cost = replace(cost, pairs_with=None)  # a − y is only right where y sums to 1
        theta = be.parameters(self.sizes)
        be.copy(be.upload(self._theta.flat), into=theta.flat)
        f = [activations.ACTIVATIONS["identity"], *(layer.f for layer in self.layers)]
        return trainer.Model(be, self.sizes, f, cost, theta)

    def _evaluation(self, model: trainer.Model, X: ArrayLike, y: ArrayLike) -> trainer.Evaluation:
        X = check_X(X, self.sizes[0])
        y_ = self._check_y(y, X.shape[1])
        return trainer.Evaluation(model, model.be.examples(X, y_.labels, y_.targets), X.shape[1])

    # keeping it

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network as a safetensors file; a good file is replaced only by a whole one.

        ValueError for functions of your own, which a file cannot hold.
        """
        own = [layer.f.name for layer in self.layers if layer.f not in activations.ACTIVATIONS.values()]
        own += [] if costs.has_name(self.cost) else [self.cost.name]
        if own:
            raise ValueError(f"'{own[0]}' is your own, and only functions with a name of gpunn's are saved")
        layers = [
            {"n": layer.n, "activation": layer.f.name, "init": layer.initializer} for layer in self.layers
        ]
        network = {"n_in": self.sizes[0], "layers": layers, "cost": self.cost.name}
        tensors = {f"w{l}": w for l, w in enumerate(self.weights, start=1)}
        tensors |= {f"b{l}": b for l, b in enumerate(self.biases, start=1)}
        modelfile.write(Path(path), network, self.meta, tensors)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Network:
        """Read what `save` wrote, to the bit. ValueError for a file that is damaged or not gpunn's."""
        network, meta, tensors = modelfile.read(Path(path))
        with modelfile.complaining_about(Path(path)):
            layers = [Dense(layer["n"], layer["activation"], layer["init"]) for layer in network["layers"]]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                net = cls(network["n_in"], layers, network["cost"], 0, tensors["w1"].dtype, meta)
            for l, (w, b) in enumerate(zip(net.weights, net.biases, strict=True), start=1):
                w[:], b[:] = tensors[f"w{l}"], tensors[f"b{l}"]
        return net


def classify(a: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Labels (m,) of outputs a (n_out, m)."""
    labels: np.ndarray = (a[0] > threshold).astype(np.intp) if len(a) == 1 else np.argmax(a, axis=0)
    return labels


def _at_least_one(name: str, value: int) -> None:
    if not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
