"""What `farm serve` prints is enough to reach it."""

import json
import shlex
import signal
import stat

import pytest
from functional_farm import ROOT, FarmCli


def test_the_worker_line_works_as_it_is_printed(farm_cli: FarmCli) -> None:
    server = farm_cli.start("serve", "--port", "0")
    text = [server.first_line()]
    while "farm worker" not in text[-1]:
        text.append(server.first_line())
    said = "".join(text)
    key = farm_cli.home / ".config" / "farm" / "authkey"

    assert "Listening on 127.0.0.1:" in said
    assert f"Key: {key}" in said
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    line = shlex.split(text[-1])
    assert line[0] == "farm"
    node = farm_cli.start(*line[1:], "--processes", "1", "--name", "pasted")
    assert "(pasted) works for 127.0.0.1:" in node.first_line()
    assert "Other machines cannot reach this server" in server.first_line()
    assert "farm keygen --tls DIR" in server.first_line()
    assert "farm serve --host 0.0.0.0 --tls DIR" in server.first_line()


@pytest.mark.parametrize("named", ["T", "T/server"])
def test_with_certificates_it_works_too(farm_cli: FarmCli, named: str) -> None:
    """Also where the server was given its own directory: that is of no use to a node."""
    assert farm_cli.run("keygen", "--tls", "T").code == 0
    server = farm_cli.start("serve", "--port", "0", "--tls", named)
    line = server.first_line()
    while "farm worker" not in line:
        line = server.first_line()
    assert shlex.split(line)[-2:] == ["--tls", "T/worker"]
    node = farm_cli.start(*shlex.split(line)[1:], "--processes", "1", "--name", "pasted")
    assert "(pasted) works for 127.0.0.1:" in node.first_line()


def test_a_server_for_other_machines_names_its_address_and_warns(farm_cli: FarmCli) -> None:
    server = farm_cli.start("serve", "--host", "0.0.0.0", "--port", "0", "--insecure")
    line = server.first_line()
    while "farm worker" not in line:
        line = server.first_line()

    host = shlex.split(line)[3]

    assert "0.0.0.0" not in host
    here = f"127.0.0.1:{host.rpartition(':')[2]}"
    node = farm_cli.start("worker", "--host", here, "--processes", "1", "--json")
    assert json.loads(node.first_line())["server"] == here
    assert "not encrypted" in server.err
    assert "key alone" in server.err


def test_a_server_for_other_machines_has_certificates_or_is_told_to_go_without(
    farm_cli: FarmCli,
) -> None:
    for host in ("0.0.0.0", "::"):
        refused = farm_cli.run("serve", "--host", host, "--port", "0")
        assert (refused.code, refused.out) == (2, "")
        assert "farm keygen --tls DIR" in refused.err.replace("\n", " ")
        assert "--insecure" in refused.err
    for host in ("localhost", "127.0.0.2", "::1"):
        server = farm_cli.start("serve", "--host", host, "--port", "0", "--json")
        assert json.loads(server.first_line())["tls"] is None
        server.signal(signal.SIGTERM)
        assert server.wait().code == 0


def test_settings_come_from_flags_then_variables_then_the_file(farm_cli: FarmCli) -> None:
    file = farm_cli.home / "server.yaml"
    file.write_text("port: 0\ndata: from-file\n")
    in_file = farm_cli.start("serve", "--config", file, "--json")
    assert json.loads(in_file.first_line())["data"] == "from-file"
    variable = {"FARM_DATA": str(farm_cli.home / "from-variable")}
    in_variable = farm_cli.start("serve", "--config", file, "--json", env=variable)
    assert json.loads(in_variable.first_line())["data"].endswith("from-variable")
    flag = ("--data", "from-flag")
    in_flag = farm_cli.start("serve", "--config", file, "--json", *flag, env=variable)
    assert json.loads(in_flag.first_line())["data"] == "from-flag"


def test_the_settings_files_that_come_along_can_be_used(farm_cli: FarmCli) -> None:
    server = farm_cli.serve("--config", ROOT / "configs" / "server.yaml")
    node = farm_cli.worker("node", "--config", ROOT / "configs" / "worker.yaml")

    assert server.process.poll() is None
    assert node.process.poll() is None


def test_the_key_may_be_in_a_variable(farm_cli: FarmCli) -> None:
    key = {"FARM_AUTHKEY": "k" * 40}
    server = farm_cli.start("serve", "--port", "0", "--json", env=key)
    ready = json.loads(server.first_line())
    farm_cli.address = f"127.0.0.1:{ready['port']}"

    assert ready["key_file"] is None
    assert farm_cli.run("nodes", env=key).code == 0
    assert farm_cli.run("nodes").code == 2  # no key in the config directory
