"""Farm and its peers, measured in the same run on the same work; `scripts/bench` runs it.

Apart from `farm/`, so that none of it is installed with farm. Each measurement is a process of its
own (`side.py`), started by `runner.py`: nothing of one peer is there while another is measured.
"""
