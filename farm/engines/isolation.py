"""Sets a slot apart: from the terminal, from the owner's group, and its pipe from its tasks."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys

if sys.platform != "win32":
    import fcntl

_HIGH_DESCRIPTOR = 200
_KILLED = 137


def isolate(environment: dict[str, str]) -> None:
    """Make the slot a process group of its own that Ctrl-C does not reach.

    Args:
        environment: the owner's, which may have changed since the fork server was started.
    """
    if hasattr(os, "setsid"):
        os.setsid()
    # `multiprocessing` replaces sys.stdin alone; what tasks start would read the node's input.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if nothing != 0:
        os.close(nothing)
    # A handler, not SIG_IGN, which the commands that tasks start would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what is buffered is lost when a slot is killed
            stream.reconfigure(line_buffering=True)


def out_of_reach(link: socket.socket) -> socket.socket:
    """Move the pipe to a descriptor that a task does not hit by closing or counting a few.

    Nothing that a task starts inherits it: it is closed by an exec, and by a fork.
    """
    if sys.platform == "win32":
        return link
    high = fcntl.fcntl(link.fileno(), fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR)
    link.close()
    moved = socket.socket(fileno=high)
    os.register_at_fork(after_in_child=moved.close)
    return moved


def kill_own_group() -> None:
    """End this process and what it started."""
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(_KILLED)
