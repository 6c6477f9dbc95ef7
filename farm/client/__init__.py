"""The Python API: a session with a farm, and the batches submitted through it."""
