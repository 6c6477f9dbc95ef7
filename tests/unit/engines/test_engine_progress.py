"""What a slot shows its owner of the task that runs."""

from __future__ import annotations

import pytest

from farm.engines.progress import MAX_GROUP, SLOT_BYTES, Progress


@pytest.fixture
def both():
    """Two views of the second of three slots: its own and its owner's."""
    memory = memoryview(bytearray(3 * SLOT_BYTES))
    slot, owner = Progress(memory, 1), Progress(memory, 1)
    slot.end()
    return slot, owner


def test_a_slot_that_runs_nothing_shows_no_task(both):
    slot, owner = both
    assert (owner.index, owner.began) == (-1, 0)
    slot.begin(10, 3)
    slot.end()
    assert (owner.index, owner.began) == (-1, 0)


@pytest.mark.parametrize("count", [1, 2, 7, MAX_GROUP])
def test_the_first_task_that_is_not_over_runs(both, count):
    slot, owner = both
    slot.begin(10**15, count)
    assert owner.index == 10**15
    for at in {0, 1, count // 2, count - 1} & set(range(count)):
        for over in range(at + 1):
            slot.seconds[over] = 0.0  # what took no time at all is over as well
        assert owner.index == 10**15 + min(at + 1, count - 1)


def test_of_a_group_that_is_over_the_last_one_is_shown(both):
    """Its results are being pickled: if that kills the slot, some task is to blame."""
    slot, owner = both
    slot.begin(5, 2)
    slot.seconds[0] = slot.seconds[1] = 0.25
    assert owner.index == 6


def test_another_group_begins_with_nothing_over(both):
    slot, owner = both
    slot.begin(0, 4)
    for at in range(4):
        slot.seconds[at] = 1.0
    slot.begin(4, 2)
    assert owner.index == 4
    slot.begin(6, 4)
    assert owner.index == 6


def test_a_timed_call_has_a_beginning_only_while_it_runs(both):
    slot, owner = both
    seen = []

    def call(value):
        seen.append(owner.began)
        if value == "bad":
            raise ValueError(value)
        return value

    timed = slot.timing(call)
    assert timed("good") == "good"
    assert seen[0] > 0
    assert owner.began == 0
    with pytest.raises(ValueError, match="bad"):
        timed("bad")
    assert owner.began >= seen[0]
    slot.rest()
    assert owner.began == 0


def test_what_is_finished_is_forgotten_with_the_slot(both):
    slot, owner = both
    slot.enter(0)
    slot.finish(0)
    assert (owner.chunk, owner.finished) == (0, 0)
    owner.clear()
    assert (owner.chunk, owner.finished) == (-1, -1)


def test_slots_do_not_see_one_another(both):
    slot, _ = both
    memory = memoryview(bytearray(3 * SLOT_BYTES))
    slots = [Progress(memory, number) for number in range(3)]
    for number, slot in enumerate(slots):
        slot.begin(100 * number, MAX_GROUP)
        slot.seconds[MAX_GROUP - 1] = 0.0
    slots[1].seconds[0] = 1.0
    slots[1].watch()
    assert [slot.index for slot in slots] == [0, 101, 200]
    assert [slot.began > 0 for slot in slots] == [False, True, False]
