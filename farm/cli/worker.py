"""``farm worker``: a node, and the signals that stop it."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Annotated

import typer

from farm import config, worker
from farm.allocation import keep_freed
from farm.cli import logs
from farm.cli.command import ending_signals, output_of
from farm.cli.options import AuthkeyFile, ConfigFile, Host, Processes, Tls, Verbose, flag
from farm.cli.output import Output, Result
from farm.cli.settings import CommandSettings
from farm.cli.text import count
from farm.cpus import usable_cpus
from farm.engines.processes import ProcessEngine
from farm.scratch import scratch_directory
from farm.wire import identity
from farm.wire.access import KEY_VARIABLE
from farm.wire.address import parse


def command(
    ctx: typer.Context,
    host: Host = None,
    processes: Processes = None,
    name: Annotated[str | None, flag(config.NAME, "NAME")] = None,
    authkey_file: AuthkeyFile = None,
    tls: Tls = None,
    grace: Annotated[str | None, flag(config.GRACE, "SECONDS")] = None,
    config_file: ConfigFile = None,
    verbose: Verbose = 0,
) -> None:
    """Work for a server as a node.

    Ctrl-C lets running tasks end, a second one stops at once. The node goes on while the server
    is away, and delivers when it is back.
    """
    logs.set_up(verbose)
    flags = {
        "host": host,
        "processes": processes,
        "name": name,
        "authkey_file": authkey_file,
        "tls": tls,
        "grace": grace,
    }
    settings = CommandSettings(config.WORKER, flags, config_file)
    values = settings.values
    address = parse(values[config.HOST])
    credentials = settings.credentials(identity.FOR_WORKER)
    # Tasks, and the commands they run, need not see the key.
    os.environ.pop(KEY_VARIABLE, None)
    slots = values[config.PROCESSES] or usable_cpus()
    with scratch_directory("farm-node") as directory:
        node = worker.Worker(
            ProcessEngine(slots),
            address,
            credentials,
            name=values[config.NAME] or worker.default_name(),
            directory=directory,
            grace=values[config.GRACE],
        )
        for number in (*ending_signals(), signal.SIGINT):
            signal.signal(number, lambda number, _: _stop(node, number))
        output = output_of(ctx)
        keep_freed()
        node.run(lambda joined: _tell(output, joined, slots))


def _stop(node: worker.Worker, number: int) -> None:
    """In a signal's handler: say what happens now, because tasks may go on for a while."""
    if not node.stopping:
        text = f"farm: stopping: running tasks have {node.grace:g} s; once more stops at once\n"
        with contextlib.suppress(OSError):  # nobody reads it any more
            os.write(2, text.encode())
    node.stop(number)


def _tell(output: Output, node: worker.Worker, slots: int) -> None:
    document = {"node": node.id, "name": node.name, "slots": slots, "server": str(node.address)}
    text = f"Node {node.id} ({node.name}) works for {node.address} with {count(slots, 'slot')}."
    output.result(Result(document, lambda: text, node.name))
