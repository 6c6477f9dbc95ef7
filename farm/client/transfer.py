"""Batches to and from directories: what an export reads of a server, and an import sends to one.

Constant memory, whatever the batch holds: a page of outcomes or one block at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from farm.batch import spec as specs
from farm.client import archive, folder, rows
from farm.client.archive import Head, Listed
from farm.client.asking import ask
from farm.client.jsontext import json_lines
from farm.client.outcome import expand
from farm.client.status import document_of
from farm.client.submission import APPEND_BYTES
from farm.errors import FarmError, RequestError, UsageError
from farm.wire import controls, leases, messages

if TYPE_CHECKING:
    from farm.client.batch import Batch
    from farm.client.link import Link

RESTORE_ROWS = messages.MAX_ITEMS
"""Outcomes that are sent in one message: the server takes each of them in one go."""

MOST_ATTEMPTS = 10_000
"""Earlier attempts of tasks in one message, each a row of the journal."""

UNDO_SECONDS = 10.0
"""How long an import that failed tries to take back what it began."""

T = TypeVar("T")


@dataclass(frozen=True)
class Exported:
    """What is in the directory of an exported batch.

    Args:
        directory: where.
        status: how the batch stood.
        tasks: how many of its tasks have their outcome in it.
    """

    directory: Path
    status: messages.Status
    tasks: int


@dataclass(frozen=True)
class Imported:
    """What became of a directory.

    Args:
        status: how the batch stands on this server.
        tasks: how many of its tasks have their outcome in the directory.
        known: it had been imported already; nothing was changed.
    """

    status: messages.Status
    tasks: int
    known: bool


# -- to a directory ---------------------------------------------------------------------------


def export(link: Link, batch: Batch, directory: Path) -> Exported:
    """Write a batch, and what came of it by now.

    Raises:
        UsageError: the directory cannot be written, or the batch is still being submitted.
    """
    # Before the outcomes: none is missing of a batch that had ended by then.
    status = batch.status()
    if status.open:
        raise UsageError(
            f"batch {batch.id} ({status.name}) is still being submitted: export it when all of "
            "its tasks are known"
        )
    found = ask(link, messages.GetSpec(batch.id), messages.SpecFound)
    spec = specs.decode(found.spec)
    with folder.made(directory) as scratch:
        if found.digest:
            code = ask(link, leases.GetCode(found.digest), leases.Code)
            folder.write_code(scratch, code.files)
        blocks = None if spec.space is not None else _write_blocks(link, status, scratch)
        outcomes = _write_outcomes(link, batch, status.total, scratch)
        head = Head(
            archive.FORMAT, archive.VERSION, secrets.token_hex(16), found.name, status.total,
            spec.call, spec.options, archive.space_to_json(spec.space), found.digest,
            document_of(status), outcomes, blocks, spec.items,
        )  # fmt: skip
        folder.write_head(scratch, archive.head_text(head))
    return Exported(directory, status, outcomes.tasks)


def _write_blocks(link: Link, status: messages.Status, directory: Path) -> Listed:
    with folder.Lines(directory / folder.BLOCKS) as lines:
        at = 0
        while at < status.total:
            block = ask(link, messages.GetBlock(status.batch, at), messages.Block)
            lines.write(archive.block_line(block), block.stop - block.start)
            at = block.stop
    return lines.listed


def _write_outcomes(link: Link, batch: Batch, total: int, directory: Path) -> Listed:
    """The outcomes exactly, and beside them what people and other programs read of them."""
    params = rows.params_of(batch)
    with (
        folder.Lines(directory / folder.OUTCOMES) as lines,
        (directory / folder.RESULTS).open("x", encoding="utf-8", newline="") as results,
    ):
        found = _outcomes(link, batch.id, total)
        for outcome in (one for together in found for one in _singly(together)):
            lines.write(archive.outcome_line(outcome), outcome.stop - outcome.start)
            results.writelines(json_lines(rows.rows(expand(outcome, rows.loads), params)))
    return lines.listed


def _outcomes(link: Link, batch: int, total: int) -> Iterator[messages.Outcome]:
    """What is recorded by now, in index order; no task twice, even if it is tried again."""
    cursor = 0
    while True:
        request = messages.GetResults(batch, cursor, gaps=True)
        before, page = cursor, ask(link, request, messages.Outcomes)
        for outcome in page.outcomes:
            cut = _from(outcome, cursor)
            if cut.start < cut.stop <= total:
                yield cut
                cursor = cut.stop
        if page.ended or cursor == before:
            return


def _from(outcome: messages.Outcome, first: int) -> messages.Outcome:
    """What of an outcome begins at ``first`` or later."""
    skipped = first - outcome.start
    if skipped <= 0:
        return outcome
    return msgspec.structs.replace(
        outcome,
        start=first,
        offset=outcome.offset + skipped,
        retried=[pair for pair in outcome.retried if pair[0] >= first],
    )


def _singly(outcome: messages.Outcome) -> Iterator[messages.Outcome]:
    """An outcome, where it is a failure of several tasks as one of each: they can be retried."""
    count = outcome.stop - outcome.start
    if outcome.failure is None or count == 1:
        yield outcome
        return
    attempts = dict(outcome.retried)
    for index in range(outcome.start, outcome.stop):
        retried = [(index, attempts[index])] if index in attempts else []
        yield msgspec.structs.replace(
            outcome, start=index, stop=index + 1, elapsed=outcome.elapsed / count, retried=retried
        )


# -- from a directory -------------------------------------------------------------------------


def import_(link: Link, directory: Path) -> Imported:
    """Submit a batch that was exported, with its outcomes.

    All of the directory is checked before anything is sent. What had not ended is left paused.

    Raises:
        UsageError: the directory is not an exported batch, or not as it was exported.
    """
    head, text = folder.open_head(directory)
    submit = _submission(head, text, folder.read_code(directory, head.digest))
    _check(directory, head)
    submitted = ask(link, submit, messages.Submitted)
    batch, status = submitted.batch, _status(link, submitted.batch)
    if submitted.known and status.reason != controls.IMPORTING:
        _check_left(status, head)
        return Imported(status, head.outcomes.tasks, known=True)
    try:
        _append(link, batch, directory, head)
        _restore(link, batch, directory, head)
        status = _finish(link, batch, head)
    except BaseException as error:
        # Somebody else may import the same directory, and have come to the end of it.
        refused = isinstance(error, RequestError) and error.code == "bad-request"
        if refused and _is_whole(status := _status(link, batch), head):
            return Imported(status, head.outcomes.tasks, known=True)
        if not submitted.known:
            _undo(link, batch)
        raise
    return Imported(status, head.outcomes.tasks, known=False)


def _status(link: Link, batch: int) -> messages.Status:
    return ask(link, messages.GetStatus(str(batch)), messages.Status)


def _is_whole(status: messages.Status, head: Head) -> bool:
    there = status.done + status.failed >= head.outcomes.tasks
    return there and status.reason != controls.IMPORTING


def _check_left(status: messages.Status, head: Head) -> None:
    """Whether a batch that is known came from an import that came to its end.

    Raises:
        UsageError: it did not, and was cancelled.
    """
    missing = status.done + status.failed < head.outcomes.tasks
    if status.state == "cancelled" and missing:
        raise UsageError(
            f"batch {status.batch} is what is left of an import of this directory that was broken "
            f"off and cancelled: `farm forget {status.batch}`, then import it again"
        )


def _submission(head: Head, text: bytes, files: dict[str, bytes]) -> messages.Submit:
    """Of the same directory always the same, token and all: the server knows it again.

    `batch.json` has the digests of all other files, so that its own tells everything.
    """
    token = "import-" + hashlib.sha256(text).hexdigest()
    grows = head.blocks is not None and head.total > 0
    return messages.Submit(
        token, head.name, 0 if grows else head.total, head.options, head.spec(),
        files=files, digest=head.digest, open=grows, paused=True,
    )  # fmt: skip


def _check(directory: Path, head: Head) -> None:
    """Read everything once, so that what is wrong is found before anything is sent."""
    if head.blocks is not None:
        tasks = folder.count_lines(_blocks(directory, head))
        if not tasks == head.blocks.tasks == head.total:
            path = directory / folder.BLOCKS
            raise UsageError(f"{path}: it has {tasks:,} tasks, and the batch {head.total:,}")
    tasks = folder.count_lines(_recorded(directory, head))
    if tasks != head.outcomes.tasks:
        path = directory / folder.OUTCOMES
        raise UsageError(f"{path}: it has {tasks:,} tasks, not {head.outcomes.tasks:,}")


def _blocks(directory: Path, head: Head) -> Iterator[messages.Block]:
    if head.blocks is None:
        return iter(())
    path = directory / folder.BLOCKS
    return folder.read_lines(path, archive.read_block, head.blocks, head.total, gaps=False)


def _recorded(directory: Path, head: Head) -> Iterator[messages.Outcome]:
    path = directory / folder.OUTCOMES
    return folder.read_lines(path, archive.read_outcome, head.outcomes, head.total, gaps=True)


def _append(link: Link, batch: int, directory: Path, head: Head) -> None:
    if head.blocks is None or not head.total:
        return
    for page in pages(_blocks(directory, head), lambda block: len(block.payload)):
        close = page[-1].stop == head.total
        ask(link, messages.Append(batch, page, close), messages.Done)


def _restore(link: Link, batch: int, directory: Path, head: Head) -> None:
    recorded = (part for outcome in _recorded(directory, head) for part in _light(outcome))
    for page in pages(recorded, _weight):
        ask(link, controls.Restore(batch, page), messages.Done)
    ask(link, controls.Restore(batch, [], last=True), messages.Done)


def _light(outcome: messages.Outcome) -> Iterator[messages.Outcome]:
    """An outcome, in as many parts as it takes for none to have very many earlier attempts."""
    if outcome.stop - outcome.start == 1 or _attempts(outcome) <= MOST_ATTEMPTS:
        yield outcome
        return
    middle = (outcome.start + outcome.stop) // 2
    half = outcome.elapsed / 2
    first = msgspec.structs.replace(
        outcome, stop=middle, elapsed=half, retried=[p for p in outcome.retried if p[0] < middle]
    )
    yield from _light(first)
    yield from _light(msgspec.structs.replace(_from(outcome, middle), elapsed=half))


def _attempts(outcome: messages.Outcome) -> int:
    return sum(count for _, count in outcome.retried)


def _weight(outcome: messages.Outcome) -> int:
    """Bytes; earlier attempts weigh as if so many of them filled a message."""
    failure = outcome.failure
    why = (
        len(failure.text) + len(failure.traceback) + len(failure.exception or b"") if failure else 0
    )
    attempts = _attempts(outcome) * APPEND_BYTES // MOST_ATTEMPTS
    return len(outcome.payload) + len(outcome.seconds) + why + attempts


def pages(items: Iterable[T], weight: Callable[[T], int]) -> Iterator[list[T]]:
    """Items together, as many as a message should hold; one that is larger goes alone.

    Args:
        items: in order.
        weight: how many bytes one has, roughly.
    """
    page: list[T] = []
    size = 0
    for item in items:
        heavy = weight(item)
        if page and (size + heavy > APPEND_BYTES or len(page) == RESTORE_ROWS):
            yield page
            page, size = [], 0
        page.append(item)
        size += heavy
    if page:
        yield page


def _finish(link: Link, batch: int, head: Head) -> messages.Status:
    """What had ended ends here too; the rest of another waits."""
    ref = str(batch)
    if head.complete:
        return ask(link, controls.Resume(ref), messages.Status)
    if head.cancelled:
        return ask(link, messages.Cancel(ref, str(head.status.get("reason", ""))), messages.Status)
    return ask(link, messages.GetStatus(ref), messages.Status)


def _undo(link: Link, batch: int) -> None:
    """Leave nothing half-imported behind."""
    with contextlib.suppress(FarmError):  # the first error is the one to show
        if _status(link, batch).reason != controls.IMPORTING:
            return  # somebody else has completed it meanwhile
        link.call(messages.Cancel(str(batch)), UNDO_SECONDS)
        link.call(controls.Forget(batch), UNDO_SECONDS)
