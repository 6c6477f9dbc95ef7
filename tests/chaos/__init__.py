"""Harm done to a farm of real processes at random moments, and a count of what came of it.

`run.py` is the program (`scripts/chaos`), `test_chaos.py` a short run of it.
"""
