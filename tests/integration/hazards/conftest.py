"""Stock servers beside farm's: the fixtures that start both, and what stands in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chaos.proxy import Proxies
from relay import Relay
from stock import Served


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts servers as processes: ``served("stock")`` or ``served("farm")``, see `Served`."""
    started: list[Served] = []

    def start(kind: str, **options: object) -> Served:
        started.append(Served(kind, tmp_path / f"{kind}-data", **options))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture(scope="module")
def stock() -> Iterator[Served]:
    """A stock server, for all tests of a file that leave it in one piece."""
    one = Served("stock", Path())
    yield one
    one.kill()


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
