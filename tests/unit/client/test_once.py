"""What comes once: who waits for it, for how long, and what Ctrl-C leaves behind."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from farm_harness import PATIENCE, eventually
from interrupts import interrupted

from farm.client.once import Once, Reply
from farm.errors import FarmError
from farm.wire.messages import Done, Nodes

WAITING = ("threading.py", "_base.py", "once.py")


def in_thread(act: Any) -> list[Any]:
    """What comes of it in a thread of its own; nothing as long as it has not ended."""
    came: list[Any] = []
    threading.Thread(target=lambda: came.append(act()), daemon=True).start()
    return came


def test_all_who_wait_are_woken_and_later_ones_do_not_wait():
    once = Once()
    came = [in_thread(once.wait) for _ in range(3)]
    eventually(lambda: len(once._waiters) == 3, "all wait")
    assert not once.is_set()
    once.set()
    eventually(lambda: came == [[True]] * 3, "all are woken")
    once.set()
    assert once.is_set()
    assert once.wait(0.0)
    assert once._waiters == []


@pytest.mark.parametrize("seconds", [0.0, 0.01, -1.0])
def test_a_wait_has_an_end(seconds):
    once = Once()
    assert not once.wait(seconds)
    assert once._waiters == [], "who has waited is forgotten"


def test_a_wait_may_be_longer_than_a_lock_knows():
    once = Once()
    came = in_thread(lambda: once.wait(float("inf")))
    eventually(lambda: once._waiters, "it waits")
    once.set()
    eventually(lambda: came == [True], "it is woken")


def test_a_reply_is_an_answer_or_an_error():
    answered, refused = Reply(), Reply()
    with pytest.raises(TimeoutError):
        answered.result(0.0)
    assert not answered.done()
    answered.set_result(Nodes([]))
    refused.set_exception(FarmError("no"))
    assert answered.done()
    assert answered.result() == answered.result(0.0) == Nodes([])
    with pytest.raises(FarmError, match="no"):
        refused.result()


def left_behind(make: Any) -> Iterator[tuple[str, Any]]:
    """Where an interrupt of who waits for an answer keeps others waiting; and the answer."""
    answer = make()

    def wait() -> None:
        with contextlib.suppress(TimeoutError, RuntimeError):  # a lock may be lost on the way
            answer.result(0.001)

    for where in interrupted(WAITING, wait):
        other = in_thread(lambda answer=answer: answer.result(PATIENCE))
        brought = in_thread(lambda answer=answer: answer.set_result(Done()))
        try:
            eventually(lambda b=brought, o=other: b and o == [Done()], "it is brought", 1.0)
        except AssertionError:
            yield where, answer
        answer = make()


def test_an_interrupt_keeps_nobody_else_waiting():
    assert [where for where, _ in left_behind(Reply)] == []


def test_with_a_future_it_would():
    """That the test above can fail."""
    where, future = next(left_behind(Future))
    assert "__enter__" in where
    future._condition.release()  # for those who wait now
