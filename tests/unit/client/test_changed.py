"""The lock of pools and submissions, where Ctrl-C comes at the worst moment."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest
from farm_harness import PATIENCE

from farm.client.changed import Changed


@contextmanager
def interrupted_in(names: set[str]) -> Iterator[list[str]]:
    """A function of `threading` of these names that begins gets a KeyboardInterrupt."""
    met: list[str] = []

    def look(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename == threading.__file__ and code.co_name in names:
            met.append(code.co_name)
            raise KeyboardInterrupt

    sys.setprofile(look)
    try:
        yield met
    finally:
        sys.setprofile(None)


def may_be_taken(changed: threading.Condition) -> bool:
    """By another thread."""
    taken: list[bool] = []

    def take() -> None:
        taken.append(changed.acquire(blocking=False))
        if taken[0]:
            changed.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return taken[0]


def test_an_interrupt_never_leaves_it_taken() -> None:
    """Nothing of Python runs between the lock and the block, where an interrupt could come."""
    changed = Changed()
    with interrupted_in({"__enter__", "__exit__"}) as met, changed:
        pass
    assert not met
    assert may_be_taken(changed)


def test_with_an_ordinary_condition_it_would() -> None:
    """That the test above can fail."""
    condition = threading.Condition()
    with interrupted_in({"__exit__"}), pytest.raises(KeyboardInterrupt), condition:
        pass
    assert not may_be_taken(condition)


def test_an_interrupt_that_finds_it_given_back_is_what_is_raised() -> None:
    """Not that it cannot be given back again."""

    def look(_frame: FrameType, event: str, function: object) -> None:
        if event == "c_return" and getattr(function, "__name__", "") == "_release_save":
            sys.setprofile(None)
            raise KeyboardInterrupt

    changed = Changed()

    def wait() -> None:
        with changed:
            sys.setprofile(look)
            changed.wait(PATIENCE)

    with pytest.raises(KeyboardInterrupt):
        wait()
    assert may_be_taken(changed)


def test_it_is_still_a_condition() -> None:
    changed = Changed()
    with changed, changed:
        assert not may_be_taken(changed)
        assert not changed.wait(0.0)
        changed.notify_all()
    assert may_be_taken(changed)
