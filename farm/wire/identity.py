"""Certificates as they are used: which one a command shows, and whom it accepts.

A directory made by ``farm keygen --tls`` holds one sub-directory for each identity, with
``identity.pem`` (a certificate and its private key), ``ca.pem`` (the authority) and, for servers,
``crl.pem`` (what was revoked). Such a sub-directory is all that another machine needs.

Both ends show a certificate of the same authority. What it says in a name of the form
``farm:ROLE`` (a URI in its subjectAltName, RFC 5280, section 4.2.1.6) is what its holder may do,
and a server is one whose certificate says so: host names are not compared, because a farm's
authority vouches for nothing but a farm's members.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from farm.errors import ConfigError, ProtocolError
from farm.wire.keyfiles import check_private

IDENTITY = "identity.pem"
AUTHORITY = "ca.pem"
REVOKED = "crl.pem"
SERVER = "server"
"""The role of a server's certificate."""

FOR_SERVER = ("server",)
FOR_WORKER = ("worker", "admin")
FOR_CLIENT = ("admin", "client")
"""Which sub-directory is taken, where a directory holds several identities."""

_SCHEME = "farm:"


def find_identity(directory: Path, names: Sequence[str]) -> Path:
    """The directory of one identity: the given one, or the first there is of these below it.

    Raises:
        ConfigError: there is none.
    """
    candidates = [directory, *(directory / name for name in names)]
    for candidate in candidates:
        if (candidate / IDENTITY).is_file():
            return candidate
    raise ConfigError(
        f"there is no {IDENTITY} in {directory}, nor in its {' or '.join(names)}: --tls names a "
        "directory that `farm keygen --tls DIR` has made, or one of its sub-directories"
    )


def server_context(identity: Path) -> ssl.SSLContext:
    """What a server accepts: peers with a certificate of its authority that was not revoked.

    Raises:
        ConfigError: a file is missing, cannot be used, or can be read by others.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0  # nobody resumes a session
    if (identity / REVOKED).exists():
        _load(context.load_verify_locations, identity / REVOKED)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


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
    _load(context.load_cert_chain, identity / IDENTITY)
    _load(context.load_verify_locations, identity / AUTHORITY)
    return context


def _load(load: Any, path: Path) -> None:
    try:
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
        value.removeprefix(_SCHEME)
        for kind, value in certificate.get("subjectAltName", ())
        if kind == "URI" and value.startswith(_SCHEME)
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
