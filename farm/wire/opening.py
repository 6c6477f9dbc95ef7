"""How a client or node opens a connection: tunnel, challenge, protocol, all under one deadline.

What goes wrong here is what people meet first, so that each way to fail has a sentence that says
what to do.
"""

from __future__ import annotations

import socket
import time
from multiprocessing import AuthenticationError
from multiprocessing import connection as stdlib

from farm.errors import (
    FarmError,
    NotAuthorisedError,
    ProtocolError,
    ServerUnreachableError,
)
from farm.wire import builtins, identity, standins
from farm.wire.address import Address
from farm.wire.channel import Channel, tune
from farm.wire.credentials import Credentials, Shown, credentials_of
from farm.wire.handshake import CHALLENGE, REFUSED, refusal
from farm.wire.messages import PROTOCOL
from farm.wire.tunnel import (
    DAMAGED,
    EXPIRED,
    NOT_ACCEPTED,
    OTHER_USE,
    TAKEN_BACK,
    Tunnel,
    TunnelError,
)

CONNECT_SECONDS = 10.0

WITHOUT_TLS = refusal("tls", "")
"""How a server begins that waits for TLS, and hears nothing."""


_REMEDIES = {
    EXPIRED: (
        "Where it was made, make a new one, `farm keygen --tls DIR --rotate --name NAME`, and copy "
        "its directory here."
    ),
    TAKEN_BACK: (
        "If a new one was made in its place, copy its directory here. Else make one of another "
        "name, `farm keygen --tls DIR --role ROLE --name NAME`, or of the same name when its "
        "directory is removed there."
    ),
    DAMAGED: "Do the clocks of both machines agree? Else copy its directory here again.",
    OTHER_USE: (
        "It is a server's: let --tls name another directory that `farm keygen --tls` made, client "
        "for clients and worker for nodes."
    ),
    f"{NOT_ACCEPTED}certificate has expired": (
        "Where the server's was made, make a new one, `farm keygen --tls DIR --rotate --name "
        "server`, and copy its directory to the server."
    ),
    f"{NOT_ACCEPTED}certificate revoked": (
        "It is a server whose certificate was taken back: it needs another one."
    ),
}
"""What to do about a certificate that is not accepted: this end's, or the server's."""

_OTHERWISE = (
    "--tls names the directory that `farm keygen --tls` made for this machine; it must be of the "
    "server's authority."
)


class _Blocking:
    """What the standard library's handshake functions take for a connection."""

    def __init__(self, channel: Channel, deadline: float, first: bytes) -> None:
        self._channel = channel
        self._deadline = deadline
        self._first: bytes | None = first

    def send_bytes(self, data: bytes) -> None:
        self._channel.write(data)

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        frame, self._first = self._first, None
        if frame is None:
            frame = self._channel.receive(self._deadline)
        if maxlength is not None and len(frame) > maxlength:
            raise ProtocolError(f"a frame of {len(frame)} bytes before the peer is known")
        return frame


def connect(
    address: Address, credentials: bytes | Credentials, *, seconds: float = CONNECT_SECONDS
) -> Channel:
    """Connect, authenticate both ways, and agree on the protocol.

    Args:
        address: the server's.
        credentials: what to show; bytes are a key.
        seconds: for all of it together.

    Raises:
        ServerUnreachableError: nobody answers, or what answers is not a farm server.
        NotAuthorisedError: the server does not accept what was shown, or cannot be trusted.
        ProtocolError: it is a farm server of another protocol.
        ConfigError: there is nothing fit to be shown.
    """
    shown = credentials_of(credentials).show()
    deadline = time.monotonic() + seconds
    try:
        sock = socket.create_connection(address, timeout=seconds)
    except (OSError, UnicodeError) as error:
        raise ServerUnreachableError(
            f"no farm server answers at {address}: {_reason(error)}. "
            "Start one with `farm serve`, or name another with --host or FARM_HOST."
        ) from error
    tune(sock)
    tunnel = Tunnel(shown.context, server=False) if shown.context else None
    channel = Channel(sock, tunnel=tunnel)
    try:
        first = _first_frame(channel, address, deadline)
        if tunnel is not None:
            _check_server(tunnel, address)
        _authenticate(channel, shown, address, deadline, first)
        _agree(channel, address, deadline)
    except BaseException:
        channel.close()
        raise
    return channel


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _first_frame(channel: Channel, address: Address, deadline: float) -> bytes:
    """The server's challenge, unless it turns this peer away."""
    try:
        channel.begin()
        frame = channel.receive(deadline)
    except TunnelError as error:
        raise _no_tunnel(channel, error, address) from error
    except (OSError, EOFError, ProtocolError) as error:
        raise _not_a_server(address, str(error)) from error
    _check_turned_away(frame, address)
    if not frame.startswith(CHALLENGE):
        raise _not_a_server(address, "it does not send a challenge")
    return frame


def _no_tunnel(channel: Channel, error: TunnelError, address: Address) -> FarmError:
    if error.is_final:
        remedy = _REMEDIES.get(str(error), _OTHERWISE)
        return NotAuthorisedError(f"no connection to the server at {address}: {error}. {remedy}")
    if error.is_tls:
        return ServerUnreachableError(f"no connection to the server at {address}: {error}")
    for frame in channel.unread():
        said = bytes(frame)
        if said.startswith(WITHOUT_TLS):
            # It has a tunnel, only its first words took long: once more it may be in time.
            return ServerUnreachableError(
                f"the server at {address} has not heard this end in time: one of the two, or the "
                "network between them, is very slow"
            )
        _check_turned_away(said, address)
    return ServerUnreachableError(
        f"what answers at {address} does not speak TLS: leave out --tls (FARM_TLS), or start the "
        "server with `farm serve --tls DIR`."
    )


def _check_turned_away(frame: bytes, address: Address) -> None:
    if not frame.startswith(REFUSED):
        return
    code, _, text = frame.removeprefix(REFUSED).decode(errors="replace").partition("#")
    message = f"the server at {address} turned this connection away: {text}"
    if code == "busy":
        raise ServerUnreachableError(message)
    raise NotAuthorisedError(message)


def _check_server(tunnel: Tunnel, address: Address) -> None:
    try:
        role, name = identity.role_of(tunnel.peer())
    except ProtocolError as error:
        raise NotAuthorisedError(f"what answers at {address} is no server: {error}") from error
    if role != identity.SERVER:
        raise NotAuthorisedError(
            f"what answers at {address} is no server: its certificate ({name}) has the role {role}"
        )


def _authenticate(
    channel: Channel, shown: Shown, address: Address, deadline: float, first: bytes
) -> None:
    blocking = _Blocking(channel, deadline, first)
    try:
        stdlib.answer_challenge(blocking, shown.key)  # type: ignore[arg-type]
        stdlib.deliver_challenge(blocking, shown.key)  # type: ignore[arg-type]
    except TunnelError as error:
        raise _no_tunnel(channel, error, address) from error
    except AuthenticationError as error:
        raise _not_accepted(address, shown) from error
    except (OSError, EOFError, ProtocolError, AssertionError, ValueError) as error:
        raise _not_a_server(address, str(error)) from error


def _not_accepted(address: Address, shown: Shown) -> NotAuthorisedError:
    if shown.context is not None:
        return NotAuthorisedError(
            f"the server at {address} does not accept this certificate: it names no role. Make "
            "one with `farm keygen --tls`."
        )
    return NotAuthorisedError(
        f"the server at {address} does not accept this key. Use a key file of the server's, "
        "which `farm serve` names: --authkey-file, FARM_AUTHKEY_FILE or FARM_AUTHKEY. If it was "
        "replaced there, copy the new one here."
    )


def _not_a_server(address: Address, why: str) -> ServerUnreachableError:
    return ServerUnreachableError(
        f"what answers at {address} is not a farm server ({why or 'no handshake'}). "
        "Check the port, or name another server with --host or FARM_HOST."
    )


def _agree(channel: Channel, address: Address, deadline: float) -> None:
    """Say in the manager's own first request that what follows is farm's protocol."""
    name = f"farm/{PROTOCOL}"
    channel.write(builtins.dumps((None, "accept_connection", (name,), {})))
    try:
        # An error comes as an exception, as every manager sends it: it is not made, only read.
        answer = standins.loads(channel.receive(deadline))
    except (OSError, EOFError, ProtocolError) as error:
        raise _not_a_server(address, str(error)) from error
    if answer != ("#RETURN", None):
        said = answer[1] if isinstance(answer, tuple) and len(answer) == 2 else answer
        if isinstance(said, standins.StandIn) and said.args:
            said = said.args[0]
        raise ProtocolError(
            f"the server at {address} does not speak {name}: {said}. "
            "Install the same version of farm on both machines."
        )
