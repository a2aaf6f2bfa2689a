"""Model files, JSON schemas, and atomic writing of files."""
