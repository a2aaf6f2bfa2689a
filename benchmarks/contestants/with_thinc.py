"""thinc, with its own layers, optimizer and shuffled mini-batches."""

from __future__ import annotations

from benchmarks.contestants.base import Weights, library, timed
from benchmarks.nets import Problem

LAYERS = {"relu": "Relu", "sigmoid": "Sigmoid", "softmax": "Softmax"}


class Thinc:
    """thinc on the CPU. Its softmax expects the gradient with respect to z, as from its cross-entropy."""

    def __init__(self, problem: Problem) -> None:
        api, net = library("thinc.api"), problem.net
        self.X, self.Y, self.max_examples = problem.rows(), problem.one_hot(), problem.data.X.shape[1]
        sizes = zip(net.sizes[1:], net.sizes, net.activations, strict=False)
        self.layers = [getattr(api, LAYERS[f])(n_out, n_in) for n_out, n_in, f in sizes]
        self.model = api.chain(*self.layers)
        self.model.initialize()
        for layer, (w, b) in zip(self.layers, problem.start, strict=True):
            layer.set_param("W", w.copy(order="C"))
            layer.set_param("b", b.copy())
        self.optimizer = api.SGD(net.learning_rate, L2=0.0, grad_clip=0.0)
        self.batch_size = net.batch_size

    def epoch(self, m: int) -> float:
        """Train for one epoch and return the mean of Σ (a − y)² as the loss."""
        total = 0.0
        for x, y in self.model.ops.multibatch(self.batch_size, self.X[:m], self.Y[:m], shuffle=True):
            a, backpropagate = self.model.begin_update(x)
            error = a - y
            backpropagate(error / len(x))
            self.model.finish_update(self.optimizer)
            total += float((error * error).sum())
        return total / m

    def seconds(self, m: int, epochs: int) -> float:
        return timed(lambda: self.epoch(m), epochs)

    def weights(self) -> Weights:
        return [(layer.get_param("W"), layer.get_param("b")) for layer in self.layers]
