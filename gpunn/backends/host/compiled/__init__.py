"""Kernels in C++ for the CPU, which the user's own compiler builds once for its processor.

`compiler` finds a compiler and builds a library; `kept` keeps it in the user's cache.
"""
