"""The keys that a server accepts: all of its key files, read again whenever they change."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from farm.errors import ConfigError
from farm.wire.keyfiles import OLD, check_key, read, read_key_file, role_of

MAX_KEYS = 256
Stamp = tuple[str, int, int, int, int]
"""What tells that a file has changed: name, inode, times of change (ns) and size."""

log = logging.getLogger("farm.server")

_WANT = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""What this process may run out of, whatever the files are like."""


@dataclass(frozen=True)
class Key:
    """One key that a server accepts.

    Args:
        secret: the key itself; never shown.
        role: what its holder may do, one of `ROLES`.
        name: the name of its file, for logs.
    """

    secret: bytes = field(repr=False)
    role: str
    name: str


class Keyring:
    """The keys that a server accepts, read again whenever their files change.

    Not for several threads at once.

    Example:
        >>> ring = Keyring.of(b"k" * 32)
        >>> [(key.role, key.name) for key in ring.keys]
        [('admin', 'FARM_AUTHKEY')]
    """

    def __init__(self, keys: tuple[Key, ...], base: Path | None = None) -> None:
        self._keys = keys
        self._base = base
        self._stamps: list[Stamp] | None = None
        self._told: dict[str, str] = {}

    @classmethod
    def of(cls, secret: bytes, name: str = "FARM_AUTHKEY") -> Keyring:
        """A single key, with which its holder may do everything.

        Raises:
            ConfigError: it is too short.
        """
        return cls((Key(check_key(secret, name), "admin", name),))

    @classmethod
    def beside(cls, base: Path) -> Keyring:
        """The keys in ``base`` and in the files that are named after it.

        Raises:
            ConfigError: one of the files cannot be used, there are too many, or two hold the same
                key for different roles.
        """
        check_base(base)
        read_key_file(base)
        ring = cls((), base)
        try:
            _, wrong = ring._read_again(_stamps(base))
        except OSError as error:
            raise ConfigError(f"cannot read the key files {base}*: {error.strerror}") from error
        if wrong:
            raise ConfigError("\n".join(wrong.values()))
        return ring

    @property
    def keys(self) -> tuple[Key, ...]:
        """Those that are accepted now, each once; present ones first."""
        return self._keys

    def refresh(self) -> bool:
        """Read the files again if they have changed.

        A file that cannot be used is logged once, and its key is not accepted; keys whose files
        are gone are not accepted either, so that none may be left. Where the files cannot be
        looked at all, everything stays as it is.

        Returns:
            Whether other keys are accepted now.
        """
        if self._base is None:
            return False
        try:
            stamps = _stamps(self._base)
            if stamps == self._stamps:
                return False
            changed, wrong = self._read_again(stamps)
        except (OSError, ConfigError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            self._tell({"": f"the key files {self._base}* are not read again: {reason}"})
            return False
        self._tell(wrong)
        return changed

    def _read_again(self, stamps: list[Stamp]) -> tuple[bool, dict[str, str]]:
        """Whether the keys are others now, and by the file's name what is wrong."""
        assert self._base is not None
        keys, wrong, again = _read_all(self._base, [stamp[0] for stamp in stamps])
        keys, twins = _without_twins(keys, self._keys)
        changed, self._keys = set(keys) != set(self._keys), tuple(keys)
        self._stamps = None if again else stamps
        return changed, wrong | twins

    def _tell(self, wrong: dict[str, str]) -> None:
        for name, reason in wrong.items():
            if self._told.get(name) != reason:
                log.warning("%s", reason)
        self._told = wrong


def check_base(base: Path) -> None:
    """A key for nodes must not become the admin's because its file is named to a server."""
    parts = base.name.split(".")
    for end in range(1, len(parts)):
        first = ".".join(parts[:end])
        role = role_of(first, base.name)
        if first and role and base.with_name(first).exists():
            raise ConfigError(
                f"{base} is a key file of the role {role}, one of those beside "
                f"{base.with_name(first)}: name that one to the server, and it takes all of them"
            )


def _stamps(base: Path) -> list[Stamp]:
    """The files of the scheme as they are now, present keys first.

    Raises:
        OSError: the directory cannot be read.
        ConfigError: there are too many of them.
    """
    with os.scandir(base.parent) as entries:
        names = [entry.name for entry in entries if role_of(base.name, entry.name)]
    if len(names) > MAX_KEYS:
        raise ConfigError(f"there are {len(names)} key files {base}*; a server takes {MAX_KEYS}")
    found = []
    for name in sorted(names, key=lambda name: (name.endswith(f".{OLD}"), name)):
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile, or a link to nothing
            status = base.with_name(name).stat()
            times = status.st_mtime_ns, status.st_ctime_ns
            found.append((name, status.st_ino, *times, status.st_size))
    return found


def _read_all(base: Path, names: list[str]) -> tuple[list[Key], dict[str, str], bool]:
    """The keys in the files, what is wrong by the file's name, and whether to try again soon.

    Raises:
        OSError: this process can open no files now.
    """
    keys, wrong, again = [], {}, False
    for name in names:
        path, role = base.with_name(name), role_of(base.name, name)
        assert role is not None
        try:
            keys.append(Key(read(path), role, name))
        except FileNotFoundError:
            again = True  # removed, or moved, since it was listed
        except OSError as error:
            if error.errno in _WANT:
                raise
            wrong[name], again = f"cannot read the key file {path}: {error.strerror}", True
        except ConfigError as error:
            wrong[name] = str(error)
    return keys, wrong, again


def _without_twins(keys: list[Key], former: Collection[Key]) -> tuple[list[Key], dict[str, str]]:
    """Each secret once; what stands for two roles is left out, but for a key that was known."""
    by_secret: dict[bytes, list[Key]] = {}
    for key in keys:
        by_secret.setdefault(key.secret, []).append(key)
    kept: list[Key] = []
    wrong: dict[str, str] = {}
    for same in by_secret.values():
        if len({key.role for key in same}) == 1:
            kept.append(same[0])
            continue
        kept += [key for key in same if key in former][:1]
        names = " and ".join(key.name for key in same)
        reason = f"the key files {names} hold the same key for different roles: make another one"
        wrong |= {key.name: reason for key in same if key not in kept}
    return kept, wrong
