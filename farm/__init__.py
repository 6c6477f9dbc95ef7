"""farm: `multiprocessing`'s Manager and Pool, across machines.

    with farm.local() as session:                  # or farm.connect("server")
        batch = session.submit("primes.yaml")      # or a function and its params
        for value in batch.results():
            print(value)

The names are found when they are first used, so that the processes that run tasks import little.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from farm.version import __version__

if TYPE_CHECKING:
    from farm.client.batch import Batch
    from farm.client.outcome import Outcome
    from farm.client.session import Session, connect
    from farm.errors import (
        AddressError,
        BatchCancelledError,
        BatchFileError,
        ConfigError,
        FarmError,
        JournalError,
        MissingExtraError,
        NotAuthorisedError,
        ProtocolError,
        RequestError,
        ServerUnreachableError,
        TaskError,
        UnknownBatchError,
        UsageError,
        WaitTimeoutError,
    )
    from farm.local import local
    from farm.pool import Pool

_ERRORS = (
    "AddressError",
    "BatchCancelledError",
    "BatchFileError",
    "ConfigError",
    "FarmError",
    "JournalError",
    "MissingExtraError",
    "NotAuthorisedError",
    "ProtocolError",
    "RequestError",
    "ServerUnreachableError",
    "TaskError",
    "UnknownBatchError",
    "UsageError",
    "WaitTimeoutError",
)
_HOMES = {
    "Batch": "farm.client.batch",
    "Outcome": "farm.client.outcome",
    "Session": "farm.client.session",
    "connect": "farm.client.session",
    "Pool": "farm.pool",
    "local": "farm.local",
    **dict.fromkeys(_ERRORS, "farm.errors"),
}

__all__ = [
    "AddressError",
    "Batch",
    "BatchCancelledError",
    "BatchFileError",
    "ConfigError",
    "FarmError",
    "JournalError",
    "MissingExtraError",
    "NotAuthorisedError",
    "Outcome",
    "Pool",
    "ProtocolError",
    "RequestError",
    "ServerUnreachableError",
    "Session",
    "TaskError",
    "UnknownBatchError",
    "UsageError",
    "WaitTimeoutError",
    "__version__",
    "connect",
    "local",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'farm' has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
