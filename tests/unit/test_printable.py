"""Whatever a text holds, a terminal obeys nothing of it, and a log has one line of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farm.client.jsontext import to_json
from farm.printable import MAX_LINE, harmless, in_line, plain

EVIL = "a\x1b]0;owned\x07\x9b31m\r\n2026-01-01 ERROR forged\u202e\x7f\x00"
CONTROLS = {chr(code) for code in (*range(32), *range(0x7F, 0xA0))}


@given(st.text(), st.integers(4, 600))
@example(EVIL, 500)
@example("\n" * 1000, 10)
def test_a_line_is_one_printable_line_of_bounded_length(text: str, most: int) -> None:
    line = in_line(text, most)
    assert line.isprintable()
    assert len(line) <= most


@given(st.text(max_size=20).filter(str.isprintable))
def test_what_can_be_printed_stays_as_it_is(text: str) -> None:
    assert plain(text) == in_line(text) == harmless(text) == text


def test_very_long_texts_are_cut_and_not_all_looked_at() -> None:
    assert in_line("x" * 10**6) == "x" * (MAX_LINE - 3) + "..."


@given(st.text())
@example(EVIL)
def test_of_what_a_terminal_obeys_lines_and_tabs_remain(text: str) -> None:
    for shown in (plain(text), harmless(text)):
        assert not CONTROLS & set(shown) - set("\n\t")
        assert shown.count("\n") == text.count("\n")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_json_escapes_what_a_terminal_obeys_and_stays_the_same(encoding: str) -> None:
    written = to_json({EVIL: [EVIL]}, encoding=encoding)
    assert not CONTROLS & set(written)
    assert json.loads(written) == {EVIL: [EVIL]}
    assert harmless(written) == written
