"""A command's settings: its flags, the environment and the file that ``--config`` names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from farm.client.link import Link
from farm.client.session import Session
from farm.config import AUTHKEY_FILE, HOST, TLS, Setting, Settings
from farm.errors import ConfigError
from farm.wire import access, identity
from farm.wire.address import parse
from farm.wire.credentials import CertificateCredentials, Credentials, KeyCredentials
from farm.wire.keyring import Keyring


class CommandSettings:
    """The settings of one command, and the key, which has a rule of its own.

    Args:
        known: the command's settings.
        flags: the text of each flag by the setting's name, None where it was not given.
        file: the settings file; None if there is none.

    Raises:
        ConfigError: the file cannot be read, or a value cannot be used.
    """

    def __init__(
        self,
        known: tuple[Setting[Any], ...],
        flags: Mapping[str, str | None],
        file: Path | None = None,
    ) -> None:
        self._flags = flags
        self._environment = dict(os.environ)
        self._file = read_file(file) if file else {}
        self.values = Settings(known, flags, self._environment, self._file, str(file or ""))

    def credentials(self, names: Sequence[str]) -> Credentials:
        """What to show to a server: the certificate in ``--tls``, else the key.

        Args:
            names: of the sub-directories of ``--tls`` to choose from.
        """
        directory = self.values[TLS]
        if directory is not None:
            return CertificateCredentials(directory, names)
        files = self._key_files()
        access.find_key(*files)  # what is wrong with it is said before anything is connected
        return KeyCredentials(lambda: access.find_key(*files)[0])

    def keyring(self) -> tuple[Keyring, str]:
        """The keys that a server accepts, and where they lie; one is made if there is none."""
        key, source = access.find_or_make_key(*self._key_files())
        if source == access.KEY_VARIABLE:
            return Keyring.of(key), source
        return Keyring.beside(Path(source)), source

    def _key_files(self) -> tuple[Path | None, Mapping[str, str], Path | None]:
        flag, named = self._flags.get(AUTHKEY_FILE.name), self._file.get(AUTHKEY_FILE.name)
        return (
            AUTHKEY_FILE.read(flag) if flag is not None else None,
            self._environment,
            AUTHKEY_FILE.read(named) if named is not None else None,
        )


def read_file(path: Path) -> dict[str, Any]:
    """The mapping in a settings file; an empty one if everything in it is commented out.

    Raises:
        ConfigError: it cannot be read, or holds something else.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the settings file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read the settings file {path}: it is not UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(f"{where}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: it is not YAML: {error}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: a settings file holds lines such as `port: 7077`")
    return found


def open_session(host: str | None, authkey_file: str | None, tls: str | None) -> Session:
    """Connect to the server that the flags of a client command name.

    Raises:
        ConfigError, AddressError, ServerUnreachableError, NotAuthorisedError
    """
    flags = {HOST.name: host, AUTHKEY_FILE.name: authkey_file, TLS.name: tls}
    settings = CommandSettings((HOST, AUTHKEY_FILE, TLS), flags)
    credentials = settings.credentials(identity.FOR_CLIENT)
    return Session(Link(parse(settings.values[HOST]), credentials))
