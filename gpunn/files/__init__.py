"""Model files, JSON schemas, locks, and atomic writing of files.

`model` reads and writes saved networks, and `schema/` describes every file that gpunn writes. A change here
must keep the files of earlier versions readable.
"""
