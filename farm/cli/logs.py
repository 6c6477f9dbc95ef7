"""Logging of the commands: plain lines on stderr."""

from __future__ import annotations

import logging
import sys

from farm.printable import plain


def set_up(verbose: int, least: int = logging.WARNING) -> None:
    """Log to stderr.

    Args:
        verbose: how often ``--verbose`` was given: once for what happens, twice for every detail.
        least: the level without it.
    """
    level = (least, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(asctime)s %(levelname)-7s %(message)s"))
    logger = logging.getLogger("farm")
    logger.handlers[:] = [handler]
    logger.setLevel(level)


class _Lines(logging.Formatter):
    """Writes records so that nothing in them is obeyed by a terminal, or looks like another one."""

    def format(self, record: logging.LogRecord) -> str:
        """Control characters are written out; what follows the first line is set in."""
        return plain(super().format(record)).replace("\n", "\n    ")
