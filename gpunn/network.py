"""A network: its layers, its parameters θ, and what can be done with it."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from gpunn import backends
from gpunn.backends.host.backend import Host
from gpunn.backends.host.forward import Forward
from gpunn.core.backend import NORM_EPSILON, Backend
from gpunn.core.inputs import Targets, check_examples, check_X, is_sparse, on_device
from gpunn.core.layers import Dense, check_dropout
from gpunn.core.optimizers import Collect
from gpunn.core.parameters import Layout, Parameters
from gpunn.core.plan import BoundModel, Plan, forward_batch
from gpunn.exchange import sklearn, torch
from gpunn.exchange.parts import Parts
from gpunn.files import model
from gpunn.functions import activations, costs, initializers
from gpunn.functions.activations import Activation
from gpunn.functions.costs import Cost
from gpunn.predictor import Predictor
from gpunn.training import fit
from gpunn.training.fit_options import Blocks, FitOptions, takes_options
from gpunn.training.history import History
from gpunn.training.loop import Evaluation


class Network:
    """A fully connected network of layers 1…L, from X (n_0, m), one example a column, to a[L] (n_L, m).

    The short form `Network([784, 30, 10])` is the book's network: sigmoid neurons, all weights and biases
    from N(0, 1), and the quadratic cost (Nielsen, chapter 1).

    Args:
        n_in: n_0, the number of input features; in the short form, the sizes of all layers.
        layers: `Dense` layers, the last one the output.
        cost: a name (`gpunn.COSTS`) or a `Cost`; None takes the usual cost for the output activation.
        seed: random seed for weight initialisation, shuffling, dropout and augmentation; None takes a
            different one every time.
        dtype: "float32" or "float64".
        meta: anything that should travel with the saved model, as JSON.
        input_dropout: the share of the inputs that is dropped in training.

    Raises:
        ValueError: if there is no input or no layer, the output layer has dropout or batch normalisation, or
            a name is unknown (the message has the nearest match).

    >>> net = gpunn.Network(64, [gpunn.Dense(30, "relu"), gpunn.Dense(10, "softmax")], seed=0)
    >>> net.name, net.parameters, net.cost.name
    ('64-30-10', 2260, 'cross-entropy')
    >>> gpunn.Network([784, 30, 10])
    Network(784, [Dense(30, 'sigmoid'), Dense(10, 'sigmoid')], cost='quadratic', dtype='float32')
    """

    learnt_labels: bool = False  # whether the network was last trained on class labels

    def __init__(
        self,
        n_in: int | Sequence[int],
        layers: Sequence[Dense] | None = None,
        cost: str | Cost | None = None,
        seed: int | None = None,
        dtype: DTypeLike = "float32",
        meta: dict[str, Any] | None = None,
        input_dropout: float = 0.0,
    ) -> None:
        if not isinstance(n_in, int | np.integer) and layers is None:
            if len(n_in) < 2:
                raise ValueError(f"a network needs at least one input and one layer, not {n_in!r}")
            n_in, *sizes = n_in
            layers, cost = [Dense(n, "sigmoid", "normal") for n in sizes], cost or "quadratic"
        if not isinstance(n_in, int | np.integer) or n_in < 1:
            raise ValueError(f"a network needs at least one input, not {n_in!r}")
        layers = _check_layers(layers)
        self.layers, self.dtype = layers, _check_dtype(dtype)
        self.sizes = (int(n_in), *(layer.n for layer in layers))
        self.dropout = (check_dropout(input_dropout), *(layer.dropout for layer in layers[:-1]))
        output = layers[-1].f
        self.cost = costs.get(costs.usual_for(output) if cost is None else cost)
        if doubts := self.cost.doubts_about(output):
            warnings.warn(doubts, stacklevel=2)
        self.meta = meta or {}
        self.seed, self.rng = seed, np.random.default_rng(seed)
        self.layout = Layout(self.sizes, tuple(layer.batch_norm for layer in layers))
        self._theta = Parameters(self.layout, self.layout.zeros(self.dtype), self.dtype.itemsize)
        self._idle = defaultdict[str, list[Forward]](list)  # bound for predictions, by device
        self._draw()

    def _draw(self) -> None:
        """Draw the initial weights and biases."""
        zeros = [layer.initializer == "zeros" for layer in self.layers]
        for l, layer in enumerate(self.layers, start=1):
            if layer.n > 1 and zeros[l - 1 : l + 1] == [True, True]:
                warnings.warn(
                    f"layers {l} and {l + 1} begin with zeros: the {layer.n} neurons between them will stay "
                    "equal, since nothing breaks their symmetry; use another init",
                    stacklevel=3,
                )
            draw = initializers.INITIALIZERS[layer.initializer]
            self._theta.w[l][:], self._theta.b[l][:] = draw(self.rng, *self._theta.w[l].shape)
            if norm := self._theta.norm[l]:
                norm["gamma"][:] = norm["variance"][:] = 1

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle, with θ as its flat vector."""
        return {**vars(self), "_theta": self.theta, "_idle": defaultdict(list)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**state, "_idle": defaultdict(list)})
        self._theta = Parameters(self.layout, state["_theta"], self.dtype.itemsize)

    @property
    def theta(self) -> np.ndarray:
        """View all parameters as one vector: by layer w and then b, column-major, with padding."""
        flat: np.ndarray = self._theta.flat
        return flat

    @property
    def weights(self) -> list[np.ndarray]:
        """Views of w[1]…w[L], each (n_l, n_{l-1})."""
        return self._theta.w[1:]

    @property
    def biases(self) -> list[np.ndarray]:
        """Views of b[1]…b[L], each (n_l, 1)."""
        return self._theta.b[1:]

    @property
    def norms(self) -> list[dict[str, np.ndarray] | None]:
        """Views of each layer's gamma, beta, running mean and variance, (n_l, 1) each; None without."""
        return self._theta.norm[1:]

    @property
    def output_activation(self) -> Activation:
        """The activation of the output layer."""
        return self.layers[-1].f

    @property
    def parameters(self) -> int:
        """The number of weights and biases, including gamma and beta of batch normalisation."""
        normed = sum(layer.n for layer in self.layers if layer.batch_norm)
        return sum(w.size + b.size for w, b in zip(self.weights, self.biases, strict=True)) + 2 * normed

    def folded(self) -> Network:
        """Return a network that computes the same function without batch normalisation.

        γ (w a + b − μ)/√(σ² + ε) + β is again of the form w a + b (Ioffe and Szegedy 2015, algorithm 2).
        """
        layers = [replace(layer, batch_norm=False) for layer in self.layers]
        folded = self._like(layers, self.dtype)
        for l, norm in enumerate(self.norms):
            w, b = self.weights[l], self.biases[l]
            if norm:
                gain = norm["gamma"] / np.sqrt(norm["variance"] + NORM_EPSILON)
                w, b = gain * w, gain * (b - norm["mean"]) + norm["beta"]
            folded.weights[l][:], folded.biases[l][:] = w, b
        return folded

    @property
    def name(self) -> str:
        """The sizes as the book writes them, such as 784-30-10."""
        return "-".join(map(str, self.sizes))

    def __repr__(self) -> str:
        layers = ", ".join(f"Dense({layer.n}, {layer.f.name!r})" for layer in self.layers)
        return f"Network({self.sizes[0]}, [{layers}], cost={self.cost.name!r}, dtype={str(self.dtype)!r})"

    @takes_options(FitOptions)
    def fit(self, X: ArrayLike | Blocks, y: ArrayLike | None, options: FitOptions) -> History:
        """Train by mini-batch gradient descent; the network is left with the last epoch's weights.

        Ctrl-C ends training and keeps what was learnt (`History.interrupted`). If there are checkpoints,
        SIGTERM does the same. The state after the last complete epoch is then saved, so resuming repeats the
        interrupted epoch.

        Args:
            X: (n_0, m), one example a column. uint8 means pixels and is scaled by 1/255. Column-major X is
                used in place (a `numpy.memmap` stays on disk); any other X is copied once. A scipy.sparse X
                is multiplied as it is if it stores at most 5 % of its entries and kernels are compiled;
                else the CPU makes a few mini-batches at a time dense, if they take at most 64 MiB. CuPy's X
                is used in place on its device. If y is None, X is an iterable of blocks (X, y) or (X, y,
                sample_weight), or a function that returns a new iterator of blocks. Blocks are learnt from
                one at a time, and examples are shuffled within their block.
            y: class labels (m,), 0…n_L − 1, or targets (n_L, m); for a single output, labels 0 and 1, or
                targets (m,).
            options: all the options as a `FitOptions`, which documents them. Options that are passed by name
                replace those in `options`, or the defaults.

        Returns:
            A record for each epoch, why training ended, and on which device it ran.

        Raises:
            TypeError: if there is no such option; the message has the nearest match.
            ValueError: if the data does not suit the network or its cost (the message has the shapes), an
                option is out of range, or the checkpoints are of another run.
            Diverged: if the cost is no longer finite; the network has the weights from before that epoch.
            BackendError: if the device is not available.

        >>> digits = gpunn.datasets.load("digits")
        >>> net = gpunn.Network(64, [gpunn.Dense(30, "relu"), gpunn.Dense(10, "softmax")], seed=0)
        >>> history = net.fit(digits.train.X, digits.train.y, epochs=20, optimizer="adam", validation=0.1)
        >>> len(history), history[-1].validation_accuracy > 0.9
        (20, True)
        """
        return fit.fit(self, X, y, options)

    def forward(self, X: ArrayLike, *, device: str = "cpu") -> np.ndarray:
        """Return the outputs a[L] (n_L, m), in the network's dtype, for X (n_0, m) as in `fit`.

        Raises:
            ValueError: if X is not finite numbers of that shape, or the outputs are not finite.
            BackendError: if the device is not available.

        >>> gpunn.Network([2, 3, 1], seed=0).forward(np.zeros((2, 5))).shape
        (1, 5)
        """
        return self._outputs(check_X(X, self.sizes[0]), device)

    def _outputs(self, X: Any, device: str) -> np.ndarray:
        """Compute `forward` for an X that has been checked."""
        dense = not (is_sparse(X) or on_device(X))
        if dense and (bound := self._take_bound(device)):
            return self._run(bound, X, device)
        be, (n_in, m) = backends.choose(device, self.dtype), X.shape
        if dense and isinstance(be, Host):
            return self._run(Forward(be, self._model(be)), X, device)
        outputs, examples = be.memory.matrix(self.sizes[-1], m), be.data.examples(X, None, None)
        Plan(self._model(be), examples, m, forward_batch(m, n_in), outputs=outputs)(np.arange(m))
        return self._check_finite(be.memory.download(outputs))

    def _take_bound(self, device: str) -> Forward | None:
        """Take what an earlier call has bound for this device; None if another thread is using it."""
        try:
            return self._idle[device].pop()
        except IndexError:
            return None

    def _run(self, bound: Forward, X: Any, device: str) -> np.ndarray:
        """Compute the outputs, and leave what is bound to later calls."""
        outputs = bound(X)
        self._idle[device].append(bound)
        return self._check_finite(outputs)

    def _check_finite(self, outputs: np.ndarray) -> np.ndarray:
        """Return the outputs. Raises ValueError if they are not finite, and says why."""
        if np.isfinite(outputs).all():
            return outputs
        why = "X is too large" if np.isfinite(self.theta).all() else "the network's weights are not, either"
        raise ValueError(f"the outputs are not finite numbers: {why}")

    def predict(self, X: ArrayLike, *, device: str = "cpu") -> np.ndarray:
        """Return the class labels (m,) for X (n_0, m), or the numbers (m,) or (n_L, m) of a regression.

        There are labels if the outputs are probabilities (sigmoid or softmax), if the cost is hinge, if
        `meta` names classes, or if a network of several outputs was last trained on labels. The label is the
        index of the largest output. For a single output it is 1 if the output is above ½, or above 0 after
        the hinge cost. In all other cases the outputs are numbers and are returned as they are. Raises what
        `forward` raises.

        >>> net = gpunn.Network(1, [gpunn.Dense(1, "identity")], seed=0)
        >>> X = np.linspace(-1, 1, 50)[None]
        >>> history = net.fit(X, 50 + 3 * X[0], epochs=2, optimizer=gpunn.SGD(0.5), batch_size=1)
        >>> net.predict(X[:, :1]).round(2)
        array([47.], dtype=float32)
        """
        outputs = self.forward(X, device=device)
        if predicts_labels(self):
            return classify(outputs, self.cost.threshold)
        return outputs[0] if len(outputs) == 1 else outputs

    def evaluate(self, X: ArrayLike, y: ArrayLike, *, device: str = "cpu") -> tuple[float, float | None]:
        """Return the mean loss and the accuracy; the accuracy is None if y is not classes.

        X (n_0, m) and y are as in `fit`, as are the errors. Nothing is dropped. Raises ValueError if the
        outputs are not finite.
        """
        return self.examine(X, y, device=device)[1:]

    def examine(
        self, X: ArrayLike, y: ArrayLike, *, device: str = "cpu"
    ) -> tuple[np.ndarray, float, float | None]:
        """Return outputs a[L] (n_L, m), loss and accuracy: `forward` and `evaluate` in one pass."""
        evaluation = self._evaluation(X, y, device, keep=True)
        loss, accuracy, _ = evaluation()
        return self._check_finite(evaluation.be.memory.download(evaluation.outputs)), loss, accuracy

    def _evaluation(self, X: ArrayLike, y: ArrayLike, device: str, *, keep: bool = False) -> Evaluation:
        """Build the evaluation of this network on all the examples."""
        be = backends.choose(device, self.dtype)
        given = check_examples(X, y, self.sizes, self.cost)
        return Evaluation(self._model(be), given.load(be), np.arange(given.X.shape[1]), keep=keep)

    def gradients(
        self, X: ArrayLike, y: ArrayLike, *, device: str = "cpu"
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return [(dw, db), …] for layers 1…L: the means of ∂C/∂w (n_l, n_{l-1}) and ∂C/∂b (n_l, 1).

        They come from BP1 to BP4 (Nielsen, chapter 2), without dropout. X (n_0, m) and y are as in `fit`.
        Raises ValueError if the outputs are not finite.

        >>> net = gpunn.Network([2, 3, 1], seed=0)
        >>> [(dw.shape, db.shape) for dw, db in net.gradients(np.ones((2, 5)), np.ones(5))]
        [((3, 2), (3, 1)), ((1, 3), (1, 1))]
        """
        given = check_examples(X, y, self.sizes, self.cost)
        model, m = self.bind(backends.choose(device, self.dtype), given.y), given.X.shape[1]
        collected = Collect().bind(model.be, model.theta)
        outputs = model.be.memory.matrix(self.sizes[-1], m)
        Plan(model, given.load(model.be), m, m, update=collected, outputs=outputs)(np.arange(m))
        self._check_finite(model.be.memory.download(outputs))
        g = Parameters(self.layout, model.be.memory.download(collected.g.flat), self.dtype.itemsize)
        return list(zip(g.w[1:], g.b[1:], strict=True))

    def _model(self, be: Backend) -> BoundModel:
        """Bind the network to a backend for evaluation; θ is shared if the backend can."""
        f = [activations.ACTIVATIONS["identity"], *(layer.f for layer in self.layers)]
        return BoundModel(be, f, self.cost, be.memory.borrow(self._theta), self.dropout)

    def bind(self, be: Backend, y: Targets | None = None) -> BoundModel:
        """Bind the network to a backend with a copy of θ, to be trained on y."""
        model, theta = self._model(be), be.memory.new_parameters(self.layout)
        be.memory.copy(model.theta.flat, into=theta.flat)
        cost = self.cost
        if y and not y.distributions and cost.needs_distributions:
            cost = cost.unpaired()
        return replace(model, cost=cost, theta=theta)

    # files and other libraries

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a safetensors file. An existing file is replaced only by a complete one.

        Raises:
            ValueError: if the network has a custom activation or cost, which a file cannot hold.
            OSError: if the path cannot be written.

        >>> net = gpunn.Network([2, 3, 1], seed=0)
        >>> net.save("model.safetensors")
        >>> np.array_equal(gpunn.Network.load("model.safetensors").theta, net.theta)
        True
        """
        model.write(Path(path), *self.description())

    def description(self) -> model.Description:
        """Return what a file keeps: the network and its meta, for JSON, and the arrays by name.

        Raises ValueError as `save` does.
        """
        custom = [layer.f.name for layer in self.layers if layer.f not in activations.ACTIVATIONS.values()]
        custom += [] if costs.has_name(self.cost) else [self.cost.name]
        if custom:
            raise ValueError(f"'{custom[0]}' is your own function: only gpunn's functions can be saved")
        layers = [
            {
                "n": layer.n,
                "activation": layer.f.name,
                "init": layer.initializer,
                "dropout": layer.dropout,
                "batch_norm": layer.batch_norm,
            }
            for layer in self.layers
        ]
        network = {"n_in": self.sizes[0], "layers": layers, "cost": self.cost.name}
        network["input_dropout"] = self.dropout[0]
        meta = self.meta
        if predicts_labels(self) and not predicts_labels(self, learnt=False):
            meta = {**meta, "classes": list(range(self.sizes[-1]))}  # or a file would forget what was learnt
        return network, meta, self._tensors()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Network:
        """Read a file that `save` wrote; a folder means the `model.safetensors` in it.

        The parameters are bitwise identical.

        Raises:
            ValueError: if the file does not exist, is damaged, or is not gpunn's; the message names it.
        """
        network, meta, tensors = model.read(Path(path))
        with model.blame_file(Path(path)):
            return cls.from_description(network, meta, tensors)

    @classmethod
    def from_description(
        cls, network: dict[str, Any], meta: dict[str, Any], tensors: Mapping[str, np.ndarray]
    ) -> Network:
        """Build a network from its `description`."""
        layers = [Dense(**layer) for layer in network["layers"]]
        dtype, dropped = tensors["w1"].dtype, network.get("input_dropout", 0.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = cls(network["n_in"], layers, network["cost"], 0, dtype, meta, dropped)
        for name, view in net._tensors().items():
            view[:] = tensors[name]
        return net

    @classmethod
    def from_torch(
        cls, module: Any, cost: str | Cost | None = None, meta: dict[str, Any] | None = None
    ) -> Network:
        """Convert a PyTorch `nn.Sequential` of Linear, BatchNorm1d, activations and Dropout.

        The weights are copied exactly, in the module's dtype. Examples are rows there and columns here.

        Raises:
            ValueError: if there is a layer of another kind; the message has its place.
            ImportError: if PyTorch is not installed.
        """
        return cls._from_parts(torch.from_torch(module), cost, meta)

    def to_torch(self) -> Any:
        """Convert to a PyTorch `nn.Sequential` in evaluation mode.

        It takes examples as rows, and pixels scaled by 1/255.

        Raises:
            ValueError: if PyTorch does not have one of the activations.
            ImportError: if PyTorch is not installed.
        """
        return torch.to_torch(self.layers, self._tensors(), self.dropout[0])

    @classmethod
    def from_sklearn(cls, estimator: Any, meta: dict[str, Any] | None = None) -> Network:
        """Convert a fitted `MLPClassifier` or `MLPRegressor` of scikit-learn.

        The weights are copied exactly, in the estimator's dtype. Its classes are put into `meta`.

        Raises:
            ValueError: if it is another estimator, or is not fitted.

        >>> from sklearn.neural_network import MLPClassifier
        >>> X, y = np.eye(4), [0, 1, 1, 0]
        >>> theirs = MLPClassifier((5,), solver="lbfgs", random_state=0).fit(X, y)
        >>> ours = gpunn.Network.from_sklearn(theirs)
        >>> np.allclose(ours.forward(X.T), theirs.predict_proba(X)[:, 1])
        True
        """
        return cls._from_parts(sklearn.from_sklearn(estimator), None, meta)

    @classmethod
    def _from_parts(cls, parts: Parts, cost: str | Cost | None, meta: dict[str, Any] | None) -> Network:
        """Build a network from the parts of another library's; `meta` is added to the parts' own."""
        meta = {**parts.meta, **(meta or {})}
        net = cls(parts.n_in, parts.layers, cost, None, parts.dtype, meta, parts.input_dropout)
        for name, view in net._tensors().items():
            view[:] = parts.arrays[name]
        return net

    def astype(self, dtype: DTypeLike) -> Network:
        """Return a copy in float32 or float64."""
        copy = self._like(self.layers, dtype)
        for name, view in self._tensors().items():
            copy._tensors()[name][:] = view
        return copy

    def _like(self, layers: Sequence[Dense], dtype: DTypeLike) -> Network:
        """Return a network with this one's settings and arbitrary weights."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = Network(self.sizes[0], layers, self.cost, 0, dtype, self.meta, self.dropout[0])
        net.learnt_labels = self.learnt_labels
        return net

    def _tensors(self) -> dict[str, np.ndarray]:
        """View every array that a model file holds, by name."""
        tensors: dict[str, np.ndarray] = {}
        for l, (w, b, norm) in enumerate(zip(self.weights, self.biases, self.norms, strict=True), start=1):
            tensors |= {f"w{l}": w, f"b{l}": b, **{f"{name}{l}": x for name, x in (norm or {}).items()}}
        return tensors


def predicts_labels(net: Predictor, *, learnt: bool = True) -> bool:
    """Whether the outputs stand for classes: the network or its cost says so, or it has learnt labels.

    A single output may have learnt the numbers 0 and 1, so labels decide only for several outputs. Networks
    for tables always name their classes.

    learnt: whether to count what the network was trained on.
    """
    if net.meta.get("classes") or "table" in net.meta:
        return bool(net.meta.get("classes"))
    by_design = net.output_activation.gives_probabilities or net.cost.of_labels
    return by_design or (learnt and net.learnt_labels and net.sizes[-1] > 1)


def classify(a: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Return the labels (m,) of outputs a (n_out, m)."""
    labels: np.ndarray = (a[0] > threshold).astype(np.intp) if len(a) == 1 else np.argmax(a, axis=0)
    return labels


def _check_layers(layers: Sequence[Dense] | None) -> tuple[Dense, ...]:
    """Return the layers. Raises ValueError if they do not make a network."""
    if not layers:
        raise ValueError("a network needs at least one layer")
    for layer in layers:
        if not isinstance(layer, Dense):
            raise ValueError(f"a layer must be a Dense, such as Dense(30, 'relu'), not {layer!r}")
    if layers[-1].dropout:
        raise ValueError("the outputs cannot be dropped: the last layer must have dropout=0")
    if layers[-1].batch_norm:
        raise ValueError("the outputs cannot be normalised: the last layer must have batch_norm=False")
    return tuple(layers)


def _check_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, not {np.dtype(dtype)}")
    return np.dtype(dtype)
