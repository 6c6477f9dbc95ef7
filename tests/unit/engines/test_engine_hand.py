"""What of a chunk is done, failed and lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.engines.base import Chunk, Ended, Failed, Part
from farm.engines.hand import Hand
from farm.engines.messages import Cut, Done, Failure


def failure(start, stop):
    return Failure(start, stop, "error", "E", "m", "t", None, 0.5)


REPORTS = st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["done", "failed", "not told"])))


@given(st.integers(0, 50), REPORTS, st.data())
def test_every_index_is_in_one_event(start, reports, data):
    stop = start + sum(size for size, _ in reports) + data.draw(st.integers(0, 5))
    hand = Hand(Chunk(9, 2, start, max(stop, start + 1)), None)
    events, at = [], start
    for size, what in reports:
        message = Done(at, at + size, b"", b"") if what == "done" else failure(at, at + size)
        if what != "not told":
            assert hand.expects(message)
            events += hand.take(message)
            assert not hand.expects(message)
        at += size
    crash = data.draw(st.integers(start, hand.chunk.stop))
    if hand.owes(crash):
        events += hand.blame(crash, "crash", "why", 0.0)
    else:
        events.append(hand.end(begun=False))
    seen = []
    for event in events:
        assert (event.chunk, event.batch) == (9, 2)
        if isinstance(event, Part):
            seen += range(event.start, event.stop)
        elif isinstance(event, Failed):
            seen.append(event.index)
        else:
            seen += [index for first, last in event.lost for index in range(first, last)]
    assert sorted(seen) == list(range(start, hand.chunk.stop))
    assert [type(event) for event in events].count(Ended) == 1
    assert isinstance(events[-1], Ended)


def test_no_task_runs_at_minus_one():
    assert not Hand(Chunk(1, 1, 0, 5), None).owes(-1)


def test_what_was_passed_over_may_have_run():
    hand = Hand(Chunk(1, 1, 0, 5), None)
    hand.take(Done(3, 5, b"", b""))
    assert hand.end(begun=False) == Ended(1, 1, [(0, 3)], begun=True)


def test_a_chunk_that_was_not_asked_back_has_run():
    assert Hand(Chunk(1, 1, 0, 5), None).over() == Ended(1, 1, [(0, 5)], begun=True)


@pytest.mark.parametrize("asked", ["asked_back", "cancelled"])
def test_a_chunk_that_was_asked_back_has_not_begun_unless_something_was_heard_of_it(asked):
    hand = Hand(Chunk(1, 1, 0, 5), None)
    setattr(hand, asked, True)
    assert hand.over() == Ended(1, 1, [(0, 5)], begun=False)
    hand.take(failure(0, 1))
    assert hand.over() == Ended(1, 1, [(1, 5)], begun=True)


def test_a_failure_of_all_that_is_left_counts_for_what_is_the_chunks_own():
    """The slot was about to tell it when another thread told that others run a part of it."""
    hand = Hand(Chunk(1, 1, 0, 9), None)
    assert [event.lost for event in hand.cut(Cut(1, 3))] == [[(3, 9)]]
    assert hand.expects(failure(1, 9))
    assert [event.index for event in hand.take(failure(1, 9))] == [1, 2]
    assert hand.over() == Ended(1, 1, [(0, 1)], begun=True)


def test_a_failure_of_what_others_run_alone_is_none_of_the_chunks_own():
    hand = Hand(Chunk(1, 1, 0, 9), None)
    hand.cut(Cut(1, 3))
    assert hand.expects(failure(3, 9))
    assert hand.take(failure(3, 9)) == []
    assert not hand.expects(Done(2, 4, b"", b""))
    assert hand.over().lost == [(0, 3)]
