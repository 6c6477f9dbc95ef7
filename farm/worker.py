"""A node: one loop that carries out what `farm.node` decides, for one engine and one server.

The loop waits for slots, for the server and for signals at once, and never for the network alone:
connecting is done by a thread that hands over a connection.
"""

from __future__ import annotations

import array
import contextlib
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

from farm.batch import spec as specs
from farm.codestore import CodeStore
from farm.engines import base
from farm.errors import FarmError, NotAuthorisedError, ProtocolError, RequestError
from farm.heartbeat import Heartbeat
from farm.node import MAX_REPORT_BYTES, Node
from farm.wire import codec
from farm.wire.address import Address
from farm.wire.channel import CONNECT_SECONDS, Channel, connect
from farm.wire.greeting import greet, pause_before
from farm.wire.leases import Code, Dropped, GetCode, Join, Joined, Lease, Leave, Report, Want
from farm.wire.messages import Block, Done, GetBlock, GetSpec, Message, Refused, SpecFound

log = logging.getLogger("farm.worker")

LOOP_SECONDS = 5.0
"""The loop looks around at least so often."""

LEAVE_SECONDS = 2.0


class Worker:
    """One node.

    Args:
        engine: runs the tasks; not started yet, so that its slots never see a connection.
        address: the server's.
        authkey: the key.
        name: for people.
        directory: a private one, for the code of batches.
        grace: seconds that running tasks get when the node is told to stop.
    """

    def __init__(
        self,
        engine: base.Engine,
        address: Address,
        authkey: bytes,
        *,
        name: str,
        directory: Path,
        grace: float = 30.0,
    ) -> None:
        self.address = address
        self.name = name
        self.id = 0
        self._engine = engine
        self._authkey = authkey
        self.grace = grace
        self._node = Node(engine.slots)
        self._code = CodeStore(directory)
        self._channel: Channel | None = None
        self._arrived: queue.SimpleQueue[Channel | FarmError] = queue.SimpleQueue()
        self._woken, self._wake = connection.Pipe(duplex=False)
        self._asked: dict[int, Message] = {}
        self._number = 0
        self._programs: dict[int, str] = {}  # batch -> digest, of those the engine knows
        self._by_value: dict[int, bool] = {}
        self._specs: dict[int, SpecFound] = {}  # those whose code is still on its way
        self._signals: list[int] = []
        self._stopped = threading.Event()
        self._deadline: float | None = None
        self._token = secrets.token_hex(8)
        self._beating: threading.Thread | None = None
        self._connecting: threading.Thread | None = None

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
            self._adopt(self._connect())
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
        if self._deadline is None:
            return False
        late = time.monotonic() > self._deadline or len(self._signals) > 1
        return late or (self._node.drained and not self._engine.running)

    def _leave(self) -> None:
        """Tell the server, so that it need not wait for a silence."""
        if self._channel is None:
            return
        with contextlib.suppress(OSError, EOFError, ProtocolError):  # it will notice by itself
            self._ask(Leave(self.id))
            deadline = time.monotonic() + LEAVE_SECONDS
            while any(isinstance(asked, Leave) for asked in self._asked.values()):
                if self._channel is None or not self._channel.wait(
                    max(0.0, deadline - time.monotonic())
                ):
                    return
                self._receive()

    # -- the loop -----------------------------------------------------------------------------

    def _turn(self) -> None:
        self._wait()
        while self._woken.poll():
            self._woken.recv_bytes()
        self._take_connection()
        self._node.events(self._learn(self._engine.poll()))
        if self._channel is not None:
            try:
                self._channel.flush()
                self._receive()
            except (OSError, EOFError, ProtocolError) as error:
                self._disconnected(error)
        self._feed()
        self._speak()

    def _wait(self) -> None:
        waitables: list[Any] = [self._woken, *self._engine.waitables()]
        seconds = LOOP_SECONDS
        if self._channel is not None:
            waitables.append(self._channel)
            if self._channel.backlog:
                seconds = 0.005  # `wait` does not tell when more can be sent
        wanted = self._engine.timeout(time.monotonic())
        if wanted is not None:
            seconds = min(seconds, wanted)
        if self._deadline is not None:
            seconds = min(seconds, max(0.0, self._deadline - time.monotonic()))
        connection.wait(waitables, seconds)

    def _learn(self, events: list[base.Event]) -> list[base.Event]:
        for event in events:
            if isinstance(event, base.Part):
                seconds = sum(array.array("f", event.seconds))
                self._node.learn(event.batch, event.stop - event.start, seconds)
        return events

    def _feed(self) -> None:
        for chunk, behind in self._node.chunks(self._engine.idle, self._engine.ahead):
            self._engine.submit(chunk, ahead=behind)
        if self._engine.idle:
            self._engine.take_back()

    def _speak(self) -> None:
        """Say what the server is to know, if it can be told."""
        if self._channel is None or not self.id:
            return
        try:
            for batch in self._node.needs_program():
                if batch not in self._specs:
                    self._ask_once(GetSpec(batch))
            for batch, index in self._node.missing_blocks():
                self._ask(GetBlock(batch, index))
            # What the network does not take yet stays in the node, where it is not lost with a
            # backlog that has grown too long.
            while self._channel.backlog < MAX_REPORT_BYTES and (report := self._node.report()):
                self._node.sent(self._ask(report), report)
            if free := self._node.want(self._engine.idle):
                self._channel.write(codec.encode(0, Want(free)))
        except OSError as error:
            self._disconnected(error)
        for batch in self._node.forget_idle():
            self._forget(batch)

    def _ask(self, request: Message) -> int:
        assert self._channel is not None
        self._number += 1
        self._asked[self._number] = request
        self._channel.write(codec.encode(self._number, request))
        return self._number

    def _ask_once(self, request: Message) -> None:
        if request not in self._asked.values():
            self._ask(request)

    # -- from the server ----------------------------------------------------------------------

    def _receive(self) -> None:
        assert self._channel is not None
        for frame in self._channel.read():
            number, body = codec.decode_reply(frame)
            asked = self._asked.pop(number, None)
            if isinstance(body, Refused):
                self._refused(asked, number, body)
            else:
                self._hear(asked, number, body)

    def _hear(self, asked: Message | None, number: int, body: Message) -> None:
        match body:
            case Lease():
                self._node.lease(body)
                if body.batch in self._programs:
                    self._ready(body.batch)
            case Done() if isinstance(asked, Report):
                self._node.acknowledged(number)
            case SpecFound():
                self._found_spec(body)
            case Code() if isinstance(asked, GetCode):
                self._found_code(asked.digest, body.files)
            case Block() if isinstance(asked, GetBlock):
                self._node.block(asked.batch, body)
            case Dropped():
                self._node.dropped(body.batch)
                self._engine.cancel(body.batch)
                self._forget(body.batch)
            case Joined():
                self._joined(body)

    def _refused(self, asked: Message | None, number: int, refusal: Refused) -> None:
        log.error("the server refused %s: %s", type(asked).__name__, refusal.text)
        if isinstance(asked, Join):
            raise RequestError(refusal.code, f"the server refused this node: {refusal.text}")
        if refusal.code in ("unknown-node", "journal", "internal"):
            # It may be served after joining once more; until then everything is kept.
            self._disconnected(ProtocolError(refusal.text))
        elif isinstance(asked, Report):
            self._node.acknowledged(number)
        elif isinstance(asked, GetSpec | GetBlock):
            self._node.dropped(asked.batch)

    def _found_spec(self, found: SpecFound) -> None:
        if found.batch not in self._node.needs_program():
            return  # dropped meanwhile
        if found.digest and not self._code.has(found.digest):
            self._specs[found.batch] = found
            self._ask_once(GetCode(found.digest))
        else:
            self._add_program(found)

    def _found_code(self, digest: str, files: dict[str, bytes]) -> None:
        try:
            self._code.put(digest, files)
        except (OSError, ProtocolError) as error:
            # Without the code this node can do nothing for the batch; others may.
            raise FarmError(f"the code of a batch cannot be unpacked here: {error}") from error
        for batch, found in list(self._specs.items()):
            if found.digest == digest:
                del self._specs[batch]
                self._add_program(found)

    def _add_program(self, found: SpecFound) -> None:
        directory = str(self._code.path(found.digest)) if found.digest else None
        self._engine.add_program(base.Program(found.batch, found.spec, found.digest, directory))
        self._by_value[found.batch] = specs.decode(found.spec).space is None
        self._programs[found.batch] = found.digest
        self._ready(found.batch)

    def _ready(self, batch: int) -> None:
        self._node.program_ready(batch, by_value=self._by_value[batch])

    def _forget(self, batch: int) -> None:
        self._engine.drop_program(batch)
        self._specs.pop(batch, None)
        self._by_value.pop(batch, None)
        digest = self._programs.pop(batch, "")
        if digest and digest not in self._programs.values():
            self._code.drop(digest)

    # -- connections --------------------------------------------------------------------------

    def _connect(self) -> Channel:
        channel = connect(self.address, self._authkey)
        try:
            greet(channel)
        except BaseException:
            channel.close()
            raise
        return channel

    def _adopt(self, channel: Channel) -> None:
        """A connection is there: present the node, and what it holds."""
        self._channel = channel
        self._asked.clear()
        held = self._node.held()
        self._ask(Join(self.name, self._engine.slots, self.id, held, self._token))

    def _joined(self, answer: Joined) -> None:
        self.id, self.name = answer.node, answer.name
        self._node.drop(answer.drop)
        if self._beating is None:
            self._beating = Heartbeat(self._connect, self._stopped, lambda: self.id, answer.beat)
            self._beating.start()
        if self._joined_once is not None:
            self._joined_once(self)
            self._joined_once = None

    def _disconnected(self, error: Exception) -> None:
        assert self._channel is not None
        log.warning("the connection to %s is lost: %s", self.address, error)
        self._channel.close()
        self._channel = None
        self._specs.clear()
        self._node.disconnected()
        self._connecting = threading.Thread(
            target=self._connect_loop, name="farm-connect", daemon=True
        )
        self._connecting.start()

    def _connect_loop(self) -> None:
        """Connect again, for as long as it takes; the loop takes it from there."""
        attempt = 0
        while not self._stopped.wait(pause_before(attempt)):
            attempt += 1
            try:
                self._arrived.put(self._connect())
            except NotAuthorisedError as error:
                self._arrived.put(error)
            except (FarmError, OSError) as error:
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


def default_name() -> str:
    """The machine's name."""
    return socket.gethostname() or f"node-{os.getpid()}"
