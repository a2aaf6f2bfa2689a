"""The CPU backend: NumPy's ufuncs and SciPy's BLAS."""
