"""``farm serve``: the server, and what one needs to know to reach it."""

from __future__ import annotations

import logging
import secrets
import shlex
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from farm import config
from farm.allocation import keep_freed
from farm.cli import logs
from farm.cli.command import output_of
from farm.cli.options import AuthkeyFile, ConfigFile, Tls, Verbose, flag, limit, switch
from farm.cli.output import Output, Result
from farm.cli.settings import CommandSettings
from farm.server.garbage import keep_settled, settle
from farm.server.manager import FarmManager, FarmServer
from farm.wire.access import KEY_VARIABLE
from farm.wire.address import Address
from farm.wire.identity import FOR_SERVER, find_identity
from farm.wire.keyfiles import MIN_KEY_BYTES
from farm.wire.keyring import Keyring

_SOMEWHERE = ("192.0.2.1", 9)
"""An address for documentation (RFC 5737): nothing is sent, only a route is looked up."""


def command(
    ctx: typer.Context,
    host: Annotated[str | None, flag(config.SERVE_HOST, "ADDRESS")] = None,
    port: Annotated[str | None, flag(config.SERVE_PORT, "PORT")] = None,
    authkey_file: AuthkeyFile = None,
    tls: Tls = None,
    insecure: Annotated[
        bool | None,
        switch("--insecure", help=f"{config.INSECURE.help} Variable: {config.INSECURE.variable}."),
    ] = None,
    data: Annotated[str | None, flag(config.DATA, "DIR")] = None,
    durability: Annotated[str | None, flag(config.DURABILITY, "process|disk")] = None,
    keep: Annotated[str | None, flag(config.KEEP, "DURATION")] = None,
    max_connections: Annotated[str | None, limit("max_connections", "N")] = None,
    max_unknown: Annotated[str | None, limit("max_unknown", "N")] = None,
    max_per_address: Annotated[str | None, limit("max_per_address", "N")] = None,
    handshake_timeout: Annotated[str | None, limit("handshake_timeout", "DURATION")] = None,
    send_timeout: Annotated[str | None, limit("send_timeout", "DURATION")] = None,
    max_frame: Annotated[str | None, limit("max_frame", "SIZE")] = None,
    max_queued: Annotated[str | None, limit("max_queued", "SIZE")] = None,
    max_batch: Annotated[str | None, limit("max_batch", "SIZE")] = None,
    max_requests: Annotated[str | None, limit("max_requests", "N")] = None,
    config_file: ConfigFile = None,
    verbose: Verbose = 0,
) -> None:
    """Serve the task queue and the results.

    What was acknowledged is journalled and survives a crash. Ctrl-C stops the server; batches go
    on when it is started again.
    """
    settings = CommandSettings(config.SERVE, locals(), config_file)  # each named as its setting
    logs.set_up(verbose)
    values = settings.values
    way_in = _WayIn.of(settings)
    directory = values[config.DATA] or config.default_data()
    manager = FarmManager(
        (values[config.SERVE_HOST], values[config.SERVE_PORT]),
        way_in.keys,
        directory,
        durability=values[config.DURABILITY],
        keep=values[config.KEEP],
        tls=way_in.identity,
        insecure=values[config.INSECURE],
        limits=config.limits_of(values),
    )
    server = manager.get_server()
    output = output_of(ctx)

    def ready() -> None:
        settle()
        _tell(output, server, way_in, directory)

    keep_freed()
    server.serve_forever(ready, lambda: keep_settled(lambda: server.admission.changes))


@dataclass(frozen=True)
class _WayIn:
    """What lets peers in: keys, or the certificates of one authority.

    Args:
        keys: of the server; with certificates, one that nobody has.
        source: the file of the first key, or the variable that holds it; None with certificates.
        identity: the directory of the server's certificate.
        directory: as ``--tls`` names it.
    """

    keys: Keyring
    source: str | None = None
    identity: Path | None = None
    directory: Path | None = None

    @classmethod
    def of(cls, settings: CommandSettings) -> _WayIn:
        directory = settings.values[config.TLS]
        if directory is None:
            return cls(*settings.keyring())
        nobodys = Keyring.of(secrets.token_urlsafe(MIN_KEY_BYTES).encode())
        return cls(nobodys, None, find_identity(directory, FOR_SERVER), directory)

    @property
    def key_file(self) -> str | None:
        """Where the key lies, if it lies in a file."""
        return None if self.source == KEY_VARIABLE else self.source

    def lines(self) -> list[str]:
        """What opens this server, for people."""
        if self.identity is not None:
            return [f"Certificates: {self.directory}"]
        others = [f"{key.name} ({key.role})" for key in self.keys.keys[1:]]
        return [f"Key: {self.source}", *([f"Also: {', '.join(others)}"] if others else [])]

    def flag(self) -> str:
        """What a node on this machine is given."""
        if self.directory is not None:
            return f" --tls {shlex.quote(str(self.directory))}"
        return f" --authkey-file {shlex.quote(self.key_file)}" if self.key_file else ""


def _tell(output: Output, server: FarmServer, way_in: _WayIn, data: Path) -> None:
    document = {
        "host": server.host,
        "port": server.port,
        "key_file": way_in.key_file,
        "tls": str(way_in.directory) if way_in.directory else None,
        "data": str(data),
    }
    address = Address(server.host, server.port)
    text = "\n".join(
        [
            f"Listening on {address}",
            *way_in.lines(),
            f"Journal: {data}",
            "",
            *_how_to_join(address, way_in),
        ]
    )
    output.result(Result(document, lambda: text, str(address)))
    if not address.is_loopback and way_in.identity is None:
        output.warn(
            "the connections are not encrypted (--insecure), and the key alone keeps others out: "
            "whoever is in that network can read and change what travels"
        )
    logging.getLogger("farm").info("serving at %s", address)


def _how_to_join(address: Address, way_in: _WayIn) -> list[str]:
    command = f"  farm worker --host {Address(_own_address(address.host), address.port)}"
    bundle = None if way_in.directory is None else _bundle_of(way_in.directory)
    line = f"{command}{way_in.flag() if bundle is None else f' --tls {shlex.quote(str(bundle))}'}"
    if address.is_loopback:
        return [
            "Start a node on this machine:",
            line,
            "Other machines cannot reach this server: it listens on this machine alone. To let",
            *_how_to_be_reached(way_in.directory),
        ]
    if bundle is not None:
        return [
            f"Start a node on another machine, with a copy of the directory {bundle}:",
            f"{command} --tls worker",
        ]
    if way_in.key_file is None:
        return [f"Start a node on another machine, with {KEY_VARIABLE} as it is here:", line]
    return [
        "Start a node on another machine, with a copy of the key file at this place (better of one",
        "that is a node's alone, which `farm keygen --role work` makes):",
        line,
    ]


def _how_to_be_reached(directory: Path | None) -> list[str]:
    if directory is None:
        return [
            "them, make certificates, `farm keygen --tls DIR`, and start it with",
            "  farm serve --host 0.0.0.0 --tls DIR",
        ]
    line = f"  farm serve --host 0.0.0.0 --tls {shlex.quote(str(directory))}"
    return ["them, start it with", line]


def _bundle_of(directory: Path) -> Path:
    """What a node is given: it lies in the directory of all certificates, or beside a server's."""
    places = (directory / "worker", directory.parent / "worker")
    return next((place for place in places if place.is_dir()), Path("worker"))


def _own_address(host: str) -> str:
    """Where others reach this machine, if it listens on all its addresses."""
    if host not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not listened on
        return host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    target = ("2001:db8::1", 9) if ":" in host else _SOMEWHERE
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(target)
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()  # no route anywhere: the name is the best that is left
