"""Blocks on their way to an open batch: how many, in which order, and what a refusal means."""

from __future__ import annotations

import pytest
from fake_link import FakeLink, Kept

from farm.batch import spec as specs
from farm.client import feed as module
from farm.client.changed import Changed
from farm.client.feed import Feed
from farm.errors import BatchCancelledError, FarmError, ProtocolError, RequestError, UsageError
from farm.wire.controls import Forget
from farm.wire.messages import Append, Done, GetOutcomes, Submit, Submitted

SPEC = specs.Spec("calls", specs.EachCall("3.11"))


class Fed:
    """A feed, its link and who takes what comes of it."""

    def __init__(self) -> None:
        self.link, self.taker, self.changed = FakeLink(), Kept(), Changed()
        self.rooms = 0
        self.feed = Feed(self.link, self.changed, SPEC, self.taker, self._room)  # type: ignore[arg-type]

    def _room(self) -> None:
        assert self.changed._is_owned()  # type: ignore[attr-defined]
        self.rooms += 1

    def send(self, count: int = 1, size: int = 10, *, close: bool = False) -> None:
        with self.changed:
            self.feed.send(b"x" * size, count, close=close)


@pytest.fixture
def fed() -> Fed:
    return Fed()


@pytest.fixture
def known(fed) -> Fed:
    """One whose batch is known, with nothing on its way."""
    fed.send()
    fed.link.accept()
    return fed


def test_nothing_is_appended_to_a_batch_that_is_not_known(fed):
    assert fed.feed.has_room
    fed.send(3)
    assert not fed.feed.has_room
    submit = fed.link.request(Submit)
    assert (submit.total, submit.open, len(submit.blocks)) == (3, True, 1)
    fed.link.say(submit, Submitted(7))
    assert fed.feed.has_room
    assert fed.rooms == 1
    fed.send(2, close=True)
    append = fed.link.request(Append)
    assert (append.batch, append.close) == (7, True)
    assert [(one.start, one.stop) for one in append.blocks] == [(3, 5)]
    assert not fed.feed.has_room


def test_what_comes_of_it_is_followed_from_the_moment_it_is_known(fed):
    fed.send()
    assert fed.link.kinds() == ["Submit"]
    fed.link.accept()
    assert fed.link.said[-1] == GetOutcomes(1, 0, follow=True)


def test_so_many_messages_are_on_their_way_at_a_time(known):
    for _ in range(module.MAX_ON_THEIR_WAY):
        assert known.feed.has_room
        known.send()
    assert not known.feed.has_room
    known.link.say(known.link.request(Append), Done())
    assert known.feed.has_room


def test_so_many_bytes_are_on_their_way_at_a_time_but_one_message_always_may(known, monkeypatch):
    monkeypatch.setattr(module, "BYTES_ON_THEIR_WAY", 100)
    known.send(size=1000)
    assert not known.feed.has_room
    known.link.accept()
    assert known.feed.has_room
    known.send(size=99)
    assert known.feed.has_room


def test_an_empty_end_overtakes_nothing(known):
    """Sent again after it, a block would find the batch closed."""
    assert known.feed.may_end
    known.send()
    assert not known.feed.may_end
    known.link.accept()
    assert known.feed.may_end
    known.send(0, 0, close=True)
    assert known.link.request(Append).blocks == []
    assert not known.feed.may_end


def test_a_refused_message_ends_the_batch_with_its_reason(known):
    known.send()
    known.send()
    refusal = RequestError("too-large", "the batch would have 2 bytes (--max-batch)")
    known.link.say(known.link.request(Append), refusal)
    assert known.link.cancelled == ["1"], "the server would wait for the rest for ever"
    assert [type(end) for end in known.taker.ends] == [UsageError]
    assert "--max-batch" in str(known.taker.ends[0])
    assert not known.feed.has_room
    known.link.say(known.link.request(Append), refusal)
    assert known.link.cancelled == ["1"], "once is enough"


@pytest.mark.parametrize(
    ("code", "kind"), [("closed", RequestError), ("cancelled", BatchCancelledError)]
)
def test_by_a_batch_that_ends_without_it_a_message_is_refused_alone(known, code, kind):
    """What it took comes to its end, and is followed there."""
    for size in (2, 3):
        known.send(size)
    known.send(1, close=True)
    known.link.say(known.link.request(Append), Done())
    for _ in range(2):
        known.link.say(known.link.request(Append), RequestError(code, "it takes no more"))
    assert [(start, type(error)) for start, error in known.taker.cuts] == [(3, kind), (6, kind)]
    assert known.taker.ends == []
    assert known.link.cancelled == []
    assert not known.feed.has_room
    assert not known.feed.is_complete


def test_where_nobody_follows_it_such_a_refusal_ends_it():
    link, errors = FakeLink(), []
    feed = Feed(link, Changed(), SPEC, None, on_refused=errors.append)  # type: ignore[arg-type]
    for _ in range(2):
        with feed._changed:
            feed.send(b"x", 1)
        if link.unanswered(Submit):
            link.accept()
    link.say(link.request(Append), RequestError("closed", "it takes no more"))
    assert [str(error) for error in errors] == ["it takes no more"]


def test_a_refused_submission_ends_it(fed):
    fed.send()
    fed.link.say(fed.link.request(Submit), RequestError("forbidden", "a view key may not"))
    assert len(fed.taker.ends) == 1
    assert fed.link.cancelled == []


def test_an_answer_that_is_none_ends_it(fed):
    fed.send()
    fed.link.say(fed.link.request(Submit), Done())
    assert [type(end) for end in fed.taker.ends] == [ProtocolError]


def test_given_up_before_it_is_known_it_is_cancelled_when_it_is(fed):
    assert fed.feed.is_unknown
    fed.send()
    assert not fed.feed.is_unknown
    with fed.changed:
        fed.feed.give_up()
    assert fed.link.cancelled == []
    fed.link.say(fed.link.request(Submit), Submitted(4))
    assert fed.link.cancelled == ["4"]
    assert "terminated" in str(fed.feed.reason(None))
    assert "terminated" in str(fed.feed.reason(FarmError("this session is closed")))


def test_the_reason_is_the_error_or_that_somebody_else_ended_it(known):
    error = FarmError("gone")
    assert known.feed.reason(error) is error
    assert isinstance(known.feed.reason(None), BatchCancelledError)
    assert "batch 1 was cancelled or forgotten" in str(known.feed.reason(None))


def test_dropped_it_is_forgotten(known):
    known.feed.drop()
    assert known.link.said[-1] == Forget(1)


def test_a_message_that_could_not_be_told_is_not_on_its_way(fed):
    fed.link.closed = FarmError("the link is given up")
    with pytest.raises(FarmError, match="the link is given up"):
        fed.send()
    assert fed.feed.is_unknown
    assert not fed.feed.has_room, "nothing can follow it"


def test_a_link_that_is_closed_is_said_to_who_sends(known):
    known.link.close()
    assert "closed" in str(known.taker.ends[0]), "who follows is told"
    with pytest.raises(FarmError, match="this session is closed"):
        known.send()
    known.feed.drop()
    with known.changed:
        known.feed.give_up()
