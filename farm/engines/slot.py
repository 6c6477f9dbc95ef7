"""The owner's view of one slot: its process, its pipe, the chunks it has, and how it ends."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

import msgspec

from farm.engines.base import Block, Chunk, Event, Program
from farm.engines.exits import BROKEN, CLOSED, PIPE_TAKEN, SCRIBBLED, crash_text, exit_text
from farm.engines.groups import TERM_SECONDS, signal_group
from farm.engines.hand import Hand
from farm.engines.messages import (
    Cut,
    Done,
    Drop,
    Failure,
    Finished,
    Forget,
    FromSlot,
    Leave,
    Run,
    Spent,
    ToSlot,
    UseBlock,
    UseProgram,
    decode_from_slot,
    encode_pieces,
)
from farm.engines.pipe import Data, OwnerPipe
from farm.engines.progress import Progress

PROGRAMS_KEPT = 16
_DROP_SECONDS = 0.05
_LEAVE_SECONDS = 2.0
_BROKEN_SECONDS = 0.5
_UNHEARD_SECONDS = 0.2


@dataclass(slots=True)
class Doom:
    """Why a slot is to end, and by when.

    Args:
        reason: ``timeout``, ``cancel``, ``leave``, ``spent`` or ``broken``.
        kill_at: when it is killed if it has not ended (`time.monotonic`).
        index: the task that ran too long.
        limit: how long it was allowed to run, seconds.
    """

    reason: str
    kill_at: float
    index: int = -1
    limit: float = 0.0


class Slot:
    """One slot from the start of its process to its end.

    Args:
        number: which slot it is, from 0.
        process: started.
        pipe: the owner's end of its pipe.
        shown: what it shows of the task that runs.
    """

    def __init__(self, number: int, process: BaseProcess, pipe: OwnerPipe, shown: Progress) -> None:
        self.number = number
        self.process = process
        self.pipe = pipe
        if process.pid is None:  # as a group's number, 0 would be the owner's own
            raise ValueError("the process of a slot has not been started")
        self.pid: int = process.pid
        self.code: str | None = None  # of what it has loaded; None for nothing yet
        self.hands: deque[Hand] = deque()
        self.doom: Doom | None = None
        self.care: tuple[int, bool] | None = None
        """After `bury`: a batch, and whether its chunks are to be run carefully from now on."""
        self._shown = shown
        self._programs: OrderedDict[int, None] = OrderedDict()
        self._block: Block | None = None
        self._drop_by: float | None = None
        self._broken_by: float | None = None
        self._hear_by: float | None = None
        self._scribblers: tuple[Hand | None, range] | None = None

    @property
    def idle(self) -> bool:
        """Whether it runs a chunk at once."""
        return not self.hands and self.doom is None

    @property
    def takes_ahead(self) -> bool:
        """Whether it takes a chunk behind the one it runs."""
        return len(self.hands) == 1 and self.doom is None

    def give(
        self,
        chunk: Chunk,
        program: Program,
        timeout: float | None,
        code: str | None,
        *,
        careful: bool = False,
    ) -> None:
        """Send a chunk and what it needs that the slot does not have; ``code`` is then loaded."""
        said: list[ToSlot] = []
        if chunk.batch not in self._programs:
            said.append(UseProgram(program.batch, program.spec, program.code_dir))
        self._programs[chunk.batch] = None
        self._programs.move_to_end(chunk.batch)
        if len(self._programs) > PROGRAMS_KEPT:
            said.append(Forget(self._programs.popitem(last=False)[0]))
        self.code = code if self.code is None else self.code
        if chunk.block is not None and chunk.block is not self._block:
            self._block = chunk.block
            said.append(UseBlock(chunk.block.start, chunk.block.payload))
        self._send(*said, Run(chunk.id, chunk.batch, chunk.start, chunk.stop, careful))
        self.hands.append(Hand(chunk, timeout, careful=careful))

    def forget(self, batch: int) -> None:
        """A batch is over."""
        if batch in self._programs:
            del self._programs[batch]
            self._send(Forget(batch))

    def listen(self, now: float) -> list[Event]:
        """What the slot has reported since the last call."""
        events: list[Event] = []
        self._hear_by = None
        for data in self.pipe.receive():
            message = self._understood(data)
            if message is None:
                self.pipe.broken = self.pipe.closed = True
                break
            if isinstance(message, Finished):
                # What was dropped did not begin, and of any other chunk nothing is lost.
                events += self._over(message.chunk)
                waits = self.hands and self.hands[0].cancelled
                self._drop_by = now + _DROP_SECONDS if waits else None
            elif isinstance(message, Spent):
                events += self._spent(now)
            elif isinstance(message, Cut):
                events += self._cut(message)
            else:
                events += self.hands[0].take(self._judged(message))
        self.pipe.recycle()
        if self.pipe.broken:
            self._distrust(now)
        if self.pipe.closed and self._broken_by is None:
            self._broken_by = now + _BROKEN_SECONDS
        return events

    def _understood(self, data: Data) -> FromSlot | None:
        """What a slot says; None if a task wrote to the pipe, or damaged what the slot wrote."""
        try:
            message: FromSlot = decode_from_slot(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if isinstance(message, Done | Failure) and not (
            self.hands and self.hands[0].expects(message)
        ):
            return None
        return message

    def _distrust(self, now: float) -> None:
        """End a slot that says what makes no sense: a task wrote to its pipe."""
        if self.doom is None:
            self._scribblers = self._unheard()
            self.kill(Doom("broken", now + TERM_SECONDS))

    def _unheard(self) -> tuple[Hand | None, range]:
        """The tasks that have begun and were not heard of, of the oldest chunk that has any."""
        running, index = self._running()
        for hand in self.hands if running else ():
            over = hand is not running or index < 0
            last = hand.stop - 1 if over else index
            if hand.owes(last):
                return hand, range(hand.position, last + 1)
            if hand is running:
                break
        return None, range(0)

    def _over(self, chunk: int) -> list[Event]:
        """The oldest chunk has ended, or one was dropped before it began.

        A slot that is spent may still say that it has dropped one, which has ended by then.
        """
        hand = self._hand_of(chunk)
        if hand is None:
            return []
        self.hands.remove(hand)
        return [hand.over()]

    def _cut(self, message: Cut) -> list[Event]:
        """What of a chunk will not begin; one that has ended meanwhile was over all the same."""
        hand = self._hand_of(message.chunk)
        return [] if hand is None else hand.cut(message)

    def _hand_of(self, chunk: int) -> Hand | None:
        return next((hand for hand in self.hands if hand.chunk.id == chunk), None)

    def _spent(self, now: float) -> list[Event]:
        """It exits by itself, between two tasks: nobody is to blame, and nothing else begins."""
        events: list[Event] = [hand.end(begun=False) for hand in self.hands]
        self.hands.clear()
        self.doom = self.doom or Doom("spent", now + _LEAVE_SECONDS)
        return events

    def take_back(self, batch: int | None = None) -> None:
        """Ask for what it has not begun, of one batch or of all."""
        for place, hand in enumerate(self.hands):
            if hand.asked_back or batch not in (None, hand.chunk.batch):
                continue
            if place or hand.stop - hand.position > 1:  # of the first, a task runs
                hand.asked_back = True
                self._send(Drop(hand.chunk.id))

    def cancel(self, batch: int, now: float) -> None:
        """End what it has of a batch: what runs by a kill, what waits by not beginning it."""
        for position, hand in enumerate(self.hands):
            if hand.chunk.batch != batch or hand.cancelled:
                continue
            hand.cancelled = True
            if position == 0:
                self.kill(Doom("cancel", now + TERM_SECONDS))
            else:
                self._send(Drop(hand.chunk.id))

    def leave(self, now: float) -> None:
        """Ask an idle slot to exit."""
        self.doom = Doom("leave", now + _LEAVE_SECONDS)
        self._send(Leave())

    def kill(self, doom: Doom) -> None:
        """Tell the slot and all it started to end; `enforce` kills what does not."""
        if self.doom is None:
            self.doom = doom
            signal_group(self.pid, kill=False)

    def enforce(self, now: float) -> None:
        """Act on what is due: a task over its limit, a slot that does not end."""
        if self.doom is not None:
            if now >= self.doom.kill_at:
                signal_group(self.pid, kill=True)
            return
        if self._broken_by is not None:
            if now >= self._broken_by:
                self.kill(Doom("broken", now + TERM_SECONDS))
        elif self._drop_by is not None and now >= self._drop_by:
            self.kill(Doom("cancel", now + TERM_SECONDS))
        else:
            if self.pipe.partial:
                self._enforce_sense(now)
            self._enforce_limit(now)

    def due(self, now: float) -> float | None:
        """When `enforce` must be called at the latest (`time.monotonic`)."""
        if self.doom is not None:
            return max(self.doom.kill_at, now + _DROP_SECONDS)
        timeout = self.hands[0].timeout if self.hands else None
        partial = self.pipe.partial
        if timeout is None and self._drop_by is None and self._broken_by is None and not partial:
            return None  # nearly always: this is asked with each message
        dues = [due for due in (self._drop_by, self._broken_by, self._hear_by) if due is not None]
        if partial and self.hands and self._hear_by is None:
            dues.append(now + _UNHEARD_SECONDS)
        if timeout is not None:
            began = self._shown.began
            # While nothing is timed a task may begin at any moment.
            dues.append((began / 1e9 if began else now) + timeout)
        return min(dues, default=None)

    @property
    def told_to_end(self) -> float | None:
        """When all it started is to be killed, if that was told to end already."""
        told = self.doom is not None and self.doom.reason not in ("leave", "spent")
        return self.doom.kill_at if self.doom and told else None

    def bury(self, now: float) -> tuple[list[Event], str | None]:
        """Everything that the end of the process means; the slot cannot be used afterwards.

        Where one of several tasks is to blame, none is: the engine has them tried again carefully.

        Returns:
            The last events; and how the process ended, if neither a task nor the owner is to
            blame for it.
        """
        events: list[Event] = []
        while not self.pipe.closed and (heard := self.listen(now)):
            events += heard
        self.process.join(_BROKEN_SECONDS)
        code = self.process.exitcode or 0
        hand, suspects = self._suspects(code)
        if hand is not None and (hand.careful or len(suspects) > 1):
            self.care = hand.chunk.batch, not hand.careful
        if hand is not None and (hand.careful or len(suspects) == 1):
            self.hands.remove(hand)
            events += hand.blame(suspects[0], *self._verdict(code, now))
        events += [hand.end(begun=True) for hand in self.hands]
        self.hands.clear()
        self.close()
        expected = self.doom is not None and self.doom.reason != "broken"
        return events, None if hand is not None or expected else exit_text(code)

    def close(self) -> None:
        """Free the pipe and reap the process, which has ended."""
        self.pipe.close()
        self.process.join()
        self.process.close()

    def _send(self, *messages: ToSlot) -> None:
        self.pipe.send(*map(encode_pieces, messages))

    def _running(self) -> tuple[Hand | None, int]:
        """The chunk that runs, and its task that does; -1 if there is none.

        The chunk is not the oldest one if the end of that has not been heard yet. Where it is cut,
        what is shown may be the first task that does not begin: the one before it is being packed.
        """
        hand, index = self._hand_of(self._shown.chunk), self._shown.index
        return hand, index if hand is None else min(index, hand.stop - 1)

    def _enforce_sense(self, now: float) -> None:
        """Distrust a slot that has said all of a chunk, and of which half of a message came last.

        A task wrote what was taken for the length of that message, so that the end of the chunk is
        a part of it and would never be heard. The slot shows that the chunk is over after it has
        sent that: if nothing more can be read by then, nothing more comes.
        """
        finished = self._shown.finished
        if all(hand.chunk.id != finished for hand in self.hands):
            return
        if self._hear_by is None:
            self._hear_by = now + _UNHEARD_SECONDS
        elif now >= self._hear_by:
            self._distrust(now)

    def _enforce_limit(self, now: float) -> None:
        if all(hand.timeout is None for hand in self.hands):
            return  # nearly always: this is asked with each message, and `index` takes a while
        began, (hand, index) = self._shown.began, self._running()
        limit = None if hand is None else hand.timeout
        if limit is None or not began:
            return
        if began != self._shown.began or now - began / 1e9 < limit:
            return
        self.kill(Doom("timeout", now + TERM_SECONDS, index, limit))

    def _suspects(self, code: int) -> tuple[Hand | None, range]:
        """The tasks of which one ended the slot, and whose they are; none if none of them did.

        What harms the slot's own work is seen when that is done, which is later than the task.
        """
        doom = self.doom
        if self._scribblers is not None:
            hand, tasks = self._scribblers
            if hand is None or hand not in self.hands or not hand.owes(tasks[-1]):
                return None, range(0)
            return hand, range(max(hand.position, tasks.start), tasks.stop)
        if doom.reason == "broken" if doom else code in (BROKEN, PIPE_TAKEN):
            return self._unheard()
        hand, index = self._running()
        guilty = doom is None or (doom.reason == "timeout" and doom.index == index)
        if hand is None or not hand.owes(index) or not guilty:
            return None, range(0)
        return hand, range(index, index + 1)

    def _judged(self, failure: Done | Failure) -> Done | Failure:
        """A task that turns SIGTERM into an exception has been timed out all the same."""
        doom = self.doom
        if isinstance(failure, Failure) and doom is not None and failure.start == doom.index:
            return msgspec.structs.replace(
                failure, kind="timeout", type_name="", message=_timeout_text(doom.limit)
            )
        return failure

    def _verdict(self, code: int, now: float) -> tuple[str, str, float]:
        began = self._shown.began
        seconds = now - began / 1e9 if began else 0.0
        if self.doom is not None and self.doom.reason == "timeout":
            return "timeout", _timeout_text(self.doom.limit), seconds
        if self._scribblers is not None:
            return "crash", SCRIBBLED, seconds
        if self.doom is not None or code == PIPE_TAKEN:
            return "crash", CLOSED, seconds
        return "crash", crash_text(code), seconds


def _timeout_text(limit: float) -> str:
    return f"the attempt took longer than its timeout of {limit:g} s and was killed"
