"""Everything that has a formula: activations, costs, initializers, augmentation, random numbers.

An activation or a cost is one entry with all its spellings. Nothing here imports from another room, except
names.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ["activations", "costs"])
