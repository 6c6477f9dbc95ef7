"""Words for messages: what was probably meant, and what was found instead of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from difflib import get_close_matches
from typing import Any

_MAX_CHOICES = 10_000
_MAX_SHOWN = 60


def did_you_mean(word: object, choices: Iterable[object]) -> str:
    """``; did you mean `matrix`?``, or nothing if no choice is close.

    Args:
        word: what was written; only texts are compared.
        choices: what it could have been; the first 10,000 are looked at.
    """
    if not isinstance(word, str):
        return ""
    texts = [choice for choice, _ in zip(choices, range(_MAX_CHOICES), strict=False)]
    close = get_close_matches(word, [text for text in texts if isinstance(text, str)], n=1)
    return f"; did you mean `{clipped(close[0])}`?" if close else ""


def one_of(names: Sequence[str], conjunction: str = "or") -> str:
    """``a, b or c``."""
    *first, last = names
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def found(value: Any) -> str:
    """What stands there, for a sentence that ends in ``not ...``."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {clipped(repr(value))}{number_hint(value)}"
    if isinstance(value, date):
        return f"the date {value.isoformat()}"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a mapping"
    return clipped(repr(value))


def number_hint(text: str) -> str:
    """Why a text that looks like a number is none."""
    quoted = re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text)
    return " (without quotes it would be a number)" if quoted else ""


def clipped(text: str, length: int = _MAX_SHOWN) -> str:
    """The text, shortened if it is longer than the length."""
    return text if len(text) <= length else f"{text[: length - 3]}..."
