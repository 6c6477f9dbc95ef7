"""Keys: where they are looked for. What is in their files is the matter of `keyfiles`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import platformdirs

from farm.config import AUTHKEY_FILE
from farm.errors import ConfigError
from farm.wire.keyfiles import check_key, make_key, read_key_file

KEY_VARIABLE = "FARM_AUTHKEY"


def default_key_file() -> Path:
    """The key that the commands of one user on one machine find by themselves."""
    return platformdirs.user_config_path("farm") / "authkey"


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
        return check_key(text.strip().encode(), KEY_VARIABLE), KEY_VARIABLE
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
        make_key(path)
        return read_key_file(path), str(path)
    return find_key(flag, environment, settings_file)


def _named(
    flag: Path | None, environment: Mapping[str, str], settings_file: Path | None
) -> Path | None:
    variable = environment.get(AUTHKEY_FILE.variable)
    return flag or (Path(variable).expanduser() if variable else settings_file)
