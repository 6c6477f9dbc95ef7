"""Messages with large payloads are the same bytes, whether in pieces or not."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.batch.spec import Options
from farm.engines import messages as slots
from farm.pieces import LARGE, MARK, cut
from farm.wire import codec
from farm.wire.leases import Part, Report, Want
from farm.wire.messages import Append, Block, Cancel, Message, Outcome, Outcomes, Submit

SIZES = st.lists(st.sampled_from([0, 1, 300, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE]), max_size=6)


def payload(size: int, number: int) -> bytes:
    return bytes([number % 256]) * size


def blocks(sizes: list[int]) -> list[Block]:
    return [Block(at, at + 1, payload(size, at)) for at, size in enumerate(sizes)]


def outcomes(sizes: list[int]) -> Outcomes:
    return Outcomes(
        [Outcome(i, i + 1, "n", 0.5, 0, payload(n, i), b"1234") for i, n in enumerate(sizes)],
        7, False, "running",
    )  # fmt: skip


def report(sizes: list[int]) -> Report:
    parts = [Part(1, i, i + 1, payload(n, i), b"1234") for i, n in enumerate(sizes)]
    return Report(parts, [], [], Want(1, 0, 0.0))


def check(number: int, body: Message, carried: Sequence[Any]) -> None:
    pieces = codec.encode_pieces(number, body)
    assert b"".join(pieces) == codec.encode(number, body)
    alone = {id(piece) for piece in pieces}
    assert [id(one.payload) in alone for one in carried] == [
        len(one.payload) >= LARGE for one in carried
    ]
    assert b"" not in pieces


@given(SIZES)
@settings(max_examples=60, deadline=None)
def test_pieces_are_the_message(sizes):
    some = blocks(sizes)
    check(7, Append(3, some, False), some)
    check(1, Submit("token", "name", len(some), Options(), b"", blocks=some), some)
    page, said = outcomes(sizes), report(sizes)
    check(300, page, page.outcomes)
    check(70_000, said, said.parts)
    for block in some:
        check(5, block, [block])


def test_other_messages_are_one_piece():
    assert codec.encode_pieces(4, Cancel("1")) == [codec.encode(4, Cancel("1"))]


def test_of_very_many_entries_none_is_looked_at():
    body = Append(1, blocks([1] * 1000))
    assert codec.encode_pieces(1, body) == [codec.encode(1, body)]


@pytest.mark.parametrize("size", [0, LARGE - 1, LARGE, 5 * LARGE])
def test_what_slots_and_nodes_say_is_the_same_too(size):
    for message in (
        slots.Done(0, 1, payload(size, 1), b"1234"),
        slots.UseBlock(3, payload(size, 2)),
    ):
        pieces = slots.encode_pieces(message)
        assert b"".join(pieces) == slots.encode(message)
        assert any(piece is message.payload for piece in pieces) == (size >= LARGE)


def test_a_message_without_its_marks_is_an_error_and_not_half_a_message():
    with pytest.raises(ValueError):
        cut(msgspec.msgpack.encode([MARK]), [bytes(LARGE), bytes(LARGE)])
