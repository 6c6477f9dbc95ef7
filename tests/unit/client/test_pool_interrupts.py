"""A pool is used on after Ctrl-C, whenever it came: nothing hangs, and no result is another's."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator

import pytest
from fake_farm import done
from fake_link import FakeLink
from farm_harness import PATIENCE, eventually
from interrupting import everywhere

from farm.batch import spec as specs
from farm.client import pool as module
from farm.client.changed import Changed
from farm.client.mapping import Mapping
from farm.client.pending import AsyncResult, ResultIterator
from farm.client.pool import SessionPool
from farm.client.stream import CallStream
from farm.errors import FarmError
from farm.wire.messages import Append, Submit

CLIENT = "farm/client/"


class Calls:
    """A stream of calls whose results are what was sent for them."""

    def __init__(self) -> None:
        self.link = FakeLink()
        self.changed = Changed(lambda: self.link.is_own_thread)
        self.stream = CallStream(self.link, self.changed, "pool", specs.Options())  # type: ignore[arg-type]
        self.told = 0

    def add(self, data: bytes) -> AsyncResult:
        result = AsyncResult(self.changed)
        self.stream.add(data, result)
        return result

    def sent(self) -> dict[int, bytes]:
        """The calls that were sent, by their indices."""
        requests = [one for one in self.link.said if isinstance(one, Submit | Append)]
        blocks = [block for one in requests for block in one.blocks]
        return {
            index: call
            for block in blocks
            for index, call in enumerate(pickle.loads(block.payload), block.start)
        }

    def answer(self) -> None:
        """Acknowledge what was sent, and tell the results of it."""
        self.link.accept()
        sent = sorted(self.sent().items())
        if len(sent) > self.told:
            self.link.page([done(index, [call]) for index, call in sent[self.told :]])
            self.told = len(sent)

    def answered(self, results: list[AsyncResult]) -> list[bytes]:
        """The results, which come one way or the other."""
        eventually(
            lambda: self.answer() or all(one.ready() for one in results), "they come", PATIENCE / 3
        )
        return [one.get(0) for one in results]


@pytest.mark.parametrize("is_first", [True, False])
def test_after_an_interrupted_call_the_others_get_their_own_results(is_first: bool) -> None:
    for interrupt in everywhere(CLIENT, threading.__file__):
        calls = Calls()
        if not is_first:
            assert calls.answered([calls.add(b"before")]) == [b"before"]
        interrupt.during(lambda calls=calls: calls.add(b"interrupted"))
        after = [b"%d" % number for number in range(3)]
        assert calls.answered([calls.add(data) for data in after]) == after, interrupt.where
        calls.stream.stop()


def test_a_batch_that_an_interrupt_left_without_calls_holds_nobody_up() -> None:
    calls = Calls()
    with calls.changed:
        calls.stream._current()
    calls.stream.cancel()
    eventually(lambda: calls.stream.is_over, "it is over")
    assert calls.link.said == []
    calls.stream.stop()


class Late:
    """A pool whose calls are not sent until `now`."""

    def __init__(self, monkeypatch) -> None:
        self.link = FakeLink()
        self.pool = SessionPool(self.link)  # type: ignore[arg-type]
        self._patch = monkeypatch.context()
        self._patch.__enter__().setattr(CallStream, "wake", lambda _: None)

    def now(self) -> None:
        self._patch.__exit__(None, None, None)


@pytest.mark.parametrize("error", [SystemExit(), KeyboardInterrupt()])
def test_a_callback_that_exits_as_it_is_told_of_the_end_keeps_no_other_from_it(error, monkeypatch):
    def leave(_: object) -> None:
        raise error

    late = Late(monkeypatch)
    results = [late.pool.apply_async(abs, (1,), error_callback=leave) for _ in range(3)]
    late.now()
    late.pool.terminate()
    assert all(result.ready() for result in results)
    assert late.link.said == []


def test_interrupted_anywhere_as_it_is_terminated_everybody_is_told(monkeypatch):
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.01)
    for interrupt in everywhere(CLIENT):
        late = Late(monkeypatch)
        pool = late.pool
        results = [pool.apply_async(abs, (1,)), pool.apply_async(abs, (1,))]
        late.now()
        results.append(pool.map_async(abs, [1]))
        endless = pool.imap(abs, iter(lambda: 1, 2))
        interrupt.during(pool.terminate)
        if pool._leaver is None:  # nothing has been done yet
            pool.terminate()
        assert late.link.closed is not None, interrupt.where
        assert not pool._stream._flusher.is_alive(), interrupt.where
        for result in results:
            with pytest.raises(FarmError):
                result.get(PATIENCE / 3)
        with pytest.raises(FarmError):
            endless.next(PATIENCE / 3)


def test_a_call_that_was_not_sent_yet_fails_when_all_are_given_up(monkeypatch) -> None:
    monkeypatch.setattr(CallStream, "wake", lambda _: None)
    calls = Calls()
    result = calls.add(b"call")
    monkeypatch.undo()
    calls.stream.cancel()
    eventually(result.ready, "it has failed")
    eventually(lambda: calls.stream.is_over, "it is over")
    calls.stream.stop()


@pytest.mark.parametrize("method", ["map_async", "imap"])
def test_an_interrupted_mapping_is_sent_or_given_up(method: str, monkeypatch) -> None:
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.1)
    for interrupt in everywhere(CLIENT):
        link = FakeLink()
        pool = SessionPool(link)  # type: ignore[arg-type]
        interrupt.during(lambda pool=pool: getattr(pool, method)(abs, [-1]))

        def answer(link: FakeLink = link) -> None:
            link.accept()
            if link._streams:
                link.page([done(0, [1])], ended=True)

        eventually(lambda pool=pool: answer() or not pool._mappings, interrupt.where, PATIENCE / 3)
        pool.terminate()


@pytest.mark.parametrize("ordered", [True, False])
def test_an_interrupted_iterator_goes_on(ordered: bool) -> None:
    for interrupt in everywhere("client/pending"):
        found = ResultIterator(Changed(), 100, ordered=ordered)
        found.put(0, list(range(5)))
        found.close(5)
        interrupt.during(lambda found=found: found.next(0))
        left = list(iter(lambda found=found: found.next(0), 4))
        assert left in ([0, 1, 2, 3], [1, 2, 3]), interrupt.where


# -- its end ----------------------------------------------------------------------------------


@pytest.fixture
def link() -> FakeLink:
    return FakeLink()


@pytest.fixture
def pool(link, monkeypatch) -> Iterator[SessionPool]:
    monkeypatch.setattr(module, "LEAVE_SECONDS", PATIENCE)
    made = SessionPool(link)
    yield made
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.1)
    made.terminate()


def test_interrupted_while_it_waits_for_the_server_it_lets_go_at_once(pool, link, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pool._changed, "wait_for", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.terminate()
    assert link.closed is not None
    assert not pool._stream._flusher.is_alive()


def test_interrupted_anywhere_it_ends_when_it_is_told_again(monkeypatch):
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.1)
    for interrupt in everywhere(CLIENT):
        link = FakeLink()
        pool = SessionPool(link)  # type: ignore[arg-type]
        interrupt.during(pool.terminate)
        pool.terminate()
        assert link.closed is not None, interrupt.where
        assert not pool._stream._flusher.is_alive(), interrupt.where


@pytest.mark.parametrize("method", ["imap", "imap_unordered", "map_async"])
def test_interrupted_anywhere_it_ends_what_was_not_sent_yet(method, monkeypatch):
    """The arguments come slowly, so that nothing of it is on its way."""
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.1)
    monkeypatch.setattr(Mapping, "send", lambda *_args, **_more: None)
    for interrupt in everywhere(CLIENT):
        link = FakeLink()
        pool = SessionPool(link)  # type: ignore[arg-type]
        found = getattr(pool, method)(abs, [-1])
        interrupt.during(pool.terminate)
        pool.terminate()
        with pytest.raises(FarmError, match="the pool was terminated"):
            found.get(0.1) if method == "map_async" else found.next(0.1)
        assert not pool._mappings, interrupt.where


def test_interrupted_before_it_has_given_up_everything_it_does_so_as_it_lets_go(
    pool, link, monkeypatch
):
    monkeypatch.setattr(Mapping, "send", lambda *_args, **_more: None)
    found = pool.imap(abs, [-1])
    cancel, calls = pool._stream.cancel, []

    def interrupted() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        cancel()

    monkeypatch.setattr(pool._stream, "cancel", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.terminate()
    with pytest.raises(FarmError, match="the pool was terminated"):
        found.next(0)
    assert link.closed is not None


def test_interrupted_where_it_closes_it_ends_when_it_is_closed_again(monkeypatch):
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.1)
    for interrupt in everywhere(CLIENT):
        link = FakeLink()
        pool = SessionPool(link)  # type: ignore[arg-type]
        pool.apply_async(abs, (-1,))
        link.request(Submit)
        link.accept()
        interrupt.during(pool.close)
        pool.close()
        eventually(lambda link=link: link.accept() or Append(1, [], True) in link.said, "it closes")
        pool.terminate()


def test_another_thread_leaves_it_to_the_one_that_terminates_it(pool, link):
    result = pool.map_async(abs, [-1])
    link.request(Submit)
    link.accept()
    first = threading.Thread(target=pool.terminate)
    first.start()
    eventually(lambda: link.cancelled, "it waits for the server")
    pool.terminate()
    assert link.closed is None
    link.page(ended=True)
    first.join(PATIENCE)
    assert link.closed is not None
    assert result.ready()
