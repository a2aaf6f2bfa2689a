"""Fully connected networks, trained by matrix-based back-propagation on NumPy or CUDA.

The public names are listed in `__init__.pyi` and imported when they are first used.
"""

import sys

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

if "IPython" in sys.modules:  # a notebook: give `Network` and `History` their HTML views
    from gpunn.report import notebook as _notebook  # noqa: F401
