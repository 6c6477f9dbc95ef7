"""Keys: where they are looked for, and which are fit to use."""

from __future__ import annotations

import os
import stat
from types import SimpleNamespace

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


def test_a_key_that_was_made_is_read_again_and_nobody_else_can(tmp_path):
    path = tmp_path / "new" / "authkey"
    made = access.make_key_file(path)
    assert len(made) >= access.MIN_KEY_BYTES
    assert access.read_key_file(path) == made
    assert path.read_bytes().strip() == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_key_file_is_its_owners_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        access.make_key_file(tmp_path / "authkey")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "authkey").stat().st_mode) == 0o600


def test_two_keys_differ(tmp_path):
    assert access.make_key_file(tmp_path / "a") != access.make_key_file(tmp_path / "b")


def test_a_key_file_that_is_there_is_not_overwritten(tmp_path):
    path = key_file(tmp_path / "authkey")
    with pytest.raises(ConfigError, match="cannot make the key file"):
        access.make_key_file(path)
    assert access.read_key_file(path) == KEY.encode()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o610])
def test_a_key_that_others_can_read_or_write_is_refused(tmp_path, mode):
    path = key_file(tmp_path / "authkey", mode=mode)
    with pytest.raises(ConfigError, match=f"run `chmod 600 {path}`"):
        access.read_key_file(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_that_only_its_owner_can_read_is_taken(tmp_path, mode):
    assert access.read_key_file(key_file(tmp_path / "authkey", mode=mode)) == KEY.encode()


def test_a_key_of_another_user_is_refused(tmp_path, monkeypatch):
    path = key_file(tmp_path / "authkey")
    monkeypatch.setattr(access.os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(ConfigError, match="belongs to user"):
        access.read_key_file(path)


def test_a_short_key_is_refused_without_being_shown(tmp_path):
    with pytest.raises(ConfigError, match="holds 31 bytes; a key has at least 32") as refusal:
        access.read_key_file(key_file(tmp_path / "authkey", "s" * 31))
    assert "sss" not in str(refusal.value)


def test_a_missing_key_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=f"cannot read the key file {tmp_path}/none"):
        access.read_key_file(tmp_path / "none")


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


def test_keys_are_not_checked_for_owners_where_there_are_none(tmp_path, monkeypatch):
    path = key_file(tmp_path / "authkey", mode=0o644)
    monkeypatch.setattr(access, "os", SimpleNamespace(name="nt"))
    assert access.read_key_file(path) == KEY.encode()
