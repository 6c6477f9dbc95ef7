"""Single calls, sent together: what goes when, and that each has one end."""

from __future__ import annotations

import pickle
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from fake_farm import done, failed
from fake_link import FakeLink
from farm_harness import PATIENCE, eventually

from farm.batch import spec as specs
from farm.client import calls as batches
from farm.client import feed
from farm.client import stream as module
from farm.client.changed import Changed
from farm.client.pending import AsyncResult
from farm.client.stream import CallStream
from farm.errors import BatchCancelledError, FarmError, RequestError, UsageError
from farm.wire.messages import Append, Done, Submit


class Calls:
    """A stream over a link that is the test's."""

    def __init__(self, link: FakeLink) -> None:
        self.link = link
        self.changed = Changed(lambda: link.is_own_thread)
        self.stream = CallStream(link, self.changed, "pool", specs.Options())  # type: ignore[arg-type]

    def add(self, data: bytes = b"call", callback: Any = None) -> AsyncResult:
        """One more call; the stream's thread has sent it, if it was to go at once."""
        result = AsyncResult(self.changed, callback, callback)
        self.stream.add(data, result)
        eventually(lambda: not self.stream._is_urgent(), "it was looked at")
        return result

    def adds(self, count: int) -> list[AsyncResult]:
        return [self.add(b"%d" % number) for number in range(count)]

    def sent(self) -> list[bytes]:
        """The calls that were sent."""
        requests = [one for one in self.link.said if isinstance(one, Submit | Append)]
        return [c for r in requests for block in r.blocks for c in pickle.loads(block.payload)]


def ends(link: FakeLink) -> list[type]:
    """The messages that closed a batch."""
    return [type(one) for one in link.said if getattr(one, "close", False)]


@pytest.fixture
def calls():
    made = Calls(FakeLink())
    yield made
    made.stream.stop()


@pytest.fixture
def late(monkeypatch):
    """Nothing goes because it has waited for long enough."""
    monkeypatch.setattr(module, "FLUSH_SECONDS", 3600.0)
    made = Calls(FakeLink())
    yield made
    made.stream.stop()


def test_the_first_call_goes_at_once_and_the_others_together_when_it_has_arrived(late):
    results = late.adds(1000)
    assert late.sent() == [b"0"]
    late.link.accept()
    assert late.sent() == [b"%d" % number for number in range(1000)]
    assert late.link.kinds() == ["Submit", "Append", "GetOutcomes"]
    late.link.page([done(0, list(range(1000)))])
    assert [result.get(0) for result in results] == list(range(1000))


def test_what_waits_goes_after_a_moment_though_nothing_arrives(calls):
    calls.add(b"0")
    calls.link.accept()
    calls.add(b"1")
    calls.add(b"2")
    eventually(lambda: calls.sent() == [b"0", b"1", b"2"], "they go")
    assert calls.link.unanswered(Append) == 2


def test_much_goes_before_that(late, monkeypatch):
    monkeypatch.setattr(batches, "MESSAGE_BYTES", 100)
    is_urgent, looked = late.stream._is_urgent, []

    def look() -> bool:
        found = is_urgent()
        if late.stream.is_own_thread:
            looked.append(found)
        return found

    monkeypatch.setattr(late.stream, "_is_urgent", look)
    late.add(b"0")
    late.link.accept()
    for _ in range(3):
        late.add(b"x" * 40)
    eventually(lambda: not looked[-1], "its thread waits for others")
    assert [len(data) for data in late.sent()] == [1, 40], "80 bytes wait"
    late.add(b"x" * 40)
    assert [len(data) for data in late.sent()] == [1, 40, 40, 40, 40]
    assert late.link.unanswered(Append) == 3


def test_a_message_fits_into_what_the_server_takes(monkeypatch):
    made = Calls(FakeLink(largest=1 << 17))
    monkeypatch.setattr(module, "FLUSH_SECONDS", 3600.0)
    results = [made.add(b"x" * 40_000) for _ in range(10)]
    made.link.accept()
    sizes = [sum(len(b.payload) for b in one.blocks) for one in made.link.said[:1]]
    appended = [one for one in made.link.said if isinstance(one, Append)]
    sizes += [sum(len(b.payload) for b in one.blocks) for one in appended]
    assert max(sizes) < 1 << 17
    assert len(made.sent()) == 10
    refused = made.add(b"x" * (1 << 16) + b"x")
    with pytest.raises(UsageError, match="a call of 65,537 bytes; the limit is 65,536"):
        refused.get(0)
    assert not any(result.ready() for result in results)


def test_calls_in_any_number_of_batches(late, monkeypatch):
    monkeypatch.setattr(batches, "MAX_CALLS", 3)
    results = late.adds(8)
    closed = [Append, Append]
    eventually(lambda: late.link.accept() or len(late.sent()) == 8, "all are sent")
    eventually(lambda: late.link.accept() or ends(late.link) == closed, "two are closed")
    late.link.accept()
    submits = [one for one in late.link.said if isinstance(one, Submit)]
    assert len(submits) == 3
    assert sorted(late.sent()) == [b"%d" % number for number in range(8)]
    for nth, first, count in ((2, 6, 2), (1, 3, 3), (0, 0, 3)):
        late.link.page([done(0, list(range(first, first + count)))], nth=nth)
    assert [result.get(0) for result in results] == list(range(8))
    assert ends(late.link) == closed, "the last one takes more calls"


def test_results_come_in_any_order_and_failures_are_of_their_calls(late):
    seen: list[Any] = []
    results = [late.add(callback=seen.append) for _ in range(4)]
    late.link.accept()
    late.link.page([done(2, ["c", "d"]), failed(0)])
    assert not results[1].ready()
    late.link.page([done(1, ["b"])])
    assert [results[at].get(0) for at in (1, 2, 3)] == ["b", "c", "d"]
    assert not results[0].successful()
    assert (seen[:2], seen[3]) == (["c", "d"], "b")


def test_a_result_that_comes_twice_counts_once(late):
    seen: list[Any] = []
    result = late.add(callback=seen.append)
    late.link.accept()
    late.link.page([done(0, ["a"])])
    late.link.page([done(0, ["b"]), failed(0)])
    assert result.get(0) == "a"
    assert seen == ["a"]


def test_a_refused_block_fails_every_open_call_at_once_and_the_next_go_into_another_batch(late):
    first = late.add()
    late.link.accept()
    second, third = late.add(), late.add()
    late.link.say(late.link.request(Append), RequestError("too-large", "over --max-batch"))
    for result in (first, second, third):
        with pytest.raises(UsageError, match="--max-batch"):
            result.get(0)
    assert late.link.cancelled == ["1"]
    after = late.add(b"after")
    late.link.accept()
    assert late.sent()[-1] == b"after"
    late.link.page([done(0, ["z"])])
    assert after.get(0) == "z"


def test_calls_of_a_batch_that_somebody_cancels_have_failed(late):
    result = late.add()
    late.link.accept()
    late.link.page(ended=True)
    with pytest.raises(BatchCancelledError, match="batch 1 was cancelled"):
        result.get(0)
    assert late.link.kinds()[-1] == "Forget"


def test_a_closed_link_fails_what_is_open_and_what_comes_later(late):
    seen: list[Any] = []
    results = [late.add(callback=seen.append) for _ in range(3)]
    late.link.fail(FarmError("the server has ended"))
    results.append(late.add(callback=seen.append))
    for result in results:
        with pytest.raises(FarmError, match="the server has ended"):
            result.get(0)
    assert len(seen) == 4
    assert late.stream.is_over


def test_error_callbacks_are_called_without_the_lock(late):
    """They may wait for another thread, which may want to make a call."""
    free: list[bool] = []

    def try_the_lock() -> None:
        if late.changed.acquire(timeout=5.0):
            late.changed.release()
            free.append(True)

    def look(_: Any) -> None:
        other = threading.Thread(target=try_the_lock)
        other.start()
        other.join(PATIENCE)

    late.add(callback=look)
    late.link.accept()
    late.add(callback=look)
    late.link.say(late.link.request(Append), RequestError("too-large", "over --max-batch"))
    late.link.fail(FarmError("gone"))
    late.add(callback=look)
    assert free == [True] * 3


def test_who_makes_calls_waits_where_too_many_are_open_but_not_in_a_callback(calls, monkeypatch):
    monkeypatch.setattr(module, "MAX_OPEN", 2)
    made: list[AsyncResult] = []
    calls.add(callback=lambda _: made.extend([calls.add(b"of"), calls.add(b"a callback")]))
    calls.add()
    more = threading.Thread(target=lambda: made.append(calls.add(b"later")))
    more.start()
    calls.link.accept()
    eventually(lambda: len(calls.sent()) == 2, "both are sent")
    assert more.is_alive()
    calls.link.accept()
    calls.link.page([done(0, ["a"])])
    assert len(made) == 2, "the callback did not wait"
    calls.link.page([done(1, ["b"])])
    assert more.is_alive()
    calls.link.page([done(2, ["c"])])
    more.join(PATIENCE)
    assert len(made) == 3


def test_a_callback_of_what_could_not_be_sent_makes_calls_without_waiting_either(monkeypatch):
    """The thread that sends calls runs it, and would wait for itself."""
    calls = Calls(FakeLink())
    monkeypatch.setattr(module, "MAX_OPEN", 1)
    made: list[AsyncResult] = []

    def call(_: Any) -> None:
        for _ in range(3):
            made.append(AsyncResult(calls.changed))
            calls.stream.add(b"again", made[-1])

    calls.link.closed = FarmError("the link is given up")
    calls.add(callback=call)
    eventually(lambda: len(made) == 3 and all(one.ready() for one in made), "it does not wait")
    calls.stream.stop()


def test_a_call_that_a_callback_makes_at_the_end_of_a_batch_goes_into_another_one(late):
    after: list[AsyncResult] = []
    late.add(callback=lambda _: after.append(late.add(b"after")))
    late.link.accept()
    late.link.page(ended=True)
    eventually(lambda: late.sent()[-1] == b"after", "it is sent")
    late.link.accept()
    late.link.page([done(0, ["z"])])
    assert after[0].get(0) == "z"


def test_what_found_no_room_goes_as_soon_as_there_is_some(calls, monkeypatch):
    monkeypatch.setattr(feed, "MAX_ON_THEIR_WAY", 2)
    calls.add(b"0")
    calls.link.accept()
    for number in (b"1", b"2"):
        calls.add(number)
        eventually(lambda number=number: calls.sent()[-1] == number, "it goes")
    calls.add(b"3")
    eventually(lambda: calls.link.drained == 4, "each was looked at")
    calls.link.say(calls.link.request(Append), Done())
    eventually(lambda: calls.sent()[-1] == b"3", "it goes")
    assert calls.link.unanswered(Append) == 2


def test_without_memory_for_a_message_its_batch_fails_and_the_next_calls_go_on(calls, monkeypatch):
    calls.add(b"0")
    calls.link.accept()

    def no_memory(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(batches, "pickle", SimpleNamespace(dumps=no_memory))
    failed = calls.add(b"1")
    with pytest.raises(FarmError, match="calls could not be sent: MemoryError"):
        failed.get(PATIENCE)
    assert calls.link.cancelled == ["1"]
    monkeypatch.undo()
    calls.add(b"2")
    eventually(lambda: calls.sent()[-1] == b"2", "it is sent")


def test_closed_it_ends_with_its_last_result(calls):
    result = calls.add()
    calls.stream.close()
    with pytest.raises(ValueError, match="Pool not running"):
        calls.add()
    calls.link.accept()
    close = calls.link.request(Append) if calls.link.unanswered(Append) else None
    assert close is None or close.close
    eventually(lambda: any(isinstance(s, Append) and s.close for s in calls.link.said), "it closes")
    calls.link.accept()
    calls.link.page([done(0, ["a"])])
    assert not calls.stream.is_over
    calls.link.page(ended=True)
    assert calls.stream.is_over
    assert result.get(0) == "a"


def test_cancelled_each_call_has_failed_when_the_server_says_so(late):
    result = late.add()
    late.stream.cancel()
    eventually(lambda: late.link.accept() or late.link.cancelled == ["1"], "it is cancelled")
    late.link.page(ended=True)
    with pytest.raises(FarmError, match="the pool was terminated"):
        result.get(0)


def test_it_waits_for_the_network_without_the_lock(late, monkeypatch):
    owned: list[bool] = []
    monkeypatch.setattr(late.link, "drain", lambda: owned.append(late.changed._is_owned()))
    late.adds(3)
    late.stream.cancel()
    late.stream.stop()
    assert set(owned) == {False}
