"""What `farm keygen --tls` does with certificates, and what is to be done next."""

from __future__ import annotations

import shlex
from pathlib import Path

from farm.authority import CA, DAYS, FIRST, Authority
from farm.cli.newkeys import USES, Done
from farm.wire.identity import SERVER


def change(
    directory: Path, action: str, role: str | None, name: str | None, days: int | None
) -> Done:
    """Make an authority, or make, renew, withdraw or revoke a certificate of one.

    Args:
        directory: of the authority.
        action: ``make``, ``rotate``, ``withdraw`` or ``revoke``.
        role: of a new certificate; with ``make``, neither this nor a name for a new authority.
        name: whose certificate.
        days: how long a new one is valid, if not as long as usual.

    Raises:
        ConfigError: it cannot be done, and why.
        MissingExtraError: cryptography is not installed.
    """
    if name is None:
        Authority.create(directory, days=days or DAYS)
        files = [path for part in (CA, *FIRST) for path in sorted((directory / part).glob("*.*"))]
        return Done(_first(directory), files, [], None)
    authority = Authority.open(directory)
    bundle = directory / name
    if action == "make" and role is not None:
        files = authority.issue(role, name, days or DAYS)
        return Done(_issued(bundle, role), files, [], role)
    known = next((one.role for one in reversed(authority.issued) if one.name == name), None)
    if action == "rotate":
        files = authority.renew(name, days or DAYS)
        lines = _renewed(bundle, f"--tls {shlex.quote(str(directory))} --name {name}")
    elif action == "withdraw":
        files = authority.withdraw(name)
        lines = _revoked(f"Revoked the former certificates of {name}.", known, files)
    else:
        files = authority.revoke(name)
        lines = _revoked(f"Revoked all certificates of {name}.", known, files)
    return Done(lines, files, [], known)


def _first(directory: Path) -> list[str]:
    uses = {name: _use(directory / name, role) for name, role in FIRST.items()}
    width = max(len(str(directory / name)) for name in uses)
    return [
        "Made an authority, and the certificates to begin with. Copy a directory to each machine,",
        "for its owner's eyes alone, and run there:",
        *(f"  {directory / name!s:{width}}  {use}" for name, use in uses.items()),
        f"{directory / 'ca'} makes more of them: keep it secret, and let no other machine have it.",
    ]


def _issued(bundle: Path, role: str) -> list[str]:
    return [
        f"Made a certificate for the role {role}: {bundle}",
        "Copy this directory to where it is used, for its owner's eyes alone, and run there:",
        f"  {_use(bundle, role)}",
    ]


def _use(bundle: Path, role: str) -> str:
    # The server is likely to run where its certificate was made.
    host, path = ("0.0.0.0", str(bundle)) if role == SERVER else ("SERVER", bundle.name)  # noqa: S104 - a line to paste
    return f"{USES[role]} --host {host} --tls {shlex.quote(path)}"


def _renewed(bundle: Path, options: str) -> list[str]:
    return [
        f"Made a new certificate: {bundle}",
        "Copy this directory to wherever the former one is used. That one is accepted until it",
        "expires, or is revoked by",
        f"  farm keygen --withdraw {options}",
    ]


def _revoked(what: str, role: str | None, files: list[Path]) -> list[str]:
    lists = [str(path) for path in files[1:]]
    others = "servers, nodes and clients need" if role == SERVER else "servers need"
    here = [f"Servers that run with {' or '.join(lists)} take it within a second."] if lists else []
    where = " or ".join(lists) or str(files[0])
    return [what, *here, f"On other machines, {others} a copy of {where}."]
