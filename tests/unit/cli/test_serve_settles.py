"""A server that has started is not looked through again by the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from farm.cli import serve
from farm.cli.main import build


@pytest.fixture
def frozen() -> Iterator[list[int]]:
    """How much was left out before the server was ready, and after."""
    yield []
    gc.unfreeze()


def test_what_is_there_when_it_is_ready_is_left_out(
    frozen: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Server:
        host, port = "127.0.0.1", 7077

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def get_server(self) -> Server:
            return self

        def serve_forever(self, ready: Callable[[], None], *_: object) -> None:
            frozen.append(gc.get_freeze_count())
            ready()
            frozen.append(gc.get_freeze_count())

    monkeypatch.setattr(serve, "FarmManager", Server)
    env = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "FARM_AUTHKEY": "k" * 32}
    ran = CliRunner(env=env).invoke(build(), ["serve", "--data", str(tmp_path / "data")])
    assert ran.exit_code == 0, ran.output
    assert "Listening on 127.0.0.1:7077" in ran.output
    before, after = frozen
    assert after - before > 10_000
