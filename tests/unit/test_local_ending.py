"""A farm of one session's own ends with it, also where Ctrl-C comes while it is closed."""

from __future__ import annotations

from typing import Any

import pytest

from farm.client.session import Session
from farm.local import _stop


class Ending:
    """Something that is ended, and may be interrupted meanwhile."""

    def __init__(self, *, interrupted: bool) -> None:
        self.interrupted = interrupted
        self.ended = 0

    def end(self) -> None:
        self.ended += 1
        if self.interrupted:
            raise KeyboardInterrupt

    close = stop = end


def endings(*interrupted: bool) -> list[Any]:
    return [Ending(interrupted=one) for one in interrupted]


def test_a_helper_is_stopped_though_the_one_before_it_was_interrupted() -> None:
    helpers = endings(True, False, True)
    with pytest.raises(KeyboardInterrupt):
        _stop(helpers)
    assert [one.ended for one in helpers] == [1, 1, 1]


def test_a_session_stops_its_farm_though_its_link_was_interrupted() -> None:
    link, farm = endings(True, False)
    with pytest.raises(KeyboardInterrupt):
        Session(link, farm.stop).close()
    assert farm.ended == 1
