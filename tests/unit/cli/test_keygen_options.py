"""``farm keygen``: which options go together, what is done, and what it says."""

from __future__ import annotations

import json
import shlex
import shutil

import pytest
from typer.testing import CliRunner

from farm.cli.main import build
from farm.wire import access


@pytest.fixture
def keygen(tmp_path, monkeypatch):
    """Runs the command in an empty home; what it exits with, stdout and stderr."""
    monkeypatch.setattr(access.platformdirs, "user_config_path", lambda _: tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    for name in ("FARM_AUTHKEY", "FARM_AUTHKEY_FILE", "FARM_TLS"):
        monkeypatch.delenv(name, raising=False)

    def run(line="", **env):
        ran = CliRunner(env=env).invoke(build(), ["keygen", *shlex.split(line)])
        return ran.exit_code, ran.stdout, ran.stderr

    return run


@pytest.fixture
def tls(keygen, template, tmp_path):
    """An authority in the current directory."""
    return shutil.copytree(template, tmp_path / "tls")


def files_in(directory):
    return sorted(
        str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()
    )


# -- options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--rotate --withdraw", "--rotate or --withdraw, not both"),
        ("--tls tls --rotate --revoke a", "--rotate or --revoke, not both"),
        ("--revoke node7", "--revoke takes back certificates"),
        ("--name node7", "--name tells keys of one role apart: give --role"),
        ("--days 3", "--days is for certificates"),
        ("--role server", "no role 'server'; the roles are view, submit, work, admin"),
        ("--role work --name a.b", "'a.b' cannot be used as a name"),
        ("--tls tls --authkey-file a", "--authkey-file for keys or --tls"),
        ("--tls tls --role work", "give both --role and --name"),
        ("--tls tls --name node7", "give both --role and --name"),
        ("--tls tls --rotate", "--rotate needs --name"),
        ("--tls tls --withdraw", "--withdraw needs --name"),
        ("--tls tls --rotate --name a --role work", "leave out --role with --rotate"),
        ("--tls tls --revoke a --role work", "leave out --role with --revoke"),
        ("--tls tls --revoke a --name b", "leave out --name"),
        ("--tls tls --revoke a --days 3", "--days says how long a new certificate is valid"),
        ("--tls tls --withdraw --name a --days 3", "--days says how long a new certificate"),
        ("--tls tls --days 0", "'--days'"),
    ],
)
def test_options_that_do_not_go_together_change_nothing(keygen, tmp_path, line, says):
    code, out, err = keygen(line)
    assert (code, out) == (2, "")
    assert says in " ".join(err.split())
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("options", ["", "--role work", "--tls tls"])
def test_no_secret_is_ever_printed(keygen, tmp_path, options):
    name = "--name worker" if "--tls" in options else ""
    again = f"{options} {name} --rotate --debug --json"
    ran = [keygen(line) for line in (options, again, options, f"{options} --debug")]
    assert [code for code, _, _ in ran] == [0, 0, 2, 2]
    said = "".join(out + err for _, out, err in ran)
    secrets = [
        tmp_path / name for name in files_in(tmp_path) if not name.endswith(("jsonl", "lock"))
    ]
    assert secrets
    for path in secrets:
        assert not any(line in said for line in path.read_text().splitlines())


# -- keys -------------------------------------------------------------------------------------


def test_the_first_key_lies_where_the_commands_look_for_it(keygen, tmp_path):
    code, out, err = keygen()
    assert (code, err) == (0, "")
    key, source = access.find_key(None, {})
    assert source == str(tmp_path / "config/authkey")
    assert source in out
    assert "farm serve" in out
    assert key.decode() not in out
    code, out, err = keygen()
    assert (code, out) == (2, "")
    assert "farm keygen --rotate" in err


@pytest.mark.parametrize(
    ("options", "env"),
    [("--authkey-file keys/mine", {}), ("", {"FARM_AUTHKEY_FILE": "keys/mine"})],
)
def test_another_place_is_named_as_everywhere(keygen, tmp_path, options, env):
    code, out, _ = keygen(options, **env)
    assert (code, files_in(tmp_path)) == (0, ["keys/mine"])
    assert "`farm serve --authkey-file keys/mine`" in out


def test_a_flag_wins_over_the_variable(keygen, tmp_path):
    keygen("--authkey-file flag", FARM_AUTHKEY_FILE="variable")
    assert files_in(tmp_path) == ["flag"]


@pytest.mark.parametrize(
    ("line", "file", "use"),
    [
        ("--role work", "authkey.work", "farm worker --host SERVER --authkey-file authkey.work"),
        ("--role submit --name alice", "authkey.submit.alice", "farm submit FILE --host"),
        ("--role view", "authkey.view", "farm status --host"),
        ("--role admin --name bob", "authkey.admin.bob", "farm status --host"),
    ],
)
def test_a_key_for_others_is_told_with_what_to_do_with_it(keygen, tmp_path, line, file, use):
    keygen()
    code, out, _ = keygen(line)
    assert code == 0
    assert files_in(tmp_path / "config") == ["authkey", file]
    assert str(tmp_path / "config" / file) in out
    assert use in out
    assert "as well" not in out


def test_who_has_no_key_for_the_admin_yet_is_told(keygen):
    assert "The server needs a key for the admin as well" in keygen("--role work")[1]


def test_a_key_is_rotated_and_the_former_one_withdrawn_as_it_says(keygen, tmp_path):
    keygen("--role work --name node7")
    code, out, _ = keygen("--role work --name node7 --rotate")
    assert code == 0
    assert files_in(tmp_path / "config") == ["authkey.work.node7", "authkey.work.node7.old"]
    command = out.strip().splitlines()[-1]
    assert command == "  farm keygen --withdraw --role work --name node7"
    code, out, _ = keygen(command.removeprefix("  farm keygen"))
    assert code == 0
    assert "authkey.work.node7.old: the former key is not accepted any more" in out
    assert files_in(tmp_path / "config") == ["authkey.work.node7"]


@pytest.mark.parametrize("options", ["", "--role view", "--authkey-file 'my keys/base'"])
def test_what_it_says_about_withdrawing_can_be_pasted(keygen, options):
    keygen(options)
    _, out, _ = keygen(f"{options} --rotate")
    code, _, err = keygen(out.strip().splitlines()[-1].removeprefix("  farm keygen"))
    assert (code, err) == (0, "")


def test_a_key_file_of_a_role_is_no_place_for_further_ones(keygen, tmp_path):
    keygen("--authkey-file base")
    keygen("--authkey-file base --role work")
    code, _, err = keygen("--authkey-file base.work --role view")
    assert code == 2
    assert "name that one" in err
    assert files_in(tmp_path) == ["base", "base.work"]


def test_for_programs(keygen, tmp_path):
    keygen("--role work")
    base = str(tmp_path / "config/authkey.work")
    old = f"{base}.old"
    what = {"role": "work", "name": None}
    _, rotated, _ = keygen("--role work --rotate --json")
    assert json.loads(rotated) == {"action": "rotate", **what, "files": [base, old], "removed": []}
    _, taken, _ = keygen("--role work --withdraw --json")
    assert json.loads(taken) == {"action": "withdraw", **what, "files": [], "removed": [old]}
    assert keygen("--quiet")[1] == f"{tmp_path}/config/authkey\n"


def test_a_variable_that_holds_another_key_is_pointed_out(keygen):
    assert "FARM_AUTHKEY is set" in keygen(FARM_AUTHKEY="k" * 32)[2]
    assert keygen("--authkey-file a", FARM_AUTHKEY="k" * 32)[2] == ""


def test_a_variable_that_names_certificates_is_pointed_out_where_a_key_is_made(keygen, tls):
    for options in ("", "--role work", "--authkey-file mine"):
        code, _, err = keygen(options, FARM_TLS="tls")
        assert code == 0
        assert err.startswith("farm: FARM_TLS is set here: commands use the certificates that it")
    assert keygen("--role view", FARM_TLS="")[2] == ""
    assert keygen("--tls tls --role work --name node7", FARM_TLS="elsewhere")[2] == ""


# -- certificates -----------------------------------------------------------------------------


def test_an_authority_is_told_with_what_to_do_with_each_certificate(keygen, tmp_path):
    code, out, err = keygen("--tls tls --days 10 --json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert sorted([*document["files"], "tls/ca/lock"]) == files_in(tmp_path)
    assert (document["action"], document["role"]) == ("make", None)
    shutil.rmtree(tmp_path / "tls")
    said = keygen("--tls tls")[1]
    for use in (
        "farm serve --host 0.0.0.0 --tls tls/server",
        "farm worker --host SERVER --tls worker",
        "farm submit FILE --host SERVER --tls client",
        "farm status --host SERVER --tls admin",
    ):
        assert use in said
    code, _, err = keygen("--tls tls")
    assert code == 2
    assert "there is an authority in tls already: --role and --name make a further" in err


def test_a_certificate_through_all_that_can_befall_it(keygen, tls):
    code, out, _ = keygen("--tls tls --role work --name node7")
    assert code == 0
    assert "farm worker --host SERVER --tls node7" in out
    assert files_in(tls / "node7") == ["ca.pem", "identity.pem"]
    first = (tls / "node7/identity.pem").read_bytes()
    code, out, _ = keygen("--tls tls --rotate --name node7")
    assert (code, (tls / "node7/identity.pem").read_bytes() != first) == (0, True)
    withdraw = out.strip().splitlines()[-1].removeprefix("  farm keygen")
    code, out, _ = keygen(withdraw)
    assert code == 0
    assert "Revoked the former certificates of node7." in out
    code, out, _ = keygen("--tls tls --revoke node7 --json")
    assert json.loads(out) == {
        "action": "revoke", "role": "work", "name": "node7",
        "files": ["tls/ca/crl.pem", "tls/server/crl.pem"], "removed": [],
    }  # fmt: skip
    revoked = [
        line for line in (tls / "ca/issued.jsonl").read_text().splitlines() if '"revoked":"' in line
    ]
    assert len(revoked) == 2


def test_how_long_a_certificate_is_valid(keygen, tls):
    keygen("--tls tls --role work --name short --days 1")
    keygen("--tls tls --rotate --name worker --days 4000")
    ends = [
        json.loads(line)["not_after"] for line in (tls / "ca/issued.jsonl").read_text().splitlines()
    ]
    assert ends[-2] < ends[0] < ends[-1]


def test_where_the_list_of_what_is_revoked_has_to_go_is_told(keygen, tls):
    said = keygen("--tls tls --revoke worker")[1].splitlines()
    assert said == [
        "Revoked all certificates of worker.",
        "Servers that run with tls/server/crl.pem take it within a second.",
        "On other machines, servers need a copy of tls/server/crl.pem.",
    ]
    assert "servers, nodes and clients need a copy of tls" in keygen("--tls tls --revoke server")[1]
    shutil.rmtree(tls / "server")
    said = keygen("--tls tls --revoke client")[1]
    assert "servers need a copy of tls/ca/crl.pem" in said
    assert "within a second" not in said


def test_where_there_is_no_authority_the_message_says_how_to_make_one(keygen):
    code, _, err = keygen("--tls nowhere --revoke node7")
    assert code == 2
    assert "no certificate authority in nowhere: `farm keygen --tls` makes one" in err


@pytest.mark.parametrize("options", ["", "--role work --name node7", "--revoke node7"])
def test_a_file_is_no_directory_of_an_authority(keygen, tls, options):
    code, out, err = keygen(f"--tls tls/ca/cert.pem {options}")
    assert (code, out) == (2, "")
    assert err.startswith("Error: tls/ca/cert.pem is no directory: --tls names the one that")
    assert err.count("\n") == 1
