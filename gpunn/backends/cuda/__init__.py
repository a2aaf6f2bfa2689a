"""The CUDA backend. Only `cupy_device`, `cublaslt` and `diagnosis` import CuPy or nvmath."""
