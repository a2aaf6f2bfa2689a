"""The kinds of data that a table is read from: CSV and Parquet files, NumPy arrays and DataFrames.

Each module has a class with the methods of `gpunn.tables.table.Source`. To add a kind, write another one and
choose it in `gpunn.tables.reading.open_table`.
"""
