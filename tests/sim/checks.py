"""The promises, looked at from outside: in the ledger, in the journal, and in what was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.client import Broken

from farm.server.states import Batch
from farm.wire.leases import Report

if TYPE_CHECKING:
    from sim.world import World


def check_places(world: World) -> None:
    """Each index of each batch is in exactly one place."""
    assert world.server is not None
    for state in world.server.service.core.ledger.batches.values():
        places = [
            *state.pending, *state.again, *state.done, *state.failed, *state.dropped,
            *(part for held in state.leased.values() for part in held),
        ]  # fmt: skip
        position = 0
        for start, stop in sorted(places):
            if start != position:
                what = "twice" if start < position else "nowhere"
                raise Broken(f"batch {state.id}: task {min(start, position)} is {what}")
            position = stop
        if position != state.total:
            raise Broken(f"batch {state.id}: task {position} is nowhere")
        watched = world.watched(state.id)
        if watched.paused and not state.paused and not state.ended:
            raise Broken(f"batch {state.id} was paused, and is not")
        if watched.sticks and not state.ended:
            raise Broken(f"batch {state.id} has ended, and goes on")
        limit = state.options.max_parallel
        if limit is not None and state.running > limit and not world.gave_up:
            raise Broken(f"batch {state.id}: {state.running} leased, max_parallel is {limit}")


def check_acknowledged(world: World, report: Report) -> None:
    """What was acknowledged to a node is recorded, or nobody wants it any more."""
    assert world.server is not None
    batches = world.server.service.core.ledger.batches
    for part in report.parts:
        state = batches.get(part.batch)
        for index in range(part.start, part.stop) if state is not None else ():
            assert state is not None
            if not _is_over(state, index) and not world.watched(part.batch).taken_back:
                raise Broken(f"batch {part.batch}, task {index} was acknowledged and is not there")


def _is_over(state: Batch, index: int) -> bool:
    return index in state.done or index in state.failed or index in state.dropped


def check_end(world: World) -> None:
    """Everything has ended: what the journal holds is what was told, once each."""
    assert world.server is not None
    check_places(world)
    journal = world.server.service.core.journal
    for watched in world.batches:
        state = world.server.service.core.ledger.batches[watched.batch]
        if not state.ended:
            raise Broken(f"batch {state.id} has not ended: {watched.status}")
        recorded: dict[int, str] = {}
        cursor = 0
        while True:
            page, cursor = journal.outcomes_after(state.id, cursor)
            for outcome in page:
                for index in range(outcome.start, outcome.stop):
                    if index in recorded:
                        raise Broken(f"batch {state.id}, task {index} is recorded twice")
                    recorded[index] = watched.describe(outcome, index)
            if not page:
                break
        # A failure that was taken back, of a task that was cancelled then, leaves nothing.
        told = {
            index: text for index, text in watched.seen.items()
            if not (watched.taken_back and index in state.dropped)
        }  # fmt: skip
        if recorded != told:
            differ = sorted(set(recorded.items()) ^ set(told.items()))[:3]
            raise Broken(f"batch {state.id}: recorded is not what the client was told: {differ}")
        for index in range(state.total):
            is_recorded = index in state.done or index in state.failed
            if is_recorded != (index in recorded):
                raise Broken(f"batch {state.id}, task {index}: ledger and journal do not agree")
        for index, text in recorded.items():
            _check_outcome(world, watched.batch, index, text)


def _check_outcome(world: World, batch: int, index: int, text: str) -> None:
    """A task's outcome is one that its nature and the harm allow."""
    kind = world.plan_of(batch).kinds.get(index, "ok")
    if text.startswith("done"):
        if kind in ("error", "crash"):
            raise Broken(f"batch {batch}, task {index} always fails, and is done")
        if not world.executions[batch, index]:
            raise Broken(f"batch {batch}, task {index} is done, and was never run")
    elif kind == "ok" and "(error)" in text:
        raise Broken(f"batch {batch}, task {index} never fails, and has: {text}")
