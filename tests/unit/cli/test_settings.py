"""What a command shows to a server, and what a server accepts, by flags, variables and files."""

from __future__ import annotations

import pytest

from farm import config
from farm.cli.settings import CommandSettings, open_session, read_file
from farm.errors import ConfigError, FarmError
from farm.wire import access
from farm.wire.credentials import BY_CERTIFICATE
from farm.wire.identity import FOR_CLIENT, FOR_WORKER

KNOWN = (config.HOST, config.AUTHKEY_FILE, config.TLS)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    """No variable and no key of the user's own."""
    for name in ("FARM_AUTHKEY", "FARM_AUTHKEY_FILE", "FARM_TLS", "FARM_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(access, "default_key_file", lambda: tmp_path / "config/authkey")


@pytest.fixture
def key(tmp_path):
    def write(letter: str, name: str = "key"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(letter * 32 + "\n")
        path.chmod(0o600)
        return path

    return write


def settings(file=None, **flags):
    return CommandSettings(KNOWN, flags, file)


# -- what a client or node shows --------------------------------------------------------------


def test_a_key_is_read_again_for_each_connection(key):
    shown = settings(authkey_file=str(key("a"))).credentials(FOR_CLIENT)
    assert shown.show() == (b"a" * 32, None)
    key("b")
    assert shown.show() == (b"b" * 32, None)


def test_a_key_that_is_gone_is_told_when_it_is_wanted(key):
    path = key("a")
    shown = settings(authkey_file=str(path)).credentials(FOR_CLIENT)
    path.unlink()
    with pytest.raises(ConfigError, match="cannot read the key file"):
        shown.show()


def test_what_is_wrong_with_a_key_is_said_before_anything_is_connected(key):
    path = key("a")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        settings(authkey_file=str(path)).credentials(FOR_CLIENT)


def test_a_node_goes_on_with_the_variable_that_its_tasks_do_not_see(monkeypatch):
    monkeypatch.setenv("FARM_AUTHKEY", "k" * 32)
    shown = settings().credentials(FOR_WORKER)
    monkeypatch.delenv("FARM_AUTHKEY")
    assert shown.show().key == b"k" * 32


def test_a_flag_beats_the_variables_and_those_the_file(key, monkeypatch, tmp_path):
    file = tmp_path / "client.yaml"
    file.write_text(f"authkey_file: {key('f', 'of-file')}\n")
    assert settings(file).credentials(FOR_CLIENT).show().key == b"f" * 32
    monkeypatch.setenv("FARM_AUTHKEY_FILE", str(key("v", "of-variable")))
    assert settings(file).credentials(FOR_CLIENT).show().key == b"v" * 32
    flag = settings(file, authkey_file=str(key("a"))).credentials(FOR_CLIENT)
    assert flag.show().key == b"a" * 32


def test_a_certificate_beats_any_key(template, key, monkeypatch):
    monkeypatch.setenv("FARM_TLS", str(template))
    shown = settings(authkey_file=str(key("a"))).credentials(FOR_WORKER)
    assert shown.show().key == BY_CERTIFICATE
    assert shown.show().context is not None
    assert settings(tls=str(template / "client")).credentials(FOR_WORKER).show().context


def test_a_directory_without_certificates_is_said_at_once(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no identity\.pem"):
        settings(tls=str(tmp_path)).credentials(FOR_CLIENT)


def test_a_session_is_opened_with_what_was_given(key):
    with pytest.raises(FarmError, match=r"no farm server answers at 127\.0\.0\.1:1: ") as error:
        open_session("127.0.0.1:1", str(key("a")), None)
    assert error.value.exit_code == 3
    with pytest.raises(ConfigError, match="no key: "):
        open_session("127.0.0.1:1", None, None)


# -- what a server accepts --------------------------------------------------------------------


def test_a_server_without_a_key_makes_one(tmp_path):
    ring, source = settings().keyring()
    assert source == str(tmp_path / "config/authkey")
    assert [(key.role, key.name) for key in ring.keys] == [("admin", "authkey")]
    assert settings().keyring()[0].keys == ring.keys


def test_a_server_takes_the_keys_beside_its_own(key):
    base = key("a", "authkey")
    key("w", "authkey.work")
    ring, _ = settings(authkey_file=str(base)).keyring()
    assert [(k.role, k.secret[:1]) for k in ring.keys] == [("admin", b"a"), ("work", b"w")]
    key("s", "authkey.submit")
    assert ring.refresh()
    assert {k.role for k in ring.keys} == {"admin", "work", "submit"}


def test_a_variable_is_a_key_alone(monkeypatch, key):
    key("w", "authkey.work")
    monkeypatch.setenv("FARM_AUTHKEY", "k" * 32)
    ring, source = settings().keyring()
    assert source == "FARM_AUTHKEY"
    assert [(k.role, k.secret) for k in ring.keys] == [("admin", b"k" * 32)]


# -- settings files ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a: [1", r"s\.yaml:2:1: "),
        (b"- a\n", "holds lines such as `port: 7077`"),
        (b"\xff\xfe\x00", "it is not UTF-8"),
        (b"a: \x07", "it is not YAML"),
    ],
)
def test_a_file_that_is_no_settings_file_is_told_so(tmp_path, content, why):
    path = tmp_path / "s.yaml"
    path.write_bytes(content + b"\n" if why.endswith(": ") else content)
    with pytest.raises(ConfigError, match=why):
        read_file(path)


def test_a_file_in_which_nothing_is_set(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("# port: 7077\n")
    assert read_file(path) == {}
    with pytest.raises(ConfigError, match="cannot read the settings file"):
        read_file(tmp_path / "nowhere")
