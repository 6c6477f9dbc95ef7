"""What was lost of a batch's arguments is refused for good, and all else goes on."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import msgspec
import pytest
from farm_service import SPEC, Hand, World

from farm.batch import shipment
from farm.batch.spec import Options
from farm.errors import JournalError
from farm.server.blocks import BlockCache
from farm.server.peers import Peer
from farm.wire.controls import Retry
from farm.wire.leases import Code, Dropped, GetCode, Lease, Want
from farm.wire.messages import Append, Block, GetBlock, GetSpec, Refused, Submit

LARGE = b"x" * 100_000
PASSING = [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EACCES, errno.EPERM,
           errno.EMFILE, errno.ENOMEM]  # fmt: skip
GONE = [errno.ENOENT, errno.ELOOP, errno.EISDIR]
FILE_ERRORS = [*((one, "journal") for one in PASSING), *((one, "damaged") for one in GONE)]


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    made.kill()
    assert made.given_up == []


def by_value(world: World, *blocks: Block) -> int:
    submit = Submit(
        "s/t", "by-value", blocks[-1].stop, Options(), SPEC, blocks=list(blocks), open=True
    )
    return world.ask(submit).batch


def harm(world: World) -> None:
    """Take the end of every large payload, as a loss of power may."""
    for path in (world.journal.path.parent / "payloads").rglob("*"):
        if path.is_file():
            os.truncate(path, 1000)


def test_a_damaged_block_is_refused_for_good_with_the_tasks_that_need_it(world, caplog):
    batch = by_value(world, Block(0, 4, LARGE), Block(4, 6, b"small"))
    harm(world)
    answer = world.ask(GetBlock(batch, 2))
    assert (answer.code, answer.tasks) == ("damaged", (0, 4))
    assert f"the file of large payloads of batch {batch}: there is none of" in answer.text
    assert str(world.journal.path.parent) not in answer.text
    assert world.ask(GetBlock(batch, 4)) == Block(4, 6, b"small")
    world.ask(GetBlock(batch, 3))
    lines = [line for line in caplog.messages if "malformed" in line]
    assert len(lines) == 1, "it is said once, however often it is asked for"
    assert f"arguments of batch {batch}, tasks [0, 4), cannot be read from the journal" in lines[0]


@pytest.mark.parametrize(("number", "code"), FILE_ERRORS)
def test_what_may_be_readable_later_is_no_damage(world, monkeypatch, number, code):
    batch = by_value(world, Block(0, 4, LARGE))

    def fail(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    before = world.ask(GetBlock(batch, 0)) and world.journal._payloads._files[batch]
    world.core._blocks.drop(batch)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail)
        assert world.ask(GetBlock(batch, 0)).code == code
    if code == "journal":
        assert world.journal._payloads._files.get(batch) is not before, "it is opened anew"
    assert world.ask(GetBlock(batch, 0)) == Block(0, 4, LARGE)


def _link(path: Path) -> None:
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    "instead", [lambda _: None, Path.mkdir, os.mkfifo, _link], ids=["none", "dir", "fifo", "link"]
)
def test_what_is_no_file_of_ours_is_damage(world, instead):
    batch = by_value(world, Block(0, 4, LARGE))
    world.restart()
    (path,) = (path for path in world._data.rglob(f"payloads/*/{batch}"))
    path.unlink()
    instead(path)
    assert world.ask(GetBlock(batch, 0)).code == "damaged"


@pytest.mark.parametrize(
    ("error", "code"),
    [(sqlite3.DatabaseError("database disk image is malformed"), "damaged"),
     (sqlite3.OperationalError("disk I/O error"), "journal"),
     (sqlite3.ProgrammingError("Cannot operate on a closed database."), "journal")],
    ids=["damage", "for now", "closed"],
)  # fmt: skip
@pytest.mark.parametrize(
    "request_", [GetSpec(1), GetBlock(1, 0), GetCode("0" * 64)], ids=lambda r: type(r).__name__
)
def test_a_page_of_the_database_is_told_likewise(world, monkeypatch, request_, error, code):
    by_value(world, Block(0, 4, b"items"))

    def fail(*_: object) -> None:
        raise error

    for name in ("spec", "block", "block_range", "code"):
        monkeypatch.setattr(world.journal, name, fail)
    answer = world.ask(request_)
    assert isinstance(answer, Refused)
    asked_for = isinstance(request_, GetBlock) and code == "damaged"
    assert (answer.code, answer.tasks) == (code, (0, 1) if asked_for else None)


def test_the_tasks_of_a_block_are_known_where_its_row_cannot_be_read(world):
    batch = by_value(world, Block(0, 4, b"first"), Block(4, 9, b"second"))
    world.ask(Append(batch, [], close=True))  # else the start reads the row
    (page,) = world.journal._db.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'blocks'"
    ).fetchone()
    world.kill()
    with (world._data / "journal.sqlite").open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 200)
    world.start()
    for index, tasks in ((0, (0, 4)), (3, (0, 4)), (4, (4, 9)), (8, (4, 9))):
        answer = world.ask(GetBlock(batch, index))
        assert (answer.code, answer.tasks) == ("damaged", tasks)


@pytest.mark.parametrize("found", ["text", 7, b"\xff\xfe"], ids=repr)
def test_a_row_with_something_else_in_it_is_damaged(world, found):
    batch = by_value(world, Block(0, 4, b"first"))
    world.core._blocks.drop(batch)
    world.journal._db.execute("UPDATE blocks SET payload = CAST(? AS TEXT)", (found,))
    if found == 7:
        world.journal._db.execute("UPDATE blocks SET payload = 7")
    answer = world.ask(GetBlock(batch, 0))
    assert (answer.code, answer.tasks) == ("damaged", (0, 4))


def test_what_waits_to_be_written_is_not_among_what_is_lost_before_it(world):
    batch = by_value(world, Block(0, 4, LARGE))
    world.restart()
    world.fill_disk()
    world.send(world.peer, Append(batch, [Block(4, 6, b"x" * 30_000)]))
    world.clock.turn()
    harm(world)
    assert world.core.stalled
    assert world.ask(GetBlock(batch, 0)).tasks == (0, 4)
    assert world.ask(GetBlock(batch, 4)) == Block(4, 6, b"x" * 30_000)
    world.make_room()
    world.clock.pass_time(2.0)


# -- programs ---------------------------------------------------------------------------------

FILES = {"tasks.py": b"def f(): ..."}
DIGEST = shipment.digest(FILES)


def with_files(world: World, *, total: int = 3) -> int:
    return world.ask(Submit("t", "b", total, Options(), SPEC, files=FILES, digest=DIGEST)).batch


def change(world: World, table: str, column: str, value: object) -> None:
    world.journal._db.execute(f"UPDATE {table} SET {column} = ?", (value,))


OTHER_FILES = msgspec.msgpack.encode({"tasks.py": b"def g(): ..."})


@pytest.mark.parametrize(
    "found", [OTHER_FILES, b"\xc1", b"\x81\xa1\xff\xc4\x00", b"", "text", 7], ids=repr
)
def test_files_that_are_not_those_that_came_are_damaged(world, found):
    with_files(world)
    change(world, "code", "files", found)
    answer = world.ask(GetCode(DIGEST))
    assert (answer.code, answer.tasks) == ("damaged", None)
    assert "malformed: " in answer.text


def test_files_that_were_whole_are_not_looked_at_again(world, monkeypatch):
    with_files(world)
    hashed = []
    real = shipment.digest
    monkeypatch.setattr(shipment, "digest", lambda files: hashed.append(1) or real(files))
    assert [world.ask(GetCode(DIGEST)) for _ in range(3)] == [Code(FILES)] * 3
    assert len(hashed) == 1


@pytest.mark.parametrize("found", [b"\xc1", b"", SPEC[:-1]], ids=repr)
def test_a_spec_that_is_none_is_damaged(world, found):
    batch = world.submit(3)
    change(world, "batches", "spec", found)
    answer = world.ask(GetSpec(batch))
    assert (answer.code, answer.tasks) == ("damaged", None)


def test_a_batch_that_is_not_in_the_journal_is_damaged_and_not_unknown(world):
    batch = world.submit(3)
    world.journal._db.execute("DELETE FROM batches")
    assert world.refused(GetSpec(batch)) == "damaged"
    assert world.refused(GetSpec(batch + 1)) == "unknown-batch"


@pytest.mark.parametrize("what", ["spec", "files", "no files"])
def test_a_batch_whose_program_a_node_cannot_have_is_ended_once_with_the_reason(
    world, caplog, what
):
    batch, healthy = with_files(world, total=1000), world.submit(2)
    first, second = Hand(world, "first", 4), Hand(world, "second", 4)
    leases = {told for hand in (first, second) for told, _ in hand.want()}
    assert leases == {batch, healthy}
    if what == "no files":
        world.journal._db.execute("DELETE FROM code")
    elif what == "files":
        change(world, "code", "files", b"\xc1")
    else:
        world.journal._db.execute("UPDATE batches SET spec = x'c1' WHERE id = ?", (batch,))
    request = GetSpec(batch) if what == "spec" else GetCode(DIGEST)
    holder = first if first.leases[0][0] == batch else second
    for hand in (holder, first, second):
        assert world.ask(request, hand.peer).code == "damaged"
    status = world.status(batch)
    assert (status.state, status.cancelled) == ("cancelled", 1000)
    assert "its program was lost on the server's disk (malformed: " in status.reason
    assert f"`farm retry {batch}`" in status.reason
    assert Dropped(batch) in holder.pushed
    assert world.status(healthy).state == "running"
    assert len([line for line in caplog.messages if "is stopped" in line]) == 1
    assert "its program was lost" in world.ask(Append(batch, [Block(1000, 1001, b"")])).text
    world.restart()
    assert world.status(batch).reason == status.reason


def test_once_it_is_restored_the_batch_can_be_tried_again(world):
    batch = with_files(world)
    hand = Hand(world, "n", 4)
    hand.want()
    change(world, "code", "files", b"\xc1")
    world.ask(GetCode(DIGEST), hand.peer)
    change(world, "code", "files", msgspec.msgpack.encode(FILES))
    assert world.ask(Retry(str(batch))).tasks == 3
    assert world.ask(GetCode(DIGEST), hand.peer) == Code(FILES)
    assert (world.status(batch).state, world.status(batch).reason) == ("running", "")


@pytest.mark.parametrize("digest", ["", "0" * 64, "x"])
def test_a_node_that_asks_for_what_never_was_ends_nothing(world, digest):
    batch, hand = world.submit(3), Hand(world, "n", 1)
    assert world.ask(GetCode(digest), hand.peer).code == "bad-request"
    assert world.status(batch).state == "waiting"


def test_who_only_looks_ends_nothing(world):
    batch = with_files(world)
    change(world, "batches", "spec", b"\xc1")
    assert world.refused(GetSpec(batch)) == "damaged"
    assert world.status(batch).state == "waiting"


def test_options_that_are_none_are_said_at_the_start(tmp_path):
    world = World(tmp_path / "damaged")
    world.submit(3)
    change(world, "batches", "options", b"\xc1")
    with pytest.raises(JournalError, match="malformed: options of batch 1"):
        world.restart()


# -- leases -----------------------------------------------------------------------------------


def test_a_lease_whose_blocks_cannot_be_read_is_told_and_costs_the_others_nothing(world):
    batch = by_value(world, Block(0, 4, LARGE))
    world.restart()
    harm(world)
    healthy = world.submit(4)
    first, second = Hand(world, "first", 4), Hand(world, "second", 4)
    leases = first.want() + second.want()
    assert sorted(leases) == [(batch, [(0, 4)]), (healthy, [(0, 4)])]
    holder = first if first.leases == [(batch, [(0, 4)])] else second
    assert [told.blocks for told in holder.pushed if isinstance(told, Lease)] == [[]]
    holder.report(batch, failed=[0, 1, 2, 3])
    world.ask(Append(batch, [], True))
    assert world.status(batch).state == "failed"


@pytest.mark.parametrize(
    "error", [MemoryError(), OverflowError("too large"), TypeError("none"), OSError(5, "no")],
    ids=repr,
)  # fmt: skip
def test_a_lease_goes_without_its_blocks_whatever_reading_them_raises(world, monkeypatch, error):
    batch = by_value(world, Block(0, 2, b"first"), Block(2, 4, b"second"))
    read = world.core.block

    def fail(batch: int, index: int) -> Block | None:
        if index == 2:
            raise error
        return read(batch, index)

    monkeypatch.setattr(world.core, "block", fail)
    hand = Hand(world, "n", 4)
    assert hand.want() == [(batch, [(0, 4)])]
    assert [told.blocks for told in hand.pushed if isinstance(told, Lease)] == [
        [Block(0, 2, b"first")]
    ]
    assert not hand.peer._connection.closed


@pytest.mark.parametrize("rerun", [True, False])
def test_a_lease_that_cannot_be_sent_is_taken_back_and_given_to_another(
    world, monkeypatch, caplog, rerun
):
    first, second = Hand(world, "first", 2), Hand(world, "second", 2)
    for hand in (first, second):
        world.send(hand.peer, Want(2, 2))
    push = Peer.push

    def fail(peer: Peer, body) -> None:
        if peer is first.peer and isinstance(body, Lease):
            raise ValueError("no")
        push(peer, body)

    monkeypatch.setattr(Peer, "push", fail)
    batch = world.submit(2, rerun=rerun)
    world.clock.turn()
    assert (first.leases, second.leases) == ([], [(batch, [(0, 2)])])
    assert first.peer._connection.closed, "so that the node says anew what it wants"
    assert f"a lease of batch {batch} cannot be sent" in caplog.text
    second.report(batch, done=[(0, 2)])
    assert world.status(batch).state == "done"


def test_a_block_is_to_be_had_until_it_is_journalled_however_many_came_after_it(world):
    """It is leased ahead of the commit, which may take its time where the disk is full."""
    batch = by_value(world, Block(0, 1, b"first"))
    world.core._blocks = BlockCache(limit=10)
    world.fill_disk()
    new = [Block(start, start + 1, bytes([65 + start]) * 30_000) for start in (1, 2, 3)]
    world.send(world.peer, Append(batch, new))
    world.clock.turn()
    assert world.core.stalled
    for block in new:
        assert world.ask(GetBlock(batch, block.start)) == block
    assert world.refused(GetBlock(batch, 4)) == "bad-request"
    world.make_room()
    world.clock.pass_time(2.0)
    assert world.ask(GetBlock(batch, 1)) == new[0]
    assert world.journal._new_blocks == {}
