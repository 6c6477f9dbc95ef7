"""Whose failure it is where a batch limits memory, by what was raised."""

from __future__ import annotations

import pytest

from farm.engines.memory import MemoryLimit

LIMIT = 1 << 50  # that nothing reaches


@pytest.fixture
def limit():
    made = MemoryLimit()
    yield made
    made.leave()


LOST = SystemError("error return without exception set")
"""Of CPython, where no memory was left even for the traceback of a MemoryError."""


@pytest.mark.parametrize("error", [MemoryError(), LOST], ids=["told", "lost"])
def test_a_task_for_which_no_memory_was_left_crashes(limit, error):
    limit.enter(LIMIT)
    failure = limit.describe(error, 3, 9)
    assert (failure.kind, failure.start, failure.stop) == ("crash", 3, 4)
    assert "memory limit of 1048576 GiB (MemoryError)" in failure.message
    assert limit.exceeded


@pytest.mark.parametrize("error", [SystemError("bad call"), ValueError()])
def test_another_error_is_the_task_s_own(limit, error):
    limit.enter(LIMIT)
    assert limit.describe(error, 3, 4).kind == "error"
    assert not limit.exceeded


def test_without_a_limit_none_was_exceeded(limit):
    assert limit.describe(LOST, 3, 4).kind == "error"
    assert not limit.exceeded


@pytest.mark.parametrize("error", [MemoryError(), LOST], ids=["told", "lost"])
def test_farm_s_own_work_is_done_beyond_the_limit(limit, error):
    limit.enter(LIMIT)
    raised = [error]

    def work():
        if raised:
            raise raised.pop()
        return limit.eased.users

    assert limit.insist(work) == 1
    assert not limit.exceeded


@pytest.mark.parametrize("error", [SystemError("bad call"), ValueError()])
def test_another_error_of_farm_s_own_work_stays_one(limit, error):
    limit.enter(LIMIT)

    def work():
        raise error

    with pytest.raises(type(error)):
        limit.insist(work)
