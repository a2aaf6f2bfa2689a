"""Attack every door of the command line: `python -m benchmarks.attack --minutes 10`.

Damaged inputs, kills, full disks, signals and races. Every trial runs in a process of its own, under limits
(`sandbox`), and is judged by the same rules: no traceback, no hang, no memory over 2 GB, an error of one line
that names the file, and no file lost, overwritten or half-written. A seed reproduces each trial.
"""
