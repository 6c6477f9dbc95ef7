"""Keys and certificates that `farm keygen` makes open a server, and no others do."""

import json
import shlex
import shutil

from functional_farm import FarmCli, wait_until


def said_line(text: str, word: str) -> list[str]:
    """The command in what was printed that has a word in it."""
    (line,) = [line for line in text.splitlines() if word in line]
    return shlex.split(line)[1:]


def test_certificates_from_the_first_to_a_revoked_one(farm_cli: FarmCli) -> None:
    made = farm_cli.run("keygen", "--tls", "tls")
    assert made.code == 0
    assert said_line(made.out, "farm serve")[-1] == "tls/server"
    tls = farm_cli.home / "tls"
    farm_cli.serve("--tls", "tls/server")
    more = farm_cli.run("keygen", "--tls", "tls", "--role", "work", "--name", "node7")
    assert said_line(more.out, "farm worker")[-2:] == ["--tls", "node7"]
    shutil.copytree(tls / "node7", farm_cli.home / "node7")
    node = farm_cli.start("worker", "--tls", "node7", "--processes", "1", "--json")
    assert json.loads(node.first_line())["name"]

    def seen(state: str) -> bool:
        ran = farm_cli.run("nodes", "--tls", "tls", "--json")
        return ran.code == 0 and [one["state"] for one in ran.json["nodes"]] == [state]

    assert seen("up")
    assert (
        farm_cli.run("nodes", env={"FARM_AUTHKEY": "k" * 32}).code == 4
    )  # a key is no certificate
    assert farm_cli.run("keygen", "--tls", "tls", "--revoke", "node7").code == 0
    wait_until(lambda: farm_cli.run("nodes", "--tls", "node7").code == 4)
    assert farm_cli.run("nodes", "--tls", "tls/client").code == 0


def test_certificates_need_an_extra_and_keys_do_not(farm_cli: FarmCli) -> None:
    (farm_cli.home / "cryptography.py").write_text("raise ImportError('not here')")
    env = {"PYTHONPATH": f"{farm_cli.home}:{farm_cli.environment()['PYTHONPATH']}"}
    ran = farm_cli.run("keygen", "--tls", "tls", env=env)
    assert (ran.code, ran.out) == (2, "")
    assert "pip install 'farm[tls]'" in ran.err
    assert not (farm_cli.home / "tls").exists()
    assert farm_cli.run("keygen", env=env).code == 0
