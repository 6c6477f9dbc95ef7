"""`farm.Pool`: change the import, and `multiprocessing.Pool` runs on a farm."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable
from typing import Any

from farm.client.pool import SessionPool
from farm.client.session import connect
from farm.local import local


class Pool(SessionPool):
    """`multiprocessing.Pool` on the processes of a farm.

    With neither ``address`` nor `FARM_HOST` it starts a farm on this machine, and stops it.

    Args:
        processes: of a farm of its own; as many as CPUs if not given.
        initializer, initargs, maxtasksperchild: as `multiprocessing.Pool` without them; the
            processes of a farm are not one pool's.
        address: of a server, as for `farm.connect`.
        authkey: its key.
        tls: a directory of certificates instead.

    Raises:
        ValueError: ``processes`` is less than 1.
        TypeError: it is no number, or there is an initializer, or ``maxtasksperchild``.
        ServerUnreachableError, NotAuthorisedError, ConfigError, UsageError

    Example:
        >>> with farm.Pool() as pool:                           # doctest: +SKIP
        ...     print(pool.map(abs, range(-3, 3)))
        [3, 2, 1, 0, 1, 2]
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., Any] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        *,
        address: str | None = None,
        authkey: bytes | str | None = None,
        tls: str | os.PathLike[str] | None = None,
    ) -> None:
        del initargs  # of no use without an initializer
        _check_without(initializer=initializer, maxtasksperchild=maxtasksperchild)
        if processes is not None:
            processes = _count(processes)
        if address is None and not os.environ.get("FARM_HOST"):
            super().__init__(local(processes))
        else:
            super().__init__(connect(address, authkey, tls))


def _check_without(**options: object) -> None:
    for name, value in options.items():
        if value is not None:
            raise TypeError(
                f"farm.Pool has no {name}, as its processes may be others' as well: have the "
                "functions that are called load what they need when they are called first"
            )


def _count(processes: int) -> int:
    try:
        count = int(operator.index(processes))
    except TypeError:
        raise TypeError(
            f"processes is a number, not {processes!r}; a server is farm.Pool(address=...)"
        ) from None
    if count < 1:
        raise ValueError("Number of processes must be at least 1")
    return count
