"""Sockets of `multiprocessing` go where their paths are short, and nothing else does."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from multiprocessing import process, util
from pathlib import Path

import pytest

from farm.engines import sockets
from farm.engines.base import EngineError


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process in which `multiprocessing` has no directory yet."""
    config = process.current_process()._config  # type: ignore[attr-defined]
    before = config.pop("tempdir", None)
    monkeypatch.setattr(util, "Finalize", lambda *_, **__: None)
    yield
    made = config.pop("tempdir", None)
    if made:
        shutil.rmtree(made, ignore_errors=True)
    if before:
        config["tempdir"] = before


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a short path."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        yield Path(directory)


def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, length: int) -> Path:
    """Have temporary files in a directory of so many bytes."""
    directory = tmp_path / ("t" * (length - len(bytes(tmp_path)) - 1))
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    assert len(bytes(directory)) == length
    return directory


def test_a_long_path_is_gone_round(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, short: Path
) -> None:
    long = use(monkeypatch, tmp_path, 150)
    monkeypatch.setattr(sockets, "SHORT", (str(short / "none"), str(short)))

    sockets.have_short_paths()

    made = Path(util.get_temp_dir())
    assert made.parent == short
    assert made.stat().st_mode & 0o777 == 0o700
    assert tempfile.gettempdir() == str(long)
    assert list(long.iterdir()) == []


def test_a_path_that_is_short_enough_stays(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    just = short / ("t" * (103 - 32 - len(bytes(short)) - 1))
    just.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(just))
    sockets.have_short_paths()
    assert list(just.iterdir()) == []
    assert Path(util.get_temp_dir()).parent == just


def test_where_there_is_no_place_the_message_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = use(monkeypatch, tmp_path, 150)
    monkeypatch.setattr(sockets, "SHORT", (str(tmp_path / "none"),))
    with pytest.raises(EngineError, match=f"{long} is too long .* at most 71 bytes"):
        sockets.have_short_paths()
