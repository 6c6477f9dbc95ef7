"""Keys: where they lie, who may read them, and how one is made.

The key is the text of a file (or of FARM_AUTHKEY) without surrounding white space, as ASCII
bytes, so that a plain script can use it: ``open(path, "rb").read().strip()``.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from farm.config import AUTHKEY_FILE
from farm.errors import ConfigError

MIN_KEY_BYTES = 32
KEY_VARIABLE = "FARM_AUTHKEY"


def default_key_file() -> Path:
    """The key that the commands of one user on one machine find by themselves."""
    return platformdirs.user_config_path("farm") / "authkey"


def make_key_file(path: Path) -> bytes:
    """Make a key of 32 random bytes in a file that only its owner can read.

    Raises:
        ConfigError: the file cannot be written, or is there already.
    """
    key = secrets.token_urlsafe(MIN_KEY_BYTES).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Opened exclusively and with its mode, so that it is never readable for a moment.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot make the key file {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(key + b"\n")
    return key


def read_key_file(path: Path) -> bytes:
    """The key in ``path``, after a look at who else may read it.

    Raises:
        ConfigError: missing, readable by others, owned by another user, or too short.
    """
    try:
        status = path.stat()
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the key file {path}: {error.strerror}") from error
    if os.name == "posix":
        _check_owner(path, status)
    return _checked(text.strip(), f"the key file {path}")


def _check_owner(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise ConfigError(
            f"the key file {path} belongs to user {status.st_uid}, not to you: "
            "copy it into a file of your own"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigError(f"others can read the key file {path}: run `chmod 600 {path}`")


def _checked(key: bytes, where: str) -> bytes:
    if len(key) < MIN_KEY_BYTES:
        raise ConfigError(
            f"{where} holds {len(key)} bytes; a key has at least {MIN_KEY_BYTES}. "
            "Let `farm serve` make one by starting it without a key."
        )
    return key


def find_key(
    flag: Path | None, environment: Mapping[str, str], settings_file: Path | None = None
) -> tuple[bytes, str]:
    """The key to use, and where it came from (for messages; never the key itself).

    The file that a flag names, else FARM_AUTHKEY, else FARM_AUTHKEY_FILE, else the file that a
    settings file names, else the one in the config directory.

    Raises:
        ConfigError: there is none, or it is not fit to use.
    """
    if flag is None and (text := environment.get(KEY_VARIABLE)):
        return _checked(text.strip().encode(), KEY_VARIABLE), KEY_VARIABLE
    path = _named(flag, environment, settings_file)
    if path is None:
        path = default_key_file()
        if not path.exists():
            raise ConfigError(
                f"no key: there is none in {path}. Copy it from the machine where `farm serve` "
                f"runs (it prints which file), or name it with {AUTHKEY_FILE.flag} or "
                f"{AUTHKEY_FILE.variable}. To begin on this machine, start `farm serve`: "
                "it makes one."
            )
    return read_key_file(path), str(path)


def find_or_make_key(
    flag: Path | None, environment: Mapping[str, str], settings_file: Path | None = None
) -> tuple[bytes, str]:
    """As `find_key`; where none is named and none lies in the config directory, one is made."""
    named = _named(flag, environment, settings_file) or environment.get(KEY_VARIABLE)
    path = default_key_file()
    if not named and not path.exists():
        return make_key_file(path), str(path)
    return find_key(flag, environment, settings_file)


def _named(
    flag: Path | None, environment: Mapping[str, str], settings_file: Path | None
) -> Path | None:
    variable = environment.get(AUTHKEY_FILE.variable)
    return flag or (Path(variable).expanduser() if variable else settings_file)
