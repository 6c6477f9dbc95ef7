"""What a node tells its server until it is acknowledged: once, in order, again after a break."""

from __future__ import annotations

import array

import pytest

from farm import delivery as module
from farm.batch.ranges import RangeSet
from farm.delivery import Delivery
from farm.engines import base
from farm.shelf import MemoryShelf, SpoolShelf
from farm.wire import codec
from farm.wire.leases import Failed, Held, Part, Unheard
from farm.wire.messages import Failure

SECONDS = b"\0\0\0\0"
ERROR = Failure("error", "ValueError", "no", "", None)


class CountingShelf(MemoryShelf):
    """Knows what was dropped."""

    def __init__(self) -> None:
        self.dropped: list[bytes] = []

    def drop(self, kept) -> None:
        self.dropped.append(kept)


@pytest.fixture
def shelf():
    return CountingShelf()


@pytest.fixture
def delivery(shelf):
    return Delivery(shelf)


def done(delivery: Delivery, *indices: int, batch: int = 1, payload: bytes | None = None) -> None:
    for index in indices:
        result = b"r%d" % index if payload is None else payload
        delivery.done(base.Part(1, batch, index, index + 1, result, SECONDS))


def starts(report) -> list[int]:
    return [part.start for part in report.parts]


def test_nothing_is_reported_where_there_is_nothing(delivery):
    assert delivery.report(1) is None
    assert delivery.empty
    assert delivery.results() == {}


def test_a_report_says_everything_once(delivery):
    done(delivery, 0)
    delivery.failed(2, 5, 0.5, ERROR)
    delivery.give_back(3, RangeSet([(1, 4), (6, 7)]))
    report = delivery.report(1)
    assert report.parts == [Part(1, 0, 1, b"r0", SECONDS)]
    assert report.failed == [Failed(2, 5, 0.5, ERROR, 1)]
    assert report.returned == [Held(3, [(1, 4), (6, 7)])]
    assert delivery.report(2) is None
    assert not delivery.empty


def test_what_is_acknowledged_is_let_go_of_and_nothing_else(delivery, shelf):
    done(delivery, 0)
    delivery.report(1)
    done(delivery, 1)
    delivery.report(2)
    done(delivery, 2)
    assert (delivery.bytes, shelf.dropped) == (6, [])
    delivery.acknowledged(2)
    assert (delivery.bytes, shelf.dropped) == (4, [b"r1"])
    assert {batch: list(found) for batch, found in delivery.results().items()} == {
        1: [(0, 1), (2, 3)]
    }
    delivery.acknowledged(2)
    delivery.acknowledged(77)
    assert (delivery.bytes, shelf.dropped) == (4, [b"r1"])
    delivery.acknowledged(1)
    assert starts(delivery.report(3)) == [2]
    delivery.acknowledged(3)
    assert delivery.empty
    assert delivery.bytes == 0


def test_after_a_break_it_is_reported_again_in_its_order_before_what_came_since(delivery, shelf):
    done(delivery, 0, 1)
    delivery.failed(1, 5, 0.1, ERROR)
    delivery.report(1)
    done(delivery, 2)
    delivery.report(2)
    done(delivery, 3)
    delivery.acknowledged(1)
    delivery.disconnected()
    assert list(delivery.results()[1]) == [(2, 4)]
    delivery.acknowledged(2)  # of the connection that is gone
    report = delivery.report(3)
    assert (starts(report), report.failed) == ([2, 3], [])
    assert shelf.dropped == [b"r0", b"r1"]


def test_failures_that_were_not_acknowledged_are_reported_again(delivery):
    delivery.failed(1, 5, 0.1, ERROR)
    delivery.report(1)
    delivery.failed(1, 6, 0.1, ERROR)
    delivery.disconnected()
    assert delivery.failures() == [Unheard(1, 5, 1), Unheard(1, 6, 2)]
    assert [(failed.index, failed.mark) for failed in delivery.report(2).failed] == [(5, 1), (6, 2)]
    delivery.acknowledged(2)
    assert delivery.failures() == []


def test_what_was_given_back_is_not_said_again(delivery):
    """It is not among what is presented, so that the server has it already."""
    delivery.give_back(1, RangeSet([(0, 9)]))
    delivery.disconnected()
    assert delivery.report(1) is None
    assert delivery.empty


def test_what_is_given_back_is_acknowledged_too(delivery):
    delivery.give_back(1, RangeSet([(0, 9)]))
    assert not delivery.empty
    delivery.report(1)
    assert not delivery.empty
    delivery.acknowledged(1)
    assert delivery.empty


def test_nothing_more_is_told_of_a_batch_that_nobody_wants(delivery, shelf):
    done(delivery, 0)
    delivery.report(1)
    done(delivery, 1)
    done(delivery, 2, batch=2)
    delivery.failed(1, 3, 0.1, ERROR)
    delivery.failed(2, 4, 0.1, ERROR)
    delivery.drop(1)
    assert shelf.dropped == [b"r1"]
    report = delivery.report(2)
    assert [(part.batch, part.start) for part in report.parts] == [(2, 2)]
    assert [(failed.batch, failed.index) for failed in report.failed] == [(2, 4)]
    for number in (1, 2):
        delivery.acknowledged(number)
    assert sorted(shelf.dropped) == [b"r0", b"r1", b"r2"]
    assert delivery.bytes == 0


@pytest.mark.parametrize("kind", ["results", "failures"])
def test_a_report_is_as_large_as_its_bound_and_one_thing_at_least(delivery, monkeypatch, kind):
    monkeypatch.setattr(module, "MAX_REPORT_BYTES", 100)
    for index, size in enumerate([40, 60, 4, 500, 96, 4]):
        if kind == "results":
            done(delivery, index, payload=b"x" * (size - len(SECONDS)))
        else:
            delivery.failed(1, index, 0.1, Failure("error", "", "", "", b"x" * size))
    counts = []
    while (report := delivery.report(len(counts))) is not None:
        counts.append(len(report.parts) + len(report.failed))
    assert counts == [2, 1, 1, 2]


def test_texts_of_failures_count(delivery, monkeypatch):
    monkeypatch.setattr(module, "MAX_REPORT_BYTES", 100)
    delivery.failed(1, 0, 0.1, Failure("error", "", "x" * 60, "", None))
    delivery.failed(1, 1, 0.1, Failure("error", "", "", "x" * 60, None))
    assert len(delivery.report(1).failed) == 1


def test_a_large_result_goes_alone(delivery, monkeypatch):
    monkeypatch.setattr(module, "MAX_REPORT_BYTES", 100)
    done(delivery, 0, payload=b"x" * 200)
    delivery.failed(1, 1, 0.1, ERROR)
    first = delivery.report(1)
    assert (starts(first), first.failed) == ([0], [])
    assert [failed.index for failed in delivery.report(2).failed] == [1]


def test_a_report_is_no_longer_than_the_server_takes(delivery):
    delivery.largest = 2 * 1024 * 1024
    for index in range(6):
        done(delivery, index, payload=b"x" * 600_000)
        delivery.failed(1, 10 + index, 0.1, Failure("error", "", "x" * 600_000, ""))
    number, tasks = 0, 0
    while (report := delivery.report(number := number + 1)) is not None:
        assert len(codec.encode(number, report)) <= delivery.largest
        tasks += len(report.parts) + len(report.failed)
    assert tasks == 12


def test_a_result_that_the_server_does_not_take_has_failed(delivery, shelf):
    """It could be run again and again, and none of its results would ever arrive."""
    done(delivery, 0)
    seconds = array.array("f", [0.5, 0.25]).tobytes()
    delivery.done(base.Part(1, 1, 5, 7, b"x" * 2_000_000, seconds))
    delivery.disconnected()  # and the next server takes less
    delivery.largest = 1_000_000
    report = delivery.report(1)
    assert starts(report) == [0]
    assert [(failed.index, failed.seconds) for failed in report.failed] == [(5, 0.5), (6, 0.25)]
    failure = report.failed[0].failure
    assert (failure.kind, failure.type_name) == ("error", "ResultTooLarge")
    assert "is 1.9 MiB when pickled, and the server takes at most 1.0 MiB" in failure.text
    assert delivery.bytes == len(b"r0")
    assert len(shelf.dropped) == 1
    assert delivery.results() == {1: RangeSet([(0, 1)])}


def test_results_on_the_disk_are_reported_as_those_in_memory(tmp_path):
    shelf = SpoolShelf(tmp_path, limit=3)
    delivery = Delivery(shelf)
    done(delivery, *range(5))
    for number in (1, 2):
        report = delivery.report(number)
        assert [part.payload for part in report.parts] == [b"r%d" % i for i in range(5)]
        delivery.disconnected()
    delivery.report(3)
    delivery.acknowledged(3)
    assert shelf._in_file == shelf._in_memory == delivery.bytes == 0
    shelf.close()


def test_of_a_report_that_is_never_taken_only_what_must_not_run_twice_is_told(delivery, shelf):
    done(delivery, 0, 1)
    done(delivery, 5, batch=2)
    delivery.failed(2, 7, 0.5, ERROR)
    delivery.failed(1, 3, 0.5, ERROR)
    delivery.report(1)
    delivery.refused(1, lambda batch: batch == 2)
    assert (delivery.bytes, len(shelf.dropped)) == (0, 3)
    report = delivery.report(2)
    assert report.parts == []
    assert [(f.batch, f.index, f.failure.kind) for f in report.failed] == [
        (2, 5, "lost"), (2, 7, "lost"),
    ]  # fmt: skip
    assert report.failed[1].mark not in (1, 2), "it is another failure than that which was refused"


def test_what_is_refused_as_lost_too_is_not_told_for_ever(delivery):
    done(delivery, 0)
    delivery.report(1)
    delivery.refused(1, lambda _: True)
    delivery.report(2)
    delivery.refused(2, lambda _: True)
    delivery.refused(2, lambda _: True)
    assert delivery.empty
