"""The CUDA backend: fuse the equations (`fusing`), lower them (`equations`), capture them (`backend`).

`device` is the narrow waist by which everything here drives a GPU. Only `cupy_device`, `cublaslt` and
`diagnosis` import CuPy or nvmath.
"""
