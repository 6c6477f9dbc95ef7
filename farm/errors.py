"""Every error farm raises on purpose: one tree, each branch with its exit code.

    FarmError                       1
    ├── UsageError                  2   wrong use, or a file that is wrong
    │   ├── BatchFileError              the batch file: all its problems at once
    │   ├── ConfigError                 settings, key files, run directories
    │   ├── AddressError                an address that cannot be used
    │   ├── UnknownBatchError           no batch of that id or name
    │   ├── MissingExtraError           an optional part is not installed
    │   └── JournalError                the data directory cannot be used
    ├── ServerUnreachableError      3   nobody answers, or not a farm server
    ├── NotAuthorisedError          4   the key is not accepted
    ├── ProtocolError               1   the peer speaks something else
    ├── RequestError                1   the server refused a request, and says why
    ├── BatchCancelledError         1   results were asked of a cancelled batch
    ├── WaitTimeoutError            1   (a TimeoutError too)
    └── TaskError                   1   a task of a batch failed

A message says what happened, where, and what to do next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


class FarmError(Exception):
    """Something farm found wrong."""

    exit_code = 1


class UsageError(FarmError):
    """Farm was used in a way that cannot work."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a batch file.

    Args:
        where: ``file:line:column`` (both from 1), or ``--set a.b`` for an override.
        message: what was wrong and what was meant.
    """

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class BatchFileError(UsageError):
    """A batch file cannot be used; ``problems`` holds everything that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type[BatchFileError], tuple[list[Problem]]]:
        return type(self), (self.problems,)


class ConfigError(UsageError):
    """A setting, a key file or a directory that farm needs is wrong."""


class AddressError(UsageError):
    """An address cannot be parsed, bound or used."""


class UnknownBatchError(UsageError):
    """The server knows no batch of that id or name."""


class MissingExtraError(UsageError):
    """An optional part of farm is not installed; the message names the extra."""


class JournalError(UsageError):
    """The data directory cannot be read, written or shared."""


class ServerUnreachableError(FarmError):
    """No farm server answers at the address."""

    exit_code = 3


class NotAuthorisedError(FarmError):
    """The server does not accept the key."""

    exit_code = 4


class ProtocolError(FarmError):
    """The peer sent something that is not farm's protocol."""


class RequestError(FarmError):
    """The server refused a request; ``code`` is stable, the text is for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code

    def __reduce__(self) -> tuple[type[RequestError], tuple[str, str]]:
        return type(self), (self.code, str(self))


class BatchCancelledError(FarmError):
    """The batch was cancelled, so the results asked for will never exist."""


class WaitTimeoutError(FarmError, TimeoutError):
    """What was waited for did not happen in the time given."""


class TaskError(FarmError):
    """A task failed for good.

    Args:
        index: the task's index in its batch, from 0.
        kind: ``error``, ``timeout``, ``crash``, ``lost``, ``cancelled``, ``upstream`` or
            ``unpicklable``.
        type_name: the exception's class name, empty where there was no exception.
        message: the exception's text.
        remote_traceback: the traceback's text as the slot saw it, empty if none.
    """

    def __init__(
        self, index: int, kind: str, type_name: str, message: str, remote_traceback: str = ""
    ) -> None:
        what = f"{type_name}: {message}" if type_name else message
        super().__init__(f"task {index} failed ({kind}): {what}")
        self.index = index
        self.kind = kind
        self.type_name = type_name
        self.message = message
        self.remote_traceback = remote_traceback

    def __reduce__(self) -> tuple[type[TaskError], tuple[int, str, str, str, str]]:
        arguments = (self.index, self.kind, self.type_name, self.message, self.remote_traceback)
        return type(self), arguments


@contextlib.contextmanager
def telling(
    kind: type[FarmError], doing: str, path: Path, *, exactly: bool = False
) -> Iterator[None]:
    """Within it, what the system says of a file becomes an error of this tree.

    Args:
        kind: the error's.
        doing: what it begins with: ``cannot write``.
        path: what people know it by.
        exactly: name the file that the system names, if it does.

    Example:
        >>> with telling(UsageError, "cannot read", Path("nowhere")):
        ...     Path("nowhere").read_bytes()
        Traceback (most recent call last):
        farm.errors.UsageError: cannot read nowhere: No such file or directory
    """
    try:
        yield
    except FarmError:
        raise  # some are a TimeoutError as well
    except OSError as error:
        where = (error.filename if exactly else None) or path
        raise kind(f"{doing} {where}: {error.strerror or error}") from error
