"""Kernels in C++ for the CPU, which the user's own compiler builds once for its processor.

`lowering` turns equations into operations, and `operations` lists of these into programs. A team of
threads runs a program by the kernels in the C++ files. `source` puts their source together, `compiler` finds
a compiler and builds a library, `kept` keeps it in the cache of the user, and `library` loads it.
"""
