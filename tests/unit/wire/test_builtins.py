"""Pickles of builtin values: what is read, and what is refused before it costs anything."""

from __future__ import annotations

import math
import os
import pickle
import pickletools
import struct
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.errors import ProtocolError
from farm.wire import builtins

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(2**300), 2**300),
    st.floats(allow_nan=False), st.text(), st.binary(),
)  # fmt: skip
KEYS = st.one_of(SCALARS, st.tuples(SCALARS, SCALARS), st.frozensets(SCALARS, max_size=3))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sets(KEYS, max_size=4),
        st.frozensets(KEYS, max_size=4),
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("protocol", [4, 5])
@given(value=VALUES)
def test_builtin_values_come_back_as_they_were(protocol, value):
    found = builtins.loads(pickle.dumps(value, protocol))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("protocol", [2, 3])
def test_older_protocols_are_read_where_they_name_no_global(protocol):
    value = [("math:factorial", (20,), {"x": [1.5, None, True, 2**70]})]
    assert builtins.loads(pickle.dumps(value, protocol)) == value


def test_the_protocol_of_text_is_refused():
    with pytest.raises(ProtocolError, match="not of a builtin value"):
        builtins.loads(pickle.dumps({"a": ["text", 1.5]}, 0))


def test_what_is_shared_stays_shared_and_a_list_may_hold_itself():
    inner: list = []
    inner.append(inner)
    found = builtins.loads(pickle.dumps([inner, inner], 4))
    assert found[0] is found[1] is found[0][0]


def test_a_value_made_by_dumps_is_read():
    assert builtins.loads(builtins.dumps(("#RETURN", {1: {2}}))) == ("#RETURN", {1: {2}})


class Reduced:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("must-not-be-made",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "value", [Reduced(), len, ValueError("x"), complex(1, 2), range(3), object(), Reduced]
)
def test_anything_with_a_class_or_a_function_is_refused(value, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProtocolError, match="builtin value"):
        builtins.loads(pickle.dumps([value], protocol))
    assert list(tmp_path.iterdir()) == []


DANGEROUS = [
    pickle.GLOBAL + b"os\nsystem\n", pickle.STACK_GLOBAL, pickle.REDUCE, pickle.BUILD,
    pickle.INST + b"os\nsystem\n", pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.EXT1 + b"\1",
    pickle.EXT2 + b"\1\0", pickle.EXT4 + b"\1\0\0\0", pickle.PERSID + b"x\n", pickle.BINPERSID,
    pickle.NEXT_BUFFER, pickle.READONLY_BUFFER,
    pickle.BYTEARRAY8 + struct.pack("<Q", 1 << 40), pickle.INT + b"1" * 5000 + b"\n",
    pickle.LONG + b"1" * 5000 + b"L\n", pickle.UNICODE + b"x\n", pickle.STRING + b"'x'\n",
]  # fmt: skip


@pytest.mark.parametrize("opcode", DANGEROUS, ids=lambda code: repr(code[:1]))
def test_opcodes_that_are_not_of_builtin_values_are_refused(opcode):
    stack = b"\x8c\x02os\x8c\x06system)"
    with pytest.raises(ProtocolError, match="not of a builtin value"):
        builtins.loads(b"\x80\x04" + stack + opcode + b".")


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04N" + pickle.LONG_BINPUT + struct.pack("<I", 2**31) + b".",
        b"\x80\x04" + pickle.BINBYTES8 + struct.pack("<Q", 1 << 40) + b".",
        b"\x80\x04" + pickle.BINUNICODE8 + struct.pack("<Q", 1 << 40) + b".",
        b"\x80\x04" + pickle.LONG4 + struct.pack("<i", 2**31 - 1) + b".",
        b"\x80\x04" + pickle.FRAME + struct.pack("<Q", 1 << 40) + b".",
    ],
    ids=["memo index", "bytes", "text", "integer", "frame"],
)
def test_a_claim_for_memory_is_refused_without_taking_it(data):
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            builtins.loads(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def named_again(key: bytes, times: int) -> bytes:
    """A dict in which one key (given by its opcodes) is set again and again."""
    again = pickle.BINGET + b"\0" + pickle.NONE + pickle.SETITEM
    return b"\x80\x04" + key + pickle.MEMOIZE + pickle.EMPTY_DICT + again * times + b"."


def shared_tuples(depth: int) -> bytes:
    """A dict's key that holds two of a tuple that holds two of a tuple ..."""
    pairs = b"".join(
        pickle.MEMOIZE + pickle.BINGET + bytes([level]) + pickle.TUPLE2 for level in range(depth)
    )
    return b"\x80\x04" + pickle.EMPTY_DICT + pickle.EMPTY_TUPLE + pairs + b"Ns."


LONG_TUPLE = pickle.MARK + pickle.NONE * 200_000 + pickle.TUPLE
LONG_NUMBER = pickle.LONG4 + struct.pack("<i", 1 << 20) + b"\1" * (1 << 20)
MANY_IN_A_SET = pickle.MARK + b"".join(
    pickle.BININT + struct.pack("<i", n) for n in range(20_000)
) + pickle.FROZENSET  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        shared_tuples(60),
        *(named_again(k, 20_000) for k in (LONG_TUPLE, LONG_NUMBER, MANY_IN_A_SET)),
    ],
    ids=["shared tuples", "long tuple", "long number", "large set"],
)
def test_keys_that_are_slow_to_hash_are_refused_at_once(data):
    start = time.process_time()
    with pytest.raises(ProtocolError, match="key"):
        builtins.loads(data)
    assert time.process_time() - start < 2.0


def test_a_deep_nest_is_read_or_refused_without_an_overflow():
    data = b"\x80\x04" + pickle.EMPTY_LIST * 100_000 + pickle.APPEND * 99_999 + b"."
    found, depth = builtins.loads(data), 1
    while found:
        found, depth = found[0], depth + 1
    assert depth == 100_000


WHOLE = pickle.dumps(
    ["text", b"bytes", 2**80, 1.5, {"a": (1, 2, 3), (1, "b"): {1, 2}}, frozenset([1]), "x" * 300], 4
)


@pytest.mark.parametrize("stop", range(len(WHOLE)))
def test_a_pickle_cut_short_is_a_protocol_error(stop):
    with pytest.raises(ProtocolError):
        builtins.loads(WHOLE[:stop])


@settings(max_examples=500)
@given(st.binary(max_size=100))
def test_garbage_is_a_protocol_error_or_a_builtin_value(data):
    try:
        found = builtins.loads(data)
    except ProtocolError:
        return
    assert type(found).__module__ == "builtins"


@settings(max_examples=500)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_changed_byte_is_a_protocol_error_or_a_builtin_value(at, byte):
    changed = bytearray(WHOLE)
    changed[at] = byte
    try:
        found = builtins.loads(changed)
    except ProtocolError:
        return
    assert type(found).__module__ == "builtins"


def test_nan_and_negative_zero_survive():
    found = builtins.loads(pickle.dumps([math.nan, -0.0], 4))
    assert math.isnan(found[0])
    assert math.copysign(1, found[1]) == -1


def in_steps(data: bytes, size: int, most: int = 1000) -> tuple[object, int]:
    """What is read so many opcodes at a time, and how many pauses there were."""
    work = builtins.load_in_steps(data, most, size)
    pauses = 0
    while True:
        try:
            next(work)
        except StopIteration as read:
            return read.value, pauses
        pauses += 1


@given(value=VALUES, size=st.integers(1, 50))
def test_what_is_read_in_steps_is_the_same(value, size):
    data = pickle.dumps(value, 4)
    found, pauses = in_steps(data, size)
    assert (found, type(found)) == (value, type(value))
    assert pauses == (sum(1 for _ in pickletools.genops(data)) - 1) // size


@settings(max_examples=500)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_what_is_wrong_is_found_in_steps_too(at, byte):
    changed = bytearray(WHOLE)
    changed[at] = byte
    results = []
    for read in (builtins.loads, lambda data: in_steps(data, 3)[0]):
        try:
            results.append(repr(read(bytes(changed))))
        except ProtocolError as error:
            results.append(str(error))
    assert results[0] == results[1]


def test_in_steps_there_may_be_so_many_and_no_more():
    data = pickle.dumps([1] * 100, 4)
    parts = sum(1 for _ in pickletools.genops(data))
    assert in_steps(data, 7, parts)[0] == [1] * 100
    with pytest.raises(ProtocolError, match=f"more than {parts - 1} parts"):
        in_steps(data, 7, parts - 1)
