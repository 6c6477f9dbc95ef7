"""Sets a slot apart: from the terminal, from the owner's group, and its pipe from its tasks."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import sys
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from typing import Any, NoReturn

if sys.platform != "win32":
    import fcntl

_HIGH_DESCRIPTOR = 200
_KILLED = 137
_F_SETSIG = 10  # fcntl.F_SETSIG of Linux, which Python names from 3.12 on where glibc does


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


def keep_from_tasks(shared: Any) -> None:
    """Take what `multiprocessing` opened for the slot out of its tasks' reach.

    A byte written to the fork server ends it, and what is written to the file of shared memory
    stands in that memory. A slot needs neither, as memory stays mapped without its file. Their
    numbers lead nowhere from now on; they stay taken, because Python closes them at some time.

    Args:
        shared: memory from `multiprocessing.sharedctypes`.
    """
    if sys.platform == "win32":
        return
    alive = getattr(forkserver._forkserver, "_forkserver_alive_fd", None)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in [*_files_of(shared), *([] if alive is None else [alive])]:
        os.dup2(nothing, number, inheritable=False)
    os.close(nothing)
    tracker: Any = resource_tracker._resource_tracker
    number = getattr(tracker, "_fd", None)
    if number is not None:  # tasks may use it, and who closes descriptors by the number does not
        tracker._fd = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR)
        os.close(number)


def _files_of(shared: Any) -> list[int]:
    """The descriptors of the file: what was sent to the slot, and the mapping's own copy of it."""
    file = shared._wrapper._state[0][0].fd
    if file < 0:
        return []
    wanted, found = os.fstat(file), [file]
    for number in range(3, _HIGH_DESCRIPTOR):
        with contextlib.suppress(OSError):
            if number != file and os.path.samestat(os.fstat(number), wanted):
                found.append(number)
    return found


def die_with_owner(lifeline: Connection) -> None:
    """Have the kernel kill the slot's group when its owner ends.

    The porter does that as well, but not while a task holds the interpreter in a C call. Nothing
    is ever written to the lifeline, so the only event that it can signal is that its other end,
    which the owner alone holds, was closed (fcntl(2): O_ASYNC, F_SETOWN, F_SETSIG).
    """
    if sys.platform != "linux":
        return
    number = fcntl.fcntl(lifeline.fileno(), fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR)
    lifeline.close()
    fcntl.fcntl(number, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(number, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(number, fcntl.F_SETFL, os.O_ASYNC)
    os.register_at_fork(after_in_child=lambda: _close(number))


def stop_timers() -> None:
    """Switch off what tasks have set: the signal would come in another batch's task."""
    if hasattr(signal, "setitimer"):
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0.0)


def _close(number: int) -> None:
    with contextlib.suppress(OSError):  # a task may have closed it
        os.close(number)


def kill_own_group() -> NoReturn:
    """End this process and what it started."""
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(_KILLED)
