"""What every engine promises: the chunks a node gives it and the events it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from farm.errors import FarmError


class EngineError(FarmError):
    """The engine cannot run tasks on this machine; the message gives the reason."""


class Program(msgspec.Struct, frozen=True):
    """What a batch runs.

    Args:
        batch: the batch's id.
        spec: a `farm.batch.spec.Spec`, encoded, without its files.
        code: digest of the files shipped with the batch, empty if there are none. Two programs
            of different digests never share a slot, unless one is a command.
        code_dir: the directory that holds these files unpacked; it is put first on ``sys.path``.
    """

    batch: int
    spec: bytes
    code: str = ""
    code_dir: str | None = None


class Block(msgspec.Struct, frozen=True):
    """Arguments of the indices ``[start, stop)`` of a batch that has no parameter space.

    Args:
        start: first index.
        stop: one past the last index.
        payload: pickled list of ``stop - start`` items: ``(args, kwargs)``, or
            ``(target, args, kwargs)`` where each item brings its own call.
    """

    start: int
    stop: int
    payload: bytes


class Chunk(msgspec.Struct, frozen=True):
    """Consecutive tasks of one batch for one slot.

    Args:
        id: the node's own number for it, unique while the chunk is in the engine.
        batch: whose tasks.
        start: first index.
        stop: one past the last index, above ``start``.
        block: covers ``[start, stop)`` if the batch has no space; hand over the same object for
            chunks of the same block, a slot that has it is not sent it again.
    """

    id: int
    batch: int
    start: int
    stop: int
    block: Block | None = None


class Part(msgspec.Struct, frozen=True):
    """The tasks ``[start, stop)`` are done.

    Args:
        payload: the list of their results, pickled (protocol 5).
        seconds: how long each took, as the bytes of an ``array('f')``.
    """

    chunk: int
    batch: int
    start: int
    stop: int
    payload: bytes
    seconds: bytes


class Failed(msgspec.Struct, frozen=True):
    """The attempt at one task failed.

    Args:
        kind: ``error``, ``unpicklable``, ``timeout`` or ``crash``.
        type_name: the exception's class, empty if there was none.
        message: at most 64 KiB.
        traceback: text without the engine's own frames, at most 256 KiB.
        exception: the exception pickled, at most 1 MiB; None if it cannot be pickled.
        seconds: how long the attempt took.
    """

    chunk: int
    batch: int
    index: int
    kind: str
    type_name: str
    message: str
    traceback: str
    exception: bytes | None
    seconds: float


class Ended(msgspec.Struct, frozen=True):
    """A chunk left its slot.

    Args:
        lost: ranges that were neither done nor failed, because the slot ended or the batch was
            cancelled; the node owes them still.
        begun: whether some of their tasks may have begun, or even ended unheard. False only if it
            is certain that none did: the chunk was never sent to a slot, or the slot said that it
            did not and will not begin them.
    """

    chunk: int
    batch: int
    lost: list[tuple[int, int]]
    begun: bool = False


class Returned(msgspec.Struct, frozen=True):
    """Tasks of a chunk that runs will not begin there; the node owes them still.

    Args:
        lost: ranges.
    """

    chunk: int
    batch: int
    lost: list[tuple[int, int]]


Event = Part | Failed | Returned | Ended


class Engine(Protocol):
    """Runs chunks in slots. All of it is called from one thread.

    Each chunk ends with exactly one `Ended`, and every index of it is in exactly one of its
    `Part`s, its `Failed`, or what is ``lost`` by `Returned` or `Ended`. What is lost may run again
    unless the batch forbids it and ``begun`` is set (`farm.batch.spec.Options.rerun`).
    """

    @property
    def slots(self) -> int:
        """How many tasks run at a time."""

    @property
    def idle(self) -> int:
        """How many chunks `submit` takes now."""

    @property
    def ahead(self) -> int:
        """How many chunks `submit` takes now with ``ahead=True``."""

    @property
    def running(self) -> Sequence[Chunk]:
        """The chunks that have not ended, those that wait behind another included."""

    def start(self) -> None:
        """Start the slots."""

    def add_program(self, program: Program) -> None:
        """Make a batch known; needed before its first chunk. Harmless if it is known.

        Raises:
            ValueError: the program's spec cannot be decoded.
        """

    def drop_program(self, batch: int) -> None:
        """Forget a batch; chunks of it that have been submitted still run."""

    def submit(self, chunk: Chunk, *, ahead: bool = False) -> None:
        """Give a chunk to an idle slot, or (``ahead``) put it behind the one a slot runs.

        Raises:
            ValueError: no slot takes it, the batch is not known, or the chunk is empty.
        """

    def waitables(self) -> list[Any]:
        """What `multiprocessing.connection.wait` may wait for until `poll` has work."""

    def timeout(self, now: float) -> float | None:
        """Seconds until `poll` must be called even if nothing is ready; None if never.

        Args:
            now: `time.monotonic`.
        """

    def poll(self) -> list[Event]:
        """Everything that happened since the last call; never blocks.

        Raises:
            EngineError: slots die again and again before they run anything.
        """

    def take_back(self, batch: int | None = None) -> None:
        """Have what has not begun given back: others have nothing to do.

        Of chunks that wait behind another, `Ended`s with all of them lost and not begun follow from
        `poll`, unless they begin first; of one that runs for long, a `Returned` of what comes
        behind the task that runs.

        Args:
            batch: of this one alone; of all of them if None.
        """

    def cancel(self, batch: int) -> None:
        """Kill what runs of a batch and drop what waits; the `Ended`s follow from `poll`."""

    def stop(self, grace: float = 2.0) -> None:
        """End all slots and what they started: TERM, wait ``grace`` seconds, KILL. Idempotent."""
