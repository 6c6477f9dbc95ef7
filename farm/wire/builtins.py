"""The one place where bytes from outside are unpickled: builtin values, and nothing else.

An allow-list of opcodes, not only of globals: a ten-byte pickle with a huge memo index asks for a
gigabyte without naming any global, and a nest of shared tuples used as a dict's key takes time
exponential in its depth to hash.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import struct
from collections.abc import Generator, Iterator
from typing import Any

from farm.errors import ProtocolError

PROTOCOL = 4
"""The pickle protocol of replies to plain clients: every supported Python reads it."""

MAX_KEY_PARTS = 64
MAX_KEY_BITS = 4096

_ALLOWED = frozenset(
    opcode[0]
    for opcode in (
        # Numbers, text and bytes, none longer than the frame. BYTEARRAY8 is not among them: it
        # allocates what the sender claims before it reads.
        pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT, pickle.BININT1,
        pickle.BININT2, pickle.LONG1, pickle.LONG4, pickle.BINFLOAT, pickle.BINUNICODE,
        pickle.SHORT_BINUNICODE, pickle.BINUNICODE8, pickle.BINBYTES, pickle.SHORT_BINBYTES,
        pickle.BINBYTES8,
        # Containers
        pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3,
        pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT, pickle.SETITEM,
        pickle.SETITEMS, pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET,
        # Structure
        pickle.PROTO, pickle.FRAME, pickle.MARK, pickle.STOP, pickle.MEMOIZE, pickle.BINGET,
        pickle.LONG_BINGET, pickle.BINPUT, pickle.LONG_BINPUT,
    )
)  # fmt: skip

_OPCODE_NAMES = {
    value[0]: name
    for name, value in vars(pickle).items()
    if isinstance(value, bytes) and len(value) == 1 and name.isupper()
}

_SCALARS = (type(None), bool, int, float, str, bytes)


_PurePythonUnpickler: Any = pickle._Unpickler  # the C one has no dispatch table to narrow


class _Counted(dict[int, Any]):
    """A dispatch table that serves so many opcodes: each costs time, however short it is.

    Args:
        table: the dispatch table.
        most: how many.
    """

    def __init__(self, table: dict[int, Any], most: int) -> None:
        super().__init__(table)
        self._most = self._left = most

    def __getitem__(self, opcode: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise pickle.UnpicklingError(f"it has more than {self._most:,} parts")
        return super().__getitem__(opcode)


class BuiltinsUnpickler(_PurePythonUnpickler):  # type: ignore[misc]  # the base is Any
    """Builds builtins only: every other opcode is missing from its dispatch table."""

    scalars: tuple[type, ...] = _SCALARS
    """What is hashed in no more time than it has bytes."""

    dispatch = {  # noqa: RUF012 - the base class's protocol
        opcode: function
        for opcode, function in _PurePythonUnpickler.dispatch.items()
        if opcode in _ALLOWED
    }

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is not a builtin value")

    def __init__(self, file: io.BytesIO, most: int | None = None) -> None:
        super().__init__(file)
        if most is not None:
            self.dispatch = _Counted(type(self).dispatch, most)

    def steps(self, size: int) -> Generator[None, None, Any]:
        """As the base class's `load`, but ``size`` opcodes at a time."""
        unframer = pickle._Unframer(self._file_read, self._file_readline)  # type: ignore[attr-defined]
        self._unframer = unframer
        self.read, self.readinto, self.readline = (
            unframer.read, unframer.readinto, unframer.readline,
        )  # fmt: skip
        self.metastack: list[Any] = []
        self.stack: list[Any] = []
        self.append = self.stack.append
        self.proto = 0
        try:
            while True:
                for _ in range(size):
                    opcode = self.read(1)
                    if not opcode:
                        raise EOFError
                    self.dispatch[opcode[0]](self)
                yield
        except pickle._Stop as stopped:  # type: ignore[attr-defined]
            return stopped.value

    def check_key(self, key: Any) -> None:
        """Refuse a dict key or set item whose hash could cost more than its size."""
        # One key may be named again and again in a few bytes each, and hashes are not kept of
        # tuples and numbers: neither may be long.
        parts = key if isinstance(key, tuple | frozenset) else (key,)
        if len(parts) > MAX_KEY_PARTS or not all(isinstance(part, self.scalars) for part in parts):
            raise pickle.UnpicklingError(
                "a dict's keys and a set's items are plain values, or tuples of at most "
                f"{MAX_KEY_PARTS} of them"
            )
        if any(isinstance(part, int) and part.bit_length() > MAX_KEY_BITS for part in parts):
            raise pickle.UnpicklingError(f"a number of more than {MAX_KEY_BITS} bits is no key")

    def _put(self, index: int) -> None:
        # Picklers count up from 0, so a larger index is a claim for memory, not a reference.
        if index > len(self.memo):
            raise pickle.UnpicklingError(f"memo index {index} is out of order")
        self.memo[index] = self.stack[-1]

    def load_binput(self) -> None:
        self._put(self.read(1)[0])

    def load_long_binput(self) -> None:
        self._put(int.from_bytes(self.read(4), "little"))

    def load_setitem(self) -> None:
        self.check_key(self.stack[-2])
        super().load_setitem()

    def load_setitems(self) -> None:
        for key in self.stack[::2]:
            self.check_key(key)
        super().load_setitems()

    def load_additems(self) -> None:
        for item in self.stack:
            self.check_key(item)
        super().load_additems()

    def load_frozenset(self) -> None:
        for item in self.stack:
            self.check_key(item)
        super().load_frozenset()

    dispatch.update(
        {
            pickle.BINPUT[0]: load_binput,
            pickle.LONG_BINPUT[0]: load_long_binput,
            pickle.SETITEM[0]: load_setitem,
            pickle.SETITEMS[0]: load_setitems,
            pickle.ADDITEMS[0]: load_additems,
            pickle.FROZENSET[0]: load_frozenset,
        }
    )


def loads(data: bytes | bytearray | memoryview, most: int | None = None) -> Any:
    """Unpickle None, bool, int, float, str, bytes and the builtin containers of them.

    Args:
        data: the pickle.
        most: opcodes that it may have, at some 0.4 microseconds each; None for any number.

    Raises:
        ProtocolError: anything else is in it; nothing was executed.
    """
    return load(BuiltinsUnpickler(io.BytesIO(data), most))


def load(unpickler: Any) -> Any:
    """What an unpickler of this kind finds.

    Raises:
        ProtocolError: it found something else.
    """
    with _as_protocol_error():
        return unpickler.load()


def load_in_steps(data: bytes, most: int, size: int) -> Generator[None, None, Any]:
    """As `loads`, with a pause after each ``size`` opcodes; the generator returns the value.

    Raises:
        ProtocolError: anything else is in it; nothing was executed.
    """
    with _as_protocol_error():
        return (yield from BuiltinsUnpickler(io.BytesIO(data), most).steps(size))


@contextlib.contextmanager
def _as_protocol_error() -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        name = _OPCODE_NAMES.get(error.args[0], error.args[0])
        raise ProtocolError(f"pickle opcode {name} is not of a builtin value") from error
    except (
        pickle.UnpicklingError,
        EOFError,
        IndexError,
        ValueError,
        TypeError,
        AttributeError,
        struct.error,
        OverflowError,
        RecursionError,
        MemoryError,
    ) as error:
        reason = str(error) or "it is cut short"
        raise ProtocolError(f"the pickle is not of builtin values: {reason}") from error


def dumps(value: Any) -> bytes:
    """Pickle builtin values for a plain client, or for a node."""
    return pickle.dumps(value, PROTOCOL)
