"""An exception, made into what can travel: bounded text, and the exception itself if it can."""

from __future__ import annotations

import asyncio
import pickle
import traceback
from pathlib import Path
from types import TracebackType

from farm.engines.messages import Failure

MAX_MESSAGE = 64 << 10
MAX_TRACEBACK = 256 << 10
MAX_EXCEPTION = 1 << 20
"""Bytes; an exception that is larger when pickled travels as text alone."""

_OWN = (str(Path(__file__).parent), str(Path(asyncio.__file__).parent))


class CallError(Exception):
    """A task's call could not be made or did not succeed, for a reason farm can name.

    Args:
        type_name: what stands in the place of an exception's class.
        message: one line or a few.
        report: more, where a traceback would be.
    """

    def __init__(self, type_name: str, message: str, report: str = "") -> None:
        super().__init__(message)
        self.type_name = type_name
        self.message = message
        self.report = report


def describe(
    error: BaseException, start: int, stop: int, seconds: float = 0.0, kind: str = "error"
) -> Failure:
    """The failure of the tasks ``[start, stop)`` by ``error``."""
    if isinstance(error, CallError):
        message, report, pickled = error.message, error.report, None
        type_name = error.type_name
    else:
        message, report, pickled = text_of(error), _trace(error), _pickled(error)
        type_name = type(error).__qualname__
    return Failure(
        start=start,
        stop=stop,
        kind=kind,
        type_name=type_name,
        message=clip(message, MAX_MESSAGE),
        traceback=clip(report, MAX_TRACEBACK),
        exception=pickled,
        seconds=seconds,
    )


def clip(text: str, limit: int) -> str:
    """``text`` that fits ``limit`` bytes of UTF-8: its head and its tail, the cut marked."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit:
        return data.decode()
    half = limit // 2 - 32
    head, tail = data[:half].decode(errors="ignore"), data[-half:].decode(errors="ignore")
    return f"{head}\n[... {len(data) - 2 * half} bytes cut ...]\n{tail}"


def trace_text(error: BaseException) -> str:
    """The traceback of ``error`` without the frames of the engine that called the task."""
    return "".join(
        traceback.format_exception(type(error), error, _beyond_own_frames(error.__traceback__))
    )


def _trace(error: BaseException) -> str:
    try:
        return trace_text(error)
    except BaseException as broken:
        return f"(the traceback cannot be shown: {type(broken).__name__})"


def _beyond_own_frames(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OWN):
        trace = trace.tb_next
    return trace


def text_of(error: BaseException) -> str:
    """The text of an exception, also if it is of a class that cannot give one."""
    try:
        return str(error)
    except BaseException as broken:
        return f"(its text cannot be had: {type(broken).__name__})"


def _pickled(error: BaseException) -> bytes | None:
    """The exception's pickle if it survives being pickled and read again."""
    if not isinstance(error, Exception):
        return None  # raised again far away, a SystemExit would end what it does not belong to
    try:
        data = pickle.dumps(error, 5)
        if len(data) > MAX_EXCEPTION:
            return None
        pickle.loads(data)  # noqa: S301 - this process pickled it, a line above
    except BaseException:
        return None
    return data
