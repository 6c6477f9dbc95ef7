"""TLS handshakes in memory, between the bundles that an authority has made."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from farm import certificates
from farm.authority import Authority
from farm.wire.identity import client_context, server_context


@dataclass
class Met:
    """What each end knows of the other one afterwards.

    Args:
        client: the certificate that the server was shown.
        server: the one that the client was shown.
        refusals: why an end gave up, by its name.
    """

    client: dict[str, Any]
    server: dict[str, Any]
    refusals: dict[str, str]


def meet(server: ssl.SSLContext, client: ssl.SSLContext) -> Met:
    """Let two ends shake hands, until both are content or one gives up."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = {
        "server": server.wrap_bio(up, down, server_side=True),
        "client": client.wrap_bio(down, up, server_hostname=None),
    }
    waiting, refusals = set(ends), {}
    for _ in range(10):
        for name in sorted(waiting):
            try:
                ends[name].do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                refusals[name] = getattr(error, "verify_message", None) or str(error.reason)
            waiting.discard(name)
    if refusals:
        return Met({}, {}, refusals)
    assert not waiting
    assert {end.version() for end in ends.values()} == {"TLSv1.3"}
    shown = (end.getpeercert() or {} for end in ends.values())
    return Met(*shown, {})


def strictly(context: ssl.SSLContext) -> ssl.SSLContext:
    """As Python does from 3.13 on in the contexts that it makes itself."""
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def connect(server: Path, client: Path) -> Met:
    """Let the holders of two bundles meet."""
    return meet(strictly(server_context(server)), strictly(client_context(client)))


def at(**ago: float) -> Callable[[], datetime]:
    """A clock that is slow by so much."""
    return lambda: datetime.now(UTC) - timedelta(**ago)


def twin_of(tls: Path, directory: Path, now: Callable[[], datetime] | None = None) -> Authority:
    """Another authority of the same name as the one in ``tls``."""
    (own,) = certificates_in(tls / "ca/cert.pem")
    real = certificates._name
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            certificates, "_name", lambda text: own.subject if "authority" in text else real(text)
        )
        return Authority.create(directory, now=now or at())


def certificates_in(path: Path) -> list[x509.Certificate]:
    """The certificates in a file."""
    return x509.load_pem_x509_certificates(path.read_bytes())
