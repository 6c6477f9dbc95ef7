"""TLS without I/O: bytes from the network in, what the peer said out, on either end.

Apart from sockets, because the server reads all its connections in one loop, and a client's socket
is written and read by different threads. TLS 1.3 is RFC 8446; the standard library's ``ssl`` does
all of it.
"""

from __future__ import annotations

import re
import ssl
from typing import Any

from farm.errors import ProtocolError

_CHUNK = 256 * 1024

EXPIRED = "the certificate has expired"
TAKEN_BACK = "the certificate was revoked"
OTHER_USE = "the certificate is not for this use"
DAMAGED = "the certificate is damaged, or not valid yet"
NOT_ACCEPTED = "its certificate is not accepted: "
"""How a reason begins where this end refuses the other one's."""

_ALERTS = {
    "CERTIFICATE_REQUIRED": "it asks for a certificate, and none was shown",
    "CERTIFICATE_EXPIRED": EXPIRED,
    "CERTIFICATE_REVOKED": TAKEN_BACK,
    "UNKNOWN_CA": "the certificate is of another authority, or of none",
    "DECRYPT_ERROR": "the certificate is of another authority of the same name",
    "BAD_CERTIFICATE": DAMAGED,
    "UNSUPPORTED_CERTIFICATE": OTHER_USE,
    "CERTIFICATE_UNKNOWN": "the certificate is not accepted",
    "PROTOCOL_VERSION": "the other end does not speak TLS 1.3",
}
"""The alerts that say why a certificate was not taken (RFC 8446, section 6.2)."""

_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE", "PACKET_LENGTH_TOO_LONG")


class TunnelError(ProtocolError):
    """The tunnel cannot be made, or is broken.

    Args:
        reason: in words, from the point of view of this end.
        farewell: bytes that tell the peer why; to be sent before closing.
        is_tls: whether the peer speaks TLS at all.
        is_final: whether it is about a certificate, so that another attempt would end likewise.
    """

    def __init__(
        self, reason: str, farewell: bytes = b"", *, is_tls: bool = True, is_final: bool = False
    ) -> None:
        super().__init__(reason)
        self.farewell = farewell
        self.is_tls = is_tls
        self.is_final = is_final


class Tunnel:
    """One end of a TLS connection.

    Args:
        context: with this end's certificate; it decides which peers are accepted.
        server: whether this end is the one that was connected to.

    Example:
        >>> tunnel = Tunnel(context, server=False)              # doctest: +SKIP
        >>> socket.sendall(tunnel.begin())                      # doctest: +SKIP
        >>> said, answer = tunnel.receive(socket.recv(4096))    # doctest: +SKIP
    """

    def __init__(self, context: ssl.SSLContext, *, server: bool) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=server)
        self.established = False
        """Whether this end has accepted the peer. A server's refusal may still come."""

    @property
    def context(self) -> ssl.SSLContext:
        """What it was made with."""
        return self._ssl.context

    def begin(self) -> bytes:
        """What to send first; nothing, for a server."""
        self._shake()
        return self._outgoing.read()

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """What the peer said in ``data``, and what is to be sent on account of it.

        Raises:
            TunnelError: the peer is not accepted, does not accept this end, or speaks no TLS.
        """
        self._incoming.write(data)
        try:
            said = self._read() if self.established or self._shake() else b""
        except ssl.SSLError as error:
            raise self._broken(error) from error
        return said, self._outgoing.read()

    def send(self, data: bytes | bytearray | memoryview) -> bytes:
        """What to send, so that the peer hears ``data``.

        Raises:
            TunnelError: the tunnel is broken.
        """
        try:
            with memoryview(data) as view:
                sent = 0
                while sent < len(view):
                    sent += self._ssl.write(view[sent:])
        except ssl.SSLError as error:
            raise self._broken(error) from error
        return self._outgoing.read()

    def peer(self) -> dict[str, Any]:
        """The peer's certificate, as `ssl.SSLSocket.getpeercert` gives it."""
        return self._ssl.getpeercert() or {}

    def _shake(self) -> bool:
        """Go on with the handshake; whether it is over."""
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.established = True
        return True

    def _read(self) -> bytes:
        said = bytearray()
        try:
            while chunk := self._ssl.read(_CHUNK):
                said += chunk
        except ssl.SSLWantReadError:
            return bytes(said)  # there is no more of it for now
        except ssl.SSLZeroReturnError:
            pass  # both ends have said goodbye
        self._incoming.read()  # what follows the peer's goodbye would be kept, and never read
        return bytes(said)

    def _broken(self, error: ssl.SSLError) -> TunnelError:
        reason = reason_of(error)
        return TunnelError(
            reason,
            self._outgoing.read(),
            is_tls=error.reason not in _NO_TLS,
            is_final=isinstance(error, ssl.SSLCertVerificationError) or reason in _ALERTS.values(),
        )


def reason_of(error: ssl.SSLError) -> str:
    """Why, in words for people: of OpenSSL's it gives the few that they will meet."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return NOT_ACCEPTED + error.verify_message
    reason = error.reason or re.sub(r" \(_ssl\.c:\d+\)", "", str(error))
    if reason in _NO_TLS:
        return "the other end does not speak TLS"
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "it shows no certificate"
    if reason == "UNSUPPORTED_PROTOCOL":
        return "the other end does not speak TLS 1.3"
    alert = re.search(r"ALERT[_ ](\w+)", reason.upper().replace(" ", "_"))
    if alert and alert[1] in _ALERTS:
        return _ALERTS[alert[1]]
    return reason.replace("_", " ").lower()
