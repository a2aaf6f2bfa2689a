"""The CPU backend: each equation is lowered by one function to NumPy ufuncs and SciPy's BLAS.

Every buffer is allocated when an equation is bound. The calls that run allocate nothing.
"""
