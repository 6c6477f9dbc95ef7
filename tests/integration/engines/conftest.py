"""Engines for the tests beside this file."""

import pytest
from engine_driver import Driver

from farm.engines.processes import ProcessEngine


@pytest.fixture
def make_driver():
    """Engines that are stopped when the test ends."""
    engines = []

    def make(slots=1):
        engine = ProcessEngine(slots)
        engines.append(engine)
        engine.start()
        return Driver(engine)

    yield make
    for engine in engines:
        engine.stop()


@pytest.fixture
def driver(make_driver):
    """One slot."""
    return make_driver(1)
