"""Durations, rates, sizes and shares: what texts with units are worth, against exact fractions."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.batch.quantities import rate, seconds, share, size

SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": Fraction(1, 1000)}
BYTES = {
    "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
numbers = st.from_regex(
    r"[0-9]{1,9}(\.[0-9]{0,6})?|\.[0-9]{1,6}", fullmatch=True, alphabet="0123456789."
)


@given(st.lists(st.sampled_from(list(SECONDS)), unique=True, min_size=1), st.data())
def test_durations_are_the_sum_of_their_parts(units: list[str], data: st.DataObject) -> None:
    parts = {unit: data.draw(numbers) for unit in SECONDS if unit in units}
    text = "".join(f"{number}{unit}" for unit, number in parts.items())
    exact = sum(Fraction(number) * SECONDS[unit] for unit, number in parts.items())
    assert seconds(text) == pytest.approx(float(exact), rel=1e-12)


@given(numbers, st.sampled_from("smh"))
def test_rates_are_numbers_over_seconds(number: str, unit: str) -> None:
    exact = Fraction(number) / Fraction(SECONDS[unit])
    assert rate(f"{number}/{unit}") == pytest.approx(float(exact), rel=1e-12)


@given(numbers, st.sampled_from(list(BYTES)))
def test_sizes_are_whole_bytes(number: str, unit: str) -> None:
    exact = Fraction(number) * BYTES[unit]
    assert exact - 1 < size(f"{number}{unit}") <= exact


@given(st.integers(0, 100_000))
def test_shares_are_the_nearest_numbers(thousandths: int) -> None:
    text = f"{thousandths // 1000}.{thousandths % 1000:03}%"
    assert share(text) == float(Fraction(thousandths, 100_000))


@given(st.floats(0, allow_infinity=False))
def test_plain_numbers_are_seconds_and_rates_a_second(number: float) -> None:
    assert seconds(number) == rate(number) == number


@pytest.mark.parametrize("parse", [seconds, rate, size, share])
@pytest.mark.parametrize(
    "wrong",
    [
        *(-1, True, None, 10**400 * -1, float("nan"), float("inf"), [], {}, b"5"),
        *("", " ", "5", "-5s", "5 s", "5S", "/s", "5/", "5/ s", "5/d", "1e3/s", "0x1/s", "5/s/s"),
        *("MB", "5mb", "5 MB", "5B", "5MBs", "1..5MB", ".MB", "٣MB", "5kiB", "5M", "1e3MB"),
        *("%", "5 %", "-5%", "101%", "100.001%", "1e1%", "5%%", "9" * 5000 + "d/%TB"),
    ],
)
def test_what_is_no_quantity_is_refused(parse: Callable[[Any], float], wrong: object) -> None:
    with pytest.raises(ValueError):
        parse(wrong)


@pytest.mark.parametrize(
    ("parse", "text"),
    [(seconds, "9" * 400 + "s"), (rate, "9" * 400 + "/s"), (size, "9" * 5000 + "B")],
)
def test_what_no_number_can_hold_is_refused(parse: Callable[[Any], float], text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)
    with pytest.raises(ValueError):
        parse(10**400 if parse is not size else 1.0)
