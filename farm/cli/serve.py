"""``farm serve``: the server, and what one needs to know to reach it."""

from __future__ import annotations

import logging
import shlex
import socket
from pathlib import Path
from typing import Annotated

import typer

from farm import config
from farm.cli import logs
from farm.cli.command import output_of
from farm.cli.options import AuthkeyFile, ConfigFile, Verbose, flag
from farm.cli.output import Output, Result
from farm.cli.settings import CommandSettings
from farm.server.manager import FarmManager, FarmServer
from farm.wire.access import KEY_VARIABLE
from farm.wire.address import Address

_SOMEWHERE = ("192.0.2.1", 9)
"""An address for documentation (RFC 5737): nothing is sent, only a route is looked up."""


def command(
    ctx: typer.Context,
    host: Annotated[str | None, flag(config.SERVE_HOST, "ADDRESS")] = None,
    port: Annotated[str | None, flag(config.SERVE_PORT, "PORT")] = None,
    authkey_file: AuthkeyFile = None,
    data: Annotated[str | None, flag(config.DATA, "DIR")] = None,
    durability: Annotated[str | None, flag(config.DURABILITY, "process|disk")] = None,
    keep: Annotated[str | None, flag(config.KEEP, "DURATION")] = None,
    config_file: ConfigFile = None,
    verbose: Verbose = 0,
) -> None:
    """Serve the task queue and the results.

    What was acknowledged is journalled and survives a crash. Ctrl-C stops the server; batches go
    on when it is started again.
    """
    logs.set_up(verbose)
    flags = {
        "host": host,
        "port": port,
        "authkey_file": authkey_file,
        "data": data,
        "durability": durability,
        "keep": keep,
    }
    settings = CommandSettings(config.SERVE, flags, config_file)
    values = settings.values
    key, source = settings.find_or_make_key()
    directory = values[config.DATA] or config.default_data()
    manager = FarmManager(
        (values[config.SERVE_HOST], values[config.SERVE_PORT]),
        key,
        directory,
        durability=values[config.DURABILITY],
        keep=values[config.KEEP],
    )
    server = manager.get_server()
    output = output_of(ctx)
    server.serve_forever(lambda: _tell(output, server, source, directory))


def _tell(output: Output, server: FarmServer, key_source: str, data: Path) -> None:
    document = {
        "host": server.host,
        "port": server.port,
        "key_file": None if key_source == KEY_VARIABLE else key_source,
        "data": str(data),
    }
    address = Address(server.host, server.port)
    text = "\n".join(_lines(address, key_source, data))
    output.result(Result(document, lambda: text, str(address)))
    if not address.is_loopback:
        output.warn(
            "the connections are not encrypted, and the key alone keeps others out: serve "
            "networks that you trust"
        )
    logging.getLogger("farm").info("serving at %s", address)


def _lines(address: Address, key_source: str, data: Path) -> list[str]:
    return [
        f"Listening on {address}",
        f"Key: {key_source}",
        f"Journal: {data}",
        "",
        *_how_to_join(address, key_source),
    ]


def _how_to_join(address: Address, key_source: str) -> list[str]:
    reach = Address(_own_address(address.host), address.port)
    key = "" if key_source == KEY_VARIABLE else f" --authkey-file {shlex.quote(key_source)}"
    line = f"  farm worker --host {reach}{key}"
    if address.is_loopback:
        return [
            "Start a node on this machine:",
            line,
            "Other machines cannot reach this server: it listens on this machine alone. To let",
            "them, start it with `farm serve --host 0.0.0.0`.",
        ]
    if key_source == KEY_VARIABLE:
        return [f"Start a node on another machine, with {KEY_VARIABLE} as it is here:", line]
    return ["Start a node on another machine, with a copy of the key file at this place:", line]


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
