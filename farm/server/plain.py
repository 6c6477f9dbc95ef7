"""The dialect of plain `BaseManager` clients: the manager protocol, with nothing of it to abuse.

As in CPython's `multiprocessing.managers.Server`, a connection brings one request of the manager
(``dummy``, ``create``, ``incref``, ``decref``), or ``accept_connection`` and then calls of an
object. Here the objects are a fixed table, references are not counted, requests hold builtins
alone, and no traceback leaves the server.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

from farm.errors import ProtocolError, RequestError
from farm.server import permits
from farm.server.connection import Connection
from farm.server.core import Core
from farm.server.dialect import Dialect
from farm.server.queue import Caller
from farm.wire import builtins
from farm.wire.frames import Frame
from farm.wire.messages import PROTOCOL

log = logging.getLogger("farm.server")

MAX_PARTS = 25_000
"""Values and containers in one request, roughly; a long text is one of them."""

FARM = "farm/"
"""What the name of a connection begins with that will speak farm's own protocol."""

_EXPECTED = (KeyError, ValueError, TypeError, RuntimeError, OverflowError, queue.Empty)


class Shared:
    """One object of the fixed table.

    Args:
        ident: its id on the wire.
        served: the object.
        exposed: the names that a proxy may call.
        methods: which method serves a name, where they differ.
    """

    def __init__(
        self, ident: str, served: Any, exposed: tuple[str, ...], methods: Mapping[str, str]
    ) -> None:
        self.ident = ident
        self.exposed = exposed
        self._served = served
        self._methods = methods

    def find(self, name: Any) -> Callable[..., Any]:
        """What serves ``name``.

        Raises:
            AttributeError: the object does not expose it.
        """
        if not isinstance(name, str) or name not in self.exposed:
            raise AttributeError(
                f"{self.ident} has no method {reprlib.repr(name)}: {', '.join(self.exposed)}"
            )
        found: Callable[..., Any] = getattr(self._served, self._methods.get(name, name))
        return found


class PlainDialect:
    """Serves one connection; see the module.

    Args:
        connection: carries the frames.
        core: the server's state.
        objects: the table, by the name under which clients register them.
        node: the id under which this connection may hold leases.
        upgrade: makes the dialect of a peer that speaks farm's own protocol.
    """

    def __init__(
        self,
        connection: Connection,
        core: Core,
        objects: Mapping[str, Shared],
        node: int,
        upgrade: Callable[[Connection], Dialect],
    ) -> None:
        self._connection = connection
        self._core = core
        self._objects = objects
        self._by_ident = {shared.ident: shared for shared in objects.values()}
        self._caller = Caller(core, connection.address, node, connection.who)
        self._upgrade = upgrade
        self._serving = False
        self._waiting: asyncio.Future[Any] | None = None

    def receive(self, frame: Frame) -> None:
        """Serve one request."""
        try:
            request = builtins.loads(bytes(frame), MAX_PARTS)
        except ProtocolError as error:
            # The peer is told, because a user's mistake looks like an attack; then it is cut off.
            self._send(_error(TypeError(f"only builtin types are accepted: {error}")))
            self._connection.close()
            self._connection.complain(f"cut off: {error}")
            return
        if not isinstance(request, tuple) or len(request) != 4:
            raise ProtocolError("a request is (id, method, args, kwargs)")
        ident, name, args, kwargs = request
        if not isinstance(args, tuple) or not isinstance(kwargs, dict):
            raise ProtocolError("a request's arguments are a tuple and a dict")
        if self._serving:
            self._call(ident, name, args, kwargs)
        else:
            self._manage(name, args)

    def refuse(self, head: bytes, code: str, text: str) -> None:
        """A request is not served; the peer's proxy raises why."""
        del head
        kind = ValueError if code == "too-large" else RuntimeError
        self._reply(_error(kind(text)))  # after the answers that are still to come

    def hear(self) -> None:
        """Something has come."""
        self._core.hear()

    def heard(self) -> None:
        """All that has come by now was received."""
        self._core.heard()

    def relieved(self) -> None:
        """There is nothing more to say: one request is answered at a time."""

    def lost(self) -> None:
        """What the peer took comes back, and nobody waits for it."""
        if self._waiting is not None:
            self._waiting.cancel()
        self._caller.leave()

    # -- the manager --------------------------------------------------------------------------

    def _manage(self, name: Any, args: tuple[Any, ...]) -> None:
        match name, args:
            case "accept_connection", (str(peer), *_) if peer.startswith(FARM):
                self._speak_farm(peer)
            case "accept_connection", _:
                self._serving = True
                self._connection.settle()
                self._reply(("#RETURN", None))
            case "create", (str(typeid),) if typeid in self._objects:
                shared = self._objects[typeid]
                self._send(("#RETURN", (shared.ident, shared.exposed)))
            case "create", _:
                known = ", ".join(self._objects)
                self._send(_error(ValueError(f"this manager has {known}, without arguments")))
            case "dummy" | "incref" | "decref", _:
                self._send(("#RETURN", None))
            case _:
                self._send(
                    _error(ValueError(f"a farm's manager does not serve {reprlib.repr(name)}"))
                )

    def _speak_farm(self, peer: str) -> None:
        if peer == f"{FARM}{PROTOCOL}":
            self._send(("#RETURN", None))
            self._connection.settle(self._upgrade(self._connection))
        else:
            self._send(_error(ValueError(f"this server speaks {FARM}{PROTOCOL}")))

    # -- calls of an object -------------------------------------------------------------------

    def _call(self, ident: Any, name: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            shared = self._by_ident.get(ident) if isinstance(ident, str) else None
            if shared is None:
                raise KeyError(f"there is no object {reprlib.repr(ident)} here")
            method = shared.find(name)
            permits.check(self._connection.role, f"{ident}.{name}")
            result = method(self._caller, *args, **kwargs)
        except (*_EXPECTED, AttributeError, RequestError) as error:
            self._reply(_error(error))
            return
        if isinstance(result, asyncio.Future):
            self._waiting = result
            self._connection.hold()
            result.add_done_callback(self._finish)
        else:
            self._reply(("#RETURN", result))

    def _finish(self, future: asyncio.Future[Any]) -> None:
        self._waiting = None
        if future.cancelled():
            return  # the connection is gone
        error = future.exception()
        if error is None:
            self._reply(("#RETURN", future.result()))
        else:
            self._reply(_error(error))
        self._connection.release()

    def _reply(self, message: tuple[str, Any]) -> None:
        """Answer after the commit: what was put or set is journalled then."""
        frame = _pickled(message)
        self._core.answer(lambda: self._connection.send(frame))

    def _send(self, message: tuple[str, Any]) -> None:
        self._connection.send(_pickled(message))


def _pickled(message: tuple[str, Any]) -> bytes:
    try:
        return builtins.dumps(message)
    except RecursionError:
        return builtins.dumps(_error(TypeError("the value is nested too deeply to be sent")))


def _error(error: BaseException) -> tuple[str, BaseException]:
    """As a plain client raises it: only exceptions that every Python has."""
    if isinstance(error, queue.Empty | AttributeError):
        return "#ERROR", error
    for kind in _EXPECTED:
        if isinstance(error, kind):
            return "#ERROR", kind(*error.args[:1])
    if isinstance(error, RequestError) and error.code == "forbidden":
        return "#ERROR", PermissionError(str(error))
    if not isinstance(error, RequestError):
        log.error("a plain client's call failed", exc_info=error)
        return "#ERROR", RuntimeError("the call failed; the server's log says why")
    return "#ERROR", ValueError(str(error))
