"""Tables: CSV, Parquet and NumPy files, and what makes X and y of their columns."""
