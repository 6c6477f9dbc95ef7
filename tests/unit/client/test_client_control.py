"""What a batch and a session send to control batches and nodes."""

from __future__ import annotations

import pytest
from fake_farm import FakeFarm, farm_with
from msgspec.structs import replace

from farm.client import batch as batch_module
from farm.client.batch import Batch
from farm.client.session import Session
from farm.errors import ProtocolError, RequestError, UnknownBatchError, UsageError
from farm.wire import controls, messages


@pytest.fixture
def farm() -> FakeFarm:
    return farm_with()


def test_pause_and_resume_name_the_batch_by_its_id(farm):
    assert Batch(farm, 1).pause().state == "paused"
    assert Batch(farm, 1).resume().state == "waiting"
    assert farm.asked == [controls.Pause("1"), controls.Resume("1")]


@pytest.mark.parametrize(
    ("arguments", "more", "sent"),
    [
        ((), {}, controls.Retry("1", [], False)),
        ((), {"failed": True}, controls.Retry("1", [], True)),
        (([3, range(7, 10), 4],), {}, controls.Retry("1", [(3, 5), (7, 10)], False)),
    ],
)
def test_retry(farm, arguments, more, sent):
    assert Batch(farm, 1).retry(*arguments, **more) == 5
    assert farm.asked == [sent]


def test_retry_of_no_index_is_not_retry_of_all(farm):
    assert Batch(farm, 1).retry([]) == 0
    assert Batch(farm, 1).retry([range(5, 3)]) == 0
    assert farm.asked == []


def test_very_many_ranges_are_sent_in_several_messages(farm, monkeypatch):
    monkeypatch.setattr(batch_module, "RETRY_RANGES", 2)
    assert Batch(farm, 1).retry(range(0, 10, 2)) == 5
    assert [one.ranges for one in farm.asked] == [[(0, 1), (2, 3)], [(4, 5), (6, 7)], [(8, 9)]]


def test_very_many_failures_are_tried_again_bit_by_bit(farm):
    farm.further = [1000, 2500]
    assert Batch(farm, 1).retry(failed=True) == 3 * 5
    assert farm.asked == [controls.Retry("1", [], True, start) for start in (0, 1000, 2500)]


def test_retry_takes_one_choice(farm):
    with pytest.raises(UsageError, match="not both"):
        Batch(farm, 1).retry([1], failed=True)
    with pytest.raises(UsageError, match="no task has the index -1"):
        Batch(farm, 1).retry([-1])
    assert farm.asked == []


def test_forget_passes_on_why_not(farm):
    with pytest.raises(UsageError, match="has not ended"):
        Batch(farm, 1).forget()
    Batch(farm, 1).cancel()
    Batch(farm, 1).forget()
    assert farm.batches == {}


def test_drain(farm):
    assert Session(farm).drain("left") == controls.Draining(7, "left")
    assert Session(farm).drain(3) == controls.Draining(7, "3")


def test_an_import_is_a_batch_of_the_session(farm, tmp_path):
    Batch(farm, 1).export(tmp_path / "b")
    batch = Session(FakeFarm()).import_(str(tmp_path / "b"))
    assert (batch.id, batch.name, len(batch)) == (1, "b", 5)


@pytest.mark.parametrize(
    ("code", "kind"), [("unknown-batch", UnknownBatchError), ("unknown-node", UsageError)]
)
def test_what_is_unknown_is_wrong_use(farm, code, kind):
    def refuse(request):
        raise RequestError(code, "there is none")

    farm.before = refuse
    with pytest.raises(kind, match=r"there is none \(see `farm (status|nodes)`\)"):
        Session(farm).drain("x")


def test_lists_that_come_in_pages_are_put_together(farm, monkeypatch):
    nodes = [info(1, "up"), info(2, "left"), info(3, "up"), info(4, "lost"), info(7, "draining")]
    monkeypatch.setattr(
        farm, "_getnodes", lambda r: messages.Nodes([n for n in nodes if n.node > r.after][:2]),
        raising=False,
    )  # fmt: skip
    assert [node.node for node in Session(farm).nodes()] == [1, 3, 7, 2, 4]
    known = [replace(farm.status(1), batch=number) for number in (9, 8, 5, 2, 1)]
    monkeypatch.setattr(
        farm, "_listbatches",
        lambda r: messages.Batches(
            [b for b in known if not r.before or b.batch < r.before][: min(2, r.limit)], 5
        ),
        raising=False,
    )  # fmt: skip
    for limit, found in ((100, [9, 8, 5, 2, 1]), (3, [9, 8, 5]), (0, [])):
        assert [one.batch for one in Session(farm).batches(limit)] == found


def test_a_server_that_gives_the_same_page_again_is_not_asked_for_ever(farm, monkeypatch):
    monkeypatch.setattr(farm, "_getnodes", lambda _: messages.Nodes([info(1, "up")]), raising=False)
    with pytest.raises(ProtocolError, match="node 1 after 1"):
        Session(farm).nodes()
    same = messages.Batches([replace(farm.status(1), batch=7)], 7)
    monkeypatch.setattr(farm, "_listbatches", lambda _: same, raising=False)
    with pytest.raises(ProtocolError, match="batch 7 after 7"):
        Session(farm).batches()


def info(node: int, state: str) -> messages.NodeInfo:
    return messages.NodeInfo(node, f"n{node}", "", state, 1, 0, 0, 0, 0.0, 0.0, "", "")
