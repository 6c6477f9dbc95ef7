"""The keys that a server accepts: which, and what becomes of it when their files change."""

from __future__ import annotations

import errno
import logging
import os
import shutil

import pytest

from farm.errors import ConfigError
from farm.wire import keyfiles, keyring
from farm.wire.keyring import Key, Keyring


def write(path, letter, mode=0o600):
    path.write_text(letter * 32 + "\n")
    path.chmod(mode)
    return path


@pytest.fixture
def base(tmp_path):
    """The admin's key, and one for nodes."""
    directory = tmp_path / "keys"
    directory.mkdir()
    write(directory / "authkey.work", "w")
    return write(directory / "authkey", "a")


def held(ring):
    """The file and the first letter of each key, in order."""
    return [(key.name, key.secret[:1].decode()) for key in ring.keys]


def told(caplog):
    """What was logged since the last time."""
    messages = [record.getMessage() for record in caplog.records]
    assert {(record.name, record.levelno) for record in caplog.records} <= {
        ("farm.server", logging.WARNING)
    }
    caplog.clear()
    return messages


BOTH = [("authkey", "a"), ("authkey.work", "w")]


# -- what there is ----------------------------------------------------------------------------


def test_a_single_key_is_the_admins():
    ring = Keyring.of(b"k" * 32)
    assert ring.keys == (Key(b"k" * 32, "admin", "FARM_AUTHKEY"),)
    assert not ring.refresh()


def test_a_single_key_that_is_too_short_is_refused():
    with pytest.raises(ConfigError, match="FARM_AUTHKEY holds 31 bytes"):
        Keyring.of(b"k" * 31)


def test_a_key_is_not_shown():
    assert "kkk" not in repr(Keyring.of(b"k" * 32).keys)


def test_all_files_of_the_scheme_and_no_others(base):
    for letter, name in enumerate(
        ["authkey.old", "authkey.view", "authkey.submit.alice", "authkey.submit.alice.old",
         "authkey.admin.bob", "authkey.wrk", "authkey~", "authkey.work.a.b", "other.work"]
    ):  # fmt: skip
        write(base.with_name(name), str(letter))
    assert [(key.name, key.role) for key in Keyring.beside(base).keys] == [
        ("authkey", "admin"),
        ("authkey.admin.bob", "admin"),
        ("authkey.submit.alice", "submit"),
        ("authkey.view", "view"),
        ("authkey.work", "work"),
        ("authkey.old", "admin"),
        ("authkey.submit.alice.old", "submit"),
    ]


def test_a_key_in_two_files_of_one_role_is_there_once(base):
    shutil.copy2(base.with_name("authkey.work"), base.with_name("authkey.work.node7"))
    assert held(Keyring.beside(base)) == BOTH


# -- what is refused --------------------------------------------------------------------------


def test_without_the_first_key_there_is_no_ring(base):
    base.unlink()
    with pytest.raises(ConfigError, match=f"cannot read the key file {base}"):
        Keyring.beside(base)


def test_every_file_that_cannot_be_used_is_named(base):
    open_to_all = write(base.with_name("authkey.view"), "v", 0o644)
    short = base.with_name("authkey.submit")
    short.write_text("s" * 31)
    short.chmod(0o600)
    with pytest.raises(ConfigError) as refusal:
        Keyring.beside(base)
    assert f"run `chmod 600 {open_to_all}`" in str(refusal.value)
    assert f"{short} holds 31 bytes" in str(refusal.value)
    assert "sss" not in str(refusal.value)


def test_one_key_for_two_roles_is_refused(base):
    write(base.with_name("authkey.submit"), "a")
    with pytest.raises(ConfigError, match=r"authkey and authkey.submit hold the same key"):
        Keyring.beside(base)


def test_a_key_for_nodes_is_not_made_the_admins_by_naming_its_file(base):
    copy = write(base.with_name("authkey.work.node7.old"), "o")
    for path in (base.with_name("authkey.work"), copy):
        with pytest.raises(ConfigError, match=rf"of the role work.*beside {base}: name that one"):
            Keyring.beside(path)
    base.rename(base.with_name("elsewhere"))  # then the name says nothing: it may be any copy
    base.with_name("authkey.work").rename(base.with_name("authkey.view"))
    assert held(Keyring.beside(base.with_name("authkey.view"))) == [("authkey.view", "w")]


def test_a_file_whose_name_begins_with_a_dot_is_a_base_like_any_other(base):
    hidden = write(base.with_name(".authkey.work"), "h")
    assert held(Keyring.beside(hidden)) == [(".authkey.work", "h")]


def test_there_are_not_more_keys_than_a_handshake_can_try(base):
    for number in range(keyring.MAX_KEYS - 2):
        base.with_name(f"authkey.work.n{number}").write_text(f"{number:032}")
        base.with_name(f"authkey.work.n{number}").chmod(0o600)
    ring = Keyring.beside(base)
    assert len(ring.keys) == keyring.MAX_KEYS == 256
    write(base.with_name("authkey.view"), "v")
    with pytest.raises(ConfigError, match="there are 257 key files"):
        Keyring.beside(base)
    assert not ring.refresh()
    assert len(ring.keys) == 256


# -- changes ----------------------------------------------------------------------------------


def test_nothing_is_read_while_nothing_changes(base, monkeypatch):
    ring = Keyring.beside(base)
    monkeypatch.setattr(keyring, "read", lambda path: pytest.fail(f"{path} is read"))
    assert not ring.refresh()


def test_a_rotated_key_is_accepted_until_it_is_withdrawn(base):
    ring = Keyring.beside(base)
    keyfiles.rotate(base)
    assert ring.refresh()
    new = ring.keys[0]
    assert (new.name, new.role) == ("authkey", "admin")
    assert ring.keys[2] == Key(b"a" * 32, "admin", "authkey.old")
    keyfiles.withdraw(base)
    assert ring.refresh()
    assert [key.name for key in ring.keys] == ["authkey", "authkey.work"]
    assert ring.keys[0] == new


def test_a_key_is_accepted_and_gone_with_its_file(base):
    ring = Keyring.beside(base)
    keyfiles.make_key(base.with_name("authkey.view"))
    assert ring.refresh()
    assert [key.role for key in ring.keys] == ["admin", "view", "work"]
    base.with_name("authkey.view").unlink()
    assert ring.refresh()
    assert held(ring) == BOTH
    base.unlink()
    base.with_name("authkey.work").unlink()
    assert ring.refresh()
    assert ring.keys == ()


def test_a_key_that_is_written_over_in_place_is_the_new_one(base):
    ring = Keyring.beside(base)
    before = base.stat()
    write(base, "b")
    os.utime(base, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert ring.refresh()
    assert held(ring)[0] == ("authkey", "b")


def test_a_touched_file_holds_the_same_key(base):
    ring = Keyring.beside(base)
    os.utime(base, ns=(1, 1))
    assert not ring.refresh()
    assert held(ring) == BOTH


def test_a_file_that_becomes_wrong_is_told_of_once_and_not_used(base, caplog):
    ring = Keyring.beside(base)
    work = base.with_name("authkey.work")
    work.chmod(0o644)
    assert ring.refresh()
    assert held(ring) == [("authkey", "a")]
    assert told(caplog) == [f"others can read the key file {work}: run `chmod 600 {work}`"]
    os.utime(base, ns=(1, 1))  # all are read again
    assert not ring.refresh()
    assert told(caplog) == []
    work.chmod(0o600)
    assert ring.refresh()
    assert held(ring) == BOTH
    work.chmod(0o640)
    assert ring.refresh()
    assert len(told(caplog)) == 1


def test_a_copy_under_another_role_does_not_harm_the_key_that_was_there(base, caplog):
    ring = Keyring.beside(base)
    shutil.copy2(base, base.with_name("authkey.view"))
    assert not ring.refresh()
    assert held(ring) == BOTH
    (message,) = told(caplog)
    assert "authkey and authkey.view hold the same key for different roles" in message
    assert "aaa" not in message
    base.unlink()
    assert ring.refresh()
    assert [(key.name, key.role) for key in ring.keys] == [
        ("authkey.view", "view"),
        ("authkey.work", "work"),
    ]


def test_new_files_with_one_key_for_two_roles_are_both_refused(base, caplog):
    ring = Keyring.beside(base)
    for role in ("view", "submit"):
        write(base.with_name(f"authkey.{role}"), "t")
    assert not ring.refresh()
    assert held(ring) == BOTH
    assert len(told(caplog)) == 2


def test_where_the_files_cannot_be_looked_at_the_keys_stay(base, caplog):
    ring = Keyring.beside(base)
    base.parent.rename(base.parent.with_name("away"))
    for _ in range(2):
        assert not ring.refresh()
    assert held(ring) == BOTH
    (message,) = told(caplog)
    assert "are not read again: No such file or directory" in message
    base.parent.with_name("away").rename(base.parent)
    write(base, "b")
    assert ring.refresh()
    assert held(ring)[0] == ("authkey", "b")


def test_a_server_that_can_open_no_more_files_keeps_its_keys_and_tries_again(base, monkeypatch):
    ring = Keyring.beside(base)
    write(base, "b")

    def refuse(_):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(keyring, "read", refuse)
        assert not ring.refresh()
    assert held(ring) == BOTH
    assert ring.refresh()
    assert held(ring)[0] == ("authkey", "b")


def test_a_file_that_could_not_be_read_once_is_tried_again_though_it_is_the_same(
    base, monkeypatch, caplog
):
    ring = Keyring.beside(base)
    os.utime(base, ns=(1, 1))
    real = keyring.read

    def fail(path):
        if path == base:
            raise OSError(errno.EIO, "Input/output error")
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(keyring, "read", fail)
        assert ring.refresh()
    assert held(ring) == [("authkey.work", "w")]
    assert len(told(caplog)) == 1
    assert ring.refresh()
    assert held(ring) == BOTH


def test_a_link_to_nothing_is_no_key_and_no_error(base, caplog):
    base.with_name("authkey.view").symlink_to(base.with_name("nothing"))
    ring = Keyring.beside(base)
    assert held(ring) == BOTH
    assert told(caplog) == []
