"""The command ``farm``: its help, and each command found when it is used.

A command's module is imported only when that command runs, so that ``farm --help`` is quick; the
line that the help shows of it stands here.
"""

from __future__ import annotations

import importlib
import keyword
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from farm.cli.command import FarmCommand, PlainHelp, common_params, report, take_common
from farm.cli.options import switch
from farm.cli.output import Tables, writing_to
from farm.version import __version__

COMMANDS = {
    "run": "Run a batch on this machine alone; nothing is left running.",
    "serve": "Serve the task queue and the results.",
    "worker": "Work for a server as a node.",
    "submit": "Submit a batch to a server.",
    "status": "Show how batches stand, or one of them.",
    "results": "Print what came of a batch's tasks.",
    "cancel": "Give up what is not done of a batch.",
    "pause": "Begin no further task of a batch.",
    "resume": "Go on with a batch that is paused.",
    "retry": "Try tasks of a batch again.",
    "forget": "Remove batches that have ended, with their results.",
    "export": "Write a batch and what came of it to a directory.",
    "import": "Make a batch of a directory that `farm export` has written.",
    "nodes": "Show the nodes of a server.",
    "drain": "Let a node finish what it runs and leave.",
    "keygen": "Make and change keys and certificates.",
    "validate": "Check a batch file and show what would run.",
    "schema": "Print the JSON schema of batch files, for editors.",
}
"""Each command and the first line of its help; its module has the same name (see `load`)."""

HELP = "Run batches of tasks on the processes of one machine or many."
EPILOG = (
    "Exit codes: 0 all done, 1 some tasks failed, 2 wrong use or a bad file, "
    "3 the server cannot be reached, 4 not authorised, 130 interrupted (143 by SIGTERM, 129 by a "
    "closed terminal)."
)
_CONTEXT = {"help_option_names": ["-h", "--help"]}


class FarmGroup(PlainHelp, TyperGroup):
    """The group, which imports the one command that is wanted."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(common_params())

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Put the real command in the place of its line in the help."""
        if args[0] in COMMANDS:
            self.commands[args[0]] = load(args[0])
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Keep the common options for the command."""
        take_common(ctx)
        return super().invoke(ctx)


def load(name: str) -> Any:
    """The command of a name, imported."""
    # No module can be called `import` where others are to import it.
    module = f"{name}_" if keyword.iskeyword(name) else name
    function: Callable[..., None] = importlib.import_module(f"farm.cli.{module}").command
    app = typer.Typer(add_completion=False)
    app.command(name, cls=FarmCommand, context_settings=_CONTEXT)(function)
    return typer.main.get_command(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"farm {__version__}")
        raise typer.Exit


def _root(
    _: Annotated[
        bool,
        switch("--version", callback=_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """What stands before the command's name."""


def build() -> typer.Typer:
    """The application: a line of help for each command, imported when it is used."""
    app = typer.Typer(
        cls=FarmGroup,
        help=HELP,
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings=_CONTEXT,
    )
    app.callback()(_root)
    for name, line in COMMANDS.items():
        app.command(name, help=line)(lambda: None)
    return app


def main() -> None:
    """Run the command line and exit with its code."""
    # Python has None for a stream that was closed before it started.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115 - for as long as it runs
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # A result may be a number of any length; Python's limit is for servers that read numbers.
    sys.set_int_max_str_digits(0)
    try:
        with writing_to(sys.stdout):  # the help, the version
            build()(prog_name="farm")
    except Exception as error:
        # What the commands raise is reported by them; this is the command line itself.
        sys.exit(report(error, Tables(), debug="--debug" in sys.argv))
