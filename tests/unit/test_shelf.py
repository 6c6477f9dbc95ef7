"""What is put on a shelf comes back as it was, in memory and in the file; the disk may fail."""

from __future__ import annotations

import doctest
import errno
import os
import tempfile

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from farm import shelf as module
from farm.errors import FarmError
from farm.shelf import InFile, MemoryShelf, SpoolShelf

LIMIT = 10


@pytest.fixture
def shelf(tmp_path):
    made = SpoolShelf(tmp_path, limit=LIMIT)
    yield made
    made.close()


class FullFile:
    """A file that takes so many bytes, and then none."""

    def __init__(self, file, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self.file.write(data[: self.room])
        self.room -= taken
        return taken

    def __getattr__(self, name):
        return getattr(self.file, name)


def size_of(shelf: SpoolShelf) -> int:
    return os.fstat(shelf._file.fileno()).st_size


def test_the_examples_of_its_documentation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(module).failed == 0


def test_a_shelf_in_memory_gives_back_what_it_was_given():
    shelf = MemoryShelf()
    kept = shelf.put(b"abc")
    assert shelf.read(kept) == b"abc"
    shelf.drop(kept)


def test_up_to_the_limit_there_is_no_file(shelf):
    assert [shelf.put(b"12345"), shelf.put(b"67890")] == [b"12345", b"67890"]
    assert shelf._file is None


def test_past_the_limit_it_goes_to_the_file_until_there_is_room_in_memory(shelf, tmp_path):
    first = shelf.put(b"1234567890")
    second = shelf.put(b"abc")
    assert second == InFile(0, 3)
    assert list(tmp_path.iterdir()) == [], "the file has no name: nothing to clean up"
    shelf.drop(first)
    assert shelf.put(b"def") == b"def"
    assert shelf.read(second) == b"abc"


def test_what_is_larger_than_the_limit_goes_to_the_file(shelf):
    kept = shelf.put(b"x" * (LIMIT + 1))
    assert isinstance(kept, InFile)
    assert shelf.read(kept) == b"x" * (LIMIT + 1)


def test_an_empty_file_gives_its_space_back_and_is_used_again(shelf):
    shelf.put(b"x" * LIMIT)
    kept = [shelf.put(b"a" * 1000), shelf.put(b"b" * 1000)]
    shelf.drop(kept[0])
    assert size_of(shelf) == 2000
    assert shelf.read(kept[1]) == b"b" * 1000
    shelf.drop(kept[1])
    assert size_of(shelf) == 0
    assert shelf.put(b"again") == InFile(0, 5)


def test_a_disk_that_takes_nothing_costs_memory_and_one_warning(tmp_path, caplog):
    shelf = SpoolShelf(tmp_path / "missing", limit=LIMIT)
    kept = [shelf.put(b"x" * 8) for _ in range(4)]
    assert [shelf.read(one) for one in kept] == [b"x" * 8] * 4
    assert caplog.text.count("results stay in memory, the disk does not take them") == 1
    for one in kept:
        shelf.drop(one)
    assert shelf._in_memory == 0
    shelf.close()


def test_a_disk_that_fills_up_in_the_middle_of_a_result_spoils_none(shelf):
    shelf.put(b"x" * LIMIT)
    before = shelf.put(b"before")
    shelf._file = FullFile(shelf._file, 4)
    half = shelf.put(b"half way")
    assert half == b"half way"
    shelf._file = shelf._file.file
    after = shelf.put(b"after")
    assert [shelf.read(kept) for kept in (before, half, after)] == [
        b"before",
        b"half way",
        b"after",
    ]


def test_a_file_that_takes_a_little_at_a_time_takes_all(shelf):
    shelf.put(b"x" * LIMIT)
    shelf.put(b"")
    shelf._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115

    class Slow(FullFile):
        def write(self, data) -> int:
            return self.file.write(data[:3])

        def read(self, size) -> bytes:
            return self.file.read(min(size, 2))

    shelf._file = Slow(shelf._file, 0)
    assert shelf.read(shelf.put(b"0123456789")) == b"0123456789"


def test_a_file_that_lost_something_is_an_error_and_not_a_wrong_result(shelf):
    shelf.put(b"x" * LIMIT)
    kept = shelf.put(b"abcdef")
    shelf._file.truncate(3)
    with pytest.raises(FarmError, match="shorter than what was written"):
        shelf.read(kept)


def test_a_file_that_cannot_be_read_is_an_error(shelf):
    shelf.put(b"x" * LIMIT)
    kept = shelf.put(b"abcdef")

    class Broken(FullFile):
        def read(self, _) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    shelf._file = Broken(shelf._file, 0)
    with pytest.raises(FarmError, match=r"cannot be read again: .*Input/output error"):
        shelf.read(kept)


class ShelfMachine(RuleBasedStateMachine):
    """Any order of putting, reading and dropping, on a disk that is full now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="farm-test-")
        self.shelf = SpoolShelf(module.Path(self.directory.name), limit=LIMIT)
        self.there: dict[int, tuple[object, bytes]] = {}
        self.number = 0

    @rule(payload=st.binary(max_size=25))
    def put(self, payload: bytes) -> None:
        self.number += 1
        in_memory = self.shelf._in_memory + len(payload) <= LIMIT
        kept = self.shelf.put(payload)
        assert isinstance(kept, bytes) is in_memory
        self.there[self.number] = kept, payload

    @precondition(lambda self: self.shelf._file is not None)
    @rule(payload=st.binary(min_size=LIMIT + 1, max_size=25), room=st.integers(0, LIMIT))
    def put_while_the_disk_is_full(self, payload: bytes, room: int) -> None:
        file = self.shelf._file
        self.shelf._file = FullFile(file, room)
        self.number += 1
        kept = self.shelf.put(payload)
        self.shelf._file = file
        assert isinstance(kept, bytes)
        self.there[self.number] = kept, payload

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        kept, _ = self.there.pop(data.draw(st.sampled_from(sorted(self.there))))
        self.shelf.drop(kept)

    @invariant()
    def all_is_as_it_was_put(self) -> None:
        for kept, payload in self.there.values():
            assert self.shelf.read(kept) == payload

    @invariant()
    def memory_and_file_are_counted(self) -> None:
        sizes = {bytes: 0, InFile: 0}
        for kept, payload in self.there.values():
            sizes[type(kept)] += len(payload)
        assert (self.shelf._in_memory, self.shelf._in_file) == (sizes[bytes], sizes[InFile])
        if self.shelf._file is not None and not sizes[InFile]:
            assert self.shelf._end == 0

    def teardown(self) -> None:
        self.shelf.close()
        self.directory.cleanup()


TestShelf = ShelfMachine.TestCase
TestShelf.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
