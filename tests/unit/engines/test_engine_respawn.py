"""When a slot is started again."""

import pytest

from farm.engines.base import EngineError
from farm.engines.respawn import MAX_DEATHS, Respawn


def test_the_first_death_costs_nothing_and_the_next_ever_more():
    respawn = Respawn()
    delays = [respawn.after_death(100.0, "exit code 1") - 100.0 for _ in range(MAX_DEATHS - 1)]
    assert delays[0] == 0.0
    assert delays == sorted(delays)
    assert 0 < delays[1] < 0.1
    assert delays[-1] <= 1.0


def test_too_many_in_a_row_are_given_up_with_the_reason():
    respawn = Respawn()
    for _ in range(MAX_DEATHS - 1):
        respawn.after_death(5.0, "exit code 1")
    with pytest.raises(EngineError, match="exit code 1"):
        respawn.after_death(6.0, "exit code 1")


def test_a_slot_that_works_clears_the_count():
    respawn = Respawn()
    for _ in range(3):
        for _ in range(MAX_DEATHS - 1):
            respawn.after_death(5.0, "exit code 1")
        respawn.works()
    assert respawn.after_death(5.0, "exit code 1") == 5.0


def test_rare_deaths_are_never_given_up():
    respawn = Respawn()
    for at in range(0, 100 * MAX_DEATHS, 2):
        assert respawn.after_death(float(at), "killed by SIGKILL") <= at + 1.0
