"""Training a network: examples, epochs, stopping, schedules, checkpoints, callbacks and records.

`callbacks` and `schedules` are public; the rest is used through `Network.fit`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ["callbacks", "schedules"])
