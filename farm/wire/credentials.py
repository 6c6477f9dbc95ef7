"""What a client or node shows a server: a key, or a certificate. Looked up for each connection.

Keys and certificates are replaced while nodes work (``farm keygen --rotate``); what lies in the
files when a connection is made is what counts.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from farm.wire.identity import client_context, find_identity

BY_CERTIFICATE = b"the certificates say who this is"
"""The key of the manager's challenge inside TLS: known to all, because it has nothing to prove."""


class Shown(NamedTuple):
    """What is shown on one connection: a key; with ``context``, in a tunnel made with that."""

    key: bytes
    context: ssl.SSLContext | None = None


class Credentials(Protocol):
    """What is shown to servers."""

    def show(self) -> Shown:
        """What to show now.

        Raises:
            ConfigError: it cannot be read, or is not fit to use.
        """


class KeyCredentials:
    """A key.

    Args:
        find: reads it.

    Example:
        >>> KeyCredentials(lambda: b"k" * 32).show().key == b"k" * 32
        True
    """

    def __init__(self, find: Callable[[], bytes]) -> None:
        self._find = find

    def show(self) -> Shown:
        """The key as it is now."""
        return Shown(self._find())


class CertificateCredentials:
    """A certificate.

    Args:
        directory: of one identity, or of several (see `farm.wire.identity`).
        names: of the sub-directories to choose from, the preferred one first.

    Raises:
        ConfigError: there is none to use.
    """

    def __init__(self, directory: Path, names: Sequence[str]) -> None:
        self._identity = find_identity(directory, names)
        self.show()  # what is wrong with it is said at once

    def show(self) -> Shown:
        """The certificate as it is now."""
        return Shown(BY_CERTIFICATE, client_context(self._identity))


def credentials_of(given: bytes | Credentials) -> Credentials:
    """Credentials; a bare key is one that stays as it is."""
    return KeyCredentials(lambda: given) if isinstance(given, bytes) else given
