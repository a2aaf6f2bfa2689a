"""The CUDA backend. Only `cupy_device` and its neighbours `cublaslt` and `diagnosis` import CuPy."""
