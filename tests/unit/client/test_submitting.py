"""A function's batch on its way: all of it is journalled, or nothing of it is left."""

from __future__ import annotations

import itertools
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fake_link import FakeLink
from farm_harness import eventually

from farm.batch import spec as specs
from farm.client import blocks
from farm.client import submitting as module
from farm.client.session import Session
from farm.client.submission import SPARE_BYTES
from farm.errors import FarmError, RequestError, UsageError
from farm.wire.controls import Forget
from farm.wire.messages import Append, Done, Submit, Submitted, session_of


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> FakeLink:
    """With blocks of ten points."""
    monkeypatch.setattr(blocks, "FIRST_ITEMS", 10)
    monkeypatch.setattr(blocks, "MAX_ITEMS", 10)
    return FakeLink(SPARE_BYTES + 1000)


class Submitter:
    """Submits ``len`` in a thread, and keeps what comes of it."""

    def __init__(self, link: FakeLink, params: Any) -> None:
        self.batch: int | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=lambda: self._run(link, params))
        self._thread.start()

    def _run(self, link: Any, params: Any) -> None:
        try:
            self.batch = Session(link).submit(len, params=params, retries=3).id
        except BaseException as error:
            self.error = error

    @property
    def is_waiting(self) -> bool:
        return self._thread.is_alive()

    def ended(self, link: FakeLink | None = None) -> None:
        """It has ended, while the server acknowledges everything if it is given."""
        eventually(lambda: (link and link.accept()) or not self.is_waiting, "it has ended")


def points(count: int) -> Iterator[dict[str, int]]:
    return ({"x": x} for x in range(count))


def failing(count: int, error: BaseException) -> Iterator[dict[str, int]]:
    yield from points(count)
    raise error


def left_nothing(link: FakeLink) -> bool:
    """Whether what was begun is cancelled, and forgotten after that."""
    return link.kinds()[-2:] == ["Cancel", "Forget"] and link.said[-1] == Forget(1)


def test_all_points_are_sent_in_columns_and_the_last_message_closes(link):
    made = Submitter(link, points(25))
    made.ended(link)
    assert (made.batch, made.error) == (1, None)
    assert link.blocks() == [(0, 10), (10, 20), (20, 25)]
    submit, *appends = [one for one in link.said if isinstance(one, Submit | Append)]
    assert [one.close for one in appends] == [False, True]
    assert pickle.loads(appends[1].blocks[0].payload) == (("x",), [list(range(20, 25))])
    assert specs.decode(submit.spec).items == "named"
    assert (submit.options.retries, submit.open) == (3, True)
    assert session_of(submit.token) == link.session
    assert "GetOutcomes" not in link.kinds()
    assert not link._streams


def test_few_points_or_none_are_one_message(link):
    for count, params in [(3, points(3)), (0, []), (1, None)]:
        made = Submitter(link, params)
        made.ended(link)
        submit = link.said.pop()
        assert (submit.total, submit.open) == (count, False)
        assert link.said == []


def test_many_messages_are_on_their_way_and_it_returns_when_all_are_journalled(link):
    made = Submitter(link, points(100))
    link.say(link.request(Submit), Submitted(7))
    eventually(lambda: link.unanswered(Append) == 9, "nine are on their way")
    while link.unanswered(Append) > 1:
        link.say(link.request(Append), Done())
    assert made.is_waiting
    link.say(link.request(Append), Done())
    made.ended()
    assert made.batch == 7


def test_a_slow_server_bounds_what_is_on_its_way(link):
    made = Submitter(link, points(10_000))
    link.say(link.request(Submit), Submitted(1))
    eventually(lambda: link.unanswered(Append) == 16, "sixteen are on their way")
    assert made.is_waiting
    made.ended(link)


@pytest.mark.parametrize(
    ("wrong", "kind", "text"),
    [
        ([{"x": threading.Lock()}], UsageError, r"params\[25\] cannot be sent: .*pickle"),
        ([{"x": 1}, 5], UsageError, r"params\[26\] is 5: params is a list of mappings"),
        ([{"x": b"x" * 2000}], UsageError, r"params\[25\] has 2,\d+ bytes; the limit is 1,000"),
    ],
)
def test_a_point_that_is_wrong_is_named_and_nothing_is_left(link, wrong, kind, text):
    made = Submitter(link, itertools.chain(points(25), wrong))
    made.ended(link)
    with pytest.raises(kind, match=text):
        raise made.error or AssertionError
    assert left_nothing(link)


@pytest.mark.parametrize("error", [OSError("ended early"), KeyboardInterrupt()])
def test_params_that_raise_or_are_interrupted_leave_nothing(link, error):
    made = Submitter(link, failing(35, error))
    made.ended(link)
    assert made.error is error
    assert left_nothing(link)


def test_an_error_before_anything_was_sent_leaves_nothing_to_forget(link):
    made = Submitter(link, failing(3, OSError("ended early")))
    made.ended()
    assert isinstance(made.error, OSError)
    assert link.said == []


def test_interrupted_before_the_id_is_known_it_is_cancelled_when_it_is(link):
    made = Submitter(link, failing(20, KeyboardInterrupt()))
    submit = link.request(Submit)
    assert made.is_waiting
    link.say(submit, Submitted(1))
    made.ended(link)
    assert left_nothing(link)


def test_a_server_that_says_nothing_is_not_waited_for_after_an_error(link, monkeypatch):
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.05)
    made = Submitter(link, failing(20, KeyboardInterrupt()))
    link.request(Submit)
    made.ended()
    assert isinstance(made.error, KeyboardInterrupt)


def test_a_refused_block_is_the_error_though_the_points_have_no_end(link):
    made = Submitter(link, ({"x": x} for x in itertools.count()))
    link.say(link.request(Submit), Submitted(1))
    link.say(link.request(Append), RequestError("too-large", "over --max-batch"))
    made.ended(link)
    with pytest.raises(UsageError, match="--max-batch"):
        raise made.error or AssertionError
    assert link.cancelled == ["1"]
    assert Forget(1) in link.said


def test_a_refused_submission_is_the_error(link):
    made = Submitter(link, points(3))
    link.say(link.request(Submit), RequestError("forbidden", "not with this key"))
    made.ended()
    with pytest.raises(FarmError, match="not with this key"):
        raise made.error or AssertionError
    assert link.kinds() == ["Submit"]


def test_a_session_that_is_closed_meanwhile_says_so(link):
    made = Submitter(link, points(30))
    link.request(Submit)
    link.close()
    made.ended()
    with pytest.raises(FarmError, match="this session is closed"):
        raise made.error or AssertionError


def test_the_thread_that_would_bring_the_answer_does_not_wait_for_it(link):
    link._bringer = threading.current_thread()
    with pytest.raises(FarmError, match="must not wait"):
        Session(link).submit(len, params=points(3))  # type: ignore[arg-type]
    assert link.said == [], "nothing has to be taken back"
