"""One connection to a server that outlives it: requests wait, and are sent again after a break.

Every request is idempotent (see `farm.wire.messages`), so that one whose answer was lost with the
connection is simply asked again on the next.
"""

from __future__ import annotations

import itertools
import logging
import os
import secrets
import threading
import time
from collections import deque
from concurrent.futures import Future, wait
from typing import Protocol

from farm.errors import (
    ConfigError,
    FarmError,
    NotAuthorisedError,
    ProtocolError,
    RequestError,
    UsageError,
    WaitTimeoutError,
)
from farm.wire import codec
from farm.wire.address import Address
from farm.wire.channel import Channel
from farm.wire.credentials import Credentials
from farm.wire.greeting import Reprieve, greet, pause_before
from farm.wire.messages import Message, Refused, Welcome
from farm.wire.opening import connect

log = logging.getLogger("farm.client")

MAX_ASKED = 10_000
"""Requests that may be unanswered at a time."""

BUSY_PAUSE = 0.2
BUSY_SECONDS = 30.0
"""A request that the server is too busy for is sent again after a pause, for so long."""

_IDLE_SECONDS = 60.0


class Answer(Protocol):
    """Where an answer goes: a `Future`, or whoever takes one after the other."""

    def set_result(self, body: Message, /) -> None:
        """It has come."""

    def set_exception(self, error: FarmError, /) -> None:
        """None will come."""


class Stream(Answer, Protocol):
    """Takes several answers to one request."""

    def goes_on(self, body: Message) -> bool:
        """Whether another answer follows this one."""


class Link:
    """A connection for requests from any thread.

    Args:
        address: the server's.
        credentials: what is shown to the server; bytes are a key.

    Raises:
        ServerUnreachableError, NotAuthorisedError, ProtocolError: the first connection failed.
    """

    def __init__(self, address: Address, credentials: bytes | Credentials) -> None:
        self.address = address
        self._credentials = credentials
        self._numbers = itertools.count(1)
        self.session = secrets.token_hex(8)
        """What all its connections say they are of."""
        self._connections = itertools.count(1)
        self._asked: dict[int, tuple[Message, Answer]] = {}
        self._streams: dict[int, Stream] = {}  # those of them that are answered several times
        self._busy: dict[int, float] = {}  # requests refused for now -> until when they are sent
        self._again: deque[tuple[float, int]] = deque()  # when to send which of them next
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._reason: FarmError | None = None  # why it was given up
        self._pid = os.getpid()
        self.welcome: Welcome | None = None
        self._channel = self._connect()
        self._reader = threading.Thread(target=self._read_loop, name="farm-link", daemon=True)
        self._reader.start()

    def _connect(self) -> Channel:
        channel = connect(self.address, self._credentials)
        try:
            welcome = greet(channel, self.session, next(self._connections))
            if self.welcome is not None and welcome.server != self.welcome.server:
                # Ids mean other batches there: nothing that is unanswered may be asked of it.
                raise UsageError(
                    f"the server at {self.address} has another journal than before (--data): what "
                    "this session knows is not there"
                )
            self.welcome = welcome
        except BaseException:
            channel.close()
            raise
        return channel

    @property
    def largest(self) -> int:
        """Bytes of the longest message that the server takes."""
        return self._channel.largest

    @property
    def is_own_thread(self) -> bool:
        """Whether the link's own thread asks this: while that waits, no answer comes."""
        return threading.current_thread() is self._reader

    def ask(self, request: Message) -> Future[Message]:
        """Send a request, and wait until it is on its way; its answer is the future's result.

        The future's exception is a `RequestError` if the server refuses, another `FarmError` if
        the link is given up. Its callbacks are called by the link's own thread: they must not wait.
        """
        future: Future[Message] = Future()
        self.tell(request, future)
        self.drain()
        return future

    def tell(self, request: Message, answer: Answer) -> None:
        """Send a request; nothing is waited for, so that whoever calls this may have a lock.

        Args:
            request: what is asked.
            answer: called by the link's own thread, or by whoever closes the link; never by this
                call.
        """
        self._ask(request, answer, None)

    def follow(self, request: Message, stream: Stream) -> None:
        """As `tell`, with a request that is answered several times.

        After a lost connection the request is sent again as it is by then: ``stream`` changes it as
        answers come.
        """
        self._ask(request, stream, stream)

    def _ask(self, request: Message, answer: Answer, stream: Stream | None) -> None:
        if self._pid != os.getpid():
            raise FarmError("this session belongs to another process: connect again after a fork")
        number = next(self._numbers)
        frame = codec.encode(number, request)  # before it is known: what cannot be sent is not
        with self._lock:
            if self._closed.is_set():
                raise self._reason or FarmError("this session is closed")
            if len(self._asked) >= MAX_ASKED:
                raise FarmError(f"{MAX_ASKED} requests are unanswered already")
            self._asked[number] = (request, answer)
            if stream is not None:
                self._streams[number] = stream
            channel = self._channel
            if len(frame) > channel.largest:
                del self._asked[number]
                self._streams.pop(number, None)
                raise UsageError(
                    f"a message of {len(frame):,} bytes; the server takes at most "
                    f"{channel.largest:,} (`farm serve --max-frame`)"
                )
        try:
            channel.write(frame)
        except OSError as error:
            self._broken(channel, error)

    def drain(self) -> None:
        """Wait until what was asked is on its way, so that nobody outruns the network.

        The link's own thread does not wait: it has to read meanwhile.
        """
        if self.is_own_thread:
            return
        channel = self._channel
        try:
            channel.drain()
        except OSError as error:
            self._broken(channel, error)

    def _broken(self, channel: Channel, error: OSError) -> None:
        """The reader sees the same, connects again and sends what is unanswered."""
        log.debug("sending to %s failed: %s", self.address, error)
        channel.close()

    def settle(self, seconds: float) -> None:
        """Wait until everything is answered that is answered once, or for so many seconds."""
        with self._lock:
            asked = [one for _, one in self._asked.values() if isinstance(one, Future)]
        wait(asked, seconds)

    def call(self, request: Message, seconds: float | None = None) -> Message:
        """Send a request and wait for its answer.

        Raises:
            RequestError: the server refuses.
            WaitTimeoutError: no answer within ``seconds``.
        """
        try:
            return self.ask(request).result(seconds)
        except TimeoutError as error:
            if isinstance(error, FarmError):
                raise
            raise WaitTimeoutError(f"no answer from {self.address} within {seconds:g} s") from error

    # -- the reader ---------------------------------------------------------------------------

    def _read_loop(self) -> None:
        try:
            while not self._closed.is_set():
                try:
                    self._read(self._channel)
                except (EOFError, OSError, ProtocolError) as error:
                    self._channel.close()
                    if not self._closed.is_set():
                        log.warning("the connection to %s is lost: %s", self.address, error)
                        self._reconnect()
        except FarmError as error:
            self._give_up(error)
        except BaseException as error:
            # Whoever waits for an answer must learn that none will come.
            self._give_up(FarmError(f"the link to {self.address} has failed: {error!r}"))
            raise

    def _read(self, channel: Channel) -> None:
        while not self._closed.is_set():
            if channel.wait(self._idle_seconds()):
                for frame in channel.read():
                    self._answer(*codec.decode_reply(frame))
            self._send_again(channel)

    def _idle_seconds(self) -> float:
        if not self._again:
            return _IDLE_SECONDS
        return max(0.0, self._again[0][0] - time.monotonic())

    def _send_again(self, channel: Channel) -> None:
        """Send what the server was too busy for."""
        now = time.monotonic()
        while self._again and self._again[0][0] <= now:
            number = self._again.popleft()[1]
            with self._lock:
                request, _ = self._asked.get(number, (None, None))
            if request is not None:
                channel.write(codec.encode(number, request))

    def _is_to_wait(self, number: int, body: Message) -> bool:
        """Whether a request is to be sent once more, a little later.

        The server was too busy for it, or for one that it follows: they keep their order.
        """
        if not isinstance(body, Refused) or body.code not in ("busy", "early"):
            self._busy.pop(number, None)
            return False
        now = time.monotonic()
        if now > self._busy.setdefault(number, now + BUSY_SECONDS):
            del self._busy[number]
            return False
        self._again.append((now + BUSY_PAUSE, number))
        return True

    def _answer(self, number: int, body: Message) -> None:
        if self._is_to_wait(number, body):
            return
        with self._lock:
            stream = self._streams.get(number)
            if stream is not None and stream.goes_on(body):
                answer: Answer | None = stream
            else:
                _, answer = self._asked.pop(number, (None, None))
                self._streams.pop(number, None)
        if answer is None:
            return
        if isinstance(body, Refused):
            answer.set_exception(RequestError(body.code, body.text))
        else:
            answer.set_result(body)

    def _reconnect(self) -> None:
        """Connect again, for as long as it takes, and ask again what is unanswered."""
        reprieve = Reprieve()
        for attempt in itertools.count():
            if self._closed.wait(min(pause_before(attempt), reprieve.left(time.monotonic()))):
                return
            channel = self._try_again(reprieve)
            if channel is not None and self._ask_again(channel):
                log.warning("connected to %s again", self.address)
                return

    def _try_again(self, reprieve: Reprieve) -> Channel | None:
        """Another connection; None if there is none yet, an error if there will be none."""
        try:
            return self._connect()
        except ConfigError as error:  # while a key or certificate is replaced, say
            log.warning("cannot connect again yet: %s", error)
        except UsageError:
            raise
        except NotAuthorisedError as error:
            if not reprieve.holds(error, time.monotonic(), log):
                raise
        except FarmError as error:
            reprieve.forget()
            log.info("cannot connect again yet: %s", error)
        return None

    def _ask_again(self, channel: Channel) -> bool:
        """Use another connection, and ask there what is unanswered; whether it is still there."""
        with self._lock:
            self._channel = channel
            unanswered = list(self._asked.items())
        self._again.clear()
        try:
            for number, (request, _) in unanswered:
                channel.write(codec.encode(number, request))
                channel.drain()
        except OSError as error:
            log.info("the connection is lost again: %s", error)
            channel.close()
            return False
        return True

    def fail(self, error: FarmError) -> None:
        """There is nobody to connect to any more: what is asked now and later fails so."""
        self._give_up(error)
        self._channel.close()

    def _give_up(self, error: FarmError) -> None:
        with self._lock:
            self._reason = self._reason or error
            self._closed.set()
            unanswered = list(self._asked.values())
            self._asked.clear()
            self._streams.clear()
        for _, answer in unanswered:
            answer.set_exception(error)

    def close(self) -> None:
        """Close the connection; what is unanswered fails."""
        self._closed.set()
        self._channel.close()
        if self._pid == os.getpid() and self._reader is not threading.current_thread():
            self._reader.join(5.0)
        self._give_up(FarmError("this session is closed"))
