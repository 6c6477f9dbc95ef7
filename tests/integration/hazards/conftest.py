"""Stock servers beside farm's: the fixtures that start both, and what stands in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import farm_side
import pytest
from chaos.proxy import Proxies
from farm_harness import ServerThread
from relay import Relay
from stock import Served


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts servers as processes: ``serve("stock")`` or ``serve("farm")``, see `Served`."""
    started: list[Served] = []

    def start(kind: str, **options: object) -> Served:
        started.append(Served(kind, tmp_path / f"{kind}-data", **options))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def stock(serve: Callable[..., Served]) -> Served:
    """A stock server."""
    return serve("stock")


@pytest.fixture
def hasty(data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ServerThread]]:
    """Starts farm's server with short deadlines, see `farm_side.hasty`."""
    started: list[ServerThread] = []

    def start(**seconds: float) -> ServerThread:
        started.append(farm_side.hasty(data, monkeypatch, **seconds))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def relay() -> Iterator[Callable[[int], Relay]]:
    """Puts a relay in front of a port."""
    proxies = Proxies()
    made: list[Relay] = []

    def start(target: int) -> Relay:
        made.append(Relay(proxies, target))
        proxies.wait(made[-1].listen())
        return made[-1]

    yield start
    for one in made:
        proxies.wait(one.end())
    proxies.close()
