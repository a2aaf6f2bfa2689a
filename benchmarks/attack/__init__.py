"""Attack every door of the command line: `python -m benchmarks.attack --minutes 10`.

Damaged inputs, kills, full disks, signals and races. Every trial runs in a process of its own, under limits
(`sandbox`), and is judged by the same rules (`rules`): no traceback, no hang, no memory over 2 GB, an error
of one line that names the file, and no file lost, overwritten or half-written. A seed repeats a trial.

A worker imports everything once and forks each trial. One trial in two hundred starts a new interpreter. No
verdict depends on the speed of the machine: a process is disturbed at its nth file operation or after some
CPU time (`moments`), and it hangs if it uses too much CPU time or sleeps for long.
"""
