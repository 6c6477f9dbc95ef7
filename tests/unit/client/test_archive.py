"""The files of an exported batch: what is written is read again, exactly, or refused."""

from __future__ import annotations

import math

import msgspec
import pytest
from fake_farm import done, failed
from hypothesis import given
from hypothesis import strategies as st

from farm.batch import spec as specs
from farm.batch.space import counted, listed
from farm.client import archive
from farm.client.archive import Head, Listed
from farm.wire.messages import Block, Failure, Outcome

TEXT = st.text(st.characters(codec="utf-8"))
BYTES = st.binary(max_size=40)
INDEX = st.integers(0, 2**62)
FAILURES = st.builds(Failure, TEXT, TEXT, TEXT, TEXT, st.none() | BYTES)


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    start, elapsed = draw(INDEX), draw(st.floats(0, 1e300))
    if draw(st.booleans()):
        retried = draw(st.sampled_from([[], [(start, 3)]]))
        return Outcome(start, start + 1, draw(TEXT), elapsed, 0, b"", b"", draw(FAILURES), retried)
    count, offset = draw(st.integers(1, 5)), draw(st.integers(0, min(3, start)))
    retried = [(start + i, draw(st.integers(2, 9))) for i in range(draw(st.integers(0, count)))]
    return Outcome(
        start, start + count, draw(TEXT), elapsed, offset, draw(st.binary(min_size=1)),
        draw(st.binary(min_size=4 * (count + offset), max_size=4 * (count + offset))), None,
        retried,
    )  # fmt: skip


@given(outcomes())
def test_an_outcome_comes_back_from_its_line(outcome):
    line = archive.outcome_line(outcome)
    assert line.index(b"\n") == len(line) - 1
    assert archive.read_outcome(line) == outcome


@given(INDEX, st.integers(1, 1000), BYTES)
def test_a_block_comes_back_from_its_line(start, count, payload):
    block = Block(start, start + count, payload)
    line = archive.block_line(block)
    assert line.index(b"\n") == len(line) - 1
    assert archive.read_block(line) == block


@pytest.mark.parametrize(
    "change",
    [
        {"stop": 3}, {"start": -1}, {"stop": "4"}, {"payload": "??"}, {"payload": ""},
        {"seconds": ""}, {"offset": 2}, {"offset": 4, "seconds": "A" * 400},
        {"retried": [[9, 2]]}, {"elapsed": -1.0}, {"failure": {}}, {"more": 1}, {"node": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_line_that_was_changed_is_refused(change):
    line = msgspec.json.decode(archive.outcome_line(done(3, [1, 2])))
    with pytest.raises(ValueError):
        archive.read_outcome(msgspec.json.encode({**line, **change}))


def test_a_failure_tells_of_one_task():
    line = msgspec.json.decode(archive.outcome_line(failed(3)))
    with pytest.raises(ValueError, match=r"\[3, 5\) is not the range"):
        archive.read_outcome(msgspec.json.encode({**line, "stop": 5}))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | TEXT | BYTES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXT | st.just("$"), inner, max_size=3)
        | st.builds(
            lambda tag, body: {"$": [tag, body]},
            st.sampled_from(["float", "bytes", "data", "date"]),
            inner,
        )
    ),
    max_leaves=12,
)


def same(one, other) -> bool:
    """Equal, with the same types; a NaN is equal to a NaN, and -0.0 is not to 0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return repr(one) == repr(other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


@given(VALUES)
def test_any_value_of_a_space_comes_back_through_json(value):
    text = msgspec.json.encode(archive.space_to_json(value))
    assert same(archive.space_of_json(msgspec.json.decode(text)), value)


def head(**changes) -> Head:
    space = listed([{"x": math.inf, "y": b"\x00", "$": (1, 2**70)}, {"x": "ä", "y": 2, "$": None}])
    fields = {
        "format": archive.FORMAT, "version": archive.VERSION, "export": "e" * 32, "name": "b",
        "total": 2, "call": specs.PythonCall("m:f", "m.py"),
        "options": specs.Options(retries=3, timeout=1.5),
        "space": archive.space_to_json(space.to_document()), "digest": "",
        "status": {"state": "done"},
        "outcomes": Listed(1, 2, "0" * 64),
    }  # fmt: skip
    return Head(**{**fields, **changes})


@pytest.mark.parametrize("items", ["both", "one", "star", "named"])
def test_what_the_items_of_blocks_are_comes_back(items):
    text = archive.head_text(head(space=None, blocks=Listed(1, 2, "0" * 64), items=items))
    assert specs.decode(archive.read_head(text).spec()).items == items


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"call": specs.CommandCall(["echo", "{x}"])},
        {"call": specs.PickledCall(b"\x80\xff", "f", "3.12")},
        {"call": specs.QueueCall(), "space": None, "blocks": Listed(0, 0, "")},
    ],
    ids=["python", "command", "pickled", "blocks"],
)
def test_the_head_comes_back_with_the_spec(changes):
    before = head(**changes)
    text = archive.head_text(before)
    after = archive.read_head(text)
    assert after == before
    assert text.startswith(b'{\n  "format": "farm batch",\n  "version": 1,\n')
    spec = specs.decode(after.spec())
    assert (spec.name, spec.call, spec.options) == ("b", before.call, before.options)
    assert specs.encode(spec) == after.spec()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "not that of an exported batch"),
        ({"version": 2}, "it has version 2; this farm reads version 1"),
        ({"version": None}, "it has version None"),
        ({"total": -1}, "total"),
        ({"total": 3}, '"space" has 2 points, but "total" is 3'),
        ({"total": 1}, "more outcomes than tasks"),
        ({"digest": "../.."}, "digest"),
        ({"space": None}, 'it needs either "space" or "blocks"'),
        ({"space": {"rubbish": 1}}, '"space" cannot be used'),
        ({"space": []}, '"space" cannot be used'),
        ({"call": {"type": "python"}}, "target"),
        ({"options": {"retries": -1}}, "retries"),
        ({"more": 1}, "more"),
    ],
    ids=str,
)
def test_a_head_that_was_changed_is_refused(change, words):
    document = msgspec.json.decode(archive.head_text(head()))
    with pytest.raises(ValueError) as refusal:
        archive.read_head(msgspec.json.encode({**document, **change}))
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "1:1: it is not JSON"),
        (b'{\n "a": }', "2:7: it is not JSON"),
        (b"[1]", "not that of an exported batch"),
        (b"\xff\xfe\x00", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
    ],
    ids=["empty", "syntax", "list", "encoding", "deep"],
)
def test_what_is_no_head_is_refused(text, words):
    with pytest.raises(ValueError) as refusal:
        archive.read_head(text)
    assert words in str(refusal.value)


def test_a_space_of_any_length_is_one_document():
    space = archive.space_to_json(counted(10**12).to_document())
    text = archive.head_text(head(space=space, total=10**12))
    assert len(text) < 2000
    assert archive.read_head(text).total == 10**12
