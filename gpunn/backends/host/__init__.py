"""The CPU backend: compiled kernels, and NumPy ufuncs and SciPy's BLAS for what they lack, or for everything.

Each equation is lowered by one function. In `compiled` it becomes operations of the kernels; in the modules
here, NumPy's calls, which are kept plain: they read like the formulas.

Every buffer is allocated when an equation is bound. The calls that run allocate nothing.
"""
