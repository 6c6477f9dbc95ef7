"""Quantities with units, as people write them: durations, rates, sizes and shares.

Apart from the fields that take them because they know nothing of batches.
"""

from __future__ import annotations

import re
import sys
from fractions import Fraction
from typing import Any

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES = {f"{prefix}B": 1000**n for n, prefix in enumerate("kMGT", 1)} | {
    f"{prefix}iB": 1024**n for n, prefix in enumerate("KMGT", 1)
}
_DURATION = re.compile(
    r"(?=\d|\.\d)"
    + "".join(rf"(?:(?P<{unit}>\d+(?:\.\d*)?|\.\d+){unit}(?![a-z]))?" for unit in _SECONDS)
)

RATE_PATTERN = f"^{_NUMBER}/[smh]$"
SIZE_PATTERN = f"^{_NUMBER}({'|'.join(_BYTES)})$"
SHARE_PATTERN = f"^{_NUMBER}%$"


def seconds(value: Any) -> float:
    """A duration in seconds: a number from 0, or text such as ``1h30m``, ``1.5m``, ``500ms``.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if not match:
            raise ValueError("not a duration")
        value = sum(float(n) * _SECONDS[unit] for unit, n in match.groupdict().items() if n)
    return _number(value)


def rate(value: Any) -> float:
    """So many a second: a number from 0, or text such as ``5/s``, ``100/m``, ``1.5/h``.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, str):
        if not _matches(RATE_PATTERN, value):
            raise ValueError("not a rate")
        number, _, unit = value.partition("/")
        value = float(number) / _SECONDS[unit]
    return _number(value)


def size(value: Any) -> int:
    """A number of bytes: a whole number from 0, or text such as ``512MB`` or ``1.5GiB``.

    ``kB MB GB TB`` are powers of 1000, ``KiB MiB GiB TiB`` of 1024; parts of a byte are dropped.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, str):
        if not _matches(SIZE_PATTERN, value):
            raise ValueError("not a size")
        number = value.rstrip("kKMGTiB")
        value = int(Fraction(number) * _BYTES[value[len(number) :]])
    if type(value) is not int or value < 0:
        raise ValueError("not a size")
    return value


def share(text: Any) -> float:
    """A share, 0 to 1, of text such as ``5%`` or ``0.5%``.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(text, str) or not _matches(SHARE_PATTERN, text):
        raise ValueError("not a share")
    value = float(f"{text[:-1]}e-2")  # and not a division: 0.7% is 0.007 to the last bit
    if value > 1:
        raise ValueError("not a share")
    return value


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= sys.float_info.max:
        raise ValueError("not a number from 0")
    return float(value)
