"""Shipped files on a node."""

from __future__ import annotations

import os
import stat

import pytest

from farm.batch import shipment
from farm.batch.shipment import digest
from farm.codestore import CodeStore
from farm.errors import ProtocolError

FILES = {"a.py": b"x = 1", "package/b.py": b"y = 2"}
DIGEST = digest(FILES)


@pytest.fixture
def store(tmp_path):
    return CodeStore(tmp_path / "code")


def test_files_are_where_they_were(store):
    assert not store.has(DIGEST)
    store.put(DIGEST, FILES)
    store.put(DIGEST, FILES)
    assert store.has(DIGEST)
    found = {name: (store.path(DIGEST) / name).read_bytes() for name in FILES}
    assert found == FILES
    assert [entry.name for entry in store.path(DIGEST).parent.iterdir()] == [DIGEST]


def test_two_digests_do_not_meet_and_one_is_dropped_alone(store):
    other = {"a.py": b"x = 2"}
    store.put(DIGEST, FILES)
    store.put(digest(other), other)
    store.drop(DIGEST)
    assert not store.has(DIGEST)
    assert (store.path(digest(other)) / "a.py").read_bytes() == b"x = 2"


def test_nothing_stays_when_it_is_removed(store, tmp_path):
    store.put(DIGEST, FILES)
    store.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "../a.py",
        "/a.py",
        "b/../../a.py",
        "c:a.py",
        "a\\b.py",
        "",
        ".",
        "./a.py",
        "a//b.py",
        "a/",
        "a\0b",
        "a\nb",
        "x" * 201,
        "/".join(["x" * 99] * 11),
    ],
)
def test_a_file_cannot_lie_elsewhere(store, tmp_path, name):
    files = {name: b"x"}
    with pytest.raises(ProtocolError, match="cannot be called"):
        store.put(digest(files), files)
    assert not store.has(digest(files))
    assert not (tmp_path / "a.py").exists()


def test_other_files_than_those_of_the_digest_are_refused(store):
    with pytest.raises(ProtocolError, match="not those of"):
        store.put(DIGEST, {"a.py": b"evil"})
    assert not store.has(DIGEST)


def test_too_many_bytes_are_refused(store, monkeypatch):
    monkeypatch.setattr(shipment, "MAX_BYTES", 9)
    with pytest.raises(ProtocolError, match="at most 9 travel"):
        store.put(DIGEST, FILES)


@pytest.mark.parametrize("name", ["", "../x", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_what_is_no_digest_is_no_path(store, name):
    with pytest.raises(ProtocolError, match="is not a digest"):
        store.path(name)


def test_a_broken_attempt_does_not_hinder_the_next(store):
    left = store.path(DIGEST).with_name(f"{DIGEST}.part")
    left.mkdir(parents=True)
    (left / "half.py").touch()
    store.put(DIGEST, FILES)
    assert not (store.path(DIGEST) / "half.py").exists()


@pytest.mark.parametrize("names", [("a", "a/b.py"), ("a/b/c.py", "a/b"), ("a", "a/b/c/d.py")])
def test_a_file_cannot_lie_in_another_one(store, names):
    files = dict.fromkeys(names, b"")
    with pytest.raises(ProtocolError, match="would lie in it"):
        store.put(digest(files), files)


def test_there_may_not_be_too_many_of_them(store, monkeypatch):
    monkeypatch.setattr(shipment, "MAX_FILES", 1)
    with pytest.raises(ProtocolError, match="2 files; at most 1 travel"):
        store.put(DIGEST, FILES)


def test_nothing_is_written_through_a_link_that_lies_in_the_way(store, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.py").write_text("theirs")
    left = store.path(DIGEST).with_name(f"{DIGEST}.part")
    left.parent.mkdir()
    left.symlink_to(elsewhere)
    with pytest.raises(OSError, match="exists"):
        store.put(DIGEST, FILES)
    assert [path.name for path in elsewhere.iterdir()] == ["a.py"]
    assert (elsewhere / "a.py").read_text() == "theirs"


def test_only_their_owner_can_read_them(store):
    before = os.umask(0)
    try:
        store.put(DIGEST, FILES)
    finally:
        os.umask(before)
    directory = store.path(DIGEST)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "package").stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "a.py").stat().st_mode) == 0o600
