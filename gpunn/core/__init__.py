"""A network's parts and a training step: layers, θ, the equations, optimizers, plans, the backend protocol.

The mathematics names its operands here; it is computed in `gpunn.backends`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ["optimizers"])
