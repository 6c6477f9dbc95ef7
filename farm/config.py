"""Settings: each is declared here once, with its flag, its variable, its default and its help.

Flags win over ``FARM_*`` variables, those over the file given with ``--config``, that over the
defaults. The file is YAML; its keys are the names of the settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import platformdirs

from farm.batch import quantities
from farm.errors import ConfigError
from farm.limits import DEFAULTS, MIB, Limits

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 7077
DURABILITIES = ("process", "disk")

T = TypeVar("T")


@dataclass(frozen=True)
class Setting(Generic[T]):
    """One setting.

    Args:
        name: as in a settings file; the flag is ``--name`` with dashes.
        read: makes the value of a text or of a value of a settings file; raises ValueError.
        default: the value where nothing else is given.
        help: a sentence for ``--help``.
        variable: the environment variable.
        shown: the default, as people write it.
    """

    name: str
    read: Callable[[Any], T]
    default: T
    help: str
    variable: str
    shown: str = ""

    @property
    def flag(self) -> str:
        """As it is written on the command line."""
        return "--" + self.name.replace("_", "-")


def _whole(value: Any) -> int:
    if isinstance(value, bool | float):
        raise ValueError("it is a whole number")  # noqa: TRY004 - read by `Setting.read`
    return int(value)


def _port(value: Any) -> int:
    number = _whole(value)
    if not 0 <= number <= 65535:
        raise ValueError("a port is a number from 0 to 65535")
    return number


def _at_least(least: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        number = _whole(value)
        if number < least:
            raise ValueError(f"it is a number of at least {least}")
        return number

    return read


_count = _at_least(1)


def _seconds(value: Any) -> float:
    number = float(value)
    if not 0 < number < 1e9:
        raise ValueError("it is a number of seconds above 0")
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("it is a text")
    return value


def _path(value: Any) -> Path:
    return Path(_text(str(value))).expanduser()


def _duration(value: Any) -> float:
    try:
        return _seconds(quantities.seconds(value))
    except ValueError as error:
        raise ValueError("it is a duration above 0, such as 12h or 30d") from error


def _yes(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("1", "yes", "true", "on"):
        return True
    if isinstance(value, str) and value.lower() in ("0", "no", "false", "off"):
        return False
    if not isinstance(value, bool):
        raise ValueError("it is true or false")  # noqa: TRY004 - read by `Setting.read`
    return value


def _bytes(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        try:
            number = quantities.size(value)
        except ValueError as error:
            raise ValueError("it is a number of bytes, such as 64MiB") from error
        if not least <= number <= most:
            raise ValueError(f"it is from {least // MIB:,} MiB to {most // MIB:,} MiB")
        return number

    return read


def _durability(value: Any) -> str:
    if value not in DURABILITIES:
        raise ValueError(f"it is one of {', '.join(DURABILITIES)}")
    return str(value)


def default_data() -> Path:
    """Where the server keeps its journal unless told otherwise."""
    return platformdirs.user_state_path("farm")


SERVE_HOST = Setting("host", _text, DEFAULT_HOST, "The address to listen on.", "FARM_SERVE_HOST")
SERVE_PORT = Setting(
    "port", _port, DEFAULT_PORT, "The port to listen on; 0 picks one.", "FARM_SERVE_PORT"
)
DATA = Setting[Path | None](
    "data", _path, None, "The directory of the journal; made if missing.", "FARM_DATA"
)
DURABILITY = Setting(
    "durability",
    _durability,
    "process",
    "What an acknowledgement survives: process (kill -9 of the server) or disk (power loss, too; "
    "each one waits for the disk).",
    "FARM_DURABILITY",
)
KEEP = Setting[float | None](
    "keep",
    _duration,
    None,
    "Forget batches so long after their end, e.g. 30d; without it they stay until `farm forget`.",
    "FARM_KEEP",
)
AUTHKEY_FILE = Setting[Path | None](
    "authkey_file", _path, None, "The file that holds the key.", "FARM_AUTHKEY_FILE"
)
TLS = Setting[Path | None](
    "tls", _path, None, "The directory of certificates, made by `farm keygen --tls`.", "FARM_TLS"
)
HOST = Setting(
    "host",
    _text,
    f"{DEFAULT_HOST}:{DEFAULT_PORT}",
    "The server: HOST, HOST:PORT or [IPV6]:PORT.",
    "FARM_HOST",
)
PROCESSES = Setting[int | None](
    "processes",
    _count,
    None,
    "Processes to run tasks in; as many as CPUs this process may use.",
    "FARM_PROCESSES",
)
NAME = Setting[str | None]("name", _text, None, "The node's name; the machine's.", "FARM_NAME")
GRACE = Setting(
    "grace",
    _seconds,
    30.0,
    "Seconds that running tasks are given to end when the node is told to stop.",
    "FARM_GRACE",
)

INSECURE = Setting(
    "insecure",
    _yes,
    False,
    "Listen beyond this machine without --tls: what travels can be read and changed on the way.",
    "FARM_INSECURE",
)


def _limit(name: str, read: Callable[[Any], Any], text: str) -> Setting[Any]:
    """A setting for one of the server's `Limits`, with its default."""
    default = getattr(DEFAULTS, name)
    shown = f"{default // MIB}MiB" if default and default >= MIB else str(default or "")
    return Setting(name, read, default, text, f"FARM_{name.upper()}", shown)


LIMITS = (
    _limit("max_connections", _count, "Connections in all; as many as open files allow."),
    _limit("max_unknown", _count, "Connections whose peers have not shown a key or certificate."),
    _limit("max_per_address", _count, "Connections from one address; of IPv6, from one /64."),
    _limit("handshake_timeout", _duration, "Time for the handshake and the first request."),
    _limit("send_timeout", _duration, "Time in which a peer must read some of its answers."),
    _limit("max_frame", _bytes(16 * MIB, 1024 * MIB), "Bytes of one message."),
    _limit("max_queued", _bytes(1, 1 << 50), "Bytes of messages that wait in memory, each way."),
    _limit("max_batch", _bytes(1, 1 << 60), "Bytes of the arguments and code of one batch."),
    # A node says some five things before it can do anything.
    _limit("max_requests", _at_least(10), "Requests of one connection in a second."),
)

SERVE = (SERVE_HOST, SERVE_PORT, AUTHKEY_FILE, TLS, INSECURE, DATA, DURABILITY, KEEP, *LIMITS)
WORKER = (HOST, PROCESSES, NAME, AUTHKEY_FILE, TLS, GRACE)


class Settings:
    """The values of one command's settings, from all four sources.

    Args:
        known: the command's settings.
        flags: by name; None where the flag was not given.
        environment: the variables.
        file: what the settings file holds; None if there is none.
        file_name: for messages.

    Raises:
        ConfigError: a value is wrong or a key of the file unknown; names the source.
    """

    def __init__(
        self,
        known: tuple[Setting[Any], ...],
        flags: Mapping[str, Any],
        environment: Mapping[str, str],
        file: Mapping[str, Any] | None = None,
        file_name: str = "",
    ) -> None:
        names = {setting.name for setting in known}
        unknown = sorted(str(key) for key in (file or {}) if key not in names)
        if unknown:
            raise ConfigError(
                f"{file_name}: unknown setting {unknown[0]!r}; known are {', '.join(sorted(names))}"
            )
        self._values = {
            setting.name: _find(setting, flags, environment, file or {}, file_name)
            for setting in known
        }

    def __getitem__(self, setting: Setting[T]) -> T:
        value: T = self._values[setting.name]
        return value


def limits_of(settings: Settings) -> Limits:
    """The server's limits, as they are set."""
    return Limits(**{setting.name: settings[setting] for setting in LIMITS})


def _find(
    setting: Setting[T],
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    file: Mapping[str, Any],
    file_name: str,
) -> T:
    sources = (
        (flags.get(setting.name), setting.flag),
        (environment.get(setting.variable) or None, setting.variable),
        (file.get(setting.name), f"{file_name}: {setting.name}"),
    )
    for value, source in sources:
        if value is not None:
            try:
                return setting.read(value)
            except (ValueError, TypeError) as error:
                raise ConfigError(f"{source}: {value!r} cannot be used: {error}") from error
    return setting.default
