"""Certificates as they are used: which one a command shows, and whom it accepts.

A directory made by ``farm keygen --tls`` holds one sub-directory for each identity, with
``identity.pem`` (a certificate and its private key), ``ca.pem`` (the authority) and, for servers,
``crl.pem`` (what was revoked; clients look at it too if they are given it). Such a sub-directory is
all that another machine needs.

Both ends show a certificate of the same authority. What it says in a name of the form
``farm:ROLE`` (a URI in its subjectAltName, RFC 5280, section 4.2.1.6) is what its holder may do,
and a server is one whose certificate says so: host names are not compared, because a farm's
authority vouches for nothing but a farm's members.
"""

from __future__ import annotations

import logging
import os
import ssl
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from farm.errors import ConfigError, ProtocolError, telling
from farm.regular import check_regular, read_regular
from farm.wire.keyfiles import check_private
from farm.wire.revoked import numbers_of
from farm.wire.tunnel import Tunnel

log = logging.getLogger("farm.server")

WARN_DAYS = 30
"""A server's certificate that expires earlier is warned of."""

IDENTITY = "identity.pem"
AUTHORITY = "ca.pem"
REVOKED = "crl.pem"
SERVER = "server"
"""The role of a server's certificate."""

FOR_SERVER = ("server",)
FOR_WORKER = ("worker", "admin")
FOR_CLIENT = ("admin", "client")
"""Which sub-directory is taken, where a directory holds several identities."""

SCHEME = "farm:"
_TRIES = 20


def find_identity(directory: Path, names: Sequence[str]) -> Path:
    """The directory of one identity: the given one, or the first there is of these below it.

    Raises:
        ConfigError: there is none, or it cannot be looked for.
    """
    denied = None
    for candidate in (directory, *(directory / name for name in names)):
        try:
            if stat.S_ISREG((candidate / IDENTITY).stat().st_mode):
                return candidate
        except PermissionError as error:
            # Somebody else's admin/ does not keep who may use client/ from doing so.
            denied = denied or ConfigError(f"cannot look into {candidate}: {error.strerror}")
        except OSError:
            continue  # it is not there: what is amiss with the directory itself is said below
    check_directory(directory)
    if denied is None and not directory.exists():
        raise ConfigError(
            f"there is no directory {directory}: --tls names one that `farm keygen --tls DIR` has "
            "made, or one of its sub-directories"
        )
    raise denied or ConfigError(
        f"there is no {IDENTITY} in {directory}, nor in its {' or '.join(names)}: --tls names a "
        "directory that `farm keygen --tls DIR` has made, or one of its sub-directories"
    )


def check_directory(directory: Path) -> None:
    """See that what ``--tls`` names is no file. It need not be there.

    Raises:
        ConfigError: it is one.
    """
    if os.path.lexists(directory) and not os.path.isdir(directory):  # noqa: PTH112 - False, no error
        raise ConfigError(
            f"{directory} is no directory: --tls names the one that `farm keygen --tls DIR` makes, "
            "or one of its sub-directories"
        )


def server_context(identity: Path) -> ssl.SSLContext:
    """What a server accepts: peers with a certificate of its authority that was not revoked.

    Raises:
        ConfigError: a file is missing, cannot be used, or can be read by others.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0  # nobody resumes a session
    return context


def check_server(identity: Path, now: float) -> None:
    """See that clients will accept this identity as a server's, by asking one of them.

    Args:
        identity: of a server.
        now: seconds since the epoch.

    Raises:
        ConfigError: they will not; or a file cannot be used.
    """
    server = Tunnel(server_context(identity), server=True)
    client = Tunnel(client_context(identity), server=False)
    try:
        # The server's answer has all that a client needs (RFC 8446, section 2).
        client.receive(server.receive(client.begin())[1])
        role, name = role_of(client.peer())
    except ProtocolError as error:
        raise ConfigError(f"{identity / IDENTITY} cannot be a server's: {error}") from error
    if role != SERVER:
        raise ConfigError(
            f"{identity / IDENTITY} is no server's: it belongs to {name}, whose role is {role}. "
            "`farm keygen --tls DIR` makes one in DIR/server"
        )
    days = (ssl.cert_time_to_seconds(client.peer()["notAfter"]) - now) / 86_400
    if days < WARN_DAYS:
        log.warning(
            "the server's certificate, %s, expires in %d days: `farm keygen --tls DIR --rotate "
            "--name %s` makes a new one", identity / IDENTITY, days, name,
        )  # fmt: skip


def client_context(identity: Path) -> ssl.SSLContext:
    """What a client or node accepts: a server of the same authority.

    Raises:
        ConfigError: as `server_context`.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, identity)
    context.check_hostname = False  # a role is checked instead: see `role_of`
    return context


def _context(protocol: int, identity: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    check_private(identity / IDENTITY)
    _load(lambda path: _load_pair(context, path), identity / IDENTITY)
    _load(context.load_verify_locations, identity / AUTHORITY)
    if os.path.lexists(identity / REVOKED):
        _load(context.load_verify_locations, identity / REVOKED)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def numbers_in(identity: Path) -> dict[bytes, int]:
    """The numbers of the lists of what was revoked, by issuer (see `farm.wire.revoked`).

    Raises:
        ConfigError: they cannot be read.
    """
    path = identity / REVOKED
    try:
        with telling(ConfigError, "cannot use", path):
            return numbers_of(read_regular(path))
    except ValueError as error:
        raise ConfigError(f"cannot use {path}: it is damaged ({error})") from error


def _load_pair(context: ssl.SSLContext, path: str) -> None:
    """The certificate and its key; ssl opens their file twice, and it may be replaced between."""
    for more in reversed(range(_TRIES)):
        before = os.stat(path)  # noqa: PTH116 - as ssl takes it
        try:
            return context.load_cert_chain(path, password="")  # or it would ask a terminal for one
        except ssl.SSLError:
            after = os.stat(path)  # noqa: PTH116
            same = (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
            if same or not more:
                raise
    raise AssertionError("it is returned or raised")


def _load(load: Any, path: Path) -> None:
    try:
        check_regular(path, path.stat())  # ssl, which opens it by its name, would wait for a FIFO
        load(str(path))
    except OSError as error:  # an SSLError is one
        reason = "it is damaged" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"cannot use {path}: {reason}") from error


def role_of(certificate: dict[str, Any]) -> tuple[str, str]:
    """The role and the name in a certificate (as `ssl.SSLSocket.getpeercert` gives it).

    Raises:
        ProtocolError: it names no role.
    """
    roles = [
        value.removeprefix(SCHEME)
        for kind, value in certificate.get("subjectAltName", ())
        if kind == "URI" and value.startswith(SCHEME)
    ]
    names = [
        value
        for part in certificate.get("subject", ())
        for key, value in part
        if key == "commonName"
    ]
    if len(roles) != 1:
        raise ProtocolError("its certificate names no role on a farm")
    return roles[0], names[0] if names else "?"
