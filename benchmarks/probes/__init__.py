"""Probes: where a GPU's time goes, in tables that a GPU's owner can send.

`python -m benchmarks.probes` runs them all. Each probe is a module with a `PROBE`.
"""
