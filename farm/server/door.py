"""Who is let in, and as what: the keys or certificates that a server accepts, as they are now."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from farm.errors import ConfigError, ProtocolError
from farm.wire import identity
from farm.wire.credentials import BY_CERTIFICATE
from farm.wire.handshake import ServerHandshake
from farm.wire.keyring import Key, Keyring
from farm.wire.roles import ROLES
from farm.wire.tunnel import Tunnel

log = logging.getLogger("farm.server")

MISS_SECONDS = 0.1
"""The files are not looked at more often than that for the sake of unknown keys."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What somebody came in with.

    Args:
        role: one of `farm.wire.roles.ROLES`.
        holder: the key's file or the certificate's name, for people.
        key: the key; None for a certificate.
        until: when it expires, in seconds since the epoch; None for a key.
    """

    role: str
    holder: str
    key: Key | None = None
    until: float | None = None


class Door(Protocol):
    """What stands between the network and the server."""

    def tunnel(self) -> Tunnel | None:
        """The tunnel of a new connection, if it must have one."""

    def handshake(self) -> ServerHandshake[Key]:
        """The challenge of a new connection."""

    def check(self, tunnel: Tunnel) -> None:
        """Whether who has come through the tunnel can come in at all.

        Raises:
            ProtocolError: it cannot; the text is for the peer.
        """

    def admit(self, handshake: ServerHandshake[Key], tunnel: Tunnel | None) -> Pass:
        """The pass of a peer that has gone through both.

        Raises:
            ProtocolError: it came too late for what it has shown; it may come again.
        """

    def refresh(self) -> Callable[[Pass], bool]:
        """Look at the files again: which passes hold now."""


class KeyDoor:
    """Lets in who holds a key.

    Args:
        keyring: the keys.
        now: seconds on a clock that only goes forward.
    """

    def __init__(self, keyring: Keyring, now: Callable[[], float]) -> None:
        self._keyring = keyring
        self._now = now
        self._looked = 0.0

    def tunnel(self) -> None:
        """There is none."""

    def handshake(self) -> ServerHandshake[Key]:
        """The challenge, which any of the keys answers."""
        return ServerHandshake(self._keyring.keys, self._new_keys)

    def _new_keys(self) -> tuple[Key, ...]:
        """The keys, if they have just changed. A stranger must not keep the server reading."""
        now = self._now()
        if now - self._looked < MISS_SECONDS:
            return ()
        self._looked = now
        return self._keyring.keys if self._keyring.refresh() else ()

    def check(self, tunnel: Tunnel) -> None:
        """There is no tunnel."""

    def admit(self, handshake: ServerHandshake[Key], tunnel: Tunnel | None) -> Pass:
        """The pass of the key's holder."""
        del tunnel
        key = handshake.key
        assert key is not None
        return Pass(key.role, key.name, key)

    def refresh(self) -> Callable[[Pass], bool]:
        """Read the key files again; passes hold as long as their keys are there."""
        self._keyring.refresh()
        # Not only when this call saw the change: `_new_keys` may have seen it first. A key whose
        # file has another name by now is still the same key.
        roles = {key.secret: key.role for key in self._keyring.keys}
        return lambda held: held.key is not None and roles.get(held.key.secret) == held.role


@dataclass(frozen=True, slots=True)
class _Accepted:
    """What a server accepts.

    Args:
        context: by which certificates are checked.
        authorities: their certificates.
        numbers: of the lists of what was revoked, by their issuers.
    """

    context: ssl.SSLContext
    authorities: frozenset[bytes]
    numbers: dict[bytes, int]

    def check_later_than(self, former: _Accepted, path: Path) -> None:
        """See that no list is older than it was before, as long as its authority is trusted.

        Args:
            former: what was accepted until now.
            path: the file of the lists, for people.

        Raises:
            ConfigError: one is: what was revoked between would get in again.
        """
        if not former.authorities <= self.authorities:
            return
        for issuer, before in former.numbers.items():
            number = self.numbers.get(issuer)
            if number is None or number < before:
                has = "no number" if number is None else f"the number {number}"
                raise ConfigError(
                    f"{path} is older than the list of what was revoked that is in use: it has "
                    f"{has}, that one {before}. Copy the latest there from the authority's "
                    f"directory (ca/{identity.REVOKED})"
                )


class TlsDoor:
    """Lets in who holds a certificate of the server's authority.

    Args:
        directory: of the server's identity.

    Raises:
        ConfigError: it cannot be used.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen = self._look()
        self._accepted = self._load()
        self._keys = (Key(BY_CERTIFICATE, "view", "certificate"),)
        self._told = ""  # why the files cannot be read again

    def _load(self) -> _Accepted:
        identity.check_server(self._directory, time.time())
        context = identity.server_context(self._directory)
        if not context.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF:
            # Whoever takes the list away would let in again who was revoked.
            raise ConfigError(
                f"there is no {identity.REVOKED} in {self._directory}, the list of what was "
                f"revoked: copy it there from the authority's directory (ca/{identity.REVOKED})"
            )
        authorities = context.get_ca_certs(binary_form=True)
        return _Accepted(context, frozenset(authorities), identity.numbers_in(self._directory))

    def _look(self) -> list[tuple[str, int, int, int]]:
        found = []
        for name in (identity.IDENTITY, identity.AUTHORITY, identity.REVOKED):
            try:
                status = (self._directory / name).stat()
            except OSError:
                continue
            found.append((name, status.st_ino, status.st_mtime_ns, status.st_size))
        return found

    def tunnel(self) -> Tunnel:
        """A tunnel by the certificates as they are now."""
        return Tunnel(self._accepted.context, server=True)

    def handshake(self) -> ServerHandshake[Key]:
        """The manager's challenge, which inside the tunnel has nothing to prove."""
        return ServerHandshake(self._keys)

    def check(self, tunnel: Tunnel) -> None:
        """Whether the peer's certificate gives it a role."""
        self._pass_of(tunnel)

    def admit(self, handshake: ServerHandshake[Key], tunnel: Tunnel | None) -> Pass:
        """The pass that the peer's certificate is."""
        del handshake
        assert tunnel is not None
        if tunnel.context is not self._accepted.context:
            # It may have been revoked between, and `refresh` has asked nobody who was not in yet.
            raise ProtocolError("the certificates have changed since it connected")
        return self._pass_of(tunnel)

    def _pass_of(self, tunnel: Tunnel) -> Pass:
        role, name = identity.role_of(tunnel.peer())
        if role not in ROLES:
            raise ProtocolError(f"its certificate ({name}) has the role {role}: no client has that")
        until = ssl.cert_time_to_seconds(tunnel.peer()["notAfter"])
        return Pass(role, f"certificate {name}", until=until)

    def refresh(self) -> Callable[[Pass], bool]:
        """Read the files again if they have changed; then everybody shows a certificate anew.

        What was revoked is known to the library that checks certificates, and to nobody else.
        """
        seen = self._look()
        if seen == self._seen:
            return _is_valid
        try:
            accepted = self._load()
            accepted.check_later_than(self._accepted, self._directory / identity.REVOKED)
        except ConfigError as error:
            if str(error) != self._told:  # it is tried again with each look
                log.error("%s. The former certificates and revocations stay in use", error)  # noqa: TRY400
            self._told = str(error)
            return _is_valid
        if self._look() != seen:
            # Replaced while it was read: what belongs together shows at the next look.
            return _is_valid
        self._accepted, self._seen, self._told = accepted, seen, ""
        log.warning("the certificates or the list of revoked ones have changed: all connect anew")
        return lambda _: False


def _is_valid(held: Pass) -> bool:
    """Whether a certificate has not expired meanwhile."""
    return held.until is None or held.until > time.time()
