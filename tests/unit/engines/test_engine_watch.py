"""Both kinds of waiting see the same."""

import socket
from multiprocessing import connection

import pytest

from farm.engines.watch import KernelWatch, PlainWatch, make_watch


@pytest.fixture(params=[KernelWatch, PlainWatch])
def watch(request):
    watch = request.param()
    yield watch
    watch.close()


@pytest.fixture
def pair():
    first, second = socket.socketpair()
    yield first, second
    first.close()
    second.close()


def test_what_can_be_read_is_ready_with_its_owner(watch, pair):
    first, second = pair
    watch.add(first, "owner")
    assert watch.ready() == []
    assert connection.wait(watch.waitables(), 0) == []
    second.send(b"x")
    assert watch.ready() == [(first, "owner")]
    assert connection.wait(watch.waitables(), 5)


def test_what_is_removed_is_not_seen(watch, pair):
    first, second = pair
    watch.add(first, "owner")
    second.send(b"x")
    watch.remove(first)
    watch.remove(first)
    assert watch.ready() == []


def test_writing_is_seen_while_it_is_wanted(watch, pair):
    first, _ = pair
    watch.add(first, "owner")
    watch.until_writable(first, True)
    assert watch.ready() == [(first, "owner")]
    watch.until_writable(first, False)
    assert watch.ready() == []


def test_nothing_is_written_for_what_is_not_watched(watch, pair):
    watch.until_writable(pair[0], True)
    assert watch.ready() == []


def test_make_watch_waits_for_writes_only_where_it_can_see_them(pair):
    watch = make_watch()
    watch.add(pair[0], "owner")
    watch.until_writable(pair[0], True)
    assert bool(connection.wait(watch.waitables(), 0)) == watch.sees_writes
    watch.close()
