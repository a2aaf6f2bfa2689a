"""Looking inside a network: gradient check, statistics by layer, metrics by class."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ["statistics"])
