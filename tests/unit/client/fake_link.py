"""A link whose server is the test: what is asked is kept, and answered when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from farm_harness import eventually

from farm.errors import FarmError, RequestError
from farm.wire import codec
from farm.wire.messages import Append, Cancel, Done, Outcome, Outcomes, Submit, Submitted


class FakeLink:
    """What a pool needs of a link, and of the session around it."""

    address = "nowhere:1"
    session = "5e55"

    def __init__(self, largest: int = 64 << 20) -> None:
        self.largest = largest
        self.said: list[Any] = []
        """All requests, oldest first."""
        self.drained = 0
        self.closed: FarmError | None = None
        self._open: list[tuple[Any, Any]] = []
        self._streams: list[tuple[Any, Any]] = []
        self._lock = threading.Lock()
        self._bringer: threading.Thread | None = None

    # -- farm.client.link.Link ----------------------------------------------------------------

    @property
    def is_own_thread(self) -> bool:
        return threading.current_thread() is self._bringer

    def tell(self, request: Any, answer: Any) -> None:
        self._take(request, answer, self._open)

    def follow(self, request: Any, stream: Any) -> None:
        self._take(request, stream, self._streams)

    def _take(self, request: Any, answer: Any, where: list[tuple[Any, Any]]) -> None:
        codec.encode(1, request)
        with self._lock:
            if self.closed is not None:
                raise self.closed
            self.said.append(request)
            where.append((request, answer))

    def drain(self) -> None:
        if not self.is_own_thread:
            self.drained += 1

    def settle(self, seconds: float) -> None:
        pass

    def call(self, request: Any, seconds: float | None = None) -> Any:
        answer: Future[Any] = Future()
        self.tell(request, answer)
        return answer.result(seconds)

    # -- farm.client.session.Session ----------------------------------------------------------

    @property
    def link(self) -> FakeLink:
        return self

    def close(self) -> None:
        self.fail(FarmError("this session is closed"))

    # -- the server ---------------------------------------------------------------------------

    def fail(self, error: FarmError) -> None:
        """The link is given up; as the one that there is, it tells so by a thread of its own."""
        with self._lock:
            self.closed = self.closed or error
            left, self._open = self._open + self._streams, []
            self._streams = []
        telling = threading.Thread(target=self._tell, args=(left, error), daemon=True)
        telling.start()
        telling.join()

    def _tell(self, left: list[tuple[Any, Any]], error: FarmError) -> None:
        for _, answer in left:
            answer.set_exception(error)

    def kinds(self) -> list[str]:
        """What kinds of requests came."""
        return [type(request).__name__ for request in self.said]

    def blocks(self) -> list[tuple[int, int]]:
        """The blocks that came, in the order in which they did."""
        sent = [one for one in self.said if isinstance(one, Submit | Append)]
        return [(block.start, block.stop) for one in sent for block in one.blocks]

    def request(self, kind: type[Any], nth: int = 0) -> Any:
        """The n-th unanswered request of a kind, once it is there."""

        def found() -> list[Any]:
            with self._lock:
                return [one for one, _ in self._open if isinstance(one, kind)]

        eventually(lambda: len(found()) > nth, f"{nth + 1} unanswered {kind.__name__}")
        return found()[nth]

    def unanswered(self, kind: type[Any]) -> int:
        """How many requests of a kind are unanswered."""
        with self._lock:
            return sum(isinstance(one, kind) for one, _ in self._open)

    def say(self, request: Any, body: Any) -> None:
        """Answer a request, as the link's thread."""
        with self._lock:
            at = next(i for i, (one, _) in enumerate(self._open) if one is request)
            _, answer = self._open.pop(at)
        self._bring(answer, body)

    def accept(self) -> None:
        """Answer everything that is unanswered, in its order, and what follows from that."""
        while self._open:
            request = self._open[0][0]
            known = max(1, sum(isinstance(one, Submit) for one in self.said))
            self.say(request, Submitted(known) if isinstance(request, Submit) else Done())

    def page(self, outcomes: Iterable[Outcome] = (), *, ended: bool = False, nth: int = -1) -> None:
        """A page for the one who follows a batch, the latest if not said."""
        eventually(lambda: self._streams, "somebody follows")
        request, stream = self._streams[nth]
        body = Outcomes(list(outcomes), request.cursor + 1, ended, "running")
        if not stream.goes_on(body):
            self._streams.pop(nth)
        self._bring(stream, body)

    def _bring(self, answer: Any, body: Any) -> None:
        self._bringer, before = threading.current_thread(), self._bringer
        try:
            if isinstance(body, RequestError):
                answer.set_exception(body)
            else:
                answer.set_result(body)
        finally:
            self._bringer = before

    @property
    def cancelled(self) -> list[str]:
        """The batches that were cancelled."""
        return [one.ref for one in self.said if isinstance(one, Cancel)]


class Kept:
    """A taker that keeps what it is given."""

    def __init__(self) -> None:
        self.values: dict[int, Any] = {}
        self.errors: dict[int, BaseException] = {}
        self.pages = 0
        self.ends: list[FarmError | None] = []
        self.cuts: list[tuple[int, FarmError]] = []

    def put(self, start: int, values: list[Any]) -> None:
        self.values.update(enumerate(values, start))

    def put_error(self, index: int, error: BaseException) -> None:
        self.errors[index] = error

    def page_over(self) -> None:
        self.pages += 1

    def cut(self, start: int, error: FarmError) -> None:
        self.cuts.append((start, error))

    def end(self, error: FarmError | None) -> None:
        self.ends.append(error)
