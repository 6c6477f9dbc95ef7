"""Slots in which time passes: as the promises of an engine say, and nothing is lost."""

from __future__ import annotations

import array
import pickle
import random

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulation.slots import Pace, TimedSlots
from farm.engines import base


def slots(count: int = 2, lasts: float = 1.0) -> TimedSlots:
    return TimedSlots(count, Pace(said=0.25, lasts=lasts), random.Random(1))


def test_a_chunk_ends_when_its_tasks_have_lasted() -> None:
    engine = slots(1)
    engine.submit(base.Chunk(1, 7, 10, 12))
    assert engine.due is not None
    assert 1.0 <= engine.due <= 3.0
    assert engine.poll(engine.due - 0.001) == []
    part, ended = engine.poll(engine.due)
    assert isinstance(part, base.Part)
    assert (part.batch, part.start, part.stop) == (7, 10, 12)
    assert pickle.loads(part.payload) == [0, 1]
    assert list(array.array("f", part.seconds)) == [0.25, 0.25]
    assert ended == base.Ended(1, 7, [])
    assert (engine.idle, engine.due) == (1, None)


def test_what_waits_behind_begins_when_the_slot_is_free() -> None:
    engine = slots(1, lasts=0.01)
    engine.submit(base.Chunk(1, 1, 0, 1))
    assert (engine.idle, engine.ahead) == (0, 1)
    engine.submit(base.Chunk(2, 1, 1, 2), ahead=True)
    assert engine.ahead == 0
    assert [event.chunk for event in engine.poll(1.0)] == [1, 1, 2, 2]


def test_what_waits_is_given_back_as_not_begun() -> None:
    engine = slots(1)
    engine.submit(base.Chunk(1, 1, 0, 1))
    engine.submit(base.Chunk(2, 1, 1, 5), ahead=True)
    engine.take_back()
    assert engine.poll(0.0) == [base.Ended(2, 1, [(1, 5)])]


def test_what_waits_behind_a_cancelled_one_begins() -> None:
    engine = slots(1)
    engine.submit(base.Chunk(1, 1, 0, 1))
    engine.submit(base.Chunk(2, 2, 0, 1), ahead=True)
    engine.cancel(1)
    assert engine.poll(0.0) == [base.Ended(1, 1, [(0, 1)])]
    assert [event.chunk for event in engine.poll(1.5)] == [2, 2]


def test_who_hurries_ends_at_once() -> None:
    engine = slots(2, lasts=1000.0)
    for chunk in (1, 2):
        engine.submit(base.Chunk(chunk, 1, chunk, chunk + 1))
    engine.hurry()
    assert sorted(event.chunk for event in engine.poll(engine.now)) == [1, 1, 2, 2]


@given(st.lists(st.sampled_from(["submit", "ahead", "poll", "back", "cancel 1", "cancel 2"])))
def test_every_chunk_ends_once_and_every_task_is_done_or_lost(steps: list[str]) -> None:
    engine, events, given_out, now = slots(3, lasts=0.1), [], 0, 0.0
    for step in steps:
        now += 0.04
        if (step == "submit" and engine.idle) or (step == "ahead" and engine.ahead):
            given_out += 1
            chunk = base.Chunk(given_out, 1 + given_out % 2, 2 * given_out, 2 * given_out + 2)
            engine.submit(chunk, ahead=step == "ahead")
        elif step == "back":
            engine.take_back()
        elif step.startswith("cancel"):
            engine.cancel(int(step[-1]))
        events += engine.poll(now)
    events += engine.poll(now + 1000.0)
    assert engine.due is None
    ended = [event for event in events if isinstance(event, base.Ended)]
    assert sorted(event.chunk for event in ended) == list(range(1, given_out + 1))
    done = [(e.start, e.stop) for e in events if isinstance(e, base.Part)]
    lost = [part for event in ended for part in event.lost]
    assert sorted(done + lost) == [(2 * n, 2 * n + 2) for n in range(1, given_out + 1)]
