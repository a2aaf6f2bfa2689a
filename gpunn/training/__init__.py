"""Training a network. Start at `fit`, then follow an epoch through `loop` and `sources`.

`callbacks` and `schedules` are public; the rest is used through `Network.fit`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ["callbacks", "schedules"])
