"""The fuzz run: a live server under malformed frames, silent and slow peers, and what it may cost.

Beside the rest of the tests because `scripts/fuzz` runs it at length; `test_fuzz.py` runs less.
"""
