"""Key files: their names, and how one is made, read, replaced and withdrawn.

A server's keys lie beside one another, and the name of a file says the role of its key::

    authkey                     admin; the others are named after it
    authkey.work                work
    authkey.submit.alice        submit, one for alice alone
    authkey.submit.alice.old    the one that alice had before, accepted until it is withdrawn

A key is the text of its file without surrounding white space, as bytes, so that a plain script
can use it: ``open(path, "rb").read().strip()``. A copy on another machine may have any name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from farm.errors import ConfigError
from farm.wire.roles import ROLES

MIN_KEY_BYTES = 32
MAX_FILE_BYTES = 4096
OLD = "old"
"""How the file of a former key ends."""

_POSIX = os.name == "posix"
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}
"""What link(2) says where the file system has no hard links."""


# -- names ------------------------------------------------------------------------------------


def check_name(name: str) -> str:
    """A name that tells one key or certificate of a role from another.

    Raises:
        ConfigError: it is not 1 to 64 letters, digits, ``_`` and ``-``, or it is ``old``.
    """
    if not _is_name(name):
        raise ConfigError(
            f"{name!r} cannot be used as a name: it takes 1 to 64 letters (A to Z), digits, _ and "
            f"-, and must not be {OLD!r}"
        )
    return name


def _is_name(name: str) -> bool:
    return name != OLD and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", name) is not None


def key_path(base: Path, role: str | None = None, name: str | None = None) -> Path:
    """The file of a key among those of a server.

    Args:
        base: the file of the admin's key, after which the others are named.
        role: one of `ROLES`; None for ``base`` itself.
        name: tells keys of one role apart.

    Raises:
        ConfigError: there is no such role, or the name cannot be used.

    Example:
        >>> str(key_path(Path("authkey"), "work", "node7"))
        'authkey.work.node7'
    """
    if role is not None and role not in ROLES:
        raise ConfigError(f"there is no role {role!r}; the roles are {', '.join(ROLES)}")
    if name is not None:
        return base.with_name(f"{base.name}.{role or 'admin'}.{check_name(name)}")
    return base if role in (None, "admin") else base.with_name(f"{base.name}.{role}")


def old_path(path: Path) -> Path:
    """Where the key lies that was in ``path`` before the present one."""
    return path.with_name(f"{path.name}.{OLD}")


def role_of(base: str, name: str) -> str | None:
    """The role of a file beside ``base``; None if it is not one of its key files."""
    if name == base:
        return "admin"
    if not name.startswith(f"{base}."):
        return None
    parts = name[len(base) + 1 :].split(".")
    if parts[-1] == OLD:
        parts.pop()
    match parts:
        case []:
            return "admin"
        case [role] if role in ROLES:
            return role
        case [role, owner] if role in ROLES and _is_name(owner):
            return role
    return None


# -- one file ---------------------------------------------------------------------------------


def make_key(path: Path) -> None:
    """Make a key of 32 random bytes in a file that only its owner can read.

    The file has its name only when it is whole, and never takes the place of another one.

    Raises:
        ConfigError: the file cannot be written, or is there already.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _new_key(path) as made:
            _link(made, path)
    except OSError as error:
        hint = ". `farm keygen --rotate` replaces a key" if os.path.lexists(path) else ""
        raise ConfigError(f"cannot make the key file {path}: {error.strerror}{hint}") from error


def rotate(path: Path) -> None:
    """Put a new key into the place of one, which is kept beside it and accepted until withdrawn.

    At no moment is there no key in ``path``, or half of one.

    Raises:
        ConfigError: there is no key that could be used, the one before it has not been withdrawn,
            or the files cannot be written.
    """
    read_key_file(path)
    old = old_path(path)
    try:
        with _new_key(path) as made:
            _link(path, old)
            made.replace(path)
    except FileExistsError as error:
        raise ConfigError(
            f"the key before the present one is still accepted: it is in {old}. Withdraw it "
            "first: `farm keygen --withdraw`, for the same role and name"
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot replace the key in {path}: {error.strerror}") from error


def withdraw(path: Path) -> None:
    """Remove the key that `rotate` has kept.

    Raises:
        ConfigError: there is none, or it cannot be removed.
    """
    old = old_path(path)
    try:
        old.unlink()
    except FileNotFoundError as error:
        raise ConfigError(f"there is no former key to withdraw: no file {old}") from error
    except OSError as error:
        raise ConfigError(f"cannot remove the former key {old}: {error.strerror}") from error


@contextlib.contextmanager
def _new_key(path: Path) -> Iterator[Path]:
    """A file beside ``path`` with a new key, gone afterwards unless it was moved."""
    descriptor, text = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    made = Path(text)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(MIN_KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        yield made
    finally:
        made.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, which must be free."""
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with source.open("rb") as there, os.fdopen(descriptor, "wb") as here:
            shutil.copyfileobj(there, here)


def read_key_file(path: Path) -> bytes:
    """The key in ``path``, after a look at who else may read it.

    Raises:
        ConfigError: missing, not a regular file, readable by others, owned by another user, too
            short or too long.
    """
    try:
        return read(path)
    except OSError as error:
        hint = ""
        if isinstance(error, FileNotFoundError):
            command = f"farm keygen --authkey-file {shlex.quote(str(path))}"
            hint = f". Where the server runs, `{command}` makes one"
        raise ConfigError(f"cannot read the key file {path}: {error.strerror}{hint}") from error


def read(path: Path) -> bytes:
    """As `read_key_file`, but what the system says comes as an OSError."""
    # What is looked at is what is read; a FIFO is opened without waiting for its writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
    descriptor = os.open(path, flags)
    try:
        _check_file(path, os.fstat(descriptor))
        with open(descriptor, "rb", closefd=False) as file:
            text = file.read(MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(text) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} holds more than {MAX_FILE_BYTES} bytes: it is not a key file")
    return check_key(text.strip(), f"the key file {path}")


def check_private(path: Path) -> None:
    """See that a file that holds a private key is its owner's alone.

    Raises:
        ConfigError: it is not, or it is not there.
    """
    try:
        _check_file(path, path.stat())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def _check_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"the key file {path} is not a regular file")
    if not _POSIX:
        return  # what follows means something else there
    if status.st_uid != os.geteuid():
        raise ConfigError(
            f"the key file {path} belongs to user {status.st_uid}, not to you: "
            "copy it into a file of your own"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigError(
            f"others can read the key file {path}: run `chmod 600 {shlex.quote(str(path))}`"
        )


def check_key(key: bytes, where: str) -> bytes:
    """The key, if it is long enough to be one; ``where`` names its source in the error.

    Raises:
        ConfigError: it is too short.
    """
    if not all(0 < byte < 127 for byte in key):
        # HMAC takes a key with a zero byte at its end for the one without.
        raise ConfigError(f"{where} holds something else than a key: `farm keygen` makes one.")
    if len(key) < MIN_KEY_BYTES:
        raise ConfigError(
            f"{where} holds {len(key)} bytes; a key has at least {MIN_KEY_BYTES}. "
            "`farm keygen` makes one."
        )
    return key
