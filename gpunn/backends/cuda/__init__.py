"""The CUDA backend: fuse the equations (`fusing`), lower them (`equations`), capture them (`backend`).

Many networks of one shape share a graph (`stacks`). Small ones have a kernel that does it all (`resident`).

`device` is the narrow waist by which everything here drives a GPU. Only `cupy_device`, `cublaslt` and
`diagnosis` import CuPy or nvmath.
"""
