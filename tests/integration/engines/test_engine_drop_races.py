"""A chunk is had back as the one before it ends, or between two of its tasks: all of it ends."""

import random
import time

from engine_driver import accounted, failures, lost

ROUNDS = 200
LONG = 0.02
"""Seconds from which on the second thread of a slot reads, too."""


def test_a_chunk_that_is_had_back_as_the_one_before_it_ends(make_driver):
    driver, chance, returned = make_driver(1), random.Random(5), 0
    batch = driver.program("doze")
    for _ in range(ROUNDS):
        takes = chance.uniform(LONG, LONG + 0.01)
        asks = time.monotonic() + takes + chance.uniform(-0.001, 0.0015)
        driver.submit(batch, 0, 1, [((takes,), {})])
        driver.submit(batch, 1, 3, [((0,), {})] * 2, ahead=True)
        while (left := asks - time.monotonic()) > 0:
            driver.poll(left)
        driver.engine.take_back()
        events = driver.finish()
        assert not failures(events)
        accounted(events, 0, 3)
        returned += bool(lost(events))
    assert 0 < returned < ROUNDS, "each of the two ways is to be taken now and then"


def test_a_chunk_whose_rest_is_had_back_between_its_short_tasks(make_driver):
    driver, chance, returned = make_driver(1), random.Random(6), set()
    batch = driver.program("doze")
    for _ in range(ROUNDS):
        asks = time.monotonic() + chance.uniform(0.0, 3 * LONG)
        driver.submit(batch, 0, 200, [((LONG / 100,), {})] * 200)
        while (left := asks - time.monotonic()) > 0:
            driver.poll(left)
        driver.engine.take_back()
        events = driver.finish()
        assert not failures(events)
        accounted(events, 0, 200)
        returned.add(len(lost(events)))
    assert len(returned) > 10, "it ends at very many places"
