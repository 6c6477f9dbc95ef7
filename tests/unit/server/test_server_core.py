"""The core: nothing is answered before it is journalled, and a restart changes nothing."""

from __future__ import annotations

import asyncio
import logging
import math
import pickle

import pytest
from farm_harness import eventually

from farm.batch.spec import Options
from farm.errors import RequestError
from farm.server import turns as module
from farm.server.around import Hooks
from farm.server.blocks import BlockCache
from farm.server.clients import _with_attempts
from farm.server.core import Core
from farm.server.journal import Journal
from farm.server.payloads import LARGE
from farm.server.reading import BatchRow
from farm.server.waiting import Waiter, Waiters
from farm.wire.leases import Failed
from farm.wire.messages import Block, Failure

ERROR = Failure("error", "ValueError", "no", "", None)
SECONDS = b"\0\0\0\0"


def row(number: int = 1, total: int = 10, **changes) -> BatchRow:
    values = {
        "id": number, "token": f"t{number}", "name": f"b{number}", "total": total,
        "options": Options(retries=1), "digest": "", "open": False, "cancelled": False,
        "submitted": 1.0, "started": 0.0, "ended": 0.0,
    }  # fmt: skip
    return BatchRow(**{**values, **changes})


@pytest.fixture
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def given_up():
    """What made a core impossible to go on with."""
    return []


@pytest.fixture
def dropped():
    """The batches that nodes were told to drop."""
    return []


@pytest.fixture
def make_core(tmp_path, loop, given_up, dropped):
    """Cores on the same data, one after the other."""
    opened: list[Core] = []

    def make() -> Core:
        for before in opened:
            before.journal.close()
        hooks = Hooks(lambda: None, dropped.append, given_up.append)
        opened.append(Core(Journal(tmp_path), loop, hooks))
        return opened[-1]

    yield make
    opened[-1].journal.close()


@pytest.fixture
def core(make_core):
    return make_core()


def turn(loop: asyncio.AbstractEventLoop, times: int = 3) -> None:
    """Let the loop do what is planned."""
    for _ in range(times):
        loop.call_soon(loop.stop)
        loop.run_forever()


def fill(core: Core) -> None:
    pages = core.journal._db.execute("PRAGMA page_count").fetchone()[0]
    core.journal._db.execute(f"PRAGMA max_page_count = {pages}")


def done(core: Core, batch: int, index: int, payload: bytes = b"p") -> None:
    core.record_done(batch, 1, (index, index + 1), payload, SECONDS, 0.5)


def test_an_answer_is_sent_after_the_commit(core, loop):
    seen = []
    core.submit(row(), b"spec", {}, [])
    core.answer(lambda: seen.append(core.journal.spec(1)))
    assert seen == []
    turn(loop)
    assert seen == [b"spec"]


def test_a_full_disk_holds_answers_back_and_service_goes_on_after(core, loop, monkeypatch, caplog):
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    core.submit(row(), b"spec", {}, [])
    turn(loop)
    fill(core)
    seen = []
    done(core, 1, 0, b"x" * (LARGE - 1))
    core.answer(lambda: seen.append("report"))
    turn(loop, 5)
    assert seen == []
    assert "cannot be written" in caplog.text
    core.journal._db.execute("PRAGMA max_page_count = 1000000")
    eventually(lambda: turn(loop) or seen, "the answer")
    assert seen == ["report"]
    assert len(core.journal.outcomes_from(1, 0)) == 1
    core.answer(lambda: seen.append("next"))
    turn(loop)
    assert seen == ["report", "next"]


def test_a_full_disk_is_told_and_hides_nothing_but_what_is_not_written(core, loop, monkeypatch):
    monkeypatch.setattr(module, "RETRY_SECONDS", 3600.0)
    core.submit(row(total=1), b"spec", {}, [])
    turn(loop)
    core.check_writable()
    fill(core)
    done(core, 1, 0, b"x" * (LARGE - 1))
    turn(loop)
    seen = []
    core.answer(lambda: seen.append("acknowledged"))
    core.tell(lambda: seen.append("told"))
    assert seen == ["told"]
    assert core.status(1).state == "running"
    with pytest.raises(RequestError, match=r"cannot write its journal .*full.*Free") as refusal:
        core.check_writable()
    assert refusal.value.code == "journal"
    core.check_room()
    core.journal._db.execute("PRAGMA max_page_count = 1000000")
    core._flush()
    assert seen == ["told", "acknowledged"]
    assert core.status(1).state == "done"
    core.check_writable()


def test_too_much_that_cannot_be_written_is_refused(core, monkeypatch):
    monkeypatch.setattr(module, "MAX_PENDING_RECORDS", 1)
    core.submit(row(1), b"", {}, [])
    core.submit(row(2), b"", {}, [])
    with pytest.raises(RequestError, match="the journal cannot be written") as refusal:
        core.check_room()
    assert refusal.value.code == "journal"


def test_a_record_that_can_never_be_written_ends_the_server(core, loop, given_up, caplog):
    core.submit(row(name=2**70), b"", {}, [])
    seen = []
    core.answer(lambda: seen.append("submitted"))
    turn(loop)
    assert [type(error) for error in given_up] == [OverflowError]
    assert seen == []
    assert "cannot be used any more" in caplog.text
    core.journal._pending.clear()  # what cannot be written would fail the closing as well


def test_one_answer_that_fails_costs_no_other(core, loop, caplog):
    seen = []
    core.answer(lambda: 1 / 0)
    core.answer(lambda: seen.append("other"))
    turn(loop)
    assert seen == ["other"]
    assert "ZeroDivisionError" in caplog.text
    core.answer(lambda: seen.append("later"))
    turn(loop)
    assert seen == ["other", "later"]


def test_who_waits_is_not_told_of_what_is_not_journalled(core, loop, monkeypatch):
    monkeypatch.setattr(module, "RETRY_SECONDS", 3600.0)
    core.submit(row(total=1), b"", {}, [])
    turn(loop)
    fill(core)
    done(core, 1, 0, b"x" * (LARGE - 1))
    seen = []
    told = lambda: seen.append(core.status(1).state)  # noqa: E731
    core.wait(1, 0.01, lambda: core.ledger.batches[1].ended, told)
    core.wait(1, 60.0, lambda: core.ledger.batches[1].ended, told)
    timed_out = loop.create_future()
    loop.call_later(0.1, timed_out.set_result, None)
    loop.run_until_complete(timed_out)
    assert seen == ["running"]
    core.journal._db.execute("PRAGMA max_page_count = 1000000")


def test_who_waits_is_woken_by_the_change_alone(core, loop):
    core.submit(row(1), b"", {}, [])
    core.submit(row(2), b"", {}, [])
    turn(loop)
    seen = []
    for batch in (1, 2):
        state = core.ledger.batches[batch]
        core.wait(batch, 60.0, lambda s=state: 0 in s.done, lambda b=batch: seen.append(b))
    done(core, 2, 0)
    turn(loop)
    assert seen == [2]


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan])
def test_no_time_to_wait_is_an_answer_at_once(core, loop, seconds):
    core.submit(row(), b"", {}, [])
    seen = []
    assert core.wait(1, seconds, lambda: False, lambda: seen.append(1)) is None
    turn(loop)
    assert seen == [1]


def test_a_block_can_be_used_before_it_is_journalled(core):
    core.submit(row(total=0, open=True), b"", {}, [])
    core.grow(1, [Block(0, 2, b"items")], close=False)
    assert core.journal.pending
    assert core.block(1, 1) == Block(0, 2, b"items")


def test_more_tasks_of_an_open_batch_are_one_record(core, loop):
    core.submit(row(total=0, open=True), b"", {}, [])
    turn(loop)
    core.grow(1, [Block(0, 2, b"a")], close=False)
    assert core.journal.pending == 1
    core.grow(1, [Block(2, 3, b"b")], close=True)
    assert core.journal.pending == 3
    turn(loop)
    (found,) = core.journal.batches()
    assert (found.total, found.open) == (3, False)


def test_blocks_that_come_again_are_taken_once(core):
    core.submit(row(total=0, open=True), b"", {}, [])
    for _ in range(2):
        core.grow(1, [Block(0, 2, b"a"), Block(2, 3, b"b")], close=False)
    assert core.ledger.batches[1].total == 3
    with pytest.raises(RequestError, match="begins at 3"):
        core.grow(1, [Block(4, 5, b"c")], close=False)
    core.grow(1, [], close=True)
    with pytest.raises(RequestError, match="closed"):
        core.grow(1, [Block(3, 4, b"c")], close=False)


def test_batches_are_found_by_id_by_latest_name_and_as_last(core):
    with pytest.raises(RequestError, match="there is none yet"):
        core.find("last")
    for number, name in enumerate(["a", "b", "a"], 1):
        core.submit(row(number, name=name), b"", {}, [])
    assert [core.find(ref) for ref in ("1", "a", "b", "last")] == [1, 3, 2, 3]
    with pytest.raises(RequestError, match="no batch '9'; the latest is 3"):
        core.find("9")


def states(core: Core) -> dict:
    """All of the ledger that a restart keeps."""
    return {
        number: (
            list(state.done), list(state.failed), state.total, state.open, state.cancelled,
            state.attempts, state.crashes, state.retried, state.state, list(state.dropped),
            pytest.approx(state.seconds),
            {name: (share.done, pytest.approx(share.seconds)) for name, share in
             state.shares.items()},
            [(o.start, o.stop, o.retried) for o in
             _with_attempts(state, core.journal.outcomes_from(number, 0))],
        )
        for number, state in core.ledger.batches.items()
    }  # fmt: skip


def test_a_restart_changes_nothing_but_who_holds_what(make_core, loop, dropped):
    core = make_core()
    core.ledger.join(1, "n1", 20)
    core.submit(row(1), b"", {}, [])
    core.submit(row(2), b"", {}, [])
    core.submit(row(3, total=0, open=True), b"", {}, [])
    core.grow(3, [Block(0, 4, b"")], close=False)
    list(core.present(1, "token1", {1: [(0, 10)], 2: [(0, 10)]}, []))
    core.record_done(1, 1, (2, 5), b"p", SECONDS * 3, 0.5)
    for index, kind in [(0, "error"), (1, "crash"), (6, "error")]:
        failure = Failure(kind, "E", "", "")
        core.record_failed(1, "token1", Failed(1, index, 0.25, failure, index + 1), 0.25)
    list(core.present(1, "token1", {1: [(0, 2), (6, 10)], 2: [(0, 10)]}, []))
    core.record_failed(1, "token1", Failed(1, 0, 0.25, ERROR, 99), 0.25)
    done(core, 1, 6)
    done(core, 2, 3)
    core.cancel(2, "by hand")
    turn(loop)
    assert dropped == [2]
    before, seq = states(core), core._seq
    again = make_core()
    assert states(again) == before
    assert again._seq == seq
    assert again.ledger.batches[1].attempts[0] == 2
    assert list(again.ledger.batches[1].pending) == [(5, 6), (7, 10)]
    assert list(again.ledger.batches[1].again) == [(1, 2)]
    assert [again.status(b).state for b in (1, 2, 3)] == ["running", "cancelled", "waiting"]
    assert again.next_batch() == 4
    assert again.tokens == {"t1": 1, "t2": 2, "t3": 3}


def test_a_result_is_recorded_once(core, loop):
    core.submit(row(), b"", {}, [])
    assert core.record_done(1, 1, (0, 4), pickle.dumps([0] * 4), SECONDS * 4, 1.0)
    assert not core.record_done(1, 2, (1, 3), pickle.dumps([1] * 2), SECONDS * 2, 1.0)
    assert core.record_done(1, 2, (2, 6), pickle.dumps([1] * 4), SECONDS * 4, 1.0)
    turn(loop)
    found = core.journal.outcomes_from(1, 0)
    assert [(o.start, o.stop, o.offset) for o in found] == [(0, 4, 0), (4, 6, 2)]


# -- what it is made of -----------------------------------------------------------------------


def test_the_block_cache_keeps_within_its_bytes_and_what_was_used_last():
    cache = BlockCache(limit=100)
    for start in range(0, 50, 10):
        cache.put(1, Block(start, start + 10, b"x" * 30))
        cache.get(1, 5)
    kept = [start for start in range(0, 50, 10) if cache.get(1, start)]
    assert kept == [0, 30, 40]
    assert cache._size == 90
    assert cache.get(1, 35).start == 30
    assert cache.get(2, 5) is None


def test_the_block_cache_takes_a_block_that_is_larger_than_all_of_it():
    cache = BlockCache(limit=10)
    cache.put(1, Block(0, 1, b"x" * 5))
    cache.put(2, Block(0, 1, b"x" * 50))
    assert cache.get(2, 0) is not None
    assert cache.get(1, 0) is None
    assert list(cache._starts) == [2]


def test_the_same_block_is_counted_once():
    cache = BlockCache(limit=100)
    for _ in range(5):
        cache.put(1, Block(0, 1, b"x" * 30))
    assert cache._size == 30


def test_waiters_answer_once_and_are_forgotten(loop):
    late, seen = [], []
    waiters = Waiters(loop, late.append)
    ready = Waiter(1, lambda: True, lambda: seen.append("ready"))
    slow = Waiter(1, lambda: False, lambda: seen.append("slow"))
    gone = Waiter(1, lambda: True, lambda: seen.append("gone"))
    for waiter in (ready, gone):
        waiters.add(waiter, 60.0)
    waiters.add(slow, 0.0)
    waiters.forget(gone)
    waiters.wake(2)
    assert seen == []
    waiters.wake(1)
    waiters.wake(1)
    assert seen == ["ready"]
    eventually(lambda: turn(loop) or late, "the time is over")
    assert late == [slow.answer]
    assert waiters._by_batch == {}


@pytest.fixture(autouse=True)
def _logged(caplog):
    caplog.set_level(logging.DEBUG, "farm.server")
