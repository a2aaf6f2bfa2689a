"""Kernels in C++ for the CPU, which the user's own compiler builds once for its processor.

`examples`, `sparse`, `distort`, `dropout`, `layers`, `norm`, `vectors` and `outputs` turn equations into
operations, which the C++ file of the same name computes. `lowering` makes programs of them, and a team of
threads runs a program. `source` puts the source of the kernels together, `compiler` finds a compiler and
builds a library, `kept` keeps it in the cache of the user, and `library` loads it.
"""
