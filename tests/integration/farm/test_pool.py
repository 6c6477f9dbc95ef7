"""`farm.Pool` against a server and a node: what `multiprocessing.Pool` promises, and more."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import farm_tasks as tasks
import pytest
from farm_harness import HOST, KEY, PATIENCE, eventually
from farm_service import SPEC

import farm
from farm.batch.spec import Options
from farm.client.link import Link
from farm.client.outcome import RemoteTraceback
from farm.client.pool import SessionPool
from farm.client.session import Session
from farm.errors import BatchCancelledError, RequestError, UsageError
from farm.limits import Limits
from farm.wire.address import Address
from farm.wire.messages import Append, Message, Refused, Submit


@pytest.fixture
def pool(server, node):
    """A pool on a farm of one node with two slots."""
    node("n1", 2)
    with SessionPool(server.session()) as made:
        yield made


def add(x: int, y: int = 0, *, z: int = 0) -> int:
    return x + y + z


def fail_at(x: int, bad: int) -> int:
    if x == bad:
        raise KeyError(x)
    return x


# -- what it is asked -------------------------------------------------------------------------


def test_single_calls(pool):
    assert pool.apply(pow, (2, 10)) == 1024
    assert pool.apply(add, (1,), {"y": 2, "z": 3}) == 6
    assert pool.apply(lambda x: x + 1, (1,)) == 2
    results = [pool.apply_async(add, (x, 1)) for x in range(100)]
    assert [result.get(PATIENCE) for result in results] == list(range(1, 101))


def test_many_calls(pool):
    expected = [2 * x for x in range(1000)]
    assert pool.map(tasks.double, range(1000)) == expected
    assert pool.map(lambda x: 2 * x, iter(range(1000)), 7) == expected
    assert pool.map_async(tasks.double, [1, 2]).get(PATIENCE) == [2, 4]
    assert pool.starmap(pow, [(2, x) for x in range(20)]) == [2**x for x in range(20)]
    assert pool.starmap_async(add, [(1, 2), [3]]).get(PATIENCE) == [3, 3]
    assert list(pool.imap(tasks.double, range(1000))) == expected
    assert list(pool.imap(tasks.double, range(100), 9)) == expected[:100]
    assert sorted(pool.imap_unordered(tasks.double, range(1000))) == expected
    assert pool.map(tasks.double, []) == list(pool.imap(tasks.double, [])) == []


def test_what_cannot_be_sent_fails_alone(pool):
    lock = threading.Lock()
    found = pool.imap(tasks.double, [1, lock, 3, lock, 5])
    came: list[object] = []
    for _ in range(5):
        try:
            came.append(found.next(PATIENCE))
        except TypeError as error:
            came.append(str(error))
    wrong = "cannot pickle '_thread.lock' object"
    assert came == [2, wrong, 6, wrong, 10]
    with pytest.raises(TypeError, match="cannot pickle"):
        pool.map(tasks.double, [1, lock, 3])


def test_imap_of_more_than_may_be_ahead(pool):
    found = pool.imap(abs, range(30_000))
    assert all(found.next(PATIENCE) == number for number in range(30_000))


def test_an_iterable_may_wait_for_the_results(pool):
    found: list[int] = [1]

    def growing():
        for at in range(10):
            eventually(lambda at=at: len(found) > at, "the result before")
            yield found[at]

    results = pool.imap(tasks.double, growing())
    found.extend(results.next(PATIENCE) for _ in range(10))
    assert found == [2**at for at in range(11)]


def test_an_exception_comes_as_it_was_raised_with_the_remote_traceback(pool):
    for call in (
        lambda: pool.apply(fail_at, (1, 1)),
        lambda: pool.starmap(fail_at, [(0, 1), (1, 1), (2, 1)]),
        lambda: list(pool.imap(lambda x: fail_at(x, 1), range(3))),
    ):
        with pytest.raises(KeyError) as error:
            call()
        assert error.value.args == (1,)
        assert isinstance(error.value.__cause__, RemoteTraceback)
        assert "in fail_at" in str(error.value.__cause__)


def test_a_failure_costs_the_others_nothing(pool):
    found = pool.imap(lambda x: fail_at(x, 1), range(3))
    assert found.next(PATIENCE) == 0
    with pytest.raises(KeyError):
        found.next(PATIENCE)
    assert found.next(PATIENCE) == 2


def test_callbacks_have_run_when_the_result_is_there(pool):
    values, errors = [], []
    pool.map_async(tasks.double, [1, 2], callback=values.append).wait(PATIENCE)
    bad = pool.apply_async(fail_at, (1, 1), callback=values.append, error_callback=errors.append)
    bad.wait(PATIENCE)
    assert values == [[2, 4]]
    assert [type(error) for error in errors] == [KeyError]
    assert not bad.successful()


def test_who_does_not_wait_long_enough_may_ask_again(pool, tmp_path):
    result = pool.apply_async(tasks.wait_for, (str(tmp_path / "go"), 7))
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(0.01)
    (tmp_path / "go").touch()
    assert result.get(PATIENCE) == result.get() is not None


def test_a_result_that_cannot_be_pickled_is_a_failure_of_its_call(pool):
    good, bad = pool.apply_async(abs, (-1,)), pool.apply_async(tasks.unpicklable, (1,))
    with pytest.raises(farm.TaskError):
        bad.get(PATIENCE)
    assert good.get(PATIENCE) == 1


# -- how it is sent ---------------------------------------------------------------------------


def test_a_thousand_calls_take_few_messages(pool, monkeypatch):
    link, sent = pool._session.link, []
    tell = link.tell

    def count(request, answer):
        if isinstance(request, Submit | Append):
            sent.append(sum(block.stop - block.start for block in request.blocks))
        tell(request, answer)

    monkeypatch.setattr(link, "tell", count)
    results = [pool.apply_async(abs, (-number,)) for number in range(1000)]
    assert [result.get(PATIENCE) for result in results] == list(range(1000))
    assert sum(sent) == 1000
    assert len(sent) < 100


def test_threads_may_share_a_pool(pool):
    sums: list[int] = []

    def work() -> None:
        results = [pool.apply_async(abs, (-number,)) for number in range(1250)]
        sums.append(sum(result.get(PATIENCE) for result in results))

    working = [threading.Thread(target=work) for _ in range(8)]
    for one in working:
        one.start()
    for one in working:
        one.join(2 * PATIENCE)
    assert sums == [sum(range(1250))] * 8


def test_two_pools_share_a_farm(pool, server):
    with SessionPool(server.session()) as other:
        mine, theirs = pool.map_async(abs, range(-500, 0)), other.map_async(abs, range(-50, 0))
        assert theirs.get(PATIENCE) == list(range(50, 0, -1))
        assert mine.get(PATIENCE) == list(range(500, 0, -1))


# -- its end ----------------------------------------------------------------------------------


def test_closed_and_joined_it_leaves_nothing_on_the_server(server, node):
    node("n1", 2)
    pool = SessionPool(server.session())
    single, many = pool.apply_async(abs, (-1,)), pool.map_async(abs, range(1000))
    one_by_one = pool.imap(abs, range(1000))
    pool.close()
    pool.join()
    assert (single.get(0), sum(many.get(0)), sum(one_by_one)) == (1, 499_500, 499_500)
    with server.session() as session:
        assert session.batches() == []


def test_terminated_it_leaves_nothing_on_the_server_either(server, node, tmp_path):
    node("n1", 2)
    with SessionPool(server.session()) as pool:
        pool.apply(abs, (1,))
        endless = pool.imap(abs, itertools.count())
        assert [next(endless) for _ in range(100)] == list(range(100))
        waiting = pool.map_async(lambda _: tasks.wait_for(str(tmp_path / "never")), range(10))
    with pytest.raises(farm.FarmError, match="the pool was terminated"):
        waiting.get(0)
    with server.session() as session:
        assert session.batches() == []


def test_what_somebody_else_cancels_has_failed(pool, server, tmp_path):
    result = pool.map_async(lambda _: tasks.wait_for(str(tmp_path / "never")), range(4))
    with server.session() as session:
        eventually(lambda: session.batches(), "it is there")
        session.batch("last").cancel()
    with pytest.raises(BatchCancelledError):
        result.get(PATIENCE)


def test_what_is_too_large_for_the_server_has_failed_at_once(serve, node_at):
    server = serve(limits=Limits(max_batch=1 << 20))
    node_at(server, slots=1)
    with SessionPool(server.session()) as pool:
        with pytest.raises(UsageError, match="--max-batch"):
            pool.map(len, [bytes([x]) * (1 << 18) for x in range(10)])
        single = [pool.apply_async(len, (bytes([x]) * (1 << 18),)) for x in range(10)]
        for result in single:
            result.wait(PATIENCE)
        assert "--max-batch" in str(single[-1]._value)
        assert pool.apply(abs, (-1,)) == 1, "it goes on"
        with server.session() as session:
            eventually(lambda: len(session.batches()) == 1, "what was refused is forgotten")


# -- deaths -----------------------------------------------------------------------------------


def test_a_process_that_dies_costs_its_call_an_attempt(pool, tmp_path):
    marker = tmp_path / "died"

    def die_once(path: str) -> str:
        if not Path(path).exists():
            Path(path).touch()
            os.kill(os.getpid(), 9)
        return "alive"

    assert pool.apply_async(die_once, (str(marker),)).get(PATIENCE) == "alive"


def test_a_call_that_always_kills_its_process_fails_alone(pool):
    bad = pool.apply_async(lambda: os.kill(os.getpid(), 9))
    good = [pool.apply_async(abs, (-x,)) for x in range(20)]
    with pytest.raises(farm.TaskError, match="SIGKILL"):
        bad.get(PATIENCE)
    assert [one.get(PATIENCE) for one in good] == list(range(20))


def test_a_server_that_is_killed_and_started_again_costs_no_result(child, tmp_path):
    server = child("server", tmp_path / "data", 0)
    child("node", server.port, "n1", 2)
    called: list[int] = []
    with SessionPool(Session(Link(Address(HOST, server.port), KEY))) as pool:
        single = [pool.apply_async(abs, (-x,), callback=called.append) for x in range(200)]
        many = pool.map_async(tasks.short, range(400))
        one_by_one = pool.imap(tasks.short, range(300))
        assert next(one_by_one) is not None
        server.kill()
        single += [pool.apply_async(abs, (-x,), callback=called.append) for x in range(200, 400)]
        later = pool.map_async(abs, range(-5, 0), 1)
        server = child("server", tmp_path / "data", server.port)
        assert [one.get(PATIENCE) for one in single] == list(range(400))
        assert sorted(called) == list(range(400)), "each is called back once"
        assert len(many.get(PATIENCE)) == 400
        assert len(list(one_by_one)) == 299
        assert later.get(PATIENCE) == [5, 4, 3, 2, 1]


# -- a farm of its own ------------------------------------------------------------------------


def test_without_an_address_it_starts_a_farm(monkeypatch):
    monkeypatch.delenv("FARM_HOST", raising=False)
    with farm.Pool(2) as pool:
        assert pool.map(abs, range(-3, 3)) == [3, 2, 1, 0, 1, 2]
    with pytest.raises(ValueError, match="Number of processes must be at least 1"):
        farm.Pool(0)


def test_with_an_address_it_uses_that_farm(server, node, monkeypatch):
    node("n1", 1)
    with farm.Pool(address=str(server.address), authkey=KEY) as pool:
        assert pool.apply(abs, (-1,)) == 1
    monkeypatch.setenv("FARM_HOST", str(server.address))
    monkeypatch.setenv("FARM_AUTHKEY", KEY.decode())
    with farm.Pool() as pool:
        assert pool.apply(abs, (-1,)) == 1
        assert repr(pool) == f"<Pool open on {server.address}>"


def test_a_journal_that_cannot_be_written_for_a_while_costs_no_call(pool, server, monkeypatch):
    """Blocks that the server takes none of are sent again, and in their order."""
    refused, full = counted_refusals(pool, monkeypatch), filling(server, monkeypatch)
    assert pool.apply(abs, (-1,)) == 1
    full.set()
    results = []

    def is_refused() -> bool:
        results.append(pool.apply_async(abs, (-len(results),)))
        return len(refused) > 5

    eventually(is_refused, "the server takes nothing more")
    full.clear()
    assert [result.get(PATIENCE) for result in results] == list(range(len(results)))


def test_nor_does_it_cost_a_pool_its_first_ones(pool, server, monkeypatch):
    """What begins a batch waits as well; who submits one by hand is told."""
    refused, full = counted_refusals(pool, monkeypatch), filling(server, monkeypatch)
    full.set()
    with server.session() as other:
        core = server.server._core
        held = other.link.ask(Submit("t", "held", 1, Options(), SPEC))
        eventually(lambda: core.stalled, "the disk is full")
        results = [pool.apply_async(abs, (-1,)), pool.map_async(abs, [-2, -3])]
        one_by_one = pool.imap(abs, [-4])
        eventually(lambda: len(refused) >= 3, "the server takes none of them")
        with pytest.raises(RequestError, match="cannot write its journal"):
            other.link.call(Submit("u", "by hand", 1, Options(), SPEC), PATIENCE)
        assert not any(result.ready() for result in results)
        full.clear()
        assert [result.get(PATIENCE) for result in results] == [1, [2, 3]]
        assert one_by_one.next(PATIENCE) == 4
        held.result(PATIENCE)


def filling(server: Any, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """While it is set, the server's disk is full."""
    journal = server.server._core.journal
    commit, full = journal.commit, threading.Event()

    def commit_if_there_is_room() -> None:
        if full.is_set():
            raise sqlite3.OperationalError("database or disk is full")
        commit()

    monkeypatch.setattr(journal, "commit", commit_if_there_is_room)
    return full


def counted_refusals(pool: SessionPool, monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """The answers that say that the journal cannot be written, as they come."""
    refused: list[Message] = []
    put_off = pool._session.link._put_off
    takes = put_off.takes

    def look(number: int, request: Message, body: Message, now: float, **more: Any) -> bool:
        if isinstance(body, Refused) and body.code == "journal":
            refused.append(body)
        return takes(number, request, body, now, **more)

    monkeypatch.setattr(put_off, "takes", look)
    return refused
