"""The options that commands share, each declared once; a setting's comes from its `Setting`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from farm import config
from farm.config import Setting


def flag(setting: Setting[Any], metavar: str, *more: str, panel: str | None = None) -> Any:
    """The option of a setting: its name, its help, its variable and its default.

    The value is taken as text: the setting reads it, so that a wrong one is reported alike
    wherever it comes from.

    Args:
        setting: the setting.
        metavar: what the value is called in the help.
        more: further names, such as ``-p``.
        panel: the heading of the help under which it stands.
    """
    shown = setting.shown or ("" if setting.default is None else setting.default)
    default = f" Default: {shown}." if shown else ""
    return typer.Option(
        setting.flag,
        *more,
        metavar=metavar,
        help=f"{setting.help}{default} Variable: {setting.variable}.",
        show_default=False,
        rich_help_panel=panel,
    )


def limit(name: str, metavar: str) -> Any:
    """The option of one of a server's limits."""
    setting = next(setting for setting in config.LIMITS if setting.name == name)
    return flag(setting, metavar, panel="Limits")


def switch(*names: str, help: str, **more: Any) -> Any:  # noqa: A002 - as typer calls it
    """An option that is given or not; it has no value to name in the help."""
    return typer.Option(*names, help=help, metavar="", **more)


Host = Annotated[str | None, flag(config.HOST, "HOST")]
AuthkeyFile = Annotated[str | None, flag(config.AUTHKEY_FILE, "FILE")]
Tls = Annotated[str | None, flag(config.TLS, "DIR")]
Processes = Annotated[str | None, flag(config.PROCESSES, "N")]

BatchFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="A batch file (YAML).", show_default=False)
]
BatchRef = Annotated[
    str,
    typer.Argument(
        metavar="BATCH", help="A batch: its id, its name (the latest), or last.", show_default=False
    ),
]
Wait = Annotated[bool, switch("--wait", "-w", help="Show progress, and wait for the end.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Replace a part of the file, e.g. options.retries=5. May be repeated.",
        show_default=False,
    ),
]
BatchName = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Give the batch this name.", show_default=False),
]
OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write to this file, all of it or nothing: JSON lines, or CSV (.csv).",
        show_default=False,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="A settings file (YAML).", show_default=False),
]
Verbose = Annotated[
    int,
    switch("--verbose", "-v", count=True, help="Log more; twice for every detail."),
]
