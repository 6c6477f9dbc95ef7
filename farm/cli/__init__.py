"""The commands of ``farm``: one a file, over the same library that the Python API is."""
