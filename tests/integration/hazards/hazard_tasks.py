"""What a server or a node can import and a client cannot: an error of a class of its own."""

from __future__ import annotations


class Problem(Exception):
    """Known where this module is, and nowhere else."""


def fail() -> None:
    raise Problem("the disk is full")
