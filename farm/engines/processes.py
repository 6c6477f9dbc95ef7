"""The engine of processes: one private pipe per slot, nothing shared, one loop that waits.

A lock or a queue shared between slots is broken by the slot that dies while it holds it; here a
death is seen by the slot's sentinel and touches nothing else.
"""

from __future__ import annotations

import atexit
import functools
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import BaseContext
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any

import msgspec

from farm.batch.spec import CommandCall, decode
from farm.engines.base import Chunk, Ended, EngineError, Event, Program
from farm.engines.groups import Leftovers, signal_group
from farm.engines.launch import prepare_context, start_process
from farm.engines.memory import SUPPORTED
from farm.engines.progress import SLOT_BYTES, Progress
from farm.engines.respawn import Respawn
from farm.engines.slot import Slot
from farm.engines.watch import Watch, make_watch
from farm.rooms import Rooms

log = logging.getLogger("farm.engines")

_LOOK_SECONDS = 0.005
_KILLED_SECONDS = 5.0
"""How long a killed process is waited for: one in the kernel's hands cannot be helped."""


@dataclass(frozen=True, slots=True)
class _Work:
    """A chunk, the program it runs, the seconds each attempt may take, and the code it loads."""

    chunk: Chunk
    program: Program
    timeout: float | None
    code: str | None  # a digest, "" for what the node has installed; None for a command


class ProcessEngine:
    """Runs chunks in processes of this machine (see `farm.engines.base.Engine`).

    Args:
        slots: how many processes, at least 1.

    Example:
        >>> engine = ProcessEngine(2)
        >>> engine.start()
        >>> engine.add_program(program)
        >>> engine.submit(Chunk(id=1, batch=program.batch, start=0, stop=100))
        >>> while engine.running:
        ...     connection.wait(engine.waitables(), engine.timeout(time.monotonic()))
        ...     handle(engine.poll())
        >>> engine.stop()
    """

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise ValueError(f"an engine needs at least one slot, not {slots}")
        self._count = slots
        self._context: BaseContext | None = None
        self._progress: Any = None  # shared with the slots while there are any
        self._rooms = Rooms()
        self._programs: dict[int, tuple[Program, float | None, str | None]] = {}
        self._slots: dict[int, Slot] = {}
        self._behind: dict[int, _Work] = {}
        self._careful: set[int] = set()  # batches of which it is not known which task harms slots
        self._leaving: list[Slot] = []
        self._start_at: dict[int, float] = {}
        self._leftovers = Leftovers()
        self._respawn = Respawn()
        self._watch: Watch[Slot] = make_watch()
        self._events: list[Event] = []

    @property
    def slots(self) -> int:
        """How many tasks run at a time."""
        return self._count

    @property
    def idle(self) -> int:
        """How many slots take a chunk; one that is being started again does not."""
        return sum(slot.idle for slot in self._slots.values())

    @property
    def ahead(self) -> int:
        """How many busy slots take a second chunk."""
        return len(self._taking_ahead())

    @property
    def running(self) -> Sequence[Chunk]:
        """The chunks that have not ended."""
        given = [hand.chunk for slot in self._slots.values() for hand in slot.hands]
        return given + [work.chunk for work in self._behind.values()]

    @property
    def pids(self) -> list[int]:
        """The processes of the slots."""
        return [slot.pid for slot in self._slots.values()]

    def start(self) -> None:
        """Start the slots.

        Raises:
            EngineError: the first of them cannot be started.
        """
        try:
            Path.cwd()
        except OSError as error:
            raise EngineError(
                f"the current directory cannot be used ({error.strerror}): change to another one"
            ) from error
        self._context = prepare_context()
        self._progress = RawArray("B", SLOT_BYTES * self._count)
        # The slots are not daemons, as tasks may have processes of their own; an owner that
        # forgets `stop` would wait for them forever at its end.
        atexit.register(self.stop)
        now = time.monotonic()
        for number in range(self._count):
            self._start_at[number] = now
        self._start_due(now)

    def add_program(self, program: Program) -> None:
        """Make a batch known; harmless if it is known.

        Raises:
            ValueError: its spec cannot be decoded.
        """
        if program.batch not in self._programs:
            try:
                spec = decode(program.spec)
            except msgspec.DecodeError as error:
                raise ValueError(f"the program of batch {program.batch}: {error}") from error
            if spec.options.memory is not None and not SUPPORTED:
                _warn_of_memory()
            code = None if isinstance(spec.call, CommandCall) else program.code
            self._programs[program.batch] = program, spec.options.timeout, code

    def drop_program(self, batch: int) -> None:
        """Forget a batch; what has been submitted still runs."""
        self._programs.pop(batch, None)
        self._careful.discard(batch)
        for slot in self._slots.values():
            slot.forget(batch)

    def submit(self, chunk: Chunk, *, ahead: bool = False) -> None:
        """Give a chunk to a slot (see `farm.engines.base.Engine.submit`).

        Raises:
            ValueError: no slot takes it, the batch is not known, or the chunk is empty.
        """
        if chunk.start >= chunk.stop:
            raise ValueError(f"the chunk {chunk.id} is empty")
        if chunk.batch not in self._programs:
            raise ValueError(f"the program of batch {chunk.batch} has not been added")
        work = _Work(chunk, *self._programs[chunk.batch])
        idle = [slot for slot in self._slots.values() if slot.idle]
        candidates = self._taking_ahead() if ahead else idle
        if not candidates:
            raise ValueError(f"no slot takes the chunk {chunk.id} now")
        slot = min(candidates, key=lambda slot: _distance(slot.code, work.code))
        if ahead and _must_replace(slot.code, work.code):
            self._behind[slot.number] = work
        else:
            self._give(slot, work)

    def waitables(self) -> list[Any]:
        """What to wait for before `poll`."""
        return self._watch.waitables()

    def timeout(self, now: float) -> float | None:
        """Seconds until `poll` must be called; None if nothing but `waitables` matters."""
        if self._events:
            return 0.0
        slots = [*self._slots.values(), *self._leaving]
        dues = [slot.due(now) for slot in slots]
        dues += [self._leftovers.due(), *self._start_at.values()]
        if not self._watch.sees_writes and any(slot.pipe.pending for slot in slots):
            dues.append(now + _LOOK_SECONDS)
        known = [due for due in dues if due is not None]
        return max(0.0, min(known) - now) if known else None

    def poll(self) -> list[Event]:
        """What happened since the last call; never blocks.

        Raises:
            EngineError: slots die again and again before they run anything.
        """
        now = time.monotonic()
        ready = self._watch.ready()
        dead = {slot for thing, slot in ready if thing is not slot.pipe}
        for slot in {slot for _, slot in ready} - dead:
            self._talk(slot, now)
        for slot in dead:
            self._bury(slot, now)
        for slot in [*self._slots.values(), *self._leaving]:
            slot.enforce(now)
        self._leftovers.enforce(now)
        if self._start_at:
            self._start_due(now)
        events, self._events = self._events, []
        return events

    def cancel(self, batch: int) -> None:
        """Kill what runs of a batch and drop what waits."""
        now = time.monotonic()
        for slot in self._slots.values():
            slot.cancel(batch, now)
            self._watch_writing(slot)
        for number, work in list(self._behind.items()):
            if work.chunk.batch == batch:
                self._drop_behind(number)

    def take_back(self, batch: int | None = None) -> None:
        """Have what has not begun given back (see `farm.engines.base.Engine.take_back`)."""
        for slot in self._slots.values():
            if not slot.hands:
                continue
            slot.take_back(batch)
            self._watch_writing(slot)
            work = self._behind.get(slot.number)
            if work is not None and batch in (None, work.chunk.batch):
                self._drop_behind(slot.number)

    def _drop_behind(self, number: int) -> None:
        chunk = self._behind.pop(number).chunk
        self._events.append(Ended(chunk.id, chunk.batch, [(chunk.start, chunk.stop)]))

    def stop(self, grace: float = 2.0) -> None:
        """End all slots and what they started: TERM, wait, KILL. Idempotent.

        Args:
            grace: seconds between the two signals.
        """
        atexit.unregister(self.stop)
        every = [*self._slots.values(), *self._leaving]
        slots: dict[Any, Slot] = {slot.process.sentinel: slot for slot in every}
        deadline = time.monotonic() + grace
        self._end(slots, deadline, kill=False)
        self._leftovers.finish(deadline)
        self._end(slots, time.monotonic() + _KILLED_SECONDS, kill=True)
        self._forget_everything()

    def _end(self, slots: dict[Any, Slot], deadline: float, *, kill: bool) -> None:
        """Signal slots and reap those that end in time; they are taken out of ``slots``."""
        for slot in slots.values():
            signal_group(slot.pid, kill=kill)
        while slots and (wait := deadline - time.monotonic()) > 0:
            for sentinel in {*connection.wait(list(slots), wait)}.intersection(slots):
                slot = slots.pop(sentinel)
                self._leftovers.add(slot.pid, deadline, deadline)
                slot.close()

    def _taking_ahead(self) -> list[Slot]:
        behind = self._behind
        return [s for s in self._slots.values() if s.takes_ahead and s.number not in behind]

    def _give(self, slot: Slot, work: _Work) -> None:
        """Give work to a slot; one that holds other code exits, and its successor gets it."""
        if not _must_replace(slot.code, work.code):
            careful = work.chunk.batch in self._careful
            slot.give(work.chunk, work.program, work.timeout, work.code, careful=careful)
            self._watch_writing(slot)
            return
        now = time.monotonic()
        slot.leave(now)
        self._watch.remove(slot.pipe)
        self._leaving.append(self._slots.pop(slot.number))
        self._behind[slot.number] = work
        self._start_at[slot.number] = now
        self._start_due(now)

    def _talk(self, slot: Slot, now: float) -> None:
        slot.pipe.flush()
        events = slot.listen(now)
        if events:
            self._events += events
            self._respawn.works()
        if slot.pipe.closed:
            self._watch.remove(slot.pipe)
        self._watch_writing(slot)
        if slot.idle and slot.number in self._behind:
            self._give(slot, self._behind.pop(slot.number))

    def _bury(self, slot: Slot, now: float) -> None:
        self._watch.remove(slot.pipe)
        self._watch.remove(slot.process.sentinel)
        self._leftovers.add(slot.pid, now, slot.told_to_end)
        events, reason = slot.bury(now)
        self._events += events
        if slot.care is not None:
            batch, careful = slot.care
            (self._careful.add if careful else self._careful.discard)(batch)
        if slot in self._leaving:
            self._leaving.remove(slot)
            return
        del self._slots[slot.number]
        again = now if reason is None else self._respawn.after_death(now, reason)
        self._start_at[slot.number] = again

    def _start_due(self, now: float) -> None:
        for number in [number for number, due in self._start_at.items() if due <= now]:
            try:
                self._start(number)
            except (OSError, EOFError) as error:
                reason = f"it cannot be started: {error}"
                self._start_at[number] = self._respawn.after_death(now, reason)

    def _start(self, number: int) -> None:
        if self._context is None:
            raise EngineError("the engine has not been started")
        shown = Progress(memoryview(self._progress), number)
        shown.clear()
        process, pipe = start_process(self._context, number, self._progress, self._rooms)
        slot = Slot(number, process, pipe, shown)
        self._slots[number] = slot
        self._start_at.pop(number, None)
        self._watch.add(slot.pipe, slot)
        self._watch.add(process.sentinel, slot)
        if number in self._behind:
            self._give(slot, self._behind.pop(number))

    def _watch_writing(self, slot: Slot) -> None:
        self._watch.until_writable(slot.pipe, slot.pipe.pending)

    def _forget_everything(self) -> None:
        self._progress = None
        self._slots.clear()
        self._behind.clear()
        self._leaving.clear()
        self._start_at.clear()
        self._events.clear()
        self._watch.close()


@functools.cache
def _warn_of_memory() -> None:
    """Once a process."""
    log.warning(
        "this platform (%s) cannot limit the memory of a process: batches with a memory limit "
        "run without it here",
        sys.platform,
    )


def _must_replace(has: str | None, wants: str | None) -> bool:
    """Whether two versions of one module could meet in a slot.

    One that a batch brings along and one that is installed are two as well.
    """
    return has is not None and wants is not None and has != wants


def _distance(has: str | None, wants: str | None) -> int:
    """How well a slot suits a program: the same code, none yet, some other."""
    if has == wants:
        return 0
    return 2 if _must_replace(has, wants) else 1
