"""A node: one loop that carries out what `farm.dialogue` and `farm.node` decide.

The loop waits for slots, for the server and for signals at once, and never for the network alone:
connecting is done by a thread that hands over a connection.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing import connection
from pathlib import Path
from typing import Any

from farm.codestore import CodeStore
from farm.delivery import MAX_REPORT_BYTES
from farm.dialogue import Dialogue
from farm.engines import base
from farm.errors import ConfigError, FarmError, NotAuthorisedError, ProtocolError
from farm.heartbeat import Heartbeat
from farm.node import Node
from farm.shelf import SpoolShelf
from farm.wire import codec
from farm.wire.address import Address
from farm.wire.channel import Channel
from farm.wire.credentials import Credentials
from farm.wire.greeting import Backoff, Reprieve, greet
from farm.wire.leases import Joined
from farm.wire.messages import Message
from farm.wire.opening import CONNECT_SECONDS, connect
from farm.wire.readiness import wait_readable

log = logging.getLogger("farm.worker")

LOOP_SECONDS = 5.0
"""The loop looks around at least so often."""

LEAVE_SECONDS = 2.0


class Worker:
    """One node.

    Args:
        engine: runs the tasks; not started yet, so that its slots never see a connection.
        address: the server's.
        credentials: what is shown to the server; bytes are a key.
        name: for people.
        directory: a private one, for the code of batches.
        grace: seconds that running tasks get when the node is told to stop.
    """

    def __init__(
        self,
        engine: base.Engine,
        address: Address,
        credentials: bytes | Credentials,
        *,
        name: str,
        directory: Path,
        grace: float = 30.0,
    ) -> None:
        self.address = address
        self.grace = grace
        self._engine = engine
        self._credentials = credentials
        self._shelf = SpoolShelf(directory)
        self._node = Node(engine.slots, self._shelf)
        hands = _Hands(engine, CodeStore(directory), self._joined)
        self._token = secrets.token_hex(8)
        self._connections = itertools.count(1)
        self._dialogue = Dialogue(self._node, hands, name, self._token)
        self._code = hands.code
        self._channel: Channel | None = None
        self._server = ""  # the id of its journal
        self._arrived: queue.SimpleQueue[Channel | FarmError] = queue.SimpleQueue()
        self._woken, self._wake = connection.Pipe(duplex=False)
        self._signals: list[int] = []
        self._stopped = threading.Event()
        self._deadline: float | None = None
        self._poll_at = 0.0  # when the engine has to be asked even if nothing of it is ready
        self._beating: threading.Thread | None = None
        self._connecting: threading.Thread | None = None
        self._backoff = Backoff()

    @property
    def id(self) -> int:
        """The node's, as the server knows it; 0 until it does."""
        return self._dialogue.id

    @property
    def name(self) -> str:
        """The node's; the server sees to it that no two are alike."""
        return self._dialogue.name

    # -- life ---------------------------------------------------------------------------------

    def run(self, joined: Callable[[Worker], None] = lambda _: None) -> None:
        """Work until told to stop.

        Args:
            joined: called once the server has taken the node in.

        Raises:
            ServerUnreachableError, NotAuthorisedError: the first connection failed.
            EngineError: this machine cannot run slots.
        """
        self._joined_once: Callable[[Worker], None] | None = joined
        self._engine.start()
        try:
            self._adopt(self._connect_main())
            while not self._done():
                self._turn()
            self._leave()
        finally:
            self._stopped.set()
            if self._channel is not None:
                self._channel.close()
            self._engine.stop()
            for thread in (self._beating, self._connecting):
                if thread is not None:
                    thread.join(CONNECT_SECONDS)
            self._shelf.close()
            self._code.remove()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return bool(self._signals)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Drain the node; a second call stops it at once. From any thread or signal handler."""
        self._signals.append(number)
        with contextlib.suppress(OSError):  # the loop has ended meanwhile
            self._wake.send_bytes(b"")

    def _done(self) -> bool:
        if self._signals and self._deadline is None:
            self._deadline = time.monotonic() + self.grace
            self._node.drain()
            log.info("stopping: running tasks have %.0f s to end", self.grace)
        if self._node.draining and self._node.drained and not self._engine.running:
            return True
        late = self._deadline is not None and time.monotonic() > self._deadline
        return late or len(self._signals) > 1

    def _leave(self) -> None:
        """Tell the server, so that it need not wait for a silence."""
        if self._channel is None:
            return
        with contextlib.suppress(OSError, EOFError, ProtocolError):  # it will notice by itself
            self._write(*self._dialogue.goodbye())
            deadline = time.monotonic() + LEAVE_SECONDS
            while self._dialogue.is_leaving:
                if self._channel is None or not self._channel.wait(
                    max(0.0, deadline - time.monotonic())
                ):
                    return
                self._receive()

    # -- the loop -----------------------------------------------------------------------------

    def _turn(self) -> None:
        ready = self._wait()
        if self._woken in ready:
            while self._woken.poll():
                self._woken.recv_bytes()
            self._take_connection()
        others = len(ready) - (self._woken in ready) - (self._channel in ready)
        if others or time.monotonic() >= self._poll_at:
            self._node.events(self._engine.poll())
        if self._channel is not None:
            try:
                self._channel.flush()
                if self._channel in ready:
                    self._receive()
            except (OSError, EOFError, ProtocolError) as error:
                self._disconnected(error)
        self._speak(self._node.feed(self._engine))

    def _wait(self) -> list[Any]:
        """What can be read by now."""
        waitables: list[Any] = [self._woken, *self._engine.waitables()]
        seconds = LOOP_SECONDS
        if self._channel is not None:
            waitables.append(self._channel)
            if self._channel.backlog:
                seconds = 0.005  # `wait` does not tell when more can be sent
        now = time.monotonic()
        if (due := self._dialogue.due) is not None and self._channel and not self._channel.backlog:
            seconds = min(seconds, max(0.0, due - now))
        wanted = self._engine.timeout(now)
        if wanted is not None:
            seconds = min(seconds, wanted)
        self._poll_at = now + (LOOP_SECONDS if wanted is None else wanted)
        if self._deadline is not None:
            seconds = min(seconds, max(0.0, self._deadline - time.monotonic()))
        return wait_readable(waitables, seconds)

    def _speak(self, idle: int) -> None:
        """Say what the server is to know, if it can be told; so many slots have no chunk."""
        channel = self._channel
        if channel is None:
            return
        try:
            for number, message in self._dialogue.say(
                idle, lambda: channel.backlog < MAX_REPORT_BYTES, time.monotonic()
            ):
                self._write(number, message)
        except OSError as error:
            self._disconnected(error)

    def _write(self, number: int, message: Message) -> None:
        assert self._channel is not None
        self._channel.write(*codec.encode_pieces(number, message))

    def _receive(self) -> None:
        channel = self._channel
        assert channel is not None
        for frame in channel.read():
            for asked in self._dialogue.hear(*codec.decode_reply(frame)):
                self._write(*asked)
        channel.recycle()

    # -- connections --------------------------------------------------------------------------

    def _connect_main(self) -> Channel:
        return self._connect(self._token, next(self._connections))

    def _connect(self, session: str = "", connection: int = 0) -> Channel:
        channel = connect(self.address, self._credentials)
        try:
            welcome = greet(channel, session, connection)
            _check_role(welcome.role, self.address)
            channel.server = welcome.server
        except BaseException:
            channel.close()
            raise
        return channel

    def _adopt(self, channel: Channel) -> None:
        """A connection is there."""
        self._channel = channel
        self._backoff.connected(time.monotonic())
        self._node.delivery.largest = channel.largest
        if self._server not in ("", channel.server):
            log.warning("the server at %s has another journal now: beginning anew", self.address)
            self._dialogue.start_anew()
        self._server = channel.server
        for number, message in self._dialogue.connected():
            self._write(number, message)

    def _joined(self, answer: Joined) -> None:
        if self._beating is None:
            self._beating = Heartbeat(self._connect, self._stopped, self._token, answer.beat)
            self._beating.start()
        if self._joined_once is not None:
            self._joined_once(self)
            self._joined_once = None

    def _disconnected(self, error: Exception) -> None:
        assert self._channel is not None
        log.warning("the connection to %s is lost: %s", self.address, error)
        self._channel.close()
        self._channel = None
        self._backoff.lost(time.monotonic())
        self._dialogue.disconnected()
        self._connecting = threading.Thread(
            target=self._connect_loop, name="farm-connect", daemon=True
        )
        self._connecting.start()

    def _connect_loop(self) -> None:
        """Connect again, for as long as it takes; the loop takes it from there."""
        reprieve = Reprieve()
        while not self._stopped.wait(min(self._backoff.pause(), reprieve.left(time.monotonic()))):
            try:
                self._arrived.put(self._connect_main())
            except NotAuthorisedError as error:
                if reprieve.holds(error, time.monotonic(), log):
                    continue
                self._arrived.put(error)
            except ConfigError as error:  # while a key or certificate is replaced, say
                log.warning("cannot connect again yet: %s", error)
                continue
            except (FarmError, OSError) as error:
                reprieve.forget()
                log.info("cannot connect again yet: %s", error)
                continue
            with contextlib.suppress(OSError):  # the loop has ended meanwhile
                self._wake.send_bytes(b"")
            return

    def _take_connection(self) -> None:
        try:
            arrived = self._arrived.get_nowait()
        except queue.Empty:
            return
        if isinstance(arrived, FarmError):
            raise arrived
        log.warning("connected to %s again", self.address)
        try:
            self._adopt(arrived)
        except OSError as error:
            self._disconnected(error)


class _Hands:
    """What the dialogue has done: by the engine, and in the store of code."""

    def __init__(
        self, engine: base.Engine, code: CodeStore, joined: Callable[[Joined], None]
    ) -> None:
        self.code = code
        self.joined = joined
        self.add_program = engine.add_program
        self.forget_program = engine.drop_program
        self.kill = engine.cancel
        self.take_back = engine.take_back
        self.has_code = code.has
        self.keep_code = code.put
        self.drop_code = code.drop

    def code_directory(self, digest: str) -> str:
        """Where the files of a digest lie."""
        return str(self.code.path(digest))


def _check_role(role: str, address: Address) -> None:
    """See at once that the server will let this node work."""
    if role not in ("work", "admin"):
        raise NotAuthorisedError(
            f"the server at {address} lets nobody work with this key or certificate: its role is "
            f"{role}. Make one with `farm keygen --role work`."
        )


def default_name() -> str:
    """The machine's name."""
    return socket.gethostname() or f"node-{os.getpid()}"
