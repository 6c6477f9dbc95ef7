"""Text from elsewhere as it may stand in a terminal or a log: nothing in it is obeyed.

Apart from the commands because the server's log takes names from nodes, too.
"""

from __future__ import annotations

import re

MAX_LINE = 500
"""Characters of a text that is to be one line of a log, or part of one."""

UNSEEN = "\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069"
"""What a terminal obeys beyond ASCII, for a class of a regular expression: controls, and what turns
the direction of letters round or ends a line (Unicode Standard Annex 9)."""

_CONTROLS = re.compile(rf"[\x00-\x08\x0b-\x1f{UNSEEN}]")


def plain(text: str) -> str:
    """Text without what a terminal would obey: control characters are written out.

    Example:
        >>> plain("a\\x1b[31mb")
        'a\\\\x1b[31mb'
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else _written(one) for one in text)


def in_line(text: str, most: int = MAX_LINE) -> str:
    """The same as one line of bounded length; what follows is left out, with a mark.

    Example:
        >>> in_line("a\\nb" + "c" * 100, 10)
        'a\\\\nbccc...'
    """
    start = text[: most + 1]
    if not start.isprintable():
        start = "".join(one if one.isprintable() else _written(one) for one in start)
    return start if len(start) <= most else f"{start[: most - 3]}..."


def harmless(text: str) -> str:
    """Text in which control characters alone are written out: JSON stays what it is.

    Example:
        >>> harmless("x,a\x1b[31mb\xa0c\n")
        'x,a\\x1b[31mb\xa0c\n'
    """
    return _CONTROLS.sub(lambda found: _written(found[0]), text)


def _written(one: str) -> str:
    return repr(one)[1:-1]
