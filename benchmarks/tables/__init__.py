"""Tables beside other libraries: `python -m benchmarks.tables`.

Each contestant trains with its defaults on half of a public table and is tested on the other half, several
times. The settings of gpunn's recipe were chosen on one half of the tables (`sets.chosen_on`) alone.
"""
