"""A client's connections: interrupted, cut off, and how many (hazards 16, 17, 18 and 19)."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

import farm_tasks as tasks
import pytest
from farm_harness import HOST, KEY, PATIENCE, children_of, eventually
from farm_side import waiting
from kernel import connections
from stock import connected, together

from farm.client.link import Link
from farm.client.session import Session
from farm.wire.address import Address

SOME = [{"x": x} for x in range(4)]
DOUBLED = [0, 2, 4, 6]


class Interrupted(Exception):
    """Ctrl-C, or a handler of the user's."""


@contextlib.contextmanager
def interrupted_when(condition: Callable[[], object]) -> Iterator[None]:
    """Raise `Interrupted` in the main thread, by a signal, once something is so."""

    def handler(number: int, frame: object) -> None:
        raise Interrupted

    def interrupt() -> None:
        eventually(condition)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(Interrupted):
            yield
    finally:
        thread.join(PATIENCE)
        signal.signal(signal.SIGUSR1, before)


def test_hazard_16_an_interrupted_call_gives_every_later_one_a_wrong_answer(
    stock, server, session, tmp_path
):
    tools = connected(stock.port).get_tools()
    went, go = tmp_path / "went", tmp_path / "go"
    with interrupted_when(went.exists):
        tools.hold(str(went), str(go))
    go.touch()
    assert [tools.echo(n) for n in range(3)] == ["held", 0, 1]

    batches = [session.submit(tasks.double, SOME) for _ in range(3)]
    with interrupted_when(lambda: waiting(server)):
        batches[0].wait(PATIENCE)
    for batch in batches:
        assert batch.cancel().batch == batch.id, "and the answer to the interrupted call comes now"
        assert session.status(batch.id).batch == batch.id
    assert session.nodes() == []


def test_hazard_17_after_a_restart_even_new_proxies_are_broken(served, server, session):
    stock = served("stock")
    old = connected(stock.port).get_task_queue()
    assert old.qsize() == 0
    assert session.batches() == []
    stock.kill()
    server.stop()
    again = served("stock", port=stock.port)
    server.start()
    for _ in range(3):
        new = connected(again.port).get_task_queue()
        with pytest.raises((EOFError, ConnectionError)):
            new.qsize()
        assert session.batches() == []
        assert session.nodes() == []


def test_hazard_18_one_object_takes_five_connections(stock, server, relay):
    between = relay(stock.port)
    assert connected(between.port).get_task_queue().qsize() == 0
    assert between.connections >= 5
    between = relay(server.port)
    with Session(Link(Address(HOST, between.port), KEY)) as session:
        batch = session.submit(tasks.double, SOME)
        assert [known.batch for known in session.batches()] == [batch.id]
        assert session.nodes() == []
    assert between.connections == 1


FORKING = """
import multiprocessing
context = multiprocessing.get_context("fork")
for _ in range({}):
    child = context.Process(target=int)
    child.start()
    child.join()
"""


def test_hazard_19_a_fork_takes_references_that_it_never_uses(stock, server, relay, child):
    none, two = relay(stock.port), relay(stock.port)
    together((FORKING.format(0), none.port), (FORKING.format(2), two.port))
    assert two.connections >= none.connections + 2 * 2, "for each of two proxies, in each child"

    between = relay(server.port)
    node = child("node", between.port, "n1", 2)
    with server.session() as session:
        assert list(session.submit(tasks.double, SOME).results(PATIENCE)) == DOUBLED
        # The node itself has one for what it says and, later, one for its heartbeat.
        slots = children_of(node.pid)
        assert len(slots) >= 2
        assert 1 <= len(towards(node.pid, between.port)) <= 2
        assert [towards(pid, between.port) for pid in slots] == [[]] * len(slots)
    assert between.connections <= 2


def towards(pid: int, port: int) -> list[int]:
    """The connections of a process with a server, by their inodes."""
    return [line.inode for line in connections(pid) if line.remote == port]
