"""Look inside a network: gradient check, statistics of its layers, metrics of its predictions.

Everything here measures; nothing here changes a network.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ["statistics"])
