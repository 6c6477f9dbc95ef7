"""A link whose server is the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_line import Line, Network
from farm_harness import KEY

from farm.client import link as module
from farm.client import putoff
from farm.client.link import Link
from farm.wire import greeting
from farm.wire.address import Address
from farm.wire.messages import Welcome


@pytest.fixture
def network(monkeypatch) -> Network:
    made = Network()
    monkeypatch.setattr(module, "connect", made.connect)
    monkeypatch.setattr(module, "greet", lambda *_: Welcome("1", "journal"))
    monkeypatch.setattr(greeting, "pause_before", lambda _: 0.01)
    monkeypatch.setattr(putoff, "BUSY_PAUSE", 0.01)
    return made


@pytest.fixture
def link(network) -> Iterator[Link]:
    made = Link(Address("127.0.0.1", 1), KEY)
    yield made
    made.close()


@pytest.fixture
def line(link, network) -> Line:
    return network.lines[0]
