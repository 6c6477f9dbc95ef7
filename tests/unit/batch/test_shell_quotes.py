"""Where quotes are open in a shell's text."""

from __future__ import annotations

import pytest

from farm.batch.shell import quoted_places


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("a X b", False),
        ("a 'X'", True),
        ('a "X"', True),
        ("a '' X", False),
        ("a \\' X", False),
        ('a "\\" X"', True),
        ("a '\\' X", False),
        ('"$(X)"', False),
        ('"$(b "X")"', True),
        ('"$(b) X"', True),
        ('"`X`"', False),
        ('"`b` X"', True),
        ('"a(b" X', False),
        ("(a 'b') X", False),
        ("# don't\nX", False),
        ("a#don't X", True),
        ('"it\'s X"', True),
        ('"it\'s" X', False),
        ("# the end 'X", False),
    ],
)
def test_whether_the_mark_stands_inside_quotes(text: str, inside: bool) -> None:
    assert (text.index("X") in quoted_places(text)) is inside
