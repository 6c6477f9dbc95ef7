"""What the owner makes of what a slot says."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from farm.batch import spec as specs
from farm.engines.base import Chunk, Ended, Program
from farm.engines.messages import Finished, Spent, encode
from farm.engines.pipe import OwnerPipe, parts
from farm.engines.progress import SLOT_BYTES, Progress
from farm.engines.slot import Slot

PROGRAM = Program(1, specs.encode(specs.Spec("b", specs.PythonCall("math", "sqrt"))), "", None)


@pytest.fixture
def ends():
    mine, theirs = socket.socketpair()
    shown = Progress(memoryview(bytearray(SLOT_BYTES)), 0)
    slot = Slot(0, SimpleNamespace(pid=1), OwnerPipe(mine), shown)
    yield slot, theirs
    slot.pipe.close()
    theirs.close()


def say(link, *messages):
    link.sendall(b"".join(part for one in messages for part in parts(encode(one))))


def test_a_spent_slot_may_say_that_it_has_dropped_what_was_given_up_with_it(ends):
    slot, link = ends
    slot.give(Chunk(7, 1, 0, 2), PROGRAM, None, None)
    slot.give(Chunk(8, 1, 2, 4), PROGRAM, None, None)
    slot.take_back()
    say(link, Spent(), Finished(8))
    assert slot.listen(0.0) == [Ended(7, 1, [(0, 2)]), Ended(8, 1, [(2, 4)])]
    assert not slot.idle
