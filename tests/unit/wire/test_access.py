"""Keys: where they are looked for."""

from __future__ import annotations

import pytest

from farm.errors import ConfigError
from farm.wire import access

KEY = "k" * 32


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The config directory, empty."""
    monkeypatch.setattr(access.platformdirs, "user_config_path", lambda _: tmp_path / "config")
    return tmp_path / "config"


def key_file(path, text=KEY, mode=0o600):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    path.chmod(mode)
    return path


def test_the_order_in_which_keys_are_looked_for(tmp_path, home):
    flag = key_file(tmp_path / "flag", "f" * 32)
    named = key_file(tmp_path / "named", "n" * 32)
    settings = key_file(tmp_path / "settings", "s" * 32)
    both = {"FARM_AUTHKEY": "e" * 32, "FARM_AUTHKEY_FILE": str(named)}
    key_file(home / "authkey", "d" * 32)
    found = [
        access.find_key(flag, both, settings),
        access.find_key(None, both, settings),
        access.find_key(None, {"FARM_AUTHKEY_FILE": str(named)}, settings),
        access.find_key(None, {}, settings),
        access.find_key(None, {}),
    ]
    assert [key[:1] for key, _ in found] == [b"f", b"e", b"n", b"s", b"d"]
    assert [where for _, where in found] == [
        str(flag), "FARM_AUTHKEY", str(named), str(settings), str(home / "authkey"),
    ]  # fmt: skip


def test_a_short_key_in_the_environment_is_refused():
    with pytest.raises(ConfigError, match="FARM_AUTHKEY holds 5 bytes"):
        access.find_key(None, {"FARM_AUTHKEY": "short"})


def test_without_any_key_the_message_says_where_one_is_looked_for(home):
    with pytest.raises(ConfigError, match=f"no key: there is none in {home}/authkey") as refusal:
        access.find_key(None, {})
    assert "--authkey-file" in str(refusal.value)


def test_a_server_without_a_key_makes_one_and_finds_it_again(home):
    made, where = access.find_or_make_key(None, {})
    assert where == str(home / "authkey")
    assert access.find_or_make_key(None, {}) == (made, where) == access.find_key(None, {})


def test_a_server_makes_no_key_where_one_is_named(tmp_path, home):
    with pytest.raises(ConfigError, match="cannot read"):
        access.find_or_make_key(tmp_path / "none", {})
    assert access.find_or_make_key(None, {"FARM_AUTHKEY": KEY})[0] == KEY.encode()
    assert not home.exists()
