"""Messages to bytes and back."""

from __future__ import annotations

import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.batch.spec import Options
from farm.errors import ProtocolError
from farm.wire import codec, controls, leases, messages

REQUESTS = typing.get_args(codec.Request)
REPLIES = typing.get_args(codec.Reply)

_INTEGERS = st.integers(-(2**63), 2**63 - 1)
_FLOATS = st.floats(allow_nan=False)
_LEAVES = {
    int: _INTEGERS,
    float: _FLOATS,
    str: st.text(max_size=20),
    bytes: st.binary(max_size=40),
    bool: st.booleans(),
    type(None): st.none(),
    Options: st.builds(
        Options,
        retries=st.integers(0, 1000),
        timeout=st.none() | st.floats(0.001, 1e9),
        priority=st.integers(-1000, 1000),
    ),
}


def values_of(annotation: object) -> st.SearchStrategy:
    """Any value of a field's type."""
    if annotation in _LEAVES:
        return _LEAVES[annotation]
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return st.lists(values_of(args[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(values_of(args[0]), values_of(args[1]), max_size=3)
    if origin is tuple:
        return st.tuples(*map(values_of, args))
    if args:
        return st.one_of(*map(values_of, args))
    assert isinstance(annotation, type)
    assert issubclass(annotation, msgspec.Struct)
    return structs_of(annotation)


def structs_of(kind: type[msgspec.Struct]) -> st.SearchStrategy:
    """Any message of a kind."""
    fields = typing.get_type_hints(kind)
    return st.builds(kind, **{name: values_of(fields[name]) for name in kind.__struct_fields__})


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_request_comes_back_as_it_was(kind, data):
    body, number = data.draw(structs_of(kind)), data.draw(st.integers(0, 2**63))
    assert codec.decode_request(codec.encode(number, body)) == (number, body)


@pytest.mark.parametrize("kind", REPLIES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_reply_comes_back_as_it_was(kind, data):
    body, number = data.draw(structs_of(kind)), data.draw(st.integers(0, 2**63))
    assert codec.decode_reply(codec.encode(number, body)) == (number, body)


def test_every_message_is_a_request_a_reply_or_within_one():
    kinds = {
        kind
        for kind in [*vars(messages).values(), *vars(leases).values(), *vars(controls).values()]
        if isinstance(kind, type) and issubclass(kind, messages.Message)
    }
    within = {
        messages.Message, messages.NodeShare, messages.Failure, messages.Outcome,
        messages.NodeInfo, leases.Held, leases.Part, leases.Failed, leases.Unheard,
    }  # fmt: skip
    assert kinds - within == set(REQUESTS) | set(REPLIES)


def refused_or_read(decode, data):
    try:
        number, body = decode(data)
    except ProtocolError:
        return
    assert isinstance(number, int)
    assert isinstance(body, messages.Message)


@given(st.binary(max_size=200))
def test_garbage_is_a_protocol_error(data):
    refused_or_read(codec.decode_request, data)
    refused_or_read(codec.decode_reply, data)


@given(st.data())
def test_a_message_with_a_changed_byte_is_read_or_refused(data):
    kind = data.draw(st.sampled_from(REQUESTS))
    frame = bytearray(codec.encode(1, data.draw(structs_of(kind))))
    frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    refused_or_read(codec.decode_request, bytes(frame))


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\x91" * 100_000, b"\xdf\xff\xff\xff\xff", b"\x92\x01\x91\xa3" + b"\xff" * 3],
    ids=["empty", "reserved", "deep", "huge map", "not UTF-8"],
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ProtocolError, match="not a request"):
        codec.decode_request(data)
    with pytest.raises(ProtocolError, match="not a reply"):
        codec.decode_reply(data)


def test_a_reply_is_no_request():
    with pytest.raises(ProtocolError):
        codec.decode_request(codec.encode(1, messages.Welcome("1", "s")))


def test_types_are_checked():
    wrong = msgspec.msgpack.encode([1, ["GetBlock", "one", 0]])
    with pytest.raises(ProtocolError, match="int"):
        codec.decode_request(wrong)


def test_options_keep_their_defaults():
    submit = messages.Submit("t", "n", 1, Options(), b"")
    assert codec.decode_request(codec.encode(1, submit))[1].options == Options(0, None, 0)


@pytest.mark.parametrize("number", [2**63, 2**64 - 1])
def test_a_number_that_the_journal_cannot_keep_is_no_request(number):
    frame = codec.encode(1, messages.GetOutcomes(1, number))
    with pytest.raises(ProtocolError, match="int"):
        codec.decode_request(frame)


@given(st.integers(0, 2**64 - 1))
def test_the_number_of_a_request_is_found_in_its_first_bytes(number):
    frame = codec.encode(number, messages.GetNodes())
    assert codec.number_of(frame[:16]) == number


@given(st.binary(max_size=16))
def test_the_first_bytes_of_anything_else_name_no_request_or_one(head):
    found = codec.number_of(head)
    assert found is None or 0 <= found < 2**64
