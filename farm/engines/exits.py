"""How a process ended, in words."""

from __future__ import annotations

import signal

NO_MEMORY = 213
"""How a slot exits that has no memory left for what is farm's own; a number nobody else uses."""

BROKEN = 214
"""How one exits whose own work was broken off by an exception; another such number."""

PIPE_TAKEN = 215
"""How one exits that has no pipe to its owner any more, though the owner lives."""

SCRIBBLED = (
    "the process of the task was ended, as something else than its reports came through its pipe: "
    "a task may write to descriptors that it has not opened itself"
)

CLOSED = (
    "the process of the task was ended, as its pipe was closed or read from: the task may have "
    "used descriptors that it has not opened itself"
)

_HINTS = {
    "SIGKILL": "the machine may have run out of memory; run fewer processes or smaller tasks",
    "SIGSEGV": "native code called by the task accessed memory it may not",
    "SIGABRT": "native code called by the task aborted",
}

_OWN_HINTS = {
    NO_MEMORY: "the task left no memory for the slot's own work",
    BROKEN: "an exception broke off the slot's own work, maybe one that a signal handler or a "
    "thread of a task raised; the node's standard error has it",
}


def exit_text(code: int) -> str:
    """``exit code 3``, or for a negative one ``killed by SIGSEGV``."""
    return f"killed by {_signal_name(-code)}" if code < 0 else f"exit code {code}"


def crash_text(code: int) -> str:
    """What a person is told of a task whose process ended under it."""
    hint = _HINTS.get(_signal_name(-code)) if code < 0 else "the task ended its process"
    hint = _OWN_HINTS.get(code, hint)
    return f"the process of the task ended: {exit_text(code)}" + (f" ({hint})" if hint else "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
