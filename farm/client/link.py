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
from dataclasses import dataclass, field
from typing import Protocol

from farm.client.once import Once, Reply
from farm.client.outbox import Outbox
from farm.client.putoff import PutOff
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
from farm.wire.messages import Cancel, Message, Refused, Welcome
from farm.wire.opening import connect

log = logging.getLogger("farm.client")

MAX_ASKED = 10_000
"""Requests that may be unanswered at a time."""

SPARE_ASKED = 1_000
"""Further ones that cancel a batch: what cannot be followed must not run on."""

_IDLE_SECONDS = 60.0


class Answer(Protocol):
    """Where an answer goes: a `Reply`, or whoever takes one after the other."""

    def set_result(self, body: Message, /) -> None:
        """It has come."""

    def set_exception(self, error: FarmError, /) -> None:
        """None will come."""


class Stream(Answer, Protocol):
    """Takes several answers to one request."""

    def goes_on(self, body: Message) -> bool:
        """Whether another answer follows this one."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that is unanswered.

    Args:
        request: as it is sent again after a break.
        answer: where its answer goes.
        stream: the same, where there are several.
        told: set when the answer, or that none will come, has been told.
    """

    request: Message
    answer: Answer
    stream: Stream | None
    told: Once = field(default_factory=Once)


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
        self._asked: dict[int, _Asked] = {}
        self._put_off = PutOff()  # the reader's
        self._lock = threading.Lock()
        self._closed = Once()
        self._reason: FarmError | None = None  # why it was given up
        self._pid = os.getpid()
        self.welcome: Welcome | None = None
        self._outbox = Outbox(self._connect())
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
    def _channel(self) -> Channel:
        return self._outbox.channel

    @property
    def largest(self) -> int:
        """Bytes of the longest message that the server takes."""
        return self._channel.largest

    @property
    def is_own_thread(self) -> bool:
        """Whether the link's own thread asks this: while that waits, no answer comes."""
        return threading.current_thread() is self._reader

    def ask(self, request: Message) -> Reply:
        """Send a request, and wait until it is on its way; its answer is the reply's result.

        That is an error if the server refuses (`RequestError`), or the link is given up.
        """
        reply = Reply()
        self.tell(request, reply)
        self.drain()
        return reply

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
        outbox = self._outbox
        try:
            with self._lock:
                outbox = self._outbox
                self._check(request, len(frame))
                self._asked[number] = _Asked(request, answer, stream)
            self._put(outbox, number, request, frame)
        except BaseException:
            # Ctrl-C: it counts as asked, and nobody knows how much of it was sent. The next
            # connection sends it whole.
            if number in self._asked:
                outbox.channel.close()
            raise

    def _check(self, request: Message, size: int) -> None:
        """Whether a request may be sent; with the lock."""
        if self._closed.is_set():
            raise self._reason or FarmError("this session is closed")
        if len(self._asked) >= MAX_ASKED + SPARE_ASKED * isinstance(request, Cancel):
            raise FarmError(f"{MAX_ASKED} requests are unanswered already")
        if size > self.largest:
            raise UsageError(
                f"a message of {size:,} bytes; the server takes at most {self.largest:,} "
                "(`farm serve --max-frame`)"
            )

    def _put(self, outbox: Outbox, number: int, request: Message, frame: bytes) -> None:
        try:
            outbox.put(number, request, frame)
        except OSError as error:
            self._broken(outbox.channel, error)

    def drain(self) -> None:
        """Wait until what was asked is on its way, so that nobody outruns the network.

        The link's own thread does not wait: it has to read meanwhile.
        """
        if self.is_own_thread:
            return
        outbox = self._outbox
        try:
            outbox.drain()
        except OSError as error:
            self._broken(outbox.channel, error)

    def _broken(self, channel: Channel, error: OSError) -> None:
        """The reader sees the same, connects again and sends what is unanswered."""
        log.debug("sending to %s failed: %s", self.address, error)
        channel.close()

    def settle(self, seconds: float) -> None:
        """Wait until everything is answered that is answered once, or for so many seconds."""
        deadline = time.monotonic() + seconds
        with self._lock:
            asked = [one for one in self._asked.values() if one.stream is None]
        for one in asked:
            one.told.wait(deadline - time.monotonic())

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
                    self._read(self._outbox)
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

    def _read(self, outbox: Outbox) -> None:
        while not self._closed.is_set():
            is_sent = outbox.push()
            seconds = self._put_off.seconds(time.monotonic(), _IDLE_SECONDS)
            if outbox.channel.wait(seconds, or_sent=not is_sent):
                for frame in outbox.channel.read():
                    self._answer(*codec.decode_reply(frame))
            self._send_again(outbox)

    def _send_again(self, outbox: Outbox) -> None:
        """Send what the server has put off."""
        for number in self._put_off.due(time.monotonic()):
            with self._lock:
                asked = self._asked.get(number)
            if asked is not None:
                outbox.put(number, asked.request, codec.encode(number, asked.request))

    def _answer(self, number: int, body: Message) -> None:
        known = self._asked.get(number)
        request = None if known is None else known.request
        awaited = known is not None and isinstance(known.answer, Reply)
        if self._put_off.takes(number, request, body, time.monotonic(), awaited=awaited):
            return
        with self._lock:
            asked = self._asked.get(number)
            if asked is not None and (asked.stream is None or not asked.stream.goes_on(body)):
                del self._asked[number]
        if asked is None:
            return
        if isinstance(body, Refused):
            asked.answer.set_exception(RequestError(body.code, body.text))
        else:
            asked.answer.set_result(body)
        asked.told.set()

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
        """Use another connection, and ask there what is unanswered; not if the link is closed.

        Nothing is sent yet: the server may have much to say, and is to be heard meanwhile.
        """
        self._put_off.clear()
        with self._lock:
            if is_wanted := not self._closed.is_set():
                unanswered = [(number, one.request) for number, one in self._asked.items()]
                self._outbox = Outbox(channel, unanswered)
        if not is_wanted:
            channel.close()
        return is_wanted

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
        interrupt: KeyboardInterrupt | None = None
        for asked in unanswered:
            try:
                asked.answer.set_exception(error)
            except KeyboardInterrupt as signal:
                interrupt = signal
            except BaseException:
                # A callback of the user's, say. The others are told all the same.
                log.exception("whoever was told that no answer comes has failed")
            asked.told.set()
        if interrupt is not None:
            raise interrupt

    def close(self) -> None:
        """Close the connection; what is unanswered fails."""
        with self._lock:  # from now on there is no other connection
            self._closed.set()
        self._channel.close()
        if self._pid == os.getpid() and self._reader is not threading.current_thread():
            self._reader.join(5.0)
        self._give_up(FarmError("this session is closed"))
