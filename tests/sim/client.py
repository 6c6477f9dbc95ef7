"""A simulated client: submits, waits, reads what comes, and remembers everything it was told."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable

from sim.clock import Process, Time
from sim.network import Pipe
from sim.tasks import Plan

from farm.batch import spec as specs
from farm.wire import codec, controls, messages
from farm.wire.messages import Message

WAIT = 5.0
"""Seconds that the server may hold a request back."""

HELLO = 1 << 40
"""The number of the greeting, which no other request has."""


class Broken(AssertionError):
    """A promise was broken."""


class Client:
    """Requests that are sent until they are answered, over as many connections as it takes.

    Args:
        time: the world's.
        chance: the world's.
        connect: makes a connection, None where nobody answers.
    """

    def __init__(
        self, time: Time, chance: random.Random, connect: Callable[[Process], Pipe | None]
    ) -> None:
        self.process = Process(time, "client", chance)
        self._chance = chance
        self._connect = connect
        self._session = f"{chance.getrandbits(64):x}"
        self._connections = 0
        self._asked: dict[int, tuple[Message, Callable[[Message], None]]] = {}
        self._number = 0
        self.pipe: Pipe | None = None
        self.process.call_soon(self._reach, 0)

    def _reach(self, attempt: int) -> None:
        pipe = self._connect(self.process)
        if pipe is None:
            self.process.call_later(
                self._chance.uniform(0.0, min(5.0, 0.1 * 2**attempt)), self._reach,
                min(attempt + 1, 10),
            )  # fmt: skip
            return
        self.pipe = pipe
        self._connections += 1
        pipe.near.receive = lambda frame: self._receive(pipe, frame)
        pipe.near.lost = lambda: self._lost(pipe)
        self._send(HELLO, messages.Hello("sim", "sim", self._session, self._connections))
        for number, (request, _) in self._asked.items():
            self._send(number, request)

    def _lost(self, pipe: Pipe) -> None:
        if pipe is self.pipe:
            self.pipe = None
            self.process.call_later(self._chance.uniform(0.0, 0.2), self._reach, 0)

    def _send(self, number: int, request: Message) -> None:
        if self.pipe is not None:
            self.pipe.send(self.pipe.far, codec.encode(number, request))

    def ask(self, request: Message, then: Callable[[Message], None]) -> None:
        """Ask until there is an answer."""
        self._number += 1
        self._asked[self._number] = (request, then)
        self._send(self._number, request)

    def _receive(self, pipe: Pipe, frame: bytes) -> None:
        if pipe is not self.pipe:
            return
        number, body = codec.decode_reply(frame)
        request, then = self._asked.pop(number, (None, None))
        if request is None or then is None:
            return
        if isinstance(body, messages.Refused) and body.code == "journal":
            # Its disk is full: ask again in a while.
            self.process.call_later(1.0, self.ask, request, then)
            return
        then(body)


class Watched:
    """One batch as the client sees it, from the submission to its end.

    Args:
        client: asks.
        plan: what to submit.
        token: the submission's.
        trace: for people.
    """

    def __init__(
        self, client: Client, plan: Plan, token: str, trace: Callable[[str], None]
    ) -> None:  # fmt: skip
        self.client, self.plan, self.token = client, plan, token
        self._trace = trace
        self.batch = 0
        self.status: messages.Status | None = None
        self.taken_back = False  # somebody had failed or cancelled tasks tried again
        self.cancelled = False
        self.forgotten = False
        self.paused = False  # as the client was told, and has not changed since
        self.sticks = False  # it was told of the end, and has not changed that since
        self.retrying = 0  # requests on their way that would change that
        self.resuming = 0
        self.cancelling = 0
        self._reads = False
        self.seen: dict[int, str] = {}
        self.changed: list[str] = []
        self._cursor = 0
        spec = specs.Spec(
            "sim", specs.PythonCall("sim:task"), plan.options,
            None if plan.by_value else {"count": plan.total},
        )  # fmt: skip
        blocks = []
        if plan.by_value:
            size = 7
            blocks = [
                messages.Block(start, min(start + size, plan.total), b"x")
                for start in range(0, plan.total, size)
            ]
        submit = messages.Submit(
            token, "sim", plan.total, plan.options, specs.encode(spec), blocks=blocks,
        )  # fmt: skip
        client.ask(submit, self._submitted)

    def _submitted(self, answer: Message) -> None:
        if not isinstance(answer, messages.Submitted):
            raise Broken(f"a submission was answered with {answer}")
        if self.batch and self.batch != answer.batch:
            raise Broken(f"a submission became batch {self.batch} and {answer.batch}")
        self.batch = answer.batch
        self._trace(f"client: batch {self.batch} of {self.plan.total} tasks: {self.plan.options}")
        self._wait()
        self._read()

    def _wait(self) -> None:
        if not self.forgotten:
            self.client.ask(messages.GetStatus(str(self.batch), WAIT), self._stands)

    def _stands(self, answer: Message) -> None:
        if isinstance(answer, messages.Refused):
            if not self.forgotten:
                raise Broken(f"batch {self.batch}: {answer.text}")
            return
        assert isinstance(answer, messages.Status)
        self.status = answer
        places = answer.pending + answer.running + answer.done + answer.failed + answer.cancelled
        if places != answer.total or answer.total != self.plan.total:
            raise Broken(f"batch {self.batch}: the places do not add up: {answer}")
        if not answer.over:
            self._wait()

    def again(self) -> None:
        """After its end something was changed: wait for the next one."""
        self.status = None
        self._wait()
        if not self._reads:
            self._read()

    def was_cancelled(self, answer: Message) -> None:
        """The server has answered `Cancel`."""
        self.paused = False  # a cancelled batch is not paused any more
        self.cancelling -= 1
        over = isinstance(answer, messages.Status) and answer.over
        self.sticks = over and not self.retrying

    @property
    def over(self) -> bool:
        """Whether the client was told that it has ended."""
        told = self.status is not None and self.status.over
        return self.forgotten or (told and not self._reads)

    def _read(self) -> None:
        self._reads = True
        self.client.ask(messages.GetOutcomes(self.batch, self._cursor, WAIT), self._page)

    def _page(self, answer: Message) -> None:
        if isinstance(answer, messages.Refused):
            if not self.forgotten:
                raise Broken(f"batch {self.batch}: {answer.text}")
            return
        assert isinstance(answer, messages.Outcomes)
        for outcome in answer.outcomes:
            self.take(outcome)
        self._cursor = answer.cursor
        if answer.ended:
            self._reads = False
        else:
            self._read()

    def take(self, outcome: messages.Outcome) -> None:
        """Remember an outcome; one that is known must not have changed."""
        for index in range(outcome.start, outcome.stop):
            text = self.describe(outcome, index)
            before = self.seen.get(index)
            if before is not None and before != text:
                failed = before.startswith("failed")
                if not (failed and self.taken_back):
                    raise Broken(f"batch {self.batch}, task {index}: {before}, then {text}")
            self.seen[index] = text

    def describe(self, outcome: messages.Outcome, index: int) -> str:
        """An outcome of one task in words."""
        if outcome.failure is not None:
            return f"failed ({outcome.failure.kind}) on {outcome.node}"
        values = pickle.loads(outcome.payload)
        value = values[index - outcome.start + outcome.offset]
        if value != (self.batch, index):
            raise Broken(f"batch {self.batch}, task {index} has the result {value}")
        return f"done on {outcome.node}"

    def control(self, request: Message, then: Callable[[Message], None] = lambda _: None) -> None:
        """Pause, resume, cancel, retry or forget."""
        if isinstance(request, controls.Retry):
            self.taken_back = True
        if isinstance(request, messages.Cancel):
            self.cancelled, self.paused = True, False
            self.cancelling += 1
        self.client.ask(request, then)
