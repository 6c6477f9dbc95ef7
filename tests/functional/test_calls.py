"""Everything that a batch file can call, and what `--set` changes, through the command line."""

from functional_farm import FarmCli


def results(cli: FarmCli, yaml: str, python: str = "", *arguments: str) -> list[object]:
    """Run a batch; its results in index order."""
    file, target = cli.batch_file(yaml, python), cli.home / "out.jsonl"
    ran = cli.run("run", file, "--processes", "2", "--output", target, "--json", *arguments)
    assert ran.code == 0, ran.out
    return [row["result"] for row in cli.rows(target)]


def test_a_class_is_made_and_run(farm_cli: FarmCli) -> None:
    python = """
class Greeter:
    def __init__(self, name):
        self.name = name
    def run(self):
        return f"hello {self.name}"
"""
    yaml = "python: tasks.py:Greeter\nparams: {matrix: {name: [alvin, egon]}}"

    assert results(farm_cli, yaml, python) == ["hello alvin", "hello egon"]


def test_a_coroutine_function_is_awaited(farm_cli: FarmCli) -> None:
    python = "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x + 1\n"
    yaml = "python: tasks.py:f\nparams: {list: [{x: 1}, {x: 5}]}"

    assert results(farm_cli, yaml, python) == [2, 6]


def test_a_function_of_an_installed_module(farm_cli: FarmCli) -> None:
    yaml = "python: statistics:mean\nparams: {list: [{data: [1, 2, 6]}]}"

    assert results(farm_cli, yaml) == [3]


def test_a_shell_command_over_a_glob(farm_cli: FarmCli) -> None:
    for name in ("a b.txt", "c'd.txt"):
        (farm_cli.home / name).write_text("one\ntwo\n")
    yaml = 'command: "wc -l < {path} && echo {index}"\nparams: {glob: "*.txt"}'

    found = results(farm_cli, yaml)

    assert [one["exit_code"] for one in found] == [0, 0]
    assert [one["stdout"].split() for one in found] == [["2", "0"], ["2", "1"]]


def test_a_command_that_fails(farm_cli: FarmCli) -> None:
    file = farm_cli.batch_file('command: ["false"]')

    ran = farm_cli.run("run", file, "--processes", "1")

    assert ran.code == 1
    assert "exit" in ran.out


def test_set_replaces_parts_of_the_file(farm_cli: FarmCli) -> None:
    python = "def f(kind, size=1):\n    return [kind, size]\n"
    yaml = "python: tasks.py:f\nparams: {matrix: {kind: [odd, all], size: [1, 2]}}"

    changed = results(
        farm_cli, yaml, python, "--set", "params.matrix.kind=odd", "--set", "params.matrix.size=7"
    )

    assert changed == [["odd", 7]]


def test_retries_are_made_and_counted(farm_cli: FarmCli) -> None:
    python = """
import pathlib
def f(index):
    marker = pathlib.Path(f"tried-{index}")
    if index == 1 and not marker.exists():
        marker.touch()
        raise OSError("not yet")
    return "in the end"
"""
    file = farm_cli.batch_file("python: tasks.py:f\nparams: {count: 2}", python)
    target = farm_cli.home / "out.jsonl"

    ran = farm_cli.run("run", file, "--set", "options.retries=2", "--output", target, "--json")

    assert ran.json["retried"] == 1
    assert [row["attempts"] for row in farm_cli.rows(target)] == [1, 2]


def test_validate_shows_the_first_and_last_calls(farm_cli: FarmCli) -> None:
    columns = ", ".join(f"{name}: {{range: [1000000]}}" for name in ("a", "b"))
    python = "def f(a, b):\n    pass\n"
    file = farm_cli.batch_file(f"python: tasks.py:f\nparams: {{matrix: {{{columns}}}}}", python)

    ran = farm_cli.run("validate", file)

    assert ran.code == 0
    assert "1,000,000,000,000 tasks" in ran.out
    assert "f(a=0, b=2)" in ran.out
    assert "f(a=0, b=3)" not in ran.out
    assert "f(a=999999, b=999997)" in ran.out
    document = farm_cli.run("validate", file, "--json").json
    assert document["total"] == 10**12
    assert [call["index"] for call in document["calls"]] == [0, 1, 2, *range(10**12 - 3, 10**12)]
    few = farm_cli.run("validate", file, "--json", "--set", "params={count: 4}")
    assert few.code == 2  # `f` takes no index


def test_validate_shows_few_calls_once(farm_cli: FarmCli) -> None:
    python = "def f(index):\n    pass\n"
    file = farm_cli.batch_file("python: tasks.py:f\nparams: {count: 4}", python)

    assert [c["index"] for c in farm_cli.run("validate", file, "--json").json["calls"]] == [
        *range(4)
    ]


def test_schema_is_a_json_schema(farm_cli: FarmCli) -> None:
    schema = farm_cli.run("schema").json

    assert schema["$schema"].startswith("https://json-schema.org/")
    assert {"python", "command", "params", "options", "name"} <= set(schema["properties"])
