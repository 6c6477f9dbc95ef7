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

from farm.client.once import MUST_NOT_WAIT, Once, Reply
from farm.client.outbox import Outbox
from farm.client.putoff import PutOff
from farm.client.unanswered import Answer, Asked, Stream, Unanswered
from farm.errors import (
    ConfigError,
    FarmError,
    NotAuthorisedError,
    ProtocolError,
    UsageError,
    WaitTimeoutError,
)
from farm.wire import codec
from farm.wire.address import Address
from farm.wire.channel import Channel
from farm.wire.credentials import Credentials
from farm.wire.greeting import Backoff, Reprieve, greet
from farm.wire.messages import Cancel, Message, Refused, Welcome
from farm.wire.opening import connect

log = logging.getLogger("farm.client")

MAX_ASKED = 10_000
"""Requests that may be unanswered at a time."""

SPARE_ASKED = 1_000
"""Further ones that cancel a batch: what cannot be followed must not run on."""

CLOSE_SECONDS = 5.0
"""For so long whoever closes a link waits for its own thread to tell everybody."""

_IDLE_SECONDS = 2.0
"""The link's own thread looks at least so often whether something waits to be sent: whoever put it
there may have been interrupted before it saw to that."""


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
        self._asked = Unanswered()
        self._put_off = PutOff()  # the reader's
        self._backoff = Backoff()  # likewise
        self._lock = threading.Lock()
        self._closed = Once()
        self._ended = Once()  # the reader has told everybody
        self._reason: FarmError | None = None  # why it was given up
        self._pid = os.getpid()
        self.welcome: Welcome | None = None
        self._outbox = Outbox(self._connect())
        self._backoff.connected(time.monotonic())
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
        # Before it is known: what cannot be sent is not.
        pieces = codec.encode_pieces(number, request)
        outbox = self._outbox
        try:
            with self._lock:
                outbox = self._outbox
                self._check(request, sum(map(len, pieces)))
                self._asked.add(number, Asked(request, answer, stream))
            self._put(outbox, number, request, pieces)
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

    def _put(self, outbox: Outbox, number: int, request: Message, pieces: list[bytes]) -> None:
        try:
            outbox.put(number, request, pieces)
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
        """Wait until everything is answered that is answered once, or for so many seconds.

        The link's own thread does not wait, as nothing is answered meanwhile.
        """
        if self.is_own_thread:
            return
        deadline = time.monotonic() + seconds
        for one in self._asked.all().values():
            if one.stream is None:
                one.told.wait(deadline - time.monotonic())

    def call(self, request: Message, seconds: float | None = None) -> Message:
        """Send a request and wait for its answer.

        Raises:
            RequestError: the server refuses.
            WaitTimeoutError: no answer within ``seconds``.
            FarmError: it is the link's own thread that asks; nothing is sent.
        """
        if self.is_own_thread:
            raise FarmError(MUST_NOT_WAIT)
        try:
            return self.ask(request).result(seconds)
        except TimeoutError as error:
            if isinstance(error, FarmError):
                raise
            raise WaitTimeoutError(f"no answer from {self.address} within {seconds:g} s") from error

    # -- the reader ---------------------------------------------------------------------------

    def _read_loop(self) -> None:
        reason = FarmError("this session is closed")
        try:
            self._read_on()
        except FarmError as error:
            reason = error
        except BaseException as error:
            reason = FarmError(f"the link to {self.address} has failed: {error!r}")
            raise
        finally:  # however it ends: whoever waits for an answer must learn that none will come
            self._channel.close()
            self._give_up(reason)
            self._ended.set()

    def _read_on(self) -> None:
        while not self._closed.is_set():
            try:
                self._read(self._outbox)
            except (EOFError, OSError, ProtocolError) as error:
                self._channel.close()
                self._backoff.lost(time.monotonic())
                if not self._closed.is_set():
                    log.warning("the connection to %s is lost: %s", self.address, error)
                    self._reconnect()

    def _read(self, outbox: Outbox) -> None:
        while not self._closed.is_set():
            is_sent = outbox.push()
            seconds = self._put_off.seconds(time.monotonic(), _IDLE_SECONDS)
            if outbox.channel.wait(seconds, or_sent=not is_sent):
                for frame in (frames := outbox.channel.read()):
                    self._answer(*codec.decode_reply(frame))
                outbox.channel.recycle()
                if frames:
                    self._backoff.was_of_use()
            self._send_again(outbox)

    def _send_again(self, outbox: Outbox) -> None:
        """Send what the server has put off."""
        for number in self._put_off.due(time.monotonic()):
            request = self._asked.request(number)
            if request is not None:
                outbox.put(number, request, codec.encode_pieces(number, request))

    def _answer(self, number: int, body: Message) -> None:
        request = self._asked.request(number)
        awaited = isinstance(body, Refused) and self._asked.is_awaited(number)
        if not self._put_off.takes(number, request, body, time.monotonic(), awaited=awaited):
            self._asked.answer(number, body)

    def _reconnect(self) -> None:
        """Connect again, for as long as it takes, and ask again what is unanswered."""
        reprieve = Reprieve()
        while not self._closed.wait(min(self._backoff.pause(), reprieve.left(time.monotonic()))):
            channel = self._try_again(reprieve)
            if channel is not None and self._ask_again(channel):
                self._backoff.connected(time.monotonic())
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
                unanswered = [(number, one.request) for number, one in self._asked.all().items()]
                self._outbox = Outbox(channel, unanswered)
        if not is_wanted:
            channel.close()
        return is_wanted

    # -- its end ------------------------------------------------------------------------------

    def fail(self, error: FarmError) -> None:
        """There is nobody to connect to any more: what is asked now and later fails so.

        Not for the main thread, which Ctrl-C interrupts.
        """
        self._give_up(error)
        self._channel.close()

    def _give_up(self, error: FarmError) -> None:
        with self._lock:
            self._reason = self._reason or error
            self._closed.set()
        self._asked.end(self._reason)

    def close(self) -> None:
        """Close the connection; what is unanswered fails."""
        try:
            self._close()
        except BaseException:  # Ctrl-C, wherever it came: all that wait are told before it goes on
            self._close()
            raise

    def _close(self) -> None:
        with self._lock:  # from now on there is no other connection
            self._closed.set()
        self._channel.close()
        if self._pid != os.getpid() or self.is_own_thread:
            self._give_up(FarmError("this session is closed"))
        elif not self._ended.wait(CLOSE_SECONDS):  # it is connecting, or in somebody's callback
            self._tell_beside()

    def _tell_beside(self) -> None:
        """Tell all that no answer comes, by a thread that Ctrl-C does not interrupt."""
        told = Once()

        def tell() -> None:
            try:
                self._give_up(FarmError("this session is closed"))
            finally:
                told.set()

        threading.Thread(target=tell, name="farm-link-end", daemon=True).start()
        told.wait()
