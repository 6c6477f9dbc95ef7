"""Keys and certificates replaced and taken back while a farm works."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from functional_farm import FarmCli, Started, wait_until

SLOW = "{name: slow, command: sleep 0.3, params: {count: 30}, options: {max_parallel: 2}}"


def nodes_up(cli: FarmCli) -> list[str]:
    ran = cli.run("nodes", "--json")
    assert ran.code == 0, ran.err
    return [node["name"] for node in ran.json["nodes"] if node["state"] == "up"]


def test_a_key_is_rotated_while_nodes_work(farm_cli: FarmCli) -> None:
    made = farm_cli.run("keygen", "--json")
    assert made.code == 0
    key = Path(made.json["files"][0])
    assert farm_cli.run("keygen", "--role", "work", "--quiet").code == 0
    server = farm_cli.serve("--keep", "30d")
    theirs = shutil.copy(key.with_name("authkey.work"), farm_cli.home / "theirs")
    forgotten = shutil.copy(theirs, farm_cli.home / "forgotten")
    farm_cli.worker("here", "--authkey-file", theirs)
    left_out = farm_cli.worker("left-out", "--authkey-file", forgotten)
    ran = farm_cli.run("submit", farm_cli.batch_file(SLOW))
    assert ran.code == 0, ran.err

    assert farm_cli.run("keygen", "--rotate", "--role", "work").code == 0
    farm_cli.worker("with-the-new", "--authkey-file", key.with_name("authkey.work"))
    farm_cli.worker("with-the-old", "--authkey-file", forgotten)
    Path(theirs).write_bytes(key.with_name("authkey.work").read_bytes())
    assert farm_cli.run("keygen", "--withdraw", "--role", "work").code == 0

    # Who has the new key by now comes back by itself; who has not is told why it cannot.
    ended = left_out.wait()
    assert ended.code == 4
    assert "does not accept this key" in ended.json["error"]["message"]
    assert "is void" in server.err
    wait_until(lambda: sorted(nodes_up(farm_cli)) == ["here", "with-the-new"])
    done = farm_cli.run("results", "last", "--wait", "--format", "jsonl")
    assert (done.code, len(done.lines)) == (0, 30)
    assert {row["status"] for row in done.lines} == {"done"}


def test_roles_hold_on_the_command_line(farm_cli: FarmCli) -> None:
    for role in ((), ("--role", "work"), ("--role", "view"), ("--role", "submit", "--name", "ann")):
        assert farm_cli.run("keygen", *role).code == 0
    keys = farm_cli.home / ".config" / "farm"
    farm_cli.serve()
    farm_cli.worker("n", "--authkey-file", keys / "authkey.work")
    file = farm_cli.batch_file("command: echo {index}")

    def run(role: str, *arguments: str | Path) -> tuple[int, str]:
        ran = farm_cli.run(*arguments, "--authkey-file", keys / f"authkey.{role}")
        assert "Traceback" not in ran.err
        return ran.code, ran.err

    assert run("submit.ann", "submit", file, "--wait")[0] == 0
    assert run("view", "results", "last")[0] == run("view", "nodes")[0] == 0
    assert run("view", "export", "last", farm_cli.home / "exported")[0] == 0
    for role, arguments in {
        ("view", ("submit", file)),
        ("view", ("cancel", "last")),
        ("view", ("worker",)),
        ("work", ("submit", file)),
        ("work", ("cancel", "last")),
        ("work", ("status",)),
        ("work", ("results", "last")),
        ("submit.ann", ("worker",)),
        ("submit.ann", ("drain", "n")),
    }:
        code, said = run(role, *arguments)
        assert code == 4, (role, arguments, said)
        assert f"role of this key or certificate is {role.partition('.')[0]}" in said or (
            "worker" in arguments and f"its role is {role.partition('.')[0]}" in said
        )
    assert farm_cli.run("drain", "n").code == 0


def serve_with_certificates(cli: FarmCli) -> Started:
    made = cli.run("keygen", "--tls", "T")
    assert made.code == 0, made.err
    return cli.serve("--tls", "T")


def test_a_farm_with_certificates(farm_cli: FarmCli) -> None:
    server = serve_with_certificates(farm_cli)
    held = {"FARM_TLS": str(farm_cli.home / "T")}
    assert farm_cli.run("keygen", "--tls", "T", "--role", "work", "--name", "node7").code == 0
    shutil.copytree(farm_cli.home / "T" / "node7", elsewhere := farm_cli.home / "elsewhere")
    node = farm_cli.worker("node7", "--tls", elsewhere)
    farm_cli.worker("stays", "--tls", "T")
    ran = farm_cli.run("submit", farm_cli.batch_file(SLOW), "--quiet", env=held)
    assert (ran.code, ran.out) == (0, "1\n")

    assert farm_cli.run("keygen", "--tls", "T", "--revoke", "node7").code == 0
    wait_until(lambda: "refused, trying for 10 s" in node.err)
    assert "the certificate was revoked" in node.err
    assert "certificate revoked" in server.err
    done = farm_cli.run("results", "1", "--wait", "--format", "jsonl", "--tls", "T/client")
    assert {row["status"] for row in done.lines} == {"done"}
    assert node.wait().code == 4
    assert farm_cli.run("drain", "stays", "--tls", "T/client").code == 4
    assert farm_cli.run("drain", "stays", "--tls", "T/admin").code == 0
    assert "lets nobody work" in farm_cli.run("worker", "--tls", "T/client").err


def test_what_does_not_fit_together_says_so_in_a_line(farm_cli: FarmCli) -> None:
    serve_with_certificates(farm_cli)
    assert farm_cli.run("keygen").code == 0
    with_key = farm_cli.run("nodes")
    assert with_key.code == 4
    assert "it speaks TLS: connect with --tls DIR" in with_key.err
    assert farm_cli.run("keygen", "--tls", "other").code == 0
    foreign = farm_cli.run("nodes", "--tls", "other")
    assert foreign.code == 4
    assert "its certificate is not accepted" in foreign.err
    nothing = farm_cli.run("nodes", "--tls", farm_cli.home)
    assert nothing.code == 2
    assert "there is no identity.pem in" in nothing.err

    farm_cli.serve("--data", "another")  # from now on the commands find this one
    plain = farm_cli.run("nodes", "--tls", "T")
    assert plain.code == 3
    assert "does not speak TLS" in plain.err
    a_file = farm_cli.run("worker", "--tls", "T/client/ca.pem")
    assert a_file.code == 2
    assert "ca.pem is no directory: --tls names the one that" in a_file.err
    for ran in (with_key, foreign, nothing, plain, a_file):
        assert (ran.out, ran.err.count("Error")) == ("", 1)
        assert "Traceback" not in ran.err


def test_a_server_shows_a_servers_certificate_that_is_valid(farm_cli: FarmCli) -> None:
    assert farm_cli.run("keygen", "--tls", "T", "--days", "5").code == 0
    said = farm_cli.refused_serve_with("--tls", "T/client")
    assert "T/client/identity.pem" in said
    server = farm_cli.serve("--tls", "T")
    assert "expires in 4 days: `farm keygen --tls DIR --rotate --name server`" in server.err


def test_python_uses_a_farm_with_certificates(farm_cli: FarmCli) -> None:
    serve_with_certificates(farm_cli)
    farm_cli.worker("n", "--tls", "T")
    script = farm_cli.home / "script.py"
    script.write_text(
        "import farm, json\n"
        f"with farm.connect({farm_cli.address!r}, tls='T/client') as session:\n"
        "    results = session.submit(pow, params=[{'base': 2, 'exp': n} for n in range(5)])\n"
        "    json.dump(list(results.results()), open('out.json', 'w'))\n"
    )
    farm_cli.python(script)
    assert json.loads((farm_cli.home / "out.json").read_text()) == [1, 2, 4, 8, 16]
