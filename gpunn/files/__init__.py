"""Model files, their JSON schemas, and writing files whole."""
