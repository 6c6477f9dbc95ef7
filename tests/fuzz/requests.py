"""Hostile messages of farm's own protocol: every type of request, with whatever cannot be meant."""

from __future__ import annotations

import array
import pickle
import random
import typing
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from farm.batch import spec as specs
from farm.batch.shipment import digest
from farm.wire import codec, controls, leases, messages
from fuzz.frames import (
    FARM_LIMIT,
    SEEDS,
    VARIANTS,
    Volley,
    broken_framing,
    garbage,
    mutated,
    pick,
    volley,
    volleys,
)
from fuzz.vary import misshapen, varied

SPECS = [
    specs.encode(specs.Spec("fuzz", specs.PythonCall("math:gcd"))),
    specs.encode(specs.Spec("fuzz", specs.PythonCall("nonesuch:f", "lib"))),
    specs.encode(specs.Spec("fuzz", specs.PythonCall("math:gcd"), space={"count": 2**62})),
]
FILES = {"lib": b"def f(): return 1"}
TOKENS = [f"token-{number}" for number in range(12)]
NODES = [f"node-{number}" for number in range(8)]
SESSIONS = ["", *(f"session-{number}" for number in range(20))]

KEPT = 12
"""Batches 1 to `KEPT` are there from the start, see `opening`; some of them are never removed."""

# -- values of a type, hostile ones among them ------------------------------------------------

_ids = st.sampled_from([*range(-1, KEPT + 2), 2**31, 2**63 - 1])
_numbers = st.sampled_from(
    [0, 1, 2, 3, 4, 5, 7, 10, 16, 100, 1000, -1, -2, -(2**31), 2**31, 2**32, 2**53, 2**62,
     2**63 - 2, 2**63 - 1, -(2**63), 2**63, 2**64 - 1]
)  # fmt: skip
_floats = st.sampled_from(
    [
        0.0,
        -0.0,
        0.01,
        1.0,
        -1.0,
        60.0,
        1e15,
        1e308,
        -1e308,
        5e-324,
        float("nan"),
        float("inf"),
        float("-inf"),
    ]
)
_texts = st.sampled_from(
    ["", "last", "1", "2", "7", "9" * 18, "9" * 30, "-1", "\u0661", "\0", "\n", "é", "\U0001f40d",
     "x" * 200, "x" * 201, "y" * 5000, "by hand", "error", "crash", "it is being imported",
     *TOKENS[:4], *NODES[:4]]
)  # fmt: skip
_floats32 = st.sampled_from([0.0, 0.5, -1.0, 3e38, float("nan"), float("inf")])
_payloads = st.one_of(
    st.sampled_from([b"", b"\0", pickle.dumps([1, 2, 3]), b"\x80\x04]", b"z" * 300, *SPECS]),
    st.builds(lambda value, count: array.array("f", [value] * count).tobytes(),
              _floats32, st.integers(0, 6)),
    st.binary(max_size=16),
    st.sampled_from([100, 1000, 1000, 60_000]).map(bytes),
)  # fmt: skip


def _of(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Values that can be sent as one of that type; many of them are nothing of the kind."""
    match kind:
        case inspect.IntType():
            return _numbers
        case inspect.FloatType():
            return _floats
        case inspect.BoolType():
            return st.booleans()
        case inspect.StrType():
            return _texts
        case inspect.BytesType():
            return _payloads
        case inspect.NoneType():
            return st.none()
        case inspect.ListType(item_type=item):
            return st.lists(_of(item), max_size=3)
        case inspect.TupleType(item_types=items):
            return st.tuples(*map(_of, items)).map(list)
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_of(key), _of(value), max_size=2)
        case inspect.UnionType(types=types):
            return st.one_of([_of(one) for one in types])
        case inspect.StructType():
            return _of_struct(kind)
    raise NotImplementedError(f"no values for {kind}")


def _of_struct(kind: inspect.StructType) -> st.SearchStrategy[Any]:
    values = [_field(kind, field) for field in kind.fields]
    if not kind.array_like:
        names = [field.encode_name for field in kind.fields]
        return st.dictionaries(st.sampled_from(names), st.one_of(values), max_size=3)
    tag = [] if kind.tag is None else [st.just(kind.tag)]
    return st.tuples(*tag, *values).map(list)


def _field(kind: inspect.StructType, field: inspect.Field) -> st.SearchStrategy[Any]:
    """Ids hit batches that there are; the rest is of its type."""
    if field.name == "batch" and isinstance(field.type, inspect.IntType):
        if kind.cls in (controls.Forget,):
            return st.sampled_from([3, 6, 9, 12, -1, 0, 2**63 - 1])
        return _ids
    if field.name == "ref":
        if kind.cls is messages.Cancel:
            return st.sampled_from(["2", "5", "8", "last", "", "x"])
        return st.one_of(_texts, st.integers(1, KEPT).map(str))
    if field.name == "token":
        return st.sampled_from([*TOKENS, *NODES, "", "plain-queue", "t" * 5000])
    if field.name == "session":
        return st.sampled_from(SESSIONS)
    return _of(field.type)


REQUESTS: dict[str, st.SearchStrategy[Any]] = {
    kind.__name__: _of(inspect.type_info(kind)) for kind in typing.get_args(codec.Request)
}
"""Each type of request as what is sent of it: a list of its tag and fields."""

_request_ids = st.sampled_from([0, 1, 2, 77, 128, 2**31, 2**61])
_any_request = st.one_of(list(REQUESTS.values()))

# -- requests that are good, but for what they mean -------------------------------------------

_small = st.integers(0, 60)
_good_ranges = st.builds(lambda start, count: [start, start + count], _small, st.integers(1, 30))
_odd_ranges = st.one_of(st.tuples(_numbers, _numbers).map(list), st.just([7, 7]))
_ranges = st.integers(0, 5).flatmap(lambda n: _good_ranges if n else _odd_ranges)
_failures = st.tuples(
    st.just("Failure"), st.sampled_from(["error", "crash", "lost", "timeout", "", "x" * 5000]),
    _texts, _texts, _texts, st.one_of(st.none(), _payloads),
).map(list)  # fmt: skip


@st.composite
def _submits(draw: st.DrawFn) -> Any:
    """A batch that is accepted, with whatever options and arguments can be."""
    files = draw(st.sampled_from([{}, FILES]))
    sizes = draw(st.lists(st.integers(1, 30), max_size=3))
    blocks, start = [], 0
    for size in sizes:
        blocks.append(["Block", start, start + size, draw(_payloads)])
        start += size
    total = start if blocks else draw(st.sampled_from([0, 1, 50, 2**31, 2**62, 2**63 - 1]))
    is_open = draw(st.booleans())
    options = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "retries": st.sampled_from([0, 1, 1000]),
                "priority": st.sampled_from([-1000, 0, 999]),
                "rerun": st.booleans(),
                "max_parallel": st.sampled_from([1, 2**62]),
                "rate": st.sampled_from([1e-300, 1e6]),
                "max_failures": st.sampled_from([0, 2**63 - 1]),
                "delay": st.sampled_from([0.0, 86_400.0]),
                "timeout": st.sampled_from([5e-324, 1e308]),
            },
        )
    )
    token = draw(st.one_of(st.sampled_from(TOKENS), st.integers(0, 2**32).map(str)))
    return [
        "Submit", token, draw(st.sampled_from(["fuzz", "x" * 200, "7", "last"])),
        0 if is_open and not blocks else total, options, draw(st.sampled_from(SPECS)), files,
        digest(files), blocks, is_open, draw(st.booleans()),
    ]  # fmt: skip


@st.composite
def _reports(draw: st.DrawFn) -> Any:
    """What came of leases that the node may have, or not."""
    parts = []
    for start, stop in draw(st.lists(_ranges, max_size=3)):
        seconds = array.array("f", [draw(_floats32)] * max(0, min(100, stop - start))).tobytes()
        parts.append(["Part", draw(_ids), start, stop, draw(_payloads), seconds])
    failed = [
        ["Failed", draw(_ids), draw(_small), draw(_floats), draw(_failures), draw(_numbers)]
        for _ in range(draw(st.integers(0, 2)))
    ]
    returned = [
        ["Held", draw(_ids), draw(st.lists(_ranges, max_size=2))]
        for _ in range(draw(st.integers(0, 2)))
    ]
    return ["Report", parts, failed, returned]


_joins = st.builds(
    lambda name, slots, held, token, draining: [
        "Join", name, slots, [["Held", batch, ranges] for batch, ranges in held], token, draining,
    ],
    st.sampled_from([*NODES, "x" * 200]),
    st.sampled_from([1, 2, 64, 100_000]),
    st.lists(st.tuples(_ids, st.lists(_ranges, max_size=3)), max_size=3),
    st.sampled_from(NODES),
    st.booleans(),
)  # fmt: skip


@st.composite
def _restores(draw: st.DrawFn) -> Any:
    """Outcomes of elsewhere, for batches that are being imported or not."""
    outcomes = []
    for start, stop in draw(st.lists(_ranges, max_size=3)):
        seconds = array.array("f", [0.5] * max(0, min(200, stop))).tobytes()
        failure = draw(st.one_of(st.none(), _failures))
        retried = draw(st.lists(st.tuples(_small, st.sampled_from([1, 2, 50, 2**40])).map(list),
                                max_size=2))  # fmt: skip
        end = min(start + 1, 2**63) if failure else stop
        outcomes.append(
            ["Outcome", start, end, "elsewhere", draw(_floats), start, draw(_payloads), seconds,
             failure, retried]
        )  # fmt: skip
    batch = draw(st.sampled_from([3, 7, 7, 11, 11, 11, 2, 2**63 - 1]))
    return ["Restore", batch, outcomes, draw(st.integers(0, 30)) == 0]


_wants = st.tuples(st.just("Want"), _numbers, _numbers).map(list)
_played = st.one_of(_submits(), _joins, _wants, _reports(), _restores())


@st.composite
def _as_a_node(draw: st.DrawFn) -> tuple[bytes, ...]:
    """All that a node says: it comes, wants work, reports what it was not asked for, and goes."""
    join, wants = draw(_joins), draw(st.lists(_wants, min_size=1, max_size=2))
    reports = draw(st.lists(_reports(), min_size=1, max_size=2))
    leaves = draw(st.integers(0, 3)) == 0
    said = [join, ["Want", 2, 2], *reports, *wants, *([["Leave", join[4]]] if leaves else [])]
    return tuple(encoded(number, body) for number, body in enumerate(said, 1))


# -- frames -----------------------------------------------------------------------------------


def encoded(number: Any, body: Any) -> bytes:
    """A request as it is sent."""
    return msgspec.msgpack.encode([number, body])


def _several(
    bodies: st.SearchStrategy[Any], change: Callable[[Any, random.Random], Any], *, first: bool
) -> st.SearchStrategy[tuple[bytes, ...]]:
    """Each as it is (if ``first``), and several others that are made of it."""

    def vary(number: int, body: Any, chosen: int) -> tuple[bytes, ...]:
        chance = random.Random(chosen)
        changed = [change(body, chance) for _ in range(VARIANTS - first)]
        numbers = [number, *(chance.choice([0, 1, 77, 2**61]) for _ in changed)]
        listed = [body, *changed] if first else changed
        return tuple(encoded(n, one) for n, one in zip(numbers, listed, strict=False))

    return st.builds(vary, _request_ids, bodies, SEEDS)


_BOMBS = [
    b"\x92\x01" + b"\x91" * 3000,
    b"\x92\x01" + b"\x81\xa1a" * 3000,
    b"\x92\x01\xdd\xff\xff\xff\xff",
    b"\x92\x01\xdf\xff\xff\xff\xff",
    b"\x92\x01\x94\xa6Report\xdd\xff\xff\xff\xff",
    b"\x92\x01\x94\xa6Report\xdd\x00\xff\xff\xff" + b"\xc0" * 1000,
    b"\x92\x01\x92\xa5Leave\xdb\xff\xff\xff\xff",
    b"\x92\x01\x93\xa6Append\x01\xc6\xff\xff\xff\xff",
    b"\x92\x01\xc9\xff\xff\xff\xff\x01",
    b"\x92\x01\x92\xa5Leave\xa4\xed\xa0\x80\xff",
    b"\xc1",
    b"",
]


def misread() -> st.SearchStrategy[Volley]:
    """What is no request, though it looks like one."""
    good = st.builds(encoded, _request_ids, st.one_of(_any_request, _played))
    large = st.integers(1, 3).map(lambda mib: _large(mib << 20))
    return pick(
        [
            (20, volleys("farm: mutated bytes", mutated(good))),
            (20, volleys("farm: mutated fields", _several(_any_request, misshapen, first=False))),
            (6, volley("farm: bombs", st.sampled_from(_BOMBS))),
            (4, volley("farm: garbage", garbage)),
            (1, volley("farm: large", large)),
            (6, broken_framing("farm", FARM_LIMIT, good)),
        ]
    )


def _large(size: int) -> bytes:
    return encoded(1, ["GetCode", "z" * size])


def hostile_values() -> st.SearchStrategy[Volley]:
    """Requests that can be read, and mean what cannot be."""
    return pick(
        [
            (1, volleys("farm: hostile values", _several(_any_request, varied, first=True))),
            (1, volleys("farm: played", _several(_played, varied, first=True))),
            (1, volleys("farm: as a node", _as_a_node())),
        ]
    )


def opening() -> list[messages.Message]:
    """What is said before all else: batches 1 to `KEPT`, of every sort."""
    said: list[messages.Message] = []
    for number in range(1, KEPT + 1):
        kind = number % 4
        options = specs.Options(
            rerun=number % 3 != 0, max_parallel=2 if number % 5 == 0 else None, retries=number % 2
        )
        blocks = [messages.Block(0, 50, pickle.dumps([((), {})] * 50))] if kind == 2 else []
        said.append(
            messages.Submit(
                f"kept-{number}", f"kept-{number}", 50 if kind != 2 or blocks else 0, options,
                SPECS[0], blocks=blocks, open=kind == 2, paused=kind == 3,
            )
        )  # fmt: skip
    said.append(leases.Join("node-0", 2, [], NODES[0]))
    return said
