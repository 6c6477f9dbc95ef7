"""Files of large payloads: what was kept is read, whatever failed before; nothing else stays."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from farm.server import payloads as module
from farm.server.payloads import PayloadFiles

BATCHES = st.integers(1, 5)
PAYLOADS = st.lists(st.binary(max_size=50), min_size=1, max_size=4)
ERRORS = [errno.ENOSPC, errno.EDQUOT, errno.EIO]


def opened(tmp_path: Path, *, sync: bool = False, named: int = 0) -> PayloadFiles:
    journal = tmp_path / "journal"
    journal.touch(0o600)
    return PayloadFiles(tmp_path / "p" / "id", journal, sync=sync, named=lambda _: named)


@pytest.fixture
def files(tmp_path):
    made = opened(tmp_path)
    yield made
    made.close()


def where(files: PayloadFiles, batch: int) -> Path:
    return files._directory / str(batch)


def failing(number: int, after: int = 0):
    """An `os.pwritev` that writes so many bytes, then no more."""
    left = after
    write = os.pwritev

    def fail(descriptor, buffers, at):
        nonlocal left
        if not left:
            raise OSError(number, os.strerror(number))
        whole = b"".join(buffers)[:left]
        left -= len(whole)
        return write(descriptor, [whole], at)

    return fail


class Machine(RuleBasedStateMachine):
    """Against lists of what was kept; with few open files and few buffers of a call."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(module, "MOST_OPEN", 2)
        self.patch.setattr(module, "_MOST_BUFFERS", 3)
        self.patch.setattr(module, "CUT_BYTES", 40)
        self.directory = Path(tempfile.mkdtemp())
        (self.directory / "journal").touch(0o600)
        self.kept: dict[int, list[tuple[int, bytes]]] = {}
        self.ahead: list[tuple[int, int, bytes]] = []
        self.open()

    def open(self) -> None:
        self.files = PayloadFiles(
            self.directory / "p" / "id", self.directory / "journal", sync=False, named=self.named
        )

    def named(self, batch: int) -> int:
        ends = (at + len(payload) + module.MARK_BYTES for at, payload in self.kept.get(batch, []))
        return max(ends, default=0)

    @rule(batch=BATCHES, payloads=PAYLOADS)
    def append(self, batch: int, payloads: list[bytes]) -> None:
        places = self.files.append(batch, payloads)
        self.ahead += [(batch, at, p) for at, p in zip(places, payloads, strict=True)]

    @rule(batch=BATCHES, payloads=PAYLOADS, number=st.sampled_from(ERRORS), data=st.data())
    def append_and_fail(
        self, batch: int, payloads: list[bytes], number: int, data: st.DataObject
    ) -> None:
        size = sum(map(len, payloads)) + module.MARK_BYTES * len(payloads)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "pwritev", failing(number, data.draw(st.integers(0, size - 1))))
            with pytest.raises(sqlite3.OperationalError):
                self.files.append(batch, payloads)
        self.undo()

    @rule(batch=BATCHES, payloads=PAYLOADS, most=st.integers(1, 20))
    def append_in_small_pieces(self, batch: int, payloads: list[bytes], most: int) -> None:
        write = os.pwritev
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "pwritev", lambda d, b, at: write(d, [b"".join(b)[:most]], at))
            self.append(batch, payloads)

    @rule()
    def keep(self) -> None:
        self.files.keep()
        for batch, *what in self.ahead:
            self.kept.setdefault(batch, []).append(tuple(what))
        self.ahead.clear()

    @rule()
    def undo(self) -> None:
        self.files.undo()
        self.ahead.clear()

    @rule()
    def undo_what_cannot_be_cut_off(self) -> None:
        def fail(descriptor, size):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "ftruncate", fail)
            self.undo()

    @rule()
    def die_and_start_again(self) -> None:
        self.files.close()
        self.ahead.clear()
        self.open()
        self.files.retain(self.kept)
        there = {int(path.name) for path in self.files._directory.glob("*")}
        assert there == set(self.kept)

    @precondition(lambda self: not self.ahead)
    @rule(batch=BATCHES)
    def forget(self, batch: int) -> None:
        while self.files.cut(batch):
            pass
        self.kept.pop(batch, None)
        assert not where(self.files, batch).exists()

    @invariant()
    def what_was_kept_is_read(self) -> None:
        for batch, some in self.kept.items():
            for place, payload in some:
                assert self.files.read(batch, place, len(payload)) == payload
        assert len(self.files._files) <= module.MOST_OPEN

    def teardown(self) -> None:
        self.files.close()
        self.patch.undo()
        shutil.rmtree(self.directory)


TestPayloadFiles = Machine.TestCase
TestPayloadFiles.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_what_failed_leaves_nothing_behind(files, monkeypatch):
    files.append(1, [b"kept"])
    files.keep()
    size = where(files, 1).stat().st_size
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", failing(errno.ENOSPC, 5))
        with pytest.raises(sqlite3.OperationalError, match="database or disk is full"):
            files.append(1, [b"half written"])
    assert where(files, 1).stat().st_size == size + 5
    files.undo()
    assert where(files, 1).stat().st_size == size


def test_other_errors_are_those_of_a_disk(files, monkeypatch):
    monkeypatch.setattr(os, "pwritev", failing(errno.EIO))
    with pytest.raises(sqlite3.OperationalError, match=r"^disk I/O error: .*Input/output error"):
        files.append(1, [b"p"])


@pytest.mark.parametrize("harm", ["removed", "too short", "a hole", "not even a directory"])
def test_what_is_not_there_is_damage(files, harm):
    (place,) = files.append(1, [b"payload"])
    files.keep()
    files.close()
    path = where(files, 1)
    if harm == "removed":
        path.unlink()
    elif harm == "not even a directory":
        shutil.rmtree(path.parent)
    else:
        os.truncate(path, 3)
    if harm == "a hole":
        os.truncate(path, 100)
    with pytest.raises(
        sqlite3.DatabaseError, match="malformed: the file of large payloads of batch 1: "
    ) as caught:
        files.read(1, place, 7)
    assert not isinstance(caught.value, sqlite3.OperationalError), "which would be waited for"


def test_nothing_comes_to_lie_where_something_was_lost(tmp_path):
    """A loss of power may take the end of a file that rows name."""
    files = opened(tmp_path, named=100)
    assert files.append(1, [b"new"]) == [100]
    files.keep()
    assert files.read(1, 100, 3) == b"new"
    files.close()


def test_a_link_is_not_followed(files, tmp_path):
    files.append(1, [b"p"])
    (tmp_path / "elsewhere").touch()
    where(files, 2).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(sqlite3.OperationalError, match="symbolic links"):
        files.append(2, [b"p"])
    assert (tmp_path / "elsewhere").read_bytes() == b""


def test_a_pipe_is_not_waited_for(files):
    files.append(1, [b"p"])
    os.mkfifo(where(files, 2))
    with pytest.raises(sqlite3.OperationalError, match="not a regular file"):
        files.append(2, [b"p"])


@pytest.mark.parametrize(("mode", "directory"), [(0o600, 0o700), (0o640, 0o750)])
def test_who_may_read_the_journal_may_read_them(tmp_path, mode, directory):
    (tmp_path / "journal").touch()
    (tmp_path / "journal").chmod(mode)
    files = opened(tmp_path)
    (tmp_path / "journal").chmod(mode)
    files.append(1, [b"p"])
    path = where(files, 1)
    assert path.stat().st_mode & 0o777 == mode
    assert {p.stat().st_mode & 0o777 for p in (path.parent, path.parent.parent)} == {directory}
    files.close()


@pytest.mark.parametrize("sync", [True, False])
def test_the_disk_is_waited_for_if_that_was_asked_for(tmp_path, monkeypatch, sync):
    synced: list[str] = []

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "fdatasync", note)
    files = opened(tmp_path, sync=sync)
    files.append(7, [b"p", b"q"])
    assert synced == (["id", "p", tmp_path.name, "7"] if sync else [])
    files.append(7, [b"p"])
    assert synced[4:] == (["7"] if sync else [])
    files.close()


@pytest.mark.parametrize("what", ["file", "replaced", "directory", "moved"])
def test_what_was_removed_is_noticed(files, tmp_path, what):
    files.append(1, [b"p"])
    files.keep()
    assert files.is_there()
    if what == "directory":
        shutil.rmtree(files._directory)
    elif what == "moved":
        files._directory.parent.rename(tmp_path / "elsewhere")
    else:
        where(files, 1).unlink()
    if what == "replaced":
        where(files, 1).touch()
    assert not files.is_there()


def test_a_very_large_file_goes_in_steps(files, monkeypatch):
    monkeypatch.setattr(module, "CUT_BYTES", 1000)
    files.append(1, [b"x" * 2500])
    files.keep()
    sizes = []
    while files.cut(1):
        sizes.append(where(files, 1).stat().st_size)
    assert sizes == [1508, 508]
    assert not where(files, 1).exists()
    assert not files.cut(1)


def test_only_what_is_called_like_a_batch_is_removed(files):
    for batch in (1, 2, 3):
        files.append(batch, [b"p"])
    where(files, "notes").touch()
    files.retain([2])
    assert sorted(path.name for path in files._directory.iterdir()) == ["2", "notes"]


def test_more_than_one_system_call_takes(files):
    some = [b"%d" % number for number in range(3000)]
    places = files.append(1, some)
    assert [files.read(1, at, len(p)) for at, p in zip(places, some, strict=True)] == some


def test_what_is_undone_is_written_over_though_its_file_was_closed(files, monkeypatch):
    monkeypatch.setattr(module, "MOST_OPEN", 1)
    for _ in range(2):
        assert [files.append(batch, [b"p"]) for batch in (1, 2)] == [[0], [0]]
        files.undo()
    assert files.append(1, [b"p"]) == [0]
