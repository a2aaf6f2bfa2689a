"""Tables that are too large for memory: Parquet files, of which some row groups at a time are in memory.

`statistics` makes the one pass that the preparation needs, `rows` turns row groups into examples, and `task`
is what `gpunn train` trains on. `memory` divides the limit of `--memory`, which nothing here may exceed.
"""
