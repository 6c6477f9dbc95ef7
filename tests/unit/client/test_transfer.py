"""Exports and imports against a server that is a fake: what lies on disk, and what is sent."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from fake_farm import FakeFarm, done, failed, farm_with, plain
from hypothesis import given
from hypothesis import strategies as st

from farm.client import folder, submission, transfer
from farm.client.batch import Batch
from farm.errors import RequestError, UsageError
from farm.wire.messages import Block, Outcome, Status

OUTCOMES = [
    done(0, [0, 1], retried=[(1, 3)]),
    failed(2),
    done(3, [{"x": (1, 2)}], node="other"),
]


def exported(directory: Path, *arguments, **more) -> FakeFarm:
    """The server whose batch lies there now."""
    farm = farm_with(*arguments, **more)
    Batch(farm, 1).export(directory)
    return farm


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_what_lies_in_the_directory(target):
    exported(target, OUTCOMES)

    names = sorted(str(p.relative_to(target)) for p in target.rglob("*") if p.is_file())
    assert names == [
        "batch.json", "code/deep/er.py", "code/tasks.py", "outcomes.jsonl", "results.jsonl",
    ]  # fmt: skip
    assert (target / "code/deep/er.py").read_bytes() == b"\x00\xff"
    head = json.loads((target / "batch.json").read_text())
    assert (head["name"], head["total"], head["options"]["retries"]) == ("b", 5, 2)
    assert head["call"] == {"type": "python", "target": "tasks:f", "file": "tasks.py"}
    assert (head["status"]["state"], head["status"]["done"]) == ("waiting", 3)
    assert (head["outcomes"]["lines"], head["outcomes"]["tasks"]) == (3, 4)
    rows = [json.loads(line) for line in (target / "results.jsonl").read_text().splitlines()]
    assert [(row["index"], row["status"], row["attempts"]) for row in rows] == [
        (0, "done", 1), (1, "done", 3), (2, "error", 1), (3, "done", 1),
    ]  # fmt: skip
    assert rows[3]["result"] == {"x": [1, 2]}
    assert rows[0]["params"] == {"index": 0}
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("outcomes", "total", "cancelled", "state"),
    [
        (OUTCOMES, 4, False, "failed"),
        ([done(0, [1, 2])], 2, False, "done"),
        (OUTCOMES, 5, False, "paused"),
        (OUTCOMES, 5, True, "cancelled"),
        ([], 3, False, "paused"),
        ([], 0, False, "done"),
    ],
    ids=["failed", "done", "half", "cancelled", "fresh", "empty"],
)
def test_a_batch_comes_to_another_server(target, outcomes, total, cancelled, state):
    source = exported(target, outcomes, total=total, cancelled=cancelled)
    other = FakeFarm()

    imported = transfer.import_(other, target)

    assert (imported.known, imported.status.batch, imported.status.state) == (False, 1, state)
    ours, theirs = source.batches[1], other.batches[1]
    assert plain(theirs.outcomes) == plain(ours.outcomes)
    assert theirs.submit.paused
    assert (theirs.submit.spec, theirs.submit.files) == (ours.submit.spec, ours.submit.files)
    assert (theirs.submit.name, theirs.submit.options, theirs.total) == (
        "b", ours.submit.options, total,
    )  # fmt: skip
    assert imported.tasks == sum(one.stop - one.start for one in outcomes)
    assert ("Cancel" in other.kinds()) == cancelled


def test_arguments_by_value_come_in_blocks(target, monkeypatch):
    monkeypatch.setattr(transfer, "APPEND_BYTES", 2500)
    blocks = [Block(at, at + 10, bytes([at]) * 1000) for at in range(0, 50, 10)]
    source = exported(target, [done(7, [7])], total=50, files={}, blocks=blocks)
    other = FakeFarm()

    transfer.import_(other, target)

    assert other.batches[1].blocks == source.batches[1].blocks
    assert (other.batches[1].open, other.batches[1].total) == (False, 50)
    assert [len(one.blocks) for one in other.asked if hasattr(one, "close")] == [2, 2, 1]


def test_a_second_import_is_known_again(target):
    exported(target, OUTCOMES)
    other = FakeFarm()
    other.batches[1] = farm_with().batches[1]
    first = transfer.import_(other, target)
    sent = len(other.kinds())

    again = transfer.import_(other, target)

    assert (first.known, again.known) == (False, True)
    assert again.status.batch == first.status.batch == 2
    assert other.kinds()[sent:] == ["Submit", "GetStatus"]


def test_two_exports_of_one_batch_are_two_batches(target, tmp_path):
    source = exported(target, OUTCOMES)
    Batch(source, 1).export(tmp_path / "again")
    other = FakeFarm()

    ids = [transfer.import_(other, one).status.batch for one in (target, tmp_path / "again")]

    assert ids == [1, 2]


@pytest.mark.parametrize("broken_at", ["Append", "Restore", "Resume"])
def test_an_import_that_was_killed_is_carried_on(target, broken_at):
    blocks = [Block(0, 2, b"a"), Block(2, 4, b"b")]
    source = exported(target, OUTCOMES, total=4, blocks=blocks)
    other = FakeFarm()

    def die(request):
        if type(request).__name__ in (broken_at, "Cancel"):
            raise RequestError("broken", "killed")

    other.before = die
    with pytest.raises(RequestError, match="killed"):
        transfer.import_(other, target)
    assert other.batches[1].paused  # nothing could be taken back either
    other.before = lambda _: None

    imported = transfer.import_(other, target)

    # Where nothing but the end of the import was missing, the batch is whole.
    assert imported.known == (broken_at == "Resume")
    assert (imported.status.batch, imported.status.state) == (1, "failed")
    assert plain(other.batches[1].outcomes) == plain(source.batches[1].outcomes)
    assert other.batches[1].blocks == blocks


def test_an_import_that_is_refused_leaves_nothing_behind(target):
    exported(target, OUTCOMES)
    other = FakeFarm()

    def refuse(request):
        if type(request).__name__ == "Restore":
            raise RequestError("full", "the disk is full")

    other.before = refuse
    with pytest.raises(RequestError, match="the disk is full"):
        transfer.import_(other, target)
    assert other.batches == {}


def test_what_is_tried_again_meanwhile_is_not_there_twice(target):
    farm = farm_with([done(0, [0, 1]), done(2, [2, 3]), done(4, [4])])
    pages = []

    def change(request):
        # After the first page the rest is recorded anew, in another range.
        if type(request).__name__ == "GetResults":
            pages.append(request.start)
            if request.start == 4:
                farm.batches[1].outcomes[:] = [done(3, ["three", "four"])]

    farm.before = change
    Batch(farm, 1).export(target)
    other = FakeFarm()

    transfer.import_(other, target)

    assert pages[:2] == [0, 4]
    assert [(one.start, one.stop, one.offset) for one in other.batches[1].outcomes] == [
        (0, 2, 0), (2, 4, 0), (4, 5, 1),
    ]  # fmt: skip


def test_a_batch_that_is_still_submitted_is_refused(target):
    farm = farm_with()
    farm.batches[1].open = True
    with pytest.raises(UsageError, match="still being submitted"):
        Batch(farm, 1).export(target)
    assert not target.exists()


# -- directories ------------------------------------------------------------------------------


def test_an_empty_directory_is_taken_and_others_are_not(target, tmp_path, monkeypatch):
    target.mkdir()
    exported(target)
    with pytest.raises(UsageError, match="it is not empty"):
        exported(target)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="there already, and no directory"):
        exported(tmp_path / "file")
    with pytest.raises(UsageError, match="there is no directory"):
        exported(tmp_path / "no" / "where")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UsageError, match="the current directory"):
        exported(Path())


def test_an_export_that_fails_leaves_nothing(target):
    farm = farm_with(OUTCOMES)

    def refuse(request):
        if getattr(request, "start", 0) > 2:
            raise RequestError("broken", "gone")

    farm.before = refuse
    with pytest.raises(RequestError, match="gone"):
        Batch(farm, 1).export(target)
    assert list(target.parent.iterdir()) == []


def test_files_that_want_to_lie_elsewhere_are_not_written(target):
    for name in ("../evil.py", "/etc/evil.py", "a/../../evil.py"):
        with pytest.raises(UsageError, match="cannot be called"):
            exported(target, files={name: b""})
    assert list(target.parent.iterdir()) == []


def refused(directory: Path) -> str:
    """Why a directory is not imported; nothing may have been sent."""
    farm = FakeFarm()
    with pytest.raises(UsageError) as refusal:
        transfer.import_(farm, directory)
    assert farm.asked == []
    return str(refusal.value)


def test_a_foreign_directory(target, tmp_path):
    assert "no batch.json in it (see `farm export`)" in refused(target)
    assert "no batch.json" in refused(tmp_path)
    (tmp_path / "batch.json").write_text("{}")
    assert f"{tmp_path}/batch.json: it is not that of an exported batch" in refused(tmp_path)
    (tmp_path / "batch.json").write_text('{\n"a"')
    assert f"{tmp_path}/batch.json:2:4: it is not JSON" in refused(tmp_path)


def change(path: Path, *changes: tuple[int, bytes]) -> None:
    """Put other lines in the place of some of a file's."""
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in changes:
        lines[number - 1] = line
    path.write_bytes(b"".join(lines))


def test_lines_that_are_missing_or_wrong_are_named(target):
    exported(target, OUTCOMES)
    path = target / "outcomes.jsonl"
    whole = path.read_bytes()
    first, second, third = whole.splitlines(keepends=True)

    change(path, (2, b"rubbish\n"))
    assert f"{path}:2: " in refused(target)
    path.write_bytes(first + second)
    assert f"{path}:3: it ends here, but has 3 lines by batch.json" in refused(target)
    path.write_bytes(whole + third)
    assert f"{path}:4: tasks 3 to 3 do not belong there" in refused(target)
    path.write_bytes(second + first + third)
    assert f"{path}:2: tasks 0 to 1 do not belong there" in refused(target)
    path.write_bytes(whole[:-5])
    assert f"{path}:3: the line is cut off" in refused(target)
    path.write_bytes(whole.replace(b'"node":"other"', b'"node":"otter"'))
    assert f"{path}: it is not as it was exported" in refused(target)
    path.unlink()
    assert f"cannot read {path}: No such file" in refused(target)


def test_a_line_that_goes_on_for_ever_is_not_read_to_its_end(target, monkeypatch):
    exported(target, OUTCOMES)
    monkeypatch.setattr(folder, "MAX_LINE", 100)
    assert "outcomes.jsonl:1: the line is cut off" in refused(target)


def test_blocks_with_a_gap_are_named(target):
    blocks = [Block(0, 2, b"a"), Block(2, 5, b"b")]
    exported(target, blocks=blocks, files={})
    path = target / "blocks.jsonl"
    change(path, (2, path.read_bytes().splitlines(keepends=True)[1].replace(b":2,", b":3,")))
    assert f"{path}:2: tasks 3 to 4 do not belong there" in refused(target)


def test_code_that_is_not_what_was_exported(target):
    exported(target, OUTCOMES)
    path = target / "code/tasks.py"
    path.write_text("def f(index): evil\n")
    assert f"{target}/code: the files are not those that were exported" in refused(target)
    path.unlink()
    assert "the files are not those" in refused(target)
    path.symlink_to("/etc/passwd")
    assert f"{path}: it is a link" in refused(target)


def test_results_are_for_others_and_are_not_read(target):
    exported(target, OUTCOMES)
    (target / "results.jsonl").unlink()
    assert transfer.import_(FakeFarm(), target).tasks == 4


def test_a_directory_may_be_moved(target, tmp_path):
    exported(target, OUTCOMES)
    shutil.move(target, tmp_path / "elsewhere")
    assert transfer.import_(FakeFarm(), tmp_path / "elsewhere").tasks == 4


@given(st.lists(st.integers(0, 40)), st.integers(1, 50), st.integers(1, 5))
def test_pages_hold_everything_in_order_and_little_at_a_time(sizes, most, rows):
    before = transfer.APPEND_BYTES, transfer.RESTORE_ROWS
    transfer.APPEND_BYTES, transfer.RESTORE_ROWS = most, rows
    try:
        pages = list(transfer.pages(sizes, lambda size: size))
    finally:
        transfer.APPEND_BYTES, transfer.RESTORE_ROWS = before
    assert [size for page in pages for size in page] == sizes
    assert all(0 < len(page) <= rows for page in pages)
    assert all(sum(page) <= most or len(page) == 1 for page in pages)


def test_outcomes_after_many_attempts_go_in_smaller_messages():
    """The server writes a row for each attempt, while others wait."""
    made = [
        Outcome(index, index + 1, "n", 1.0, 0, b"", b"\0" * 4, None, [(index, 3_000)])
        for index in range(7)
    ]
    pages = list(transfer.pages(made, transfer._weight))
    assert [len(page) for page in pages] == [3, 3, 1]


def test_an_outcome_after_very_many_attempts_goes_in_parts():
    retried = [(index, 1_000) for index in range(100, 150)] + [(163, 2)]
    whole = Outcome(100, 164, "n", 64.0, 7, b"payload", b"\0" * 4 * 71, None, retried)
    parts = list(transfer._light(whole))
    assert [(part.start, part.stop) for part in parts] == [
        (100, 108), (108, 116), (116, 124), (124, 132), (132, 140), (140, 148), (148, 164)
    ]  # fmt: skip
    assert [pair for part in parts for pair in part.retried] == retried
    assert all(part.offset == 7 + part.start - 100 for part in parts)
    assert sum(part.elapsed for part in parts) == 64.0
    alone = Outcome(5, 6, "n", 1.0, 0, b"", b"\0" * 4, None, [(5, 50_000)])
    assert list(transfer._light(alone)) == [alone]


def test_messages_are_as_large_as_those_of_blocks():
    assert transfer.APPEND_BYTES == submission.APPEND_BYTES == 8 * 1024 * 1024


def test_the_mode_of_a_new_directory_is_that_of_any_other(target):
    exported(target)
    (target.parent / "other").mkdir()
    assert os.stat(target).st_mode == os.stat(target.parent / "other").st_mode  # noqa: PTH116


def test_status_of_the_fake_is_a_status():
    assert isinstance(farm_with().status(1), Status)


def test_two_imports_at_once_are_one_batch_that_stays(target):
    """The other one comes to its end between this one's first request and its outcomes."""
    exported(target, OUTCOMES)
    other = FakeFarm()

    def overtake(request):
        if type(request).__name__ == "Restore":
            other.before = lambda _: None
            assert not transfer.import_(other, target).known

    other.before = overtake
    assert transfer.import_(other, target).known
    assert list(other.batches) == [1]
    assert "Forget" not in other.kinds()


def test_what_is_left_of_an_import_that_was_cancelled_is_said(target):
    exported(target, OUTCOMES)
    other = FakeFarm()

    def die(request):
        if type(request).__name__ == "Restore":
            raise KeyboardInterrupt

    other.before = die
    other._forget = other._cancel = lambda _: None
    with pytest.raises(KeyboardInterrupt):
        transfer.import_(other, target)
    other.before = lambda _: None
    other.batches[1].cancelled, other.batches[1].importing = True, False
    with pytest.raises(UsageError, match="farm forget 1"):
        transfer.import_(other, target)
