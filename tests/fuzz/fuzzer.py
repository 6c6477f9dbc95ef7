"""The attacker, as a process: sends what the strategies make, and looks at every answer.

    python -m fuzz.fuzzer PORT KEY_FILE CANARY SEED FRAMES

prints one JSON document at the end: frames by kind, problems, and the scripts that led to them.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from farm.errors import ProtocolError
from farm.wire import codec
from fuzz import requests
from fuzz.frames import CHALLENGE, FARM, PLAIN, ROLES, STRANGER, Frame, Script, framed, scripts
from fuzz.talk import PATIENCE, AnswerError, GoneError, SilentError, Talk

ROUND = 100
"""Scripts that one hypothesis test makes; there are as many rounds as it takes."""

MAX_WRONG = 50
"""Answers that should not have come, after which a run is broken off."""

_HELLO = b"\xa5Hello"
HELD_SECONDS = 0.1
"""A plain call that has no answer by then waits for something, as it may."""

FOLLOW_UP = 2**62
"""The request that follows each frame of farm's protocol has an id from here on: its answer says
that the frame has been dealt with."""


class Fuzzer:
    """Runs scripts against a server.

    Args:
        port: of the server.
        keys: by role.
        frames: after so many, the rest is not sent.
    """

    def __init__(self, port: int, keys: dict[str, bytes], frames: int) -> None:
        self._port = port
        self._keys = keys
        self._wanted = frames
        self._numbers = itertools.count(FOLLOW_UP)
        self.sent: Counter[str] = Counter()
        self.connections = 0
        self.answers = 0
        self.problems: list[str] = []
        """Each of them once, with the scripts that led to it."""
        self._wrong: Counter[str] = Counter()
        self._last: deque[Script] = deque(maxlen=3)

    @property
    def over(self) -> bool:
        """Whether enough was sent, or enough is wrong."""
        return self.sent.total() >= self._wanted or self._wrong.total() >= MAX_WRONG

    def open(self, stage: str, role: str) -> Talk:
        """A connection at a stage of its life."""
        talk = self._connect(role)
        talk.enter(stage)
        return talk

    def _connect(self, role: str) -> Talk:
        self.connections += 1
        return Talk(self._port, self._keys[role])

    def run(self, script: Script) -> None:
        """Send a script; what is wrong with the answers becomes a problem."""
        self._last.append(script)
        try:
            if script.stage == STRANGER:
                for frame in script.frames:
                    self._run_stranger(frame)
            else:
                self._run_known(script)
        except (AnswerError, OSError) as error:
            before = self._wrong[str(error)]
            self._wrong[str(error)] += MAX_WRONG // 4 if isinstance(error, SilentError) else 1
            if not before:
                shown = "\n    ".join(repr(script) for script in self._last)
                self.problems.append(f"{error}\n  the last scripts:\n    {shown}")

    # -- strangers ----------------------------------------------------------------------------

    def _run_stranger(self, frame: Frame) -> None:
        """One connection, which must not outlive the frame."""
        if self.over:
            return
        talk = self._connect(ROLES[0])
        try:
            talk.meet(frame.steps)
            talk.send(frame.data)
            self.sent[frame.kind] += 1
            for answer in talk.rest():
                self._look_at_refusal(frame, answer)
        except GoneError:
            return  # before it was all sent
        finally:
            talk.close()

    def _look_at_refusal(self, frame: Frame, answer: bytes) -> None:
        self.answers += 1
        is_digest = frame.steps == CHALLENGE and (answer.startswith(b"{") or len(answer) == 16)
        if answer != b"#FAILURE#" and not answer.startswith(b"#REFUSED#") and not is_digest:
            raise AnswerError(f"a stranger was told {answer!r}")

    # -- holders of a key ---------------------------------------------------------------------

    def _run_known(self, script: Script) -> None:
        """All the frames, on as many connections as it takes."""
        left = deque(script.frames)
        while left and not self.over:
            talk = self.open(script.stage, script.role)
            try:
                while left and not self.over:
                    frame = left.popleft()
                    talk.send(frame.data)
                    self.sent[frame.kind] += 1
                    if frame.ends:
                        self.answers += len(talk.rest())
                        break
                    if not self._is_answered(talk, script.stage, frame):
                        break
            except GoneError:
                continue
            finally:
                talk.close()

    def _is_answered(self, talk: Talk, stage: str, frame: Frame) -> bool:
        """Wait until the server has dealt with a frame; False if nothing more is to be sent."""
        if stage == FARM:
            return self._is_answered_farm(talk, may_mute=_HELLO in frame.data)
        answer = talk.frame(HELD_SECONDS)
        if answer is None:
            return False
        self.answers += 1
        if stage == PLAIN and b"the server's log says why" in answer:
            raise AnswerError(f"the server failed: {answer!r}")
        return True

    def _is_answered_farm(self, talk: Talk, *, may_mute: bool) -> bool:
        number = next(self._numbers)
        talk.send(framed(requests.encoded(number, ["ListBatches", 0])))
        deadline = time.monotonic() + (HELD_SECONDS if may_mute else PATIENCE)
        while time.monotonic() < deadline:
            answer = talk.frame(deadline - time.monotonic())
            if answer is None:
                break
            self.answers += 1
            found, body = self._read(answer)
            if found == number:
                return True
            if body == "superseded":
                return False  # what follows is not served, see `farm.server.fencing`
        if may_mute:
            return False  # the same, of a greeting that wanted no answer
        raise SilentError(f"no answer within {PATIENCE:g} s")

    def _read(self, answer: bytes) -> tuple[int, str]:
        """The id of an answer, and the code of a refusal.

        Raises:
            AnswerError: it is none, or the server could not serve the request.
        """
        try:
            number, body = codec.decode_reply(answer)
        except ProtocolError as error:
            raise AnswerError(f"the server answered {answer[:500]!r}: {error}") from error
        code = getattr(body, "code", "")
        if code in ("internal", "journal"):
            raise AnswerError(f"the server failed: {body}")
        return number, code


def play(fuzzer: Fuzzer, canary: str, first: int) -> None:
    """Run scripts until there were enough frames.

    Args:
        fuzzer: runs them.
        canary: see `fuzz.frames.scripts`.
        first: the seed of the first round; the others follow it.
    """
    made = scripts(canary)
    for number in itertools.count(first):
        if fuzzer.over:
            return
        _round(fuzzer.run, fuzzer, made, number)


def _round(run: Callable[[Script], None], fuzzer: Fuzzer, made: Any, number: int) -> None:
    seen: set[Script] = set()

    @seed(number)
    @settings(
        database=None, phases=[Phase.generate], deadline=None, max_examples=ROUND,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(made)
    def one_round(script: Script) -> None:
        # hypothesis gives some of them twice.
        if not fuzzer.over and script not in seen:
            seen.add(script)
            run(script)

    one_round()


def open_up(fuzzer: Fuzzer) -> None:
    """Say what `fuzz.requests.opening` has, so that there are batches to be hit."""
    talk = fuzzer.open(FARM, ROLES[0])
    for number, message in enumerate(requests.opening(), 1):
        talk.send(framed(codec.encode(number, message)))
    for number in range(1, len(requests.opening()) + 1):
        answer = talk.frame()
        if answer is None or codec.decode_reply(answer)[0] != number:
            raise AnswerError(f"the opening was answered with {answer!r}")
    talk.close()


def read_keys(file: Path) -> dict[str, bytes]:
    """The keys of all roles, which lie beside the first one."""
    names = {role: file if role == ROLES[0] else Path(f"{file}.{role}") for role in ROLES}
    return {role: path.read_bytes().strip() for role, path in names.items()}


def main() -> None:
    """Run as a process."""
    port, file, canary, first, frames = sys.argv[1:]
    os.nice(5)  # an attacker has machines of its own
    fuzzer = Fuzzer(int(port), read_keys(Path(file)), int(frames))
    play(fuzzer, canary, int(first))
    document = {
        "sent": dict(sorted(fuzzer.sent.items())),
        "connections": fuzzer.connections,
        "answers": fuzzer.answers,
        "problems": fuzzer.problems,
    }
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    main()
