"""``farm keygen``: the keys and certificates that open a server, made, replaced and taken back."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from farm.cli import newcerts, newkeys
from farm.cli.command import output_of
from farm.cli.newkeys import Done
from farm.cli.options import AuthkeyFile, switch
from farm.cli.output import Result
from farm.cli.settings import CommandSettings
from farm.config import AUTHKEY_FILE, TLS
from farm.errors import UsageError
from farm.printable import plain
from farm.wire.access import KEY_VARIABLE

TlsOption = Annotated[
    Path | None,
    typer.Option(
        TLS.flag,
        metavar="DIR",
        help="Certificates instead of keys, and an authority that makes them, in this directory.",
        show_default=False,
    ),
]
RoleOption = Annotated[
    str | None,
    typer.Option(
        "--role",
        metavar="ROLE",
        help="What its holder may do: view, submit, work or admin; or be a server (with --tls).",
        show_default=False,
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", help="Whose it is: node7, alice, ...", show_default=False
    ),
]
RevokeOption = Annotated[
    str | None,
    typer.Option(
        "--revoke",
        metavar="NAME",
        help="Take back all certificates of this name (with --tls).",
        show_default=False,
    ),
]
DaysOption = Annotated[
    int | None,
    typer.Option(
        "--days",
        metavar="N",
        min=1,
        help="How long a certificate is valid. Default: 730.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Wish:
    """What the options say.

    Args:
        action: ``make``, ``rotate``, ``withdraw`` or ``revoke``.
        role: one of `ROLES` or ``server``, if given.
        name: whose, if given.
        days: how long a certificate is valid, if given.
    """

    action: str
    role: str | None
    name: str | None
    days: int | None


def command(
    ctx: typer.Context,
    role: RoleOption = None,
    name: NameOption = None,
    rotate: Annotated[
        bool, switch("--rotate", help="Replace it; the former one is accepted until withdrawn.")
    ] = False,
    withdraw: Annotated[
        bool, switch("--withdraw", help="Accept the former one no longer.")
    ] = False,
    revoke: RevokeOption = None,
    days: DaysOption = None,
    authkey_file: AuthkeyFile = None,
    tls: TlsOption = None,
) -> None:
    """Make and change keys and certificates.

    Keys lie beside one another: the admin's, and those that --role and --name give to others.
    With --tls they are certificates of an authority, which keeps what is sent from being read.
    A server that runs takes every change within a second. No key is ever printed.
    """
    wish = Wish(_action(rotate, withdraw, revoke), role, revoke or name, days)
    output = output_of(ctx)
    if tls is not None:
        _check_certificates(wish, bool(revoke and name), authkey_file)
        done = newcerts.change(tls.expanduser(), wish.action, wish.role, wish.name, wish.days)
    else:
        _check_keys(wish)
        settings = CommandSettings((AUTHKEY_FILE,), {AUTHKEY_FILE.name: authkey_file})
        done = newkeys.change(settings.values[AUTHKEY_FILE], wish.action, wish.role, wish.name)
        if authkey_file is None and KEY_VARIABLE in os.environ:
            output.warn(f"{KEY_VARIABLE} is set here, and used instead of the key in any file")
        if os.environ.get(TLS.variable):
            output.warn(
                f"{TLS.variable} is set here: commands use the certificates that it names, and no "
                f"key ({TLS.flag} DIR makes certificates)"
            )
    output.result(_result(wish, done))


def _action(rotate: bool, withdraw: bool, revoke: str | None) -> str:
    wanted = {"rotate": rotate, "withdraw": withdraw, "revoke": revoke is not None}
    given = [action for action, is_wanted in wanted.items() if is_wanted]
    if len(given) > 1:
        raise UsageError(f"give {' or '.join(f'--{action}' for action in given)}, not both")
    return given[0] if given else "make"


def _check_keys(wish: Wish) -> None:
    if wish.action == "revoke":
        raise UsageError(
            "--revoke takes back certificates, in the directory that --tls names; a key is taken "
            "back by removing its file on the server"
        )
    if wish.name is not None and wish.role is None:
        raise UsageError("--name tells keys of one role apart: give --role as well")
    if wish.days is not None:
        raise UsageError("--days is for certificates (--tls): keys do not expire")


def _check_certificates(wish: Wish, named_twice: bool, authkey_file: str | None) -> None:
    if authkey_file is not None:
        raise UsageError("give --authkey-file for keys or --tls for certificates, not both")
    if named_twice:
        raise UsageError("--revoke NAME says whose certificates: leave out --name")
    if wish.action == "make":
        if (wish.role is None) != (wish.name is None):
            raise UsageError("a certificate has a role and a name: give both --role and --name")
        return
    if wish.role is not None:
        raise UsageError(f"a certificate keeps its role: leave out --role with --{wish.action}")
    if wish.name is None:
        raise UsageError(f"--{wish.action} needs --name with --tls")
    if wish.days is not None and wish.action != "rotate":
        raise UsageError(
            f"--days says how long a new certificate is valid: --{wish.action} has none"
        )


def _result(wish: Wish, done: Done) -> Result:
    files, removed = ([str(path) for path in paths] for paths in (done.files, done.removed))
    document = {
        "action": wish.action,
        "role": done.role,
        "name": wish.name,
        "files": files,
        "removed": removed,
    }
    return Result(document, lambda: plain("\n".join(done.lines)), "\n".join(files))
