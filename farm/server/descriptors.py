"""How many connections a server can take: fewer than its process may have open files."""

from __future__ import annotations

import sys

SPARE_DESCRIPTORS = 64
"""What is left to the journal and the like when connections have used up the rest."""

WITHOUT_LIMIT = 16_384
"""Where the platform names no limit."""


def most_connections(wanted: int | None = None) -> int:
    """As many as are wanted and descriptors allow, after raising the soft limit to the hard one.

    Args:
        wanted: None for as many as there can be.
    """
    most = _allowed()
    return most if wanted is None else min(wanted, most)


def _allowed() -> int:
    if sys.platform == "win32":
        return WITHOUT_LIMIT
    import resource  # there is none on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return WITHOUT_LIMIT
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(1, hard - SPARE_DESCRIPTORS)
