"""Hostile pickles: what plain clients could send once they hold a key."""

from __future__ import annotations

import pickle
import random
import struct
from typing import Any

from hypothesis import strategies as st

from fuzz.frames import (
    PLAIN_LIMIT,
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
from fuzz.vary import varied

_NUMBERS = st.sampled_from(
    [0, 1, 2, 3, -1, 7, True, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63), -(2**70), 10**400,
     0.0, 0.001, -1.0, float("nan"), float("-inf"), 5e-324]
)  # fmt: skip
_WORDS = st.sampled_from(
    ["", "a", "last", "math:gcd", "nonesuch:f", "math", ":", "é:ü", "x" * 300, "\0", "__class__"]
)
_atoms = st.one_of(
    st.none(), _NUMBERS, _WORDS, st.binary(max_size=20), st.just(b"\0" * 5000), st.just("y" * 5000)
)
_keys = st.one_of(_NUMBERS, _WORDS, st.tuples(_NUMBERS, _WORDS))
_values: st.SearchStrategy[Any] = st.one_of(
    _atoms,
    st.lists(_atoms, max_size=3),
    st.tuples(_atoms, _atoms),
    st.dictionaries(_keys, _atoms, max_size=2),
    st.frozensets(_keys, max_size=3),
    st.just([[[[[[]]]]]]),
)

_METHODS = {
    "task_queue": ("put", "get", "qsize", "empty"),
    "result_dict": (
        "wait", "get", "pop", "keys", "__contains__", "__getitem__", "__setitem__", "__len__",
    ),
}  # fmt: skip
_HIDDEN = ("__class__", "__init__", "_core", "__reduce__", "batch", "#GETVALUE", "shutdown", "")

# What is put may be run by a node afterwards: nothing that does anything.
_calls = st.tuples(st.sampled_from(["math:gcd", "operator:add", "nonesuch:f"]), _values, _values)
_good_calls = st.tuples(
    st.just("math:gcd"), st.tuples(st.integers(0, 99)), st.just({})
) | st.tuples(st.just("operator:add"), st.tuples(st.integers(), st.integers()), st.just({}))

# A wait that is not over soon would hold its connection up, as it should.
_waits = st.sampled_from([0, 0.0, 0.001, -1, float("nan"), "x", None, [], 1e-9])


def _request(ident: Any, method: Any, args: Any, kwargs: Any) -> tuple[Any, ...]:
    return (ident, method, args, kwargs)


_calls_of_objects = st.one_of(
    st.builds(_request, st.just("task_queue"), st.just("put"), st.tuples(_good_calls), st.just({})),
    st.builds(_request, st.just("task_queue"), st.just("put"), st.tuples(_calls), st.just({})),
    st.builds(
        _request, st.just("task_queue"), st.just("get"),
        st.tuples(st.booleans()), st.fixed_dictionaries({"timeout": _waits.filter(bool)}),
    ),
    st.builds(
        _request, st.just("result_dict"), st.just("wait"),
        st.tuples(st.integers(-1, 40), _waits.filter(lambda wait: wait is not None)), st.just({}),
    ),
    st.builds(
        _request, st.just("result_dict"), st.just("__setitem__"),
        st.tuples(st.integers(-1, 40), _values), st.just({}),
    ),
    st.builds(
        _request, st.just("result_dict"),
        st.sampled_from(["get", "pop", "__getitem__", "__contains__"]),
        st.tuples(st.one_of(st.integers(-1, 40), _values)), st.just({}),
    ),
)  # fmt: skip
"""Calls that do something, with values that they should not have."""


def _any_call() -> st.SearchStrategy[Any]:
    """Any method of any object with anything."""
    pairs = [(ident, name) for ident, names in _METHODS.items() for name in (*names, *_HIDDEN)]
    pairs = [pair for pair in pairs if pair[1] not in ("get", "wait")]
    return st.builds(
        lambda pair, args, kwargs: _request(*pair, tuple(args), kwargs),
        st.sampled_from([*pairs, ("nonesuch", "put"), (None, "put"), (7, 7)]),
        st.lists(_values, max_size=3),
        st.dictionaries(st.sampled_from(["timeout", "block", "caller", "call", "é"]), _values,
                        max_size=2),
    )  # fmt: skip


_shapes = st.one_of(
    _values,
    st.lists(_values, max_size=6).map(tuple),
    st.tuples(st.just("task_queue"), st.just("qsize"), _values, _values),
    st.tuples(_values, _values, st.just(()), st.just({})),
)
"""What is no request: of another type, or with another number of parts."""

_protocols = st.integers(0, 5)


def dumped(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Values as pickles of any protocol."""
    return st.builds(lambda value, protocol: pickle.dumps(value, protocol), values, _protocols)


def several(calls: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[bytes, ...]]:
    """Calls, each followed by others that are made of it by changes to its arguments."""

    def vary(call: Any, protocol: int, number: int) -> tuple[bytes, ...]:
        chance, made = random.Random(number), [call]
        for _ in range(VARIANTS - 1):
            ident, method, args, kwargs = call
            made.append((ident, method, varied(args, chance), kwargs))
        return tuple(pickle.dumps(one, protocol) for one in made)

    return st.builds(vary, calls, _protocols, SEEDS)


# -- what is meant to harm --------------------------------------------------------------------


def executing(canary: str) -> list[bytes]:
    """Pickles that make a file where they are loaded as pickles usually are.

    Args:
        canary: the file.
    """
    path = canary.encode()
    opened = b"(V" + path + b"\nVw\nt"
    text = pickle.SHORT_BINUNICODE
    stack = text + b"\x08builtins" + text + b"\x04open"
    return [
        b"cbuiltins\nopen\n" + opened + b"R.",
        b"\x80\x04" + stack + b"\x93" + opened + b"R.",
        b"(V" + path + b"\nVw\nibuiltins\nopen\n.",
        b"(cbuiltins\nopen\nV" + path + b"\nVw\no.",
        # As the arguments of what is otherwise a request.
        b"(Vtask_queue\nVput\n(cbuiltins\nopen\n" + opened + b"Rt}t.",
        b"\x80\x04}" + stack + b"\x93" + opened + b"RK\x01s.",
    ]


def _claim(opcode: bytes, size: int, pack: str) -> bytes:
    return b"\x80\x04" + opcode + struct.pack(pack, size) + b"x."


def bombs() -> list[bytes]:
    """Pickles of a few bytes that ask for much memory or time."""
    deep = 4000
    shared = b"\x80\x04)"
    for level in range(28):  # each a pair of the one before: hashing it takes 2 ** 28 steps
        shared += b"\x94h" + bytes([level]) + b"h" + bytes([level]) + b"\x86"
    shared += b"\x94}h\x1cNs."
    return [
        b"N" + pickle.LONG_BINPUT + struct.pack("<I", 2**31 - 1) + b".",
        b"N" + pickle.LONG_BINPUT + struct.pack("<I", 2**24) + b".",
        b"Np99999999\n.",
        _claim(pickle.BYTEARRAY8, 2**33, "<Q"),
        _claim(pickle.BINUNICODE8, 2**63, "<Q"),
        _claim(pickle.BINBYTES8, 2**62, "<Q"),
        _claim(pickle.BINBYTES, 2**32 - 1, "<I"),
        _claim(pickle.LONG4, 2**31 - 1, "<i"),
        _claim(pickle.FRAME, 2**63 - 1, "<Q"),
        b"\x80\x04" + b"(" * deep + b".",
        b"\x80\x04" + b"]" * deep + b"a" * (deep - 1) + b".",
        b"\x80\x04" + b")" + b"\x85" * deep + b".",
        b"\x80\x04]" + b"\x94h\x00a" * 200 + b".",
        shared,
        b"I" + b"9" * 5000 + b"\n.",
        b"L" + b"9" * 5000 + b"L\n.",
        b"\x80\x04\x82\x01.",
        b"P12\n.",
        b"\x80\x05\x97.",
        b"\x80\xff.",
        b".",
    ]


# -- by stage ---------------------------------------------------------------------------------


def manager(canary: str) -> st.SearchStrategy[Volley]:
    """The first request of a peer that is known: it names a method of the manager."""
    names = st.sampled_from(
        ["dummy", "create", "incref", "decref", "accept_connection", "shutdown", "debug_info",
         "number_of_objects", "get_methods", "__class__", "", 7, None]
    )  # fmt: skip
    typeids = st.sampled_from(["get_task_queue", "get_result_dict", "dict", "farm/1", "farm/3"])
    args = st.one_of(st.just(()), st.tuples(st.one_of(typeids, _values)), st.tuples(_values))
    # Not the name of farm itself: what follows would be of another stage.
    asked = st.builds(lambda name, given, kwargs: (None, name, given, kwargs), names, args,
                      st.one_of(st.just({}), _values))  # fmt: skip
    return _of("manager", asked, asked, canary)


def plain(canary: str) -> st.SearchStrategy[Volley]:
    """Calls of the objects that plain clients may have."""
    return _of("plain", st.one_of(_calls_of_objects, _any_call()), _calls_of_objects, canary)


def _of(
    kind: str, calls: st.SearchStrategy[Any], good: st.SearchStrategy[Any], canary: str
) -> st.SearchStrategy[Volley]:
    harm = st.sampled_from([*executing(canary), *bombs()])
    return pick(
        [
            (6, volleys(f"{kind}: hostile values", several(calls))),
            (2, volleys(f"{kind}: mutated calls", mutated(dumped(good)))),
            (1, volley(f"{kind}: shapes", dumped(_shapes))),
            (1, volley(f"{kind}: code and bombs", harm)),
            (1, volleys(f"{kind}: code and bombs", mutated(harm))),
            (1, volley(f"{kind}: garbage", garbage)),
            (1, broken_framing(kind, PLAIN_LIMIT, dumped(good))),
        ]
    )
