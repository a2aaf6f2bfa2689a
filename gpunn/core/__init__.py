"""A network's parts and a training step: layers, θ, the equations, optimizers, plans, the backend protocol.

The mathematics is said here, with its operands by name; `gpunn.backends` computes it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ["optimizers"])
