"""Specs, arguments and code: read when they are sent, one at a time, and for who is there."""

from __future__ import annotations

import pytest
from farm_service import SPEC, World

from farm.batch import shipment
from farm.batch.spec import Options
from farm.wire.leases import Code, GetCode
from farm.wire.messages import Block, GetBlock, GetSpec, Refused, SpecFound, Submit, Submitted

FILES = {"m.py": b"def f(): ..."}
BLOCKS = [Block(0, 2, b"first"), Block(2, 3, b"second")]


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    digest = shipment.digest(FILES)
    submit = Submit("t", "b", 3, Options(), SPEC, files=FILES, digest=digest, blocks=BLOCKS)
    assert made.ask(submit) == Submitted(1)
    yield made
    made.kill()
    assert made.given_up == []


def test_each_is_there(world):
    digest = shipment.digest(FILES)
    assert world.ask(GetSpec(1)) == SpecFound(1, "b", 3, SPEC, digest)
    assert world.ask(GetBlock(1, 1)) == BLOCKS[0]
    assert world.ask(GetBlock(1, 2)) == BLOCKS[1]
    assert world.ask(GetCode(digest)) == Code(FILES)


@pytest.mark.parametrize(
    ("request_", "code"),
    [(GetSpec(2), "unknown-batch"), (GetBlock(2, 0), "bad-request"),
     (GetBlock(1, 3), "bad-request"), (GetBlock(1, -1), "bad-request"),
     (GetCode("0" * 64), "bad-request")],
    ids=str,
)  # fmt: skip
def test_what_there_is_not_is_refused(world, request_, code):
    answer = world.ask(request_)
    assert isinstance(answer, Refused)
    assert answer.code == code


@pytest.mark.parametrize(
    "request_", [GetSpec(1), GetBlock(1, 0), GetCode(shipment.digest(FILES))], ids=str
)
def test_it_is_read_when_it_is_sent_and_not_for_who_is_gone(world, monkeypatch, request_):
    read = []
    for name in ("spec", "block", "code"):
        real = getattr(world.journal, name)
        monkeypatch.setattr(
            world.journal, name, lambda *key, real=real: read.append(1) or real(*key)
        )
    monkeypatch.setattr(world.core._blocks, "get", lambda *_: None)
    numbers = [world.send(world.peer, request_) for _ in range(3)]
    assert read == []
    world.clock.turn()
    assert len(read) == 3
    assert set(numbers) <= set(world.peer._connection.sent)
    other = world.connect("other")
    world.send(other, request_)
    other._connection.closing = True
    world.clock.turn()
    assert len(read) == 3
