"""Pickles of any protocol become readable, and nothing in them is imported or called."""

import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import fractions
import pathlib
import pickle
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import ProtocolError
from farm.wire.standins import StandIn, loads


@dataclasses.dataclass
class Point:
    x: int
    y: float


@dataclasses.dataclass(slots=True)
class Slotted:
    x: int


class Colour(enum.Enum):
    RED = 1


Pair = collections.namedtuple("Pair", "a b")
PROTOCOLS = [3, 4, 5]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC),
        datetime.timedelta(days=1, seconds=2),
        decimal.Decimal("1.50"),
        fractions.Fraction(-1, 3),
        uuid.UUID(int=7),
        1 + 2j,
        range(1, 9, 2),
        bytearray(b"ab"),
        collections.OrderedDict(a=1),
        {"nested": [datetime.date(2024, 1, 1)], (1, 2): None},
    ],
    ids=lambda value: type(value).__name__,
)
def test_harmless_objects_are_really_made(value: object, protocol: int) -> None:
    found = loads(pickle.dumps([value], protocol))

    assert found == [value]
    assert type(found[0]) is type(value)


def test_paths_are_pure() -> None:
    assert loads(pickle.dumps(pathlib.PosixPath("/a/b"))) == pathlib.PurePosixPath("/a/b")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Point(1, 2.0), "test_standins.Point(x=1, y=2.0)"),
        (Colour.RED, "test_standins.Colour(1)"),
        (Pair(1, "b"), "test_standins.Pair(1, 'b')"),
        (ValueError("no"), "ValueError('no')"),
        (collections.deque([1, 2]), "collections.deque([1, 2])"),
        (collections.defaultdict(list, a=[1]), "collections.defaultdict(list, [('a', [1])])"),
        (Point, "test_standins.Point"),
        (len, "len"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_others_are_shown_as_they_would_be_made(value: object, shown: str, protocol: int) -> None:
    found = loads(pickle.dumps(value, protocol))

    assert isinstance(found, StandIn)
    assert repr(found) == shown


class _Calls:
    """Pickled as a call of a function."""

    def __init__(self, *call: object) -> None:
        self._call = call

    def __reduce__(self) -> object:
        return self._call[0], self._call[1:]


def test_nothing_is_called(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "made"

    found = loads(pickle.dumps([_Calls(open, str(target), "w")]))

    assert not target.exists()
    assert repr(found) == f"[{open.__module__}.open({str(target)!r}, 'w')]"


def test_nothing_is_imported() -> None:
    assert "this" not in sys.modules

    assert repr(loads(b"cthis\ns\n.")) == "this.s"
    assert "this" not in sys.modules


@pytest.mark.parametrize(
    "call",
    [
        (bytearray, 2**62),
        (fractions.Fraction, "1e999999999", 1),
        (fractions.Fraction, "1e999999999"),
        (datetime.timedelta, "days"),
        (range, "x"),
    ],
    ids=lambda call: call[0].__name__,
)
def test_a_harmless_class_is_not_made_in_another_way(call: tuple[object, ...]) -> None:
    found = loads(pickle.dumps(_Calls(*call)))

    assert isinstance(found, StandIn)
    assert repr(call[1]) in repr(found)


def test_what_is_large_is_clipped() -> None:
    shown = repr(loads(pickle.dumps(Pair("x" * 10_000, list(range(10_000))))))

    assert len(shown) < 500
    assert shown.startswith("test_standins.Pair('xxx")


def test_what_holds_itself_is_shown() -> None:
    point = Point(1, 2.0)
    point.x = point

    assert repr(loads(pickle.dumps(point))) == "test_standins.Point(x=..., y=2.0)"


def test_a_size_that_is_claimed_is_not_allocated() -> None:
    with pytest.raises(ProtocolError):
        loads(b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"ab.")


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x05", b"}]K\x01s.", b"K\x01(tR.", b"not a pickle", b"Np."]
)
def test_what_is_no_such_pickle_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        loads(data)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.decimals(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(_VALUES, st.sampled_from(PROTOCOLS))
def test_plain_values_come_out_as_pickle_gives_them(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)

    assert repr(loads(data)) == repr(pickle.loads(data))


@given(st.binary(max_size=40))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert isinstance(repr(loads(data)), str)
