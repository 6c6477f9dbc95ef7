"""The certificate authority of a farm: a directory with its key, and a bundle for each identity.

::

    DIR/ca/key.pem         the authority's key: whoever has it can make certificates of every role
    DIR/ca/cert.pem        its certificate
    DIR/ca/crl.pem         what was revoked
    DIR/ca/issued.jsonl    every certificate that was ever made, one a line
    DIR/NAME/              a bundle: all that one machine needs
        identity.pem       a certificate and its private key, in one file, so that whoever reads
                           it while it is replaced gets two that belong together
        ca.pem             the authority's certificate
        crl.pem            what was revoked (bundles of servers)

The directory stays where certificates are made; a bundle is copied to where it is used.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from farm.errors import ConfigError, MissingExtraError, telling
from farm.regular import read_regular
from farm.whole import new_directory, write_file
from farm.wire.identity import AUTHORITY, IDENTITY, REVOKED, SERVER, check_directory
from farm.wire.keyfiles import check_name, read_key_file
from farm.wire.revoked import numbers_of
from farm.wire.roles import ROLES

if TYPE_CHECKING:
    from farm.certificates import Identity, Signer

CA = "ca"
CERTIFICATE_ROLES = (SERVER, *ROLES)
FIRST = {"server": SERVER, "worker": "work", "client": "submit", "admin": "admin"}
"""The bundles that every authority begins with, and their roles."""
DAYS = 730
"""How long a certificate is valid."""


class Issued(msgspec.Struct, frozen=True):
    """A certificate that was made.

    Args:
        name: whose.
        role: one of `CERTIFICATE_ROLES`.
        serial: its number, hexadecimal.
        not_after: when it expires.
        revoked: when it was revoked, if it was.
    """

    name: str
    role: str
    serial: str
    not_after: datetime
    revoked: datetime | None = None


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Authority:
    """An authority that is there; see `create` and `open`.

    Several processes may use one at the same time.

    Example::

        authority = Authority.create(Path("tls"))
        authority.issue("work", "node7")  # tls/node7/identity.pem, tls/node7/ca.pem
        authority.revoke("node7")
    """

    def __init__(self, directory: Path, signer: Signer, now: Callable[[], datetime]) -> None:
        self._directory = directory
        self._signer = signer
        self._now = now

    @classmethod
    def create(
        cls, directory: Path, *, days: int = DAYS, now: Callable[[], datetime] = _utc_now
    ) -> Authority:
        """Make an authority, and the bundles in `FIRST`.

        Args:
            directory: made if missing; must not hold an authority or one of the bundles.
            days: how long the certificates in the bundles are valid.
            now: the time, for tests.

        Raises:
            ConfigError: it cannot be made there.
            MissingExtraError: cryptography is not installed.
        """
        _check_days(days)
        check_directory(directory)
        signer = _signer().new(now())
        if os.path.lexists(directory / CA):
            raise ConfigError(
                f"there is an authority in {directory} already: --role and --name make a further "
                "certificate, --rotate --name a new one for a name, --revoke takes one back"
            )
        for name in FIRST:
            if os.path.lexists(directory / name):
                raise ConfigError(
                    f"cannot make an authority in {directory}: {name} is there already; name "
                    "another directory"
                )
        authority = cls(directory, signer, now)
        with _using(directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with new_directory(directory / CA) as made:
                write_file(made / "key.pem", signer.key_pem, private=True)
                write_file(made / "cert.pem", signer.certificate_pem)
                write_file(made / REVOKED, signer.revocations([], now(), _number(now(), [])))
                write_file(made / "issued.jsonl", b"")
        for name, role in FIRST.items():
            authority.issue(role, name, days)
        return authority

    @classmethod
    def open(cls, directory: Path, *, now: Callable[[], datetime] = _utc_now) -> Authority:
        """The authority that `create` has made.

        Raises:
            ConfigError: there is none, it cannot be used, or it has expired.
            MissingExtraError: cryptography is not installed.
        """
        ca = directory / CA
        check_directory(directory)
        with _using(directory):
            try:
                ca.stat()
            except FileNotFoundError as error:
                raise ConfigError(
                    f"there is no certificate authority in {directory}: `farm keygen --tls` makes "
                    "one"
                ) from error
        make = _signer()
        try:
            signer = make(read_key_file(ca / "key.pem"), read_regular(ca / "cert.pem"))
        except (ValueError, TypeError) as error:  # the latter for a key with a password
            raise ConfigError(f"the key or the certificate in {ca} is damaged: {error}") from error
        except OSError as error:
            raise ConfigError(f"cannot read {ca / 'cert.pem'}: {error.strerror}") from error
        if signer.not_after <= now():
            raise ConfigError(
                f"the authority in {directory} has expired: make another one, in another directory"
            )
        return cls(directory, signer, now)

    @property
    def issued(self) -> list[Issued]:
        """Every certificate that was made, in the order in which they were.

        Raises:
            ConfigError: the list cannot be read.
        """
        path = self._directory / CA / "issued.jsonl"
        with _using(self._directory):
            lines = read_regular(path).splitlines()
        found = []
        for number, line in enumerate(lines, 1):
            try:
                found.append(msgspec.json.decode(line, type=Issued))
            except msgspec.DecodeError as error:
                raise ConfigError(f"{path}:{number}: {error}") from error
        return found

    def issue(self, role: str, name: str, days: int = DAYS) -> list[Path]:
        """Make a bundle for a new name.

        Args:
            role: one of `CERTIFICATE_ROLES`.
            name: 1 to 64 letters, digits, ``_`` and ``-``; the bundle's directory, too.
            days: how long the certificate is valid.

        Returns:
            The files that were written.

        Raises:
            ConfigError: there is one of that name, or it cannot be made.
        """
        if role not in CERTIFICATE_ROLES:
            known = ", ".join(CERTIFICATE_ROLES)
            raise ConfigError(f"there is no role {role!r}; the roles are {known}")
        if check_name(name) == CA:
            raise ConfigError(f"no certificate can have the name {CA!r}: it is the authority's")
        with self._changing():
            if self._valid(name):
                raise ConfigError(
                    f"there is a certificate for {name} in {self._directory} already: choose "
                    f"another name, or replace it with `farm keygen --tls DIR --rotate --name "
                    f"{name}`"
                )
            if os.path.lexists(self._directory / name):
                raise (
                    self._revoked(name)
                    if self._was_made(name)
                    else ConfigError(
                        f"{self._directory / name} is there already, and no certificate of this "
                        "authority: choose another name"
                    )
                )
            return self._write_bundle(name, role, self._make(role, name, days))

    def renew(self, name: str, days: int = DAYS) -> list[Path]:
        """Make a new key and certificate for a name that has one, in the place of those.

        The one before is valid as long as it was, so that machines that use it go on until they
        get the new one; see `withdraw`.

        Returns:
            The files that were written.

        Raises:
            ConfigError: there is no such name, it was revoked, or it cannot be written.
        """
        with self._changing():
            role = self._latest(name).role
            made = self._make(role, name, days)
            bundle = self._directory / name
            if not bundle.is_dir():
                return self._write_bundle(name, role, made)
            write_file(bundle / IDENTITY, made.pem, private=True)
            return [bundle / IDENTITY]

    def withdraw(self, name: str) -> list[Path]:
        """Revoke what a name had before its present certificate.

        Returns:
            The files that were written: lists of what is revoked.

        Raises:
            ConfigError: there is no such name, or nothing to revoke.
        """
        with self._changing():
            present = self._latest(name)
            former = [one for one in self.issued if one.name == name and one != present]
            if not former:
                raise ConfigError(
                    f"{name} has no certificate in {self._directory} but the present one"
                )
            return self._revoke(former)

    def revoke(self, name: str) -> list[Path]:
        """Revoke all certificates of a name.

        Its directory stays. The bundles of servers get the new list; a copy of one has to be
        replaced by hand. To revoke a name again does no harm: the lists are written anew.

        Returns:
            The files that were written: lists of what is revoked.

        Raises:
            ConfigError: there is no such name, or the lists cannot be written.
        """
        with self._changing():
            these = [one for one in self.issued if one.name == name]
            if not these:
                raise self._unknown(name)
            return self._revoke(these)

    # -- within `_changing` -------------------------------------------------------------------

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone, whatever other processes want to change."""
        with _using(self._directory):
            # A file of its own, because the others are replaced by new ones.
            lock = os.open(self._directory / CA / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)

    def _valid(self, name: str) -> list[Issued]:
        """What a name has that was not revoked, the latest last."""
        return [one for one in self.issued if one.name == name and one.revoked is None]

    def _latest(self, name: str) -> Issued:
        valid = self._valid(name)
        if valid:
            return valid[-1]
        raise self._revoked(name) if self._was_made(name) else self._unknown(name)

    def _was_made(self, name: str) -> bool:
        return any(one.name == name for one in self.issued)

    def _revoked(self, name: str) -> ConfigError:
        return ConfigError(
            f"{name} was revoked in {self._directory}: make a certificate of another name, or "
            f"remove {self._directory / name} and make one of this name anew, `farm keygen --tls "
            f"DIR --role ROLE --name {name}`"
        )

    def _unknown(self, name: str) -> ConfigError:
        names = sorted({one.name for one in self.issued if one.revoked is None})
        return ConfigError(
            f"there is no certificate for {name} in {self._directory}; those that there are: "
            f"{', '.join(names)}"
        )

    def _make(self, role: str, name: str, days: int) -> Identity:
        """A certificate that is on record before anybody has it, or it could not be revoked."""
        _check_days(days)
        made = self._signer.issue(name, role, self._now(), days)
        record = Issued(name, role, f"{made.serial:x}", made.not_after)
        self._write_issued([*self.issued, record])
        return made

    def _write_bundle(self, name: str, role: str, made: Identity) -> list[Path]:
        files = {AUTHORITY: self._signer.certificate_pem, IDENTITY: made.pem}
        if role == SERVER:
            files[REVOKED] = read_regular(self._directory / CA / REVOKED)
        with new_directory(self._directory / name) as bundle:
            for file, content in files.items():
                write_file(bundle / file, content, private=file == IDENTITY)
        return [self._directory / name / file for file in files]

    def _revoke(self, these: list[Issued]) -> list[Path]:
        now = self._now().replace(microsecond=0)
        issued = [
            msgspec.structs.replace(one, revoked=now) if one in these and not one.revoked else one
            for one in self.issued
        ]
        self._write_issued(issued)
        revoked = [(int(one.serial, 16), one.revoked) for one in issued if one.revoked]
        servers = {self._directory / one.name for one in issued if one.role == SERVER}
        files = [
            self._directory / CA / REVOKED,
            *sorted(bundle / REVOKED for bundle in servers if bundle.is_dir()),
        ]
        revocations = self._signer.revocations(revoked, now, _number(now, files))
        for file in files:
            write_file(file, revocations)
        return files

    def _write_issued(self, issued: list[Issued]) -> None:
        lines = b"".join(msgspec.json.encode(one) + b"\n" for one in issued)
        write_file(self._directory / CA / "issued.jsonl", lines)


def _signer() -> type[Signer]:
    """What needs cryptography, imported when it is needed: it takes longer than all the rest."""
    try:
        signer: type[Signer] = importlib.import_module("farm.certificates").Signer
    except ImportError as error:
        raise MissingExtraError(
            "to make certificates, farm needs the package cryptography: pip install 'farm[tls]'"
        ) from error
    return signer


def _check_days(days: int) -> None:
    if days < 1:
        raise ConfigError(f"a certificate is valid for at least 1 day, not {days}")


def _number(now: datetime, files: list[Path]) -> int:
    """The number of a new list of what is revoked: higher than those of the lists in some files.

    It begins with the time, so that it is higher than those of copies elsewhere even where the
    lists here were lost, or were put back from a backup.
    """
    numbers = [int(now.timestamp())]
    for file in files:
        # One that is damaged is about to be replaced.
        with contextlib.suppress(OSError, ValueError):
            numbers += [number + 1 for number in numbers_of(read_regular(file)).values()]
    return max(numbers)


def _using(directory: Path) -> contextlib.AbstractContextManager[None]:
    return telling(ConfigError, "cannot use", directory, exactly=True)
