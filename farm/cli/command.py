"""What every command has beside its own options, and what becomes of its errors.

``--json``, ``--quiet`` and ``--debug`` may stand before and after the command's name, so they are
added here to the group and to each command alike.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from farm.cli.options import switch
from farm.cli.output import ClosedPipeError, Json, Output, Quiet, Tables
from farm.errors import FarmError

_KEY = "farm.common"
INTERRUPTED = 130
"""128 + SIGINT, as a shell reports a command that Ctrl-C ended."""
CLOSED_PIPE = 141
"""128 + SIGPIPE, likewise."""


@dataclass
class Common:
    """What was said by the options that every command has."""

    json: bool = False
    quiet: bool = False
    debug: bool = False


def _template(
    json: Annotated[bool, switch("--json", help="Print JSON, for programs.")] = False,
    quiet: Annotated[bool, switch("--quiet", "-q", help="Print little.")] = False,
    debug: Annotated[bool, switch("--debug", help="Show tracebacks.")] = False,
) -> Common:
    """The options themselves, for typer to read."""
    return Common(json, quiet, debug)


def common_params() -> list[Any]:
    """Parameters of typer for `Common`, new ones at each call."""
    app = typer.Typer(add_completion=False)
    app.command()(_template)
    return list(typer.main.get_command(app).params)


def take_common(ctx: Any) -> Common:
    """Take the common options out of a context's parameters; what stands anywhere is on."""
    given = {name: ctx.params.pop(name) for name in ("json", "quiet", "debug")}
    common: Common = ctx.meta.setdefault(_KEY, Common())
    common.json |= given["json"]
    common.quiet |= given["quiet"]
    common.debug |= given["debug"]
    return common


def output_of(ctx: typer.Context) -> Output:
    """The output that was asked for."""
    return _output(ctx.meta[_KEY])


def _output(common: Common) -> Output:
    if common.json:
        return Json()
    return Quiet() if common.quiet else Tables()


class Terminated(KeyboardInterrupt):
    """A signal asked the command to end; it is taken as Ctrl-C is."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def ending_signals() -> list[signal.Signals]:
    """The signals, beside Ctrl-C's, that ask to end; an ignored one (by nohup) stays ignored."""
    known = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


def _heed_signals() -> None:
    def terminate(number: int, _: object) -> None:
        raise Terminated(number)

    for number in ending_signals():
        signal.signal(number, terminate)


class PlainHelp:
    """Lets ``--help`` stand in the help like any other switch, without a value's name."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option, as typer makes it otherwise."""
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.metavar = ""
        return option


class FarmCommand(PlainHelp, TyperCommand):
    """A command: with the common options, and with an exit code for each kind of error."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(common_params())

    def invoke(self, ctx: Any) -> Any:
        """Run it; errors become a message and an exit code."""
        common = take_common(ctx)
        _heed_signals()
        try:
            return super().invoke(ctx)
        except typer.Exit:
            raise
        except (Exception, KeyboardInterrupt) as error:
            raise typer.Exit(report(error, _output(common), debug=common.debug)) from error


def report(error: BaseException, output: Output, *, debug: bool = False) -> int:
    """Tell a person, or a program, why a command ended; the exit code."""
    if isinstance(error, ClosedPipeError):
        # Nobody reads; the interpreter would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    if isinstance(error, Terminated):
        return 128 + error.number
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if debug:
        output.trace(error)
    if isinstance(error, FarmError):
        output.error(error)
        return error.exit_code
    kind = type(error).__name__
    hint = "" if debug else "; run it again with --debug"
    output.error(FarmError(f"{kind}: {error} (this is a bug in farm{hint})"))
    return 1
