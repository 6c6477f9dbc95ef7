"""What `farm keygen` does with key files, and what is to be done next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from farm.wire import keyfiles
from farm.wire.access import default_key_file
from farm.wire.keyring import check_base

USES = {
    "view": "farm status",
    "submit": "farm submit FILE",
    "work": "farm worker",
    "admin": "farm status",
    "server": "farm serve",
}
"""What the holder of a role is likely to run."""


@dataclass(frozen=True)
class Done:
    """What was changed.

    Args:
        lines: for people.
        files: what was written.
        removed: what was removed.
        role: whose holder it is for; None if for several.
    """

    lines: list[str]
    files: list[Path]
    removed: list[Path]
    role: str | None


def change(named: Path | None, action: str, role: str | None, name: str | None) -> Done:
    """Make, rotate or withdraw a key of a server.

    Args:
        named: the file of the admin's key; None for the one in the config directory.
        action: ``make``, ``rotate`` or ``withdraw``.
        role: the key's; None for the admin's first one.
        name: whose it is, among those of one role.

    Raises:
        ConfigError: it cannot be done, and why.
    """
    base = named or default_key_file()
    check_base(base)
    path = keyfiles.key_path(base, role, name)
    old = keyfiles.old_path(path)
    role = role or "admin"
    if action == "make":
        keyfiles.make_key(path)
        return Done(_made(base, path, role, named), [path], [], role)
    if action == "rotate":
        keyfiles.rotate(path)
        return Done(_rotated(path, old, _again(named, role, name)), [path, old], [], role)
    keyfiles.withdraw(path)
    return Done([f"Removed {old}: the former key is not accepted any more."], [], [old], role)


def _made(base: Path, path: Path, role: str, named: Path | None) -> list[str]:
    flag = _flag(named)
    lines = [f"Made a key for the role {role}: {path}"]
    if path == base:
        return [*lines, f"On this machine it is used by `farm serve{flag}` and by all commands."]
    lines += [
        "Copy it to where it is used, for its owner's eyes alone (chmod 600), and run there:",
        f"  {USES[role]} --host SERVER --authkey-file {shlex.quote(path.name)}",
    ]
    if not base.exists():
        lines.append(f"The server needs a key for the admin as well: `farm keygen{flag}`.")
    return lines


def _rotated(path: Path, old: Path, options: str) -> list[str]:
    return [
        f"Made a new key: {path}",
        f"The former one, now in {old}, is accepted as well until it is withdrawn.",
        "Copy the new one to wherever the former one is used, and then withdraw that:",
        f"  farm keygen --withdraw{options}",
    ]


def _again(named: Path | None, role: str, name: str | None) -> str:
    """The options that name the same key again."""
    first = role == "admin" and name is None
    return ("" if first else f" --role {role}") + (f" --name {name}" if name else "") + _flag(named)


def _flag(named: Path | None) -> str:
    return f" --authkey-file {shlex.quote(str(named))}" if named else ""
