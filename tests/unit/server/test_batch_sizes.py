"""How many bytes a batch may have: as it is submitted, as it grows, and what is sent again."""

from __future__ import annotations

import pytest
from farm_service import SPEC, World

from farm.batch import shipment
from farm.batch.spec import Options
from farm.limits import Limits
from farm.wire.controls import Forget
from farm.wire.messages import Append, Block, Cancel, Done, Message, Refused, Submit, Submitted

ROOM = 1000
"""Bytes that a batch may have beside its spec."""


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path, limits=Limits(max_batch=len(SPEC) + ROOM))
    yield made
    made.kill()
    assert made.given_up == []


def block(start: int, size: int) -> Block:
    return Block(start, start + 1, b"x" * size)


def submission(*blocks: Block, **more) -> Submit:
    return Submit("t", "b", len(blocks), Options(), SPEC, blocks=list(blocks), **more)


def with_file(size: int) -> Submit:
    files = {"m.py": b"#" * size}
    return submission(files=files, digest=shipment.digest(files))


def is_too_large(answer: Message) -> bool:
    assert isinstance(answer, Submitted | Done | Refused)
    if not isinstance(answer, Refused):
        return False
    assert answer.code == "too-large"
    assert "--max-batch" in answer.text
    assert f"{len(SPEC) + ROOM:,}" in answer.text
    return True


def test_arguments_and_files_count_as_they_are_submitted(world):
    assert is_too_large(world.ask(with_file(ROOM + 1)))
    assert is_too_large(world.ask(submission(block(0, ROOM), block(1, 1))))
    assert world.core.infos == {}
    assert world.ask(submission(block(0, ROOM - 1), block(1, 1))) == Submitted(1)


def test_files_alone_may_fill_it(world):
    assert world.ask(with_file(ROOM)) == Submitted(1)


def test_a_batch_that_grows_is_stopped_where_it_is_and_may_go_on_with_less(world):
    world.ask(submission(block(0, 400), open=True))
    assert world.ask(Append(1, [block(1, 400)])) == Done()
    assert is_too_large(world.ask(Append(1, [block(2, 201)])))
    assert world.status(1).total == 2
    assert world.ask(Append(1, [block(2, 200)])) == Done()
    assert is_too_large(world.ask(Append(1, [block(3, 1)])))
    assert world.ask(Append(1, [], True)) == Done()


def test_what_is_sent_again_adds_nothing(world):
    """Its answer was lost with the connection, and the client asks once more."""
    submit = submission(block(0, 400), open=True)
    assert world.ask(submit) == Submitted(1)
    assert world.ask(submit) == Submitted(1, known=True)
    for _ in range(3):
        assert world.ask(Append(1, [block(1, 400)])) == Done()
    last = Append(1, [block(1, 400), block(2, 200)], True)
    for _ in range(3):
        assert world.ask(last) == Done()
    assert world.status(1).total == 3


def test_a_server_that_was_started_again_goes_on_counting(world):
    world.ask(submission(block(0, 400), open=True))
    world.ask(Append(1, [block(1, 400)]))
    world.restart()
    assert is_too_large(world.ask(Append(1, [block(2, 201)])))
    assert world.ask(Append(1, [block(1, 400), block(2, 200)])) == Done()
    assert is_too_large(world.ask(Append(1, [block(3, 1)])))


def test_of_a_batch_that_was_forgotten_no_size_is_kept_however_it_ended(world):
    world.ask(submission(block(0, 400), open=True))
    world.ask(Append(1, [block(1, 1)]))
    world.ask(Cancel("1"))
    assert world.ask(Forget(1)) == Done()
    kept = [held for held in vars(world.service._clients).values() if isinstance(held, dict)]
    assert not any(held for held in kept)
