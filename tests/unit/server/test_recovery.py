"""A server that is started again has the ledger it had, whatever had become of its batches."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools

import pytest

from farm.batch.ranges import RangeSet
from farm.batch.spec import Options
from farm.server.around import Hooks
from farm.server.attempts import Wanted
from farm.server.core import Core
from farm.server.journal import Journal
from farm.server.reading import BatchRow
from farm.server.replay import Replay
from farm.wire.leases import Failed
from farm.wire.messages import Failure

MARKS = itertools.count(1)

ERROR = Failure("error", "ValueError", "no", "", None)
SECONDS = b"\0\0\0\0"
NODE = 1


@pytest.fixture
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def restart(tmp_path, loop):
    """A core on the same data; the one before is gone without a goodbye."""
    opened: list[Core] = []

    def start() -> Core:
        for before in opened[-1:]:
            before.journal.commit()
            before.journal.abandon()
        hooks = Hooks(lambda: None, lambda _: None, lambda error: pytest.fail(str(error)))
        opened.append(Core(Journal(tmp_path), loop, hooks, wall=lambda: 5.0))
        opened[-1].ledger.join(NODE, "n1", 4, now=0.0)
        return opened[-1]

    yield start
    opened[-1].journal.abandon()


def submit(core: Core, number: int, total: int = 10, **options) -> None:
    row = BatchRow(number, f"t{number}", f"b{number}", total, Options(**options), "", 1.0)
    core.submit(row, b"spec", {}, [])


def done(core: Core, batch: int, start: int, stop: int) -> None:
    core.record_done(batch, NODE, (start, stop), b"p", SECONDS * (stop - start), 0.5)


def fail(core: Core, batch: int, *indices: int) -> None:
    for index in indices:
        Replay(core.ledger).lease(NODE, batch, [(index, index + 1)])
        core.record_failed(NODE, "token", Failed(batch, index, 0.25, ERROR, next(MARKS)), 0.25)


def state(core: Core) -> dict[int, dict[str, object]]:
    """What is known of each batch, apart from leases and from what only speeds things up."""
    names = ("total", "open", "cancelled", "paused", "ended", "attempts", "retried", "done",
             "failed", "dropped")  # fmt: skip
    found = {}
    for batch, known in core.ledger.batches.items():
        values = {name: getattr(known, name) for name in names}
        for counted in ("errors", "crashes"):  # those of a task that has an outcome do not matter
            counts = getattr(known, counted).items()
            values[counted] = {i: n for i, n in counts if known.owes(i, i + 1)}
        values["waiting"] = known.waiting + known.running
        values["seconds"] = round(known.seconds, 6)
        values["shares"] = {n: dataclasses.astuple(share) for n, share in known.shares.items()}
        values["reason"] = core.infos[batch].reason
        found[batch] = values
    return found


def assert_same(
    found: dict[int, dict[str, object]], expected: dict[int, dict[str, object]]
) -> None:
    """Say what differs of which batch."""
    assert found.keys() == expected.keys()
    for batch, values in expected.items():
        for name, value in values.items():
            assert found[batch][name] == value, (batch, name)


def test_batches_of_every_kind(restart):
    core = restart()
    submit(core, 1)  # done
    done(core, 1, 0, 7)
    done(core, 1, 7, 10)
    submit(core, 2)  # ended, with failures
    fail(core, 2, 0, 4, 5, 9)
    for part in ((1, 4), (6, 9)):
        done(core, 2, *part)
    submit(core, 3)  # half done, with holes, failures and retries
    for part in ((9, 10), (2, 4), (4, 5)):
        done(core, 3, *part)
    fail(core, 3, 7, 0)
    submit(core, 4)  # cancelled in the middle
    done(core, 4, 3, 6)
    fail(core, 4, 8)
    core.cancel(4, "enough")
    submit(core, 5)  # nothing has happened
    submit(core, 6, 0)  # without tasks
    submit(core, 7, retries=2)  # tried again
    fail(core, 7, 3, 5)
    done(core, 7, 3, 4)
    before = state(core)
    assert before[2]["failed"] == RangeSet([(0, 1), (4, 6), (9, 10)])
    assert before[4]["dropped"] == RangeSet([(0, 3), (6, 8), (9, 10)])
    assert [batch for batch in before if before[batch]["ended"]] == [1, 2, 4, 6]
    for _ in range(2):
        core = restart()
        assert_same(state(core), before)
    assert list(core.ledger.batches[3].pending) == [(1, 2), (5, 7), (8, 9)]
    assert core.next_batch() == 8


def test_a_batch_that_was_cancelled_and_tried_again_in_part(restart):
    core = restart()
    submit(core, 1)
    done(core, 1, 0, 2)
    fail(core, 1, 5)
    core.cancel(1)
    found = core.ledger.retry(1, Wanted([(4, 8)]))
    core.journal.take_back(1, 4, 8, 5.0)
    for part in found.excused:
        core.journal.excuse(1, *part)
    core.infos[1].ended = 0.0
    core.note(1)
    core.journal.remember(*core.highest)
    before, highest = state(core), core.highest
    assert before[1]["dropped"] == RangeSet([(2, 4), (8, 10)])
    core = restart()
    assert_same(state(core), before)
    assert core.highest == highest, "the place of a failure that was taken back is not given again"
    done(core, 1, 4, 8)
    core.cancel(1)
    before = state(core)
    assert_same(state(restart()), before)


def test_what_was_forgotten_stays_so_while_its_rows_are_removed(restart):
    core = restart()
    for number in (1, 2):
        submit(core, number)
        done(core, number, 0, 9)
        fail(core, number, 9)
    core.forget(1)
    core = restart()
    assert list(core.ledger.batches) == [2]
    core.journal.remove_some(1, 1)
    core = restart()
    assert list(core.ledger.batches) == [2]
    assert core.journal.forgotten() == [1]
    assert core.was_given(1)
