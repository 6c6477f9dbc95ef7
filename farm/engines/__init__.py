"""Engines run chunks of tasks on this machine; `base` says what a node may ask of one."""
