"""A server as far as exports and imports need one: behind a link, without a network."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from farm.batch import shipment
from farm.batch import spec as specs
from farm.batch.space import counted
from farm.errors import RequestError
from farm.wire import controls, leases, messages
from farm.wire.messages import Block, Failure, Outcome, Status

SECONDS = b"\x00\x00\x80\x3f"
"""1.0 as a float32."""

FILES = {"tasks.py": b"def f(index): ...\n", "deep/er.py": b"\x00\xff"}


def done(start: int, values: list[Any], node: str = "n", **more: Any) -> Outcome:
    """The outcome of tasks that are done."""
    seconds = SECONDS * len(values)
    stop = start + len(values)
    return Outcome(start, stop, node, float(len(values)), 0, pickle.dumps(values), seconds, **more)


def failed(index: int, text: str = "no", **more: Any) -> Outcome:
    """The outcome of a task that failed."""
    failure = Failure("error", "ValueError", text, "Traceback ...", b"\x80pickled")
    return Outcome(index, index + 1, "n", 0.5, 0, b"", b"", failure, **more)


@dataclass
class Known:
    """A batch as the server has it."""

    submit: messages.Submit
    total: int
    open: bool
    paused: bool
    blocks: list[Block] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    cancelled: bool = False
    importing: bool = False


class FakeFarm:
    """The link itself: `call` answers at once; ``asked`` has what was asked."""

    def __init__(self) -> None:
        self.batches: dict[int, Known] = {}
        self.code: dict[str, dict[str, bytes]] = {}
        self.asked: list[messages.Message] = []
        self.further: list[int] = []  # where a retry is to go on
        self.before: Callable[[messages.Message], None] = lambda _: None

    def call(self, request: messages.Message, _seconds: float | None = None) -> Any:
        """Answer a request."""
        self.asked.append(request)
        self.before(request)
        return getattr(self, "_" + type(request).__name__.lower())(request)

    def kinds(self) -> list[str]:
        """What kinds of requests came."""
        return [type(request).__name__ for request in self.asked]

    def status(self, number: int) -> Status:
        """How a batch stands."""
        known = self.batches[number]
        bad = sum(o.failure is not None for o in known.outcomes)
        good = sum(o.stop - o.start for o in known.outcomes) - bad
        left = known.total - good - bad
        if left and known.cancelled:
            state = "cancelled"
        elif left or known.open:
            state = "paused" if known.paused else "waiting"
        else:
            state = "failed" if bad else "done"
        return Status(
            batch=number, name=known.submit.name, state=state, total=known.total,
            pending=0 if known.cancelled else left, running=0, done=good, failed=bad,
            cancelled=left if known.cancelled else 0, retried=0, submitted=1.0, started=0.0,
            ended=0.0, seconds=0.0, priority=0, open=known.open, nodes=[], paused=known.paused,
            reason=controls.IMPORTING if known.importing else "",
        )  # fmt: skip

    def _submit(self, request: messages.Submit) -> messages.Submitted:
        for number, known in self.batches.items():
            if known.submit.token == request.token:
                return messages.Submitted(number, known=True)
        number = max(self.batches, default=0) + 1
        self.batches[number] = Known(request, request.total, request.open, request.paused)
        self.batches[number].importing = request.paused
        self.batches[number].blocks.extend(request.blocks)
        self.code[request.digest] = request.files
        return messages.Submitted(number)

    def _append(self, request: messages.Append) -> messages.Done:
        known = self.batches[request.batch]
        for block in request.blocks:
            if block.start >= known.total:
                assert block.start == known.total
                assert known.open
                known.blocks.append(block)
                known.total = block.stop
        known.open = known.open and not request.close
        return messages.Done()

    def _getstatus(self, request: messages.GetStatus) -> Status:
        return self.status(int(request.ref))

    def _listbatches(self, request: messages.ListBatches) -> messages.Batches:
        newest = sorted(self.batches, reverse=True)[: request.limit]
        return messages.Batches([self.status(one) for one in newest], len(self.batches))

    def _getspec(self, request: messages.GetSpec) -> messages.SpecFound:
        known = self.batches[request.batch]
        submit = known.submit
        return messages.SpecFound(
            request.batch, submit.name, known.total, submit.spec, submit.digest
        )

    def _getblock(self, request: messages.GetBlock) -> Block:
        blocks = self.batches[request.batch].blocks
        return next(one for one in blocks if one.start <= request.index < one.stop)

    def _getcode(self, request: leases.GetCode) -> leases.Code:
        return leases.Code(self.code[request.digest])

    def _getresults(self, request: messages.GetResults) -> messages.Outcomes:
        assert request.gaps
        found = sorted(self.batches[request.batch].outcomes, key=lambda one: one.start)
        page = [one for one in found if one.stop > request.start][:2]
        cursor = page[-1].stop if page else request.start
        return messages.Outcomes(page, cursor, not page, "running")

    def _restore(self, request: controls.Restore) -> messages.Done:
        known = self.batches[request.batch]
        if not known.importing:
            raise RequestError("bad-request", "it is not being imported")
        there = {one.start for one in known.outcomes}
        known.outcomes += [one for one in request.outcomes if one.start not in there]
        known.importing = not request.last
        return messages.Done()

    def _pause(self, request: controls.Pause) -> Status:
        self.batches[int(request.ref)].paused = True
        return self.status(int(request.ref))

    def _resume(self, request: controls.Resume) -> Status:
        self.batches[int(request.ref)].paused = False
        return self.status(int(request.ref))

    def _cancel(self, request: messages.Cancel) -> Status:
        known = self.batches[int(request.ref)]
        known.cancelled, known.open, known.importing = True, False, False
        return self.status(int(request.ref))

    def _forget(self, request: controls.Forget) -> messages.Done:
        if not self.status(request.batch).over:
            raise RequestError("not-ended", f"batch {request.batch} has not ended")
        del self.batches[request.batch]
        return messages.Done()

    def _retry(self, request: controls.Retry) -> controls.Retried:
        tasks = sum(stop - start for start, stop in request.ranges) or 5
        further = self.further.pop(0) if self.further else 0
        return controls.Retried(tasks, self.status(int(request.ref)), further)

    def _drainnode(self, request: controls.DrainNode) -> controls.Draining:
        return controls.Draining(7, request.ref)


def farm_with(
    outcomes: Iterable[Outcome] = (),
    *,
    total: int = 5,
    files: dict[str, bytes] = FILES,
    blocks: Iterable[Block] = (),
    cancelled: bool = False,
) -> FakeFarm:
    """A server with one batch."""
    farm = FakeFarm()
    space = None if blocks else counted(total).to_document()
    digest = shipment.digest(files)
    call = specs.PythonCall("tasks:f", "tasks.py")
    spec = specs.Spec("b", call, specs.Options(retries=2), space, {}, digest)
    submit = messages.Submit("t", "b", total, spec.options, specs.encode(spec), files, digest)
    farm.batches[1] = Known(submit, total, open=False, paused=False, blocks=list(blocks))
    farm.batches[1].outcomes.extend(outcomes)
    farm.batches[1].cancelled = cancelled
    farm.code[digest] = files
    return farm


def plain(outcomes: list[Outcome]) -> list[Any]:
    """Outcomes as something that can be compared."""
    return [msgspec.to_builtins(one) for one in outcomes]
