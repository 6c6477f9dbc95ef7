"""How a command speaks: one interface, with a table for people, JSON for programs, or little.

The result goes to stdout and everything else to stderr, so that a pipe gets the result alone.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from rich.console import Console, RenderableType

from farm.client.jsontext import to_json
from farm.errors import BatchFileError, FarmError, UsageError
from farm.printable import harmless, plain

PIPE_WIDTH = 1000
"""Columns of a table that no terminal limits."""


class ClosedPipeError(Exception):
    """Whoever read this command's output has gone."""


@dataclass(frozen=True)
class Result:
    """What a command found out.

    Args:
        document: plain data, for JSON.
        view: makes what people read.
        brief: what remains with ``--quiet``: lines, none if empty.
    """

    document: Any
    view: Callable[[], RenderableType]
    brief: str = ""


class Output(ABC):
    """Where results, remarks and errors go."""

    shows_progress = False
    """Whether a person wants to see how far it is."""

    @abstractmethod
    def result(self, result: Result) -> None:
        """The command's result, written at once."""

    @abstractmethod
    def note(self, text: str) -> None:
        """A remark for people."""

    def warn(self, text: str) -> None:
        """Something a person should know, whatever the output is."""
        _write(sys.stderr, f"farm: {plain(text)}\n")

    def error(self, error: FarmError) -> None:
        """Why the command failed."""
        _write(sys.stderr, f"Error: {plain(str(error))}\n")

    def trace(self, error: BaseException) -> None:
        """Where an error comes from, for whoever wants to mend it."""
        _write(sys.stderr, plain("".join(traceback.format_exception(error))))

    def lines(self, text: str) -> None:
        """Results that are lines of text already: as they are, but for what a terminal obeys."""
        _write(sys.stdout, harmless(text) if sys.stdout.isatty() else text)


class Tables(Output):
    """For people."""

    shows_progress = True

    def result(self, result: Result) -> None:
        """A table, or a sentence."""
        console, view = console_for(sys.stdout), result.view()
        if isinstance(view, str):
            view = plain(view)
        with writing_to(sys.stdout), console.capture() as captured:
            # A line to be pasted is one line; only tables are fitted to the width.
            console.print(
                view, soft_wrap=isinstance(view, str)
            )  # which writes too, though nothing, at the end of the capture
        _write(sys.stdout, captured.get())

    def note(self, text: str) -> None:
        """On stderr, so that a pipe does not get it."""
        _write(sys.stderr, plain(text) + "\n")


class Json(Output):
    """For programs: one document on stdout, an object with ``error`` where the command failed."""

    def result(self, result: Result) -> None:
        """The document on one line."""
        _write(sys.stdout, to_json(result.document, encoding=sys.stdout.encoding) + "\n")

    def note(self, text: str) -> None:
        """Programs do without."""

    def error(self, error: FarmError) -> None:
        """The message on stderr as well, for whoever looks there."""
        super().error(error)
        problems = error.problems if isinstance(error, BatchFileError) else []
        document = {
            "type": type(error).__name__,
            "message": str(error),
            "problems": [{"where": one.where, "message": one.message} for one in problems],
        }
        text = to_json({"error": document}, encoding=sys.stdout.encoding)
        _write(sys.stdout, text + "\n")


class Quiet(Output):
    """Nothing but the result's core."""

    def result(self, result: Result) -> None:
        """Ids or names, one a line, or nothing."""
        if result.brief:
            _write(sys.stdout, plain(result.brief) + "\n")

    def note(self, text: str) -> None:
        """Left out."""


def console_for(stream: IO[str]) -> Console:
    """A console that takes all text as it is: no markup, no colours of its own accord."""
    limited = stream.isatty() or "COLUMNS" in os.environ
    return Console(
        file=stream,
        width=None if limited else PIPE_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
    )


def _write(stream: IO[str], text: str) -> None:
    with writing_to(stream):
        stream.write(text)
        stream.flush()


@contextlib.contextmanager
def writing_to(stream: IO[str]) -> Iterator[None]:
    """Around what writes to a stream and does nothing else that could raise an OSError.

    Raises:
        ClosedPipeError: nobody reads it any more.
        UsageError: it cannot be written.
    """
    try:
        yield
    except BrokenPipeError as error:
        raise ClosedPipeError from error
    except OSError as error:
        _let_go_of(stream)
        raise UsageError(f"cannot write the output: {error.strerror or error}") from error


def _let_go_of(stream: IO[str]) -> None:
    """What is buffered would be tried, and complained about, once more at the end."""
    with contextlib.suppress(OSError, ValueError):  # a stream without a descriptor has no such end
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
