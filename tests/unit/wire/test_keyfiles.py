"""Key files: which are fit to use, and how they are made, replaced and withdrawn."""

from __future__ import annotations

import errno
import os
import re
import stat
import threading

import pytest

from farm.errors import ConfigError
from farm.wire import keyfiles

KEY = "k" * 32


def key_file(path, text=KEY, mode=0o600):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    path.chmod(mode)
    return path


def names_in(directory):
    return sorted(path.name for path in directory.iterdir())


# -- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "name", "file"),
    [
        (None, None, "authkey"),
        ("admin", None, "authkey"),
        ("admin", "bob", "authkey.admin.bob"),
        ("work", None, "authkey.work"),
        ("work", "node7", "authkey.work.node7"),
        ("submit", "A-b_" + "9" * 60, "authkey.submit.A-b_" + "9" * 60),
        ("view", "older", "authkey.view.older"),
    ],
)
def test_the_name_of_a_file_says_the_role(tmp_path, role, name, file):
    assert keyfiles.key_path(tmp_path / "authkey", role, name) == tmp_path / file
    assert keyfiles.role_of("authkey", file) == (role or "admin")
    assert keyfiles.role_of("authkey", file + ".old") == (role or "admin")


@pytest.mark.parametrize(
    "name", ["", "old", "a.b", "a/b", "..", "a b", "ä", "x\n", "9" * 65, "authkey.work"]
)
def test_a_name_that_could_be_misread_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="cannot be used as a name"):
        keyfiles.key_path(tmp_path / "authkey", "work", name)


def test_a_role_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no role 'worker'; the roles are view, submit, work"):
        keyfiles.key_path(tmp_path / "authkey", "worker")


@pytest.mark.parametrize(
    "file",
    [
        "authkey.worker",
        "authkey.",
        "authkey.old.old",
        "authkey.work.old.old",
        "authkey.work.a.b",
        "authkey.node7",
        "authkey~",
        "authkeys",
        ".authkey.work",
        "other.work",
        "authkey.work.",
    ],
)
def test_other_files_are_no_keys(file):
    assert keyfiles.role_of("authkey", file) is None


# -- making -----------------------------------------------------------------------------------


def test_a_key_that_was_made_is_read_again_and_nobody_else_can(tmp_path):
    path = tmp_path / "new" / "authkey"
    keyfiles.make_key(path)
    made = keyfiles.read_key_file(path)
    assert len(made) >= keyfiles.MIN_KEY_BYTES
    assert path.read_bytes().strip() == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert names_in(path.parent) == ["authkey"]


def test_a_key_file_is_its_owners_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        keyfiles.make_key(tmp_path / "authkey")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "authkey").stat().st_mode) == 0o600


def test_two_keys_differ(tmp_path):
    keyfiles.make_key(tmp_path / "a")
    keyfiles.make_key(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


def test_a_key_file_that_is_there_is_not_overwritten(tmp_path):
    path = key_file(tmp_path / "authkey")
    with pytest.raises(ConfigError, match=r"cannot make the key file .*File exists.*--rotate"):
        keyfiles.make_key(path)
    assert keyfiles.read_key_file(path) == KEY.encode()
    assert names_in(tmp_path) == ["authkey"]


def test_where_a_key_cannot_be_written_the_reason_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot make the key file") as refusal:
        keyfiles.make_key(tmp_path / "file" / "authkey")
    assert "--rotate" not in str(refusal.value)


def without_links(monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(type(keyfiles.Path()), "hardlink_to", refuse)


def test_keys_are_made_where_there_are_no_hard_links(tmp_path, monkeypatch):
    without_links(monkeypatch)
    path = tmp_path / "authkey"
    keyfiles.make_key(path)
    first = keyfiles.read_key_file(path)
    with pytest.raises(ConfigError, match="File exists"):
        keyfiles.make_key(path)
    keyfiles.rotate(path)
    assert keyfiles.read_key_file(tmp_path / "authkey.old") == first
    assert names_in(tmp_path) == ["authkey", "authkey.old"]


# -- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o610])
def test_a_key_that_others_can_read_or_write_is_refused(tmp_path, mode):
    path = key_file(tmp_path / "authkey", mode=mode)
    with pytest.raises(ConfigError, match=f"run `chmod 600 {path}`"):
        keyfiles.read_key_file(path)


def test_a_secret_that_others_read_for_us_is_looked_at_too(tmp_path):
    keyfiles.check_private(key_file(tmp_path / "mine", "short"))
    with pytest.raises(ConfigError, match="run `chmod 600"):
        keyfiles.check_private(key_file(tmp_path / "theirs", mode=0o644))
    with pytest.raises(ConfigError, match="No such file"):
        keyfiles.check_private(tmp_path / "none")


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_that_only_its_owner_can_read_is_taken(tmp_path, mode):
    assert keyfiles.read_key_file(key_file(tmp_path / "authkey", mode=mode)) == KEY.encode()


def test_a_key_of_another_user_is_refused(tmp_path, monkeypatch):
    path = key_file(tmp_path / "authkey")
    monkeypatch.setattr(keyfiles.os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(ConfigError, match="belongs to user"):
        keyfiles.read_key_file(path)


def test_keys_are_not_checked_for_owners_where_there_are_none(tmp_path, monkeypatch):
    path = key_file(tmp_path / "authkey", mode=0o644)
    monkeypatch.setattr(keyfiles, "_POSIX", False)
    assert keyfiles.read_key_file(path) == KEY.encode()


def test_a_short_key_is_refused_without_being_shown(tmp_path):
    with pytest.raises(ConfigError, match="holds 31 bytes; a key has at least 32") as refusal:
        keyfiles.read_key_file(key_file(tmp_path / "authkey", "s" * 31))
    assert "sss" not in str(refusal.value)


def test_a_file_that_is_far_too_long_is_no_key(tmp_path):
    longest = key_file(tmp_path / "longest", "k" * (keyfiles.MAX_FILE_BYTES - 1))
    assert len(keyfiles.read_key_file(longest)) == keyfiles.MAX_FILE_BYTES - 1
    with pytest.raises(ConfigError, match="holds more than 4096 bytes: it is not a key file"):
        keyfiles.read_key_file(key_file(tmp_path / "longer", "k" * keyfiles.MAX_FILE_BYTES))


def test_a_missing_key_file_is_named_with_what_makes_it(tmp_path):
    with pytest.raises(ConfigError, match=f"cannot read the key file {tmp_path}/no one") as error:
        keyfiles.read_key_file(tmp_path / "no one")
    assert f"`farm keygen --authkey-file '{tmp_path}/no one'` makes one" in str(error.value)


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)  # whose reader would wait for a writer
    (tmp_path / "directory").mkdir(0o700)
    for name in ("pipe", "directory"):
        with pytest.raises(ConfigError, match="is not a regular file"):
            keyfiles.read_key_file(tmp_path / name)


def test_what_is_looked_at_is_what_is_read(tmp_path, monkeypatch):
    """Another file is put in its place between the two."""
    path = key_file(tmp_path / "authkey")
    other = key_file(tmp_path / "other", "o" * 32, 0o644)
    opened = os.open

    def swap(*arguments):
        descriptor = opened(*arguments)
        other.replace(path)
        return descriptor

    monkeypatch.setattr(keyfiles.os, "open", swap)
    assert keyfiles.read_key_file(path) == KEY.encode()


# -- rotation ---------------------------------------------------------------------------------


def test_a_rotated_key_is_kept_beside_the_new_one(tmp_path):
    path = key_file(tmp_path / "authkey.work")
    keyfiles.rotate(path)
    assert keyfiles.read_key_file(tmp_path / "authkey.work.old") == KEY.encode()
    assert keyfiles.read_key_file(path) != KEY.encode()
    assert names_in(tmp_path) == ["authkey.work", "authkey.work.old"]


def test_a_second_rotation_waits_for_the_withdrawal_of_the_first(tmp_path):
    path = key_file(tmp_path / "authkey")
    keyfiles.rotate(path)
    second = keyfiles.read_key_file(path)
    with pytest.raises(ConfigError, match="Withdraw it first: `farm keygen --withdraw`"):
        keyfiles.rotate(path)
    assert keyfiles.read_key_file(path) == second
    assert keyfiles.read_key_file(tmp_path / "authkey.old") == KEY.encode()
    keyfiles.withdraw(path)
    assert names_in(tmp_path) == ["authkey"]
    keyfiles.rotate(path)
    assert keyfiles.read_key_file(tmp_path / "authkey.old") == second


def test_without_a_key_there_is_nothing_to_rotate_or_withdraw(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the key file"):
        keyfiles.rotate(tmp_path / "authkey")
    with pytest.raises(ConfigError, match=re.escape(f"no file {tmp_path}/authkey.old")):
        keyfiles.withdraw(tmp_path / "authkey")
    assert names_in(tmp_path) == []


def test_who_reads_while_a_key_is_rotated_gets_a_whole_one(tmp_path):
    path = tmp_path / "authkey"
    keyfiles.make_key(path)
    seen, stop = set(), threading.Event()

    def rotate():
        for _ in range(100):
            keyfiles.rotate(path)
            keyfiles.withdraw(path)
        stop.set()

    thread = threading.Thread(target=rotate)
    thread.start()
    while not stop.is_set():
        seen.add(keyfiles.read_key_file(path))
    thread.join()
    assert len(seen) > 1
    assert {len(key) for key in seen} == {43}  # 32 bytes, as base64 without its padding
