"""Settings: which source wins, and what is said of a wrong value."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm import config
from farm.config import Settings
from farm.errors import ConfigError

EVERY = (*config.SERVE, *config.WORKER)


def host(flags=None, environment=None, file=None):
    flags, environment = flags or {}, environment or {}
    return Settings(config.WORKER, flags, environment, file, "w.yaml")[config.HOST]


def test_flags_beat_the_environment_beats_the_file_beats_the_default():
    flags, environment, file = {"host": "f"}, {"FARM_HOST": "e"}, {"host": "y"}
    assert host(flags, environment, file) == "f"
    assert host({"host": None}, environment, file) == "e"
    assert host(None, {"FARM_HOST": ""}, file) == "y"
    assert host() == "127.0.0.1:7077"


@pytest.mark.parametrize(
    ("setting", "text", "value"),
    [(config.SERVE_PORT, "0", 0), (config.SERVE_PORT, 7078, 7078), (config.PROCESSES, "3", 3),
     (config.GRACE, "1.5", 1.5), (config.DATA, "/d", Path("/d")), (config.NAME, "n", "n"),
     (config.DURABILITY, "disk", "disk"), (config.KEEP, "30d", 2_592_000.0),
     (config.KEEP, "1h30m", 5400.0), (config.KEEP, 7, 7.0),
     (config.LIMITS[5], "16MiB", 16 * 1024 * 1024), (config.LIMITS[5], "1GiB", 1 << 30)],
)  # fmt: skip
def test_values_are_read(setting, text, value):
    assert Settings((setting,), {setting.name: text}, {})[setting] == value


@pytest.mark.parametrize(
    ("setting", "text"),
    [(config.SERVE_PORT, "65536"), (config.SERVE_PORT, "-1"), (config.SERVE_PORT, "x"),
     (config.PROCESSES, "0"), (config.PROCESSES, "two"), (config.GRACE, "0"),
     (config.GRACE, "nan"), (config.GRACE, "inf"), (config.NAME, "  "), (config.HOST, 5),
     (config.PROCESSES, [1]), (config.DURABILITY, "ssd"), (config.DURABILITY, True),
     (config.KEEP, "soon"), (config.KEEP, "90"), (config.KEEP, "0d"), (config.KEEP, "-1d"),
     (config.KEEP, "1h 1h"), (config.KEEP, "d"), (config.KEEP, [1]),
     (config.LIMITS[5], "16MB"), (config.LIMITS[5], "1025MiB"), (config.LIMITS[0], "0"),
     (config.LIMITS[-1], "9")],
)  # fmt: skip
def test_a_wrong_value_is_refused_and_its_source_named(setting, text):
    with pytest.raises(ConfigError, match=rf"^{setting.flag}: .* cannot be used"):
        Settings((setting,), {setting.name: text}, {})
    with pytest.raises(ConfigError, match=rf"^w.yaml: {setting.name}: "):
        Settings((setting,), {}, {}, {setting.name: text}, "w.yaml")
    if isinstance(text, str):
        with pytest.raises(ConfigError, match=rf"^{setting.variable}: "):
            Settings((setting,), {}, {setting.variable: text})


def test_an_unknown_key_of_a_file_is_named_with_those_that_are_known():
    with pytest.raises(ConfigError, match=r"w.yaml: unknown setting 'prot'; known are .*port"):
        Settings(config.SERVE, {}, {}, {"prot": 1}, "w.yaml")


@pytest.mark.parametrize("setting", EVERY, ids=lambda setting: setting.name)
def test_each_setting_explains_itself(setting):
    assert setting.help.endswith(".")
    assert setting.variable.startswith("FARM_")
    assert setting.flag.startswith("--")
    assert "_" not in setting.flag


def test_a_path_of_the_home_directory_is_expanded():
    assert Settings((config.DATA,), {"data": "~/d"}, {})[config.DATA] == Path.home() / "d"
