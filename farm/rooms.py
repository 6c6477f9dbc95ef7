"""Room for large messages that is used again: to make it anew takes about as long as to fill it.

What is new has to be filled with zeros, by Python and mostly by the kernel as well.
"""

from __future__ import annotations

ROOM_BYTES = 4 << 20
"""A larger room is not kept."""

MOST_KEPT = 4


class Rooms:
    """Rooms that are free, for the readers of one thread.

    Example:
        >>> rooms = Rooms()
        >>> room = rooms.take(100_000)
        >>> rooms.give_back(room)
        >>> rooms.take(1) is room
        True
    """

    def __init__(self) -> None:
        self._free: list[bytearray] = []

    def take(self, least: int) -> bytearray:
        """One of at least so many bytes, filled with anything."""
        if not self._free:
            return bytearray(least)
        room = self._free.pop()
        room += bytes(max(0, least - len(room)))
        return room

    def give_back(self, room: bytearray) -> None:
        """Nobody reads what is in it any more."""
        if len(room) <= ROOM_BYTES and len(self._free) < MOST_KEPT:
            self._free.append(room)


class Lent:
    """What was read into rooms and is being looked at by somebody, who copies what he keeps: the
    room will have something else in it.

    Args:
        rooms: where the rooms come from and go to.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._lent: list[tuple[memoryview, bytearray]] = []

    def lend(self, room: bytearray, size: int) -> memoryview:
        """The first ``size`` bytes of a room, to be looked at until `end`."""
        view = memoryview(room)[:size]
        self._lent.append((view, room))
        return view

    def end(self) -> None:
        """What was lent is not looked at any more: its rooms are free."""
        if not self._lent:
            return  # nearly always: most messages are small
        for view, room in self._lent:
            try:
                view.release()
            except BufferError:
                continue  # something is made of it that uses the room: it keeps that
            self._rooms.give_back(room)
        self._lent.clear()
