"""Waiting for many pipes and processes at the cost of those that are ready."""

from __future__ import annotations

import os
import selectors
from multiprocessing import connection
from typing import Any, Generic, Protocol, TypeVar

Owner = TypeVar("Owner")


class Watch(Protocol[Owner]):
    """Things to wait for (pipes, process sentinels), each with the object it belongs to."""

    sees_writes: bool
    """Whether waiting for `waitables` ends when something can be written."""

    def add(self, thing: Any, owner: Owner) -> None:
        """Watch until ``thing`` can be read."""

    def remove(self, thing: Any) -> None:
        """Stop; harmless if it is not watched."""

    def until_writable(self, thing: Any, wanted: bool) -> None:
        """Whether to watch also until it can be written."""

    def ready(self) -> list[tuple[Any, Owner]]:
        """The things that are ready now, each with its owner."""

    def waitables(self) -> list[Any]:
        """For `multiprocessing.connection.wait`."""

    def close(self) -> None:
        """Free what the watch itself holds."""


def make_watch() -> Watch[Any]:
    """The best this platform has."""
    if os.name == "posix" and hasattr(selectors.DefaultSelector, "fileno"):
        return KernelWatch()
    return PlainWatch()


class KernelWatch(Generic[Owner]):
    """By epoll or kqueue, whose one descriptor can itself be waited for."""

    sees_writes = True

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._writing: set[Any] = set()  # what is to be written to

    def add(self, thing: Any, owner: Owner) -> None:
        self._selector.register(thing, selectors.EVENT_READ, owner)

    def remove(self, thing: Any) -> None:
        if thing in self._selector.get_map():
            self._selector.unregister(thing)
        self._writing.discard(thing)

    def until_writable(self, thing: Any, wanted: bool) -> None:
        if wanted == (thing in self._writing):
            return  # nearly always: this is asked with each message
        key = self._selector.get_map().get(thing)
        if key is None:
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
        self._selector.modify(thing, events, key.data)
        if wanted:
            self._writing.add(thing)
        else:
            self._writing.discard(thing)

    def ready(self) -> list[tuple[Any, Owner]]:
        return [(key.fileobj, key.data) for key, _ in self._selector.select(0)]

    def waitables(self) -> list[Any]:
        return [self._selector]

    def close(self) -> None:
        self._selector.close()


class PlainWatch(Generic[Owner]):
    """By `multiprocessing.connection.wait`; what waits to be written counts as ready."""

    sees_writes = False

    def __init__(self) -> None:
        self._owners: dict[Any, Owner] = {}
        self._writing: set[Any] = set()

    def add(self, thing: Any, owner: Owner) -> None:
        self._owners[thing] = owner

    def remove(self, thing: Any) -> None:
        self._owners.pop(thing, None)
        self._writing.discard(thing)

    def until_writable(self, thing: Any, wanted: bool) -> None:
        if wanted and thing in self._owners:
            self._writing.add(thing)
        else:
            self._writing.discard(thing)

    def ready(self) -> list[tuple[Any, Owner]]:
        things = {*connection.wait(list(self._owners), 0), *self._writing}
        return [(thing, self._owners[thing]) for thing in things]

    def waitables(self) -> list[Any]:
        return list(self._owners)

    def close(self) -> None:
        self._owners.clear()
        self._writing.clear()
