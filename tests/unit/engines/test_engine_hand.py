"""What of a chunk is done, failed and lost."""

from hypothesis import given
from hypothesis import strategies as st

from farm.engines.base import Chunk, Ended, Failed, Part
from farm.engines.hand import Hand
from farm.engines.messages import Done, Failure


def failure(start, stop):
    return Failure(start, stop, "error", "E", "m", "t", None, 0.5)


@given(st.integers(0, 50), st.lists(st.tuples(st.integers(1, 5), st.booleans())), st.data())
def test_every_index_is_in_one_event(start, reports, data):
    stop = start + sum(size for size, _ in reports) + data.draw(st.integers(0, 5))
    hand = Hand(Chunk(9, 2, start, max(stop, start + 1)), None)
    events, at = [], start
    for size, good in reports:
        message = Done(at, at + size, b"", b"") if good else failure(at, at + size)
        events += hand.take(message)
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
