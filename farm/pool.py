"""`farm.Pool`: change the import, and `multiprocessing.Pool` runs on a farm."""

from __future__ import annotations

import os

from farm.client.pool import SessionPool
from farm.client.session import connect
from farm.local import local


class Pool(SessionPool):
    """`multiprocessing.Pool` on the processes of a farm.

    With neither ``address`` nor `FARM_HOST` it starts a farm on this machine, and stops it.

    Args:
        processes: of a farm of its own; as many as CPUs if not given.
        address: of a server, as for `farm.connect`.
        authkey: its key.
        tls: a directory of certificates instead.

    Raises:
        ValueError: ``processes`` is less than 1.
        ServerUnreachableError, NotAuthorisedError, ConfigError, UsageError

    Example:
        >>> with farm.Pool() as pool:                           # doctest: +SKIP
        ...     print(pool.map(abs, range(-3, 3)))
        [3, 2, 1, 0, 1, 2]
    """

    def __init__(
        self,
        processes: int | None = None,
        *,
        address: str | None = None,
        authkey: bytes | str | None = None,
        tls: str | os.PathLike[str] | None = None,
    ) -> None:
        if processes is not None and processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if address is None and not os.environ.get("FARM_HOST"):
            super().__init__(local(processes))
        else:
            super().__init__(connect(address, authkey, tls))
