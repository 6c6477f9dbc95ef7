"""Only regular files are opened, and nothing is waited for."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from farm import regular


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with one of each thing that is no file."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    (tmp_path / "device").symlink_to(os.devnull)
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    return tmp_path


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["fifo", "device", "socket"])
def test_what_is_no_file_is_refused_at_once(odd: Path, name: str) -> None:
    with pytest.raises(OSError, match="not a regular file") as refusal:
        regular.open_regular(odd / name)
    assert refusal.value.strerror == "it is not a regular file"
    assert refusal.value.filename == str(odd / name)


def test_a_directory_is_called_one(odd: Path) -> None:
    with pytest.raises(IsADirectoryError):
        regular.open_regular(odd / "directory")


def test_nothing_stays_open_of_what_is_refused(odd: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("fifo", "device", "directory"):
        with pytest.raises(OSError, match=r"regular|directory"):
            regular.open_regular(odd / name)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_is_read_whole_and_through_a_link(tmp_path: Path) -> None:
    content = b"\r\n\x1a\x00" * 100_000
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "link").symlink_to("file")
    assert regular.read_regular(tmp_path / "file") == content
    assert regular.read_regular(tmp_path / "link") == content


def test_what_was_opened_is_what_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a look at the name and its opening somebody puts a FIFO there."""
    path, opened = tmp_path / "file", os.open
    path.write_bytes(b"x")

    def swap(*arguments: object) -> int:
        path.unlink()
        os.mkfifo(path)
        return opened(*arguments)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(regular.os, "open", swap)
    with pytest.raises(OSError, match="not a regular file"):
        regular.open_regular(path)


def test_what_is_not_there_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as refusal:
        regular.open_regular(tmp_path / "none")
    assert refusal.value.errno == errno.ENOENT
