"""Whatever is wrong, one message says what and what to do, and the exit code says of which kind."""

import socket

import pytest
from functional_farm import FarmCli, Ran

GOOD = "python: tasks.py:f\nparams: {count: 2}\n"
PYTHON = "def f(index):\n    return index\n"


def says(ran: Ran, code: int, *words: str) -> None:
    """Check the exit code, the message's words, and that it is a message for people."""
    assert ran.code == code, ran.err
    assert ran.out == ""
    for word in words:
        assert word in ran.err
    assert "Traceback" not in ran.err
    assert "bug" not in ran.err


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("python: tasks.py:f\n  params: {", ("batch.yaml:2:",)),
        (GOOD + "options: {retries: many}", ("batch.yaml:3:20", "retries", "number")),
        (GOOD + "optoins: {}", ("batch.yaml:3:1", "optoins", "did you mean `options`?")),
        ("python: tasks.py:g\nparams: {count: 2}", ("batch.yaml:1:9", "g", "tasks.py")),
        ("python: absent.py:f\nparams: {count: 2}", ("batch.yaml:1:9", "absent.py")),
        ("python: tasks.py:f\nparams: {matrix: {indx: [1]}}", ("indx", "index")),
        ("command: echo {nme}\nparams: {matrix: {name: [a]}}", ("nme", "name")),
    ],
    ids=["syntax", "type", "key", "function", "python-file", "parameter", "placeholder"],
)
def test_a_bad_file(farm_cli: FarmCli, yaml: str, words: tuple[str, ...]) -> None:
    says(farm_cli.run("validate", farm_cli.batch_file(yaml, PYTHON)), 2, *words)


def test_nothing_of_a_bad_file_is_submitted_or_run(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    file = farm_cli.batch_file(GOOD + "optoins: {}", PYTHON)

    for command in ("run", "submit"):
        says(farm_cli.run(command, file), 2, "batch.yaml:3:1", "optoins")
    assert farm_cli.run("status", "--json").json["batches"] == []


def test_a_missing_file(farm_cli: FarmCli) -> None:
    for command in ("validate", "run", "submit"):
        says(farm_cli.run(command, "nowhere.yaml"), 2, "nowhere.yaml", "No such file")


def test_all_problems_at_once_and_for_programs_too(farm_cli: FarmCli) -> None:
    file = farm_cli.batch_file(
        "python: tasks.py:f\nparms: {}\noptions: {priority: x}", "def f():\n    pass\n"
    )

    ran = farm_cli.run("validate", file, "--json")

    assert ran.code == 2
    error = ran.json["error"]
    assert error["type"] == "BatchFileError"
    assert len(error["problems"]) == 2
    assert {problem["where"].split(":")[-2] for problem in error["problems"]} == {"2", "3"}
    assert all(problem["message"] in ran.err for problem in error["problems"])


def test_a_wrong_override(farm_cli: FarmCli) -> None:
    file = farm_cli.batch_file(GOOD, PYTHON)

    says(farm_cli.run("validate", file, "--set", "options.retires=5"), 2, "retires", "retries")


def test_a_function_that_raises(farm_cli: FarmCli) -> None:
    python = "def f(index):\n    raise LookupError('no [b]such[/b] thing')\n"
    ran = farm_cli.run("run", farm_cli.batch_file(GOOD, python), "--processes", "1")

    assert ran.code == 1
    assert "LookupError: no [b]such[/b] thing" in ran.out
    assert "tasks.py" in ran.out  # the end of its traceback
    assert "0 of 2 tasks done, 2 failed" in ran.out


def test_a_result_that_cannot_be_pickled(farm_cli: FarmCli) -> None:
    python = "def f(index):\n    return lambda: index\n"
    ran = farm_cli.run("run", farm_cli.batch_file(GOOD, python), "--processes", "1", "--json")

    assert ran.code == 1
    errors = [row["error"] for row in ran.json["failures"]]
    assert [error["kind"] for error in errors] == ["unpicklable", "unpicklable"]
    assert "cannot be pickled" in errors[0]["message"]


def test_a_port_in_use(farm_cli: FarmCli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        says(farm_cli.run("serve", "--port", str(port)), 2, f":{port}", "in use", "--port")


def test_a_data_directory_in_use(farm_cli: FarmCli) -> None:
    farm_cli.serve()

    says(farm_cli.run("serve", "--port", "0"), 2, "another server", "--data")


def _closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"127.0.0.1:{closed.getsockname()[1]}"


@pytest.mark.parametrize(
    "line", [("status",), ("nodes",), ("cancel", "1"), ("results", "1"), ("worker",)]
)
def test_no_server(farm_cli: FarmCli, line: tuple[str, ...]) -> None:
    (farm_cli.home / "key").write_text("k" * 40)
    (farm_cli.home / "key").chmod(0o600)
    address = _closed_port()

    ran = farm_cli.run(*line, "--host", address, "--authkey-file", "key")

    says(ran, 3, address, "farm serve", "--host")


def test_no_server_to_submit_to(farm_cli: FarmCli) -> None:
    file, address = farm_cli.batch_file(GOOD, PYTHON), _closed_port()
    env = {"FARM_AUTHKEY": "k" * 40, "FARM_HOST": address}

    says(farm_cli.run("submit", file, env=env), 3, address)
    as_json = farm_cli.run("submit", file, "--json", env=env)
    assert as_json.json["error"]["type"] == "ServerUnreachableError"


def test_something_else_answers(farm_cli: FarmCli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        status = farm_cli.start("status", "--host", address, env={"FARM_AUTHKEY": "k" * 40})
        answering, _ = other.accept()
        answering.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        answering.close()
        says(status.wait(), 3, "not a farm server")


@pytest.mark.parametrize("line", [("status",), ("worker", "--processes", "1")])
def test_a_wrong_key(farm_cli: FarmCli, line: tuple[str, ...]) -> None:
    farm_cli.serve()

    ran = farm_cli.run(*line, env={"FARM_AUTHKEY": "x" * 40})

    says(ran, 4, "does not accept this key", "--authkey-file")


def test_no_key_at_all(farm_cli: FarmCli) -> None:
    says(farm_cli.run("status"), 2, "no key", "authkey", "FARM_AUTHKEY_FILE")


def test_a_key_that_others_can_read(farm_cli: FarmCli) -> None:
    (farm_cli.home / "key").write_text("k" * 40)
    (farm_cli.home / "key").chmod(0o644)

    says(farm_cli.run("status", "--authkey-file", "key"), 2, "others can read", "chmod 600")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("serve", "--port", "http"), ("--port", "'http'")),
        (("worker", "--processes", "0"), ("--processes", "at least 1")),
        (("run", "batch.yaml", "--processes", "some"), ("--processes", "'some'")),
        (("run", "batch.yaml", "--output", "absent/r.jsonl"), ("absent", "no directory")),
        (("status", "--host", "a b:c"), ("a b:c", "HOST:PORT")),
        (("nonesuch",), ("No such command", "nonesuch")),
        (("status", "--limit", "none"), ("--limit",)),
        (("validate",), ("FILE",)),
        (("serve", "--config", "absent.yaml"), ("absent.yaml",)),
    ],
    ids=lambda value: " ".join(value),
)
def test_wrong_use(farm_cli: FarmCli, line: tuple[str, ...], words: tuple[str, ...]) -> None:
    farm_cli.batch_file(GOOD, PYTHON)

    says(farm_cli.run(*line, env={"FARM_AUTHKEY": "k" * 40}), 2, *words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot: 7077", ("server.yaml", "prot", "port")),
        ("port: [", ("server.yaml:1:8",)),
        ("port: many", ("server.yaml: port", "'many'")),
        ("- 1", ("server.yaml", "port: 7077")),
    ],
)
def test_a_wrong_settings_file(farm_cli: FarmCli, text: str, words: tuple[str, ...]) -> None:
    (farm_cli.home / "server.yaml").write_text(text)

    says(farm_cli.run("serve", "--config", "server.yaml"), 2, *words)
