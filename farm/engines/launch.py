"""Starts the processes of slots, by the fork server where there is one."""

from __future__ import annotations

import multiprocessing
import os
import socket
from multiprocessing import connection, spawn
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

from farm.engines import child
from farm.engines.pipe import OwnerPipe
from farm.engines.sockets import have_short_paths
from farm.rooms import Rooms

_NAME = "farm-slot-"
_preparation_data = spawn.get_preparation_data


def prepare_context() -> BaseContext:
    """The context slots are started with; its server imports the slot's program once.

    Raises:
        EngineError: its server has no place for its socket.
    """
    spawn.get_preparation_data = _without_main
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    have_short_paths()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([child.__name__])
    return context


def start_process(
    context: BaseContext, number: int, progress: Any, rooms: Rooms
) -> tuple[BaseProcess, OwnerPipe]:
    """Start the process of one slot.

    Args:
        context: from `prepare_context`.
        number: which slot, from 0.
        progress: see `farm.engines.child.main`.
        rooms: for what slots say.

    Returns:
        The process and the owner's end of its pipe.

    Raises:
        OSError: it cannot be started.
        EOFError: the fork server is gone.
    """
    own, theirs = socket.socketpair()
    lifeline, held = connection.Pipe(duplex=False)
    pipe = OwnerPipe(own, held, rooms)
    arguments = (theirs, lifeline, progress, number, dict(os.environ))
    process: BaseProcess = context.Process(  # type: ignore[attr-defined]
        target=child.main, args=arguments, name=f"{_NAME}{number}", daemon=False
    )
    try:
        process.start()
    except BaseException:
        pipe.close()
        raise
    finally:
        theirs.close()
        lifeline.close()
    return process, pipe


def _without_main(name: str) -> dict[str, Any]:
    """What `multiprocessing.spawn` tells a new process, without the caller's ``__main__``.

    A slot needs nothing of the program it is embedded in, whose import may be slow or may start
    things; functions of ``__main__`` travel by value. Other processes are prepared as ever.
    """
    data: dict[str, Any] = _preparation_data(name)
    if name.startswith(_NAME):
        data.pop("init_main_from_name", None)
        data.pop("init_main_from_path", None)
    return data
