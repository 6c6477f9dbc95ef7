"""The manager: a `BaseManager` whose server runs one loop, and can be put on a network.

`FarmServer` keeps the address, key and registry of the standard library's `Server`, and replaces
how it listens, reads, answers and stops. All of its state belongs to the thread of its loop, which
is why there is no lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from multiprocessing import managers
from multiprocessing.process import AuthenticationString  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any, TypeAlias

from farm.errors import AddressError, JournalError
from farm.limits import DEFAULTS, Limits
from farm.server.admission import Admission
from farm.server.connection import Connection
from farm.server.dialect import Dialect
from farm.server.door import Door, KeyDoor, TlsDoor
from farm.server.journal import Journal
from farm.server.nodes import SWEEP_SECONDS
from farm.server.peers import Peer
from farm.server.plain import PlainDialect, Shared
from farm.server.queue import TaskQueue
from farm.server.results import METHODS, ResultDict
from farm.server.service import Service
from farm.wire.address import Address
from farm.wire.keyring import Keyring

log = logging.getLogger("farm.server")

Duty: TypeAlias = Coroutine[Any, Any, None]
"""What goes on for as long as the server serves."""

BACKLOG = 1024


class FarmServer(managers.Server):
    """Serves a ledger, a journal and the connections to them, until `stop`.

    Args:
        registry: of the manager (its typeids are the objects plain clients may ask for).
        address: where to listen; port 0 picks one.
        keys: that peers may hold; not used with ``tls``.
        serializer: as the standard library's server takes it; frames are pickles for plain clients.
        data: the directory of the journal.
        durability: what an acknowledgement survives (see `farm.server.database.DURABILITY`).
        keep: seconds for which a batch that has ended is kept; None for as long as it takes.
        tls: the directory of the server's certificate; None for none.
        insecure: listen beyond this machine without certificates all the same.
        limits: what is bounded.

    Raises:
        AddressError: the address cannot be listened on, or not without certificates.
        ConfigError: a key or certificate is not fit to use.
        JournalError: the directory cannot be used.
    """

    def __init__(
        self,
        registry: dict[str, Any],
        address: tuple[str, int],
        keys: Keyring,
        serializer: str = "pickle",
        *,
        data: Path,
        durability: str = "process",
        keep: float | None = None,
        tls: Path | None = None,
        insecure: bool = False,
        limits: Limits = DEFAULTS,
    ) -> None:
        # The base class's __init__ would open a listener of the stock kind; its attributes are
        # set here instead.
        del serializer
        self.registry = registry
        self.authkey = AuthenticationString(b"")  # nothing of the base class uses it
        self._door: Door = KeyDoor(keys, time.monotonic) if tls is None else TlsDoor(tls)
        self._socket = _listen(Address(*address), secure=insecure or tls is not None)
        self.host, self.port = self._socket.getsockname()[:2]
        self.address = (self.host, self.port)
        try:
            self.journal = Journal(data, durability)
        except BaseException:
            self._socket.close()
            raise
        self._keep = keep
        self._limits = limits
        self._plain_nodes = itertools.count(-1, -1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._stop_asked = False
        self._reason: Exception | None = None

    # -- life ---------------------------------------------------------------------------------

    def serve_forever(
        self, ready: Callable[[], None] = lambda: None, *beside: Callable[[], Duty]
    ) -> None:
        """Serve in this thread until `stop` is called, or a signal asks for it.

        Args:
            ready: called once a signal, or `stop`, would be obeyed.
            beside: what is to go on beside it, in its loop, without an end; an error ends both.
        """
        asyncio.run(self._serve(ready, beside))

    def stop(self) -> None:
        """Stop serving; may be called from any thread."""
        self._stop_asked = True
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def _serve(
        self, ready: Callable[[], None], beside: tuple[Callable[[], Duty], ...]
    ) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        if self._stop_asked:
            self._stopping.set()
        try:
            self._wire_up(loop)
        except BaseException:
            self._socket.close()
            self.journal.abandon()
            raise
        _on_signals(loop, self._stopping.set)
        # asyncio takes the backlog for the number of connections to accept at a time, too, and
        # tries as often where no descriptor is left. One at a time, then; the kernel holds more.
        listener = await loop.create_server(self._connect, sock=self._socket, backlog=1)
        self._socket.listen(BACKLOG)
        duties = [
            asyncio.create_task(duty()) for duty in (self._sweep, self._look_through, *beside)
        ]
        try:
            ready()
            stopped = asyncio.create_task(self._stopping.wait())
            await asyncio.wait({stopped, *duties}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            for duty in duties:
                if duty.done():
                    duty.result()
            if isinstance(self._reason, JournalError):
                raise self._reason
            if self._reason is not None:
                raise JournalError(
                    f"the journal {self.journal.path} cannot be used any more: {self._reason}. "
                    "What was acknowledged is in it; see the log above, and start again."
                ) from self._reason
        finally:
            listener.close()
            for duty in duties:
                duty.cancel()
            self.admission.close()
            self._core.stop()
            if self._reason is None:
                self.journal.close()
            else:
                self.journal.abandon()

    def _give_up(self, reason: Exception) -> None:
        self._reason = reason
        self.stop()

    def _wire_up(self, loop: asyncio.AbstractEventLoop) -> None:
        self.admission = Admission(self._limits, self._door, loop)
        self._service = Service(
            self.journal, loop, self._give_up, keep=self._keep, limits=self._limits
        )
        self._core = self._service.core
        tasks = TaskQueue(self._core)
        results = ResultDict(self._core, tasks)
        self._objects = {
            "get_task_queue": Shared("task_queue", tasks, tasks.exposed, {}),
            "get_result_dict": Shared("result_dict", results, results.exposed, METHODS),
        }

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._service.sweep()

    async def _look_through(self) -> None:
        """Apart: where turns are long and connections many, this takes a while, and what is swept
        meanwhile is what makes turns short again."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for _ in self.admission.sweep():
                await asyncio.sleep(0)

    # -- connections --------------------------------------------------------------------------

    def _connect(self) -> Connection:
        return Connection(self.admission, self._speak_plain)

    def _speak_plain(self, connection: Connection) -> Dialect:
        node = next(self._plain_nodes)
        return PlainDialect(connection, self._core, self._objects, node, self._speak_farm)

    def _speak_farm(self, connection: Connection) -> Dialect:
        handlers, desk = self._service.handlers, self._service.desk
        return Peer(connection, handlers, self._core, desk.lost, connection.role, connection.who)


class FarmManager(managers.BaseManager):
    """A manager whose server is a `FarmServer`; clients of the standard library can connect to it.

    Args:
        address: where to listen, or (for `connect`) where the server listens.
        authkey: the key of at least 32 bytes, or the keys of several roles.
        data: the directory of the journal; only for `get_server`, as what follows.
        options: of the `FarmServer`.

    Example:
        >>> manager = FarmManager(("127.0.0.1", 0), b"k" * 32, Path("journal"))
        >>> manager.get_server().serve_forever()                # doctest: +SKIP
    """

    def __init__(
        self,
        address: tuple[str, int],
        authkey: bytes | Keyring,
        data: Path | None = None,
        **options: Any,
    ) -> None:
        keys = authkey if isinstance(authkey, Keyring) else Keyring.of(authkey)
        super().__init__(address=address, authkey=keys.keys[0].secret)
        self._farm_address = address
        self._keys = keys
        self._data = data
        self._options = options

    def get_server(self) -> FarmServer:
        """The server, listening but not yet serving."""
        if self._data is None:
            raise ValueError("a server needs the directory of its journal")
        registry = self._registry  # type: ignore[attr-defined]
        return FarmServer(
            registry, self._farm_address, self._keys, data=self._data, **self._options
        )


FarmManager.register("get_task_queue", exposed=TaskQueue.exposed)
FarmManager.register("get_result_dict", exposed=ResultDict.exposed)


def _listen(address: Address, *, secure: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        bound = Address(*sock.getsockname()[:2])
        if not secure and not bound.is_loopback:
            raise AddressError(
                f"not listening on {bound}: other machines reach it, and without certificates "
                "what travels can be read and changed on the way. Make some with `farm keygen "
                "--tls DIR` and give --tls DIR, or say --insecure if nobody else is in that network"
            )
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _cannot_listen(address, error) from error
    except BaseException:
        sock.close()
        raise
    return sock


def _cannot_listen(address: Address, error: OSError) -> AddressError:
    taken = error.errno == errno.EADDRINUSE
    advice = (
        "Is a farm server running there already? Choose another with --port."
        if taken
        else "Give an address of this machine with --host, and a port that you may use."
    )
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return AddressError(f"cannot listen on {address}: {reason}. {advice}")


def _on_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop)
        except (NotImplementedError, RuntimeError, ValueError):
            return  # not the main thread, or a platform without: whoever runs it calls stop()
