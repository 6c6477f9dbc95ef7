"""Rooms for large messages are used again, and never while somebody looks at them."""

from pickle import PickleBuffer

import pytest

from farm.rooms import MOST_KEPT, ROOM_BYTES, Lent, Rooms


def test_a_room_that_is_free_is_used_again():
    rooms = Rooms()
    lent = Lent(rooms)
    room = rooms.take(100)
    assert bytes(lent.lend(room, 10)) == bytes(10)
    assert rooms.take(100) is not room
    lent.end()
    assert rooms.take(1) is room


def test_a_room_that_is_too_small_is_made_larger():
    rooms = Rooms()
    rooms.give_back(room := bytearray(10))
    assert rooms.take(25) is room
    assert len(room) == 25


def test_who_looks_at_what_is_not_lent_any_more_gets_an_error():
    lent = Lent(Rooms())
    view = lent.lend(bytearray(100), 10)
    lent.end()
    with pytest.raises(ValueError, match="released"):
        bytes(view)


def test_a_room_that_something_uses_all_the_same_is_not_used_again():
    rooms = Rooms()
    lent = Lent(rooms)
    using = PickleBuffer(lent.lend(bytearray(b"0123456789"), 10))
    lent.end()
    assert bytes(using) == b"0123456789"
    assert len(rooms.take(5)) == 5


def test_few_rooms_are_kept_and_no_large_one():
    rooms = Rooms()
    rooms.give_back(bytearray(ROOM_BYTES + 1))
    assert len(rooms.take(1)) == 1
    given = [bytearray(10) for _ in range(MOST_KEPT + 1)]
    for room in given:
        rooms.give_back(room)
    assert [len(rooms.take(1)) for _ in given] == [10] * MOST_KEPT + [1]
