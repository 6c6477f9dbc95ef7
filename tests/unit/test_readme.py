"""The README says what there is: every command, option, exit code; its examples are real."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from farm.batch import model
from farm.cli.main import COMMANDS, load
from farm.client.submission import load_file
from farm.errors import FarmError

ROOT = Path(__file__).parents[2]
BATCHES = ROOT / "configs" / "batches"
README = (ROOT / "README.md").read_text()
CODE = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_the_table(name: str) -> None:
    assert re.search(rf"^\| `farm {name}[ `]", README, re.M)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_long_option_of_a_command_is_named(name: str) -> None:
    options = {
        option
        for parameter in load(name).params
        for option in parameter.opts
        if option.startswith("--")
    }
    assert {option for option in options if f"`{option}" not in README} == set()


def test_no_command_is_named_that_is_not_there() -> None:
    named = set(re.findall(r"\bfarm ([a-z]+)\b", "\n".join(body for _, body in CODE)))
    assert named <= set(COMMANDS)


def test_every_exit_code_is_explained() -> None:
    codes = {error.exit_code for error in _all_errors(FarmError)} | {0, 130}
    explained = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.M)}
    assert explained == codes


def _all_errors(kind: type[FarmError]) -> list[type[FarmError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _all_errors(child))]


def test_the_batch_of_the_quick_start_is_the_one_that_ships(tmp_path: Path) -> None:
    for language, ending in (("python", "py"), ("yaml", "yaml")):
        shown = next(body for name, body in CODE if name == language)
        (tmp_path / f"primes.{ending}").write_text(shown)
    shown, shipped = load_file(tmp_path / "primes.yaml"), load_file(BATCHES / "primes.yaml")
    assert shown.spec.files["primes.py"] == (tmp_path / "primes.py").read_bytes()
    same = {"files": {}, "digest": ""}
    assert replace(shown.spec, **same) == replace(shipped.spec, **same)


def test_no_example_needs_a_file_of_the_checkout() -> None:
    lines = [line for language, body in CODE if language != "yaml" for line in body.splitlines()]
    assert [line for line in lines if "configs/" in line] == []


def test_every_key_of_the_batch_file_is_explained() -> None:
    schema = model.schema()
    keys = set(schema["properties"])
    for name in ("options", "params"):
        keys |= set(_properties(schema, schema["properties"][name]))
    options = _properties(schema, schema["properties"]["options"])
    keys |= set(_properties(schema, options["retries"]))
    assert {key for key in keys if f"| `{key}` |" not in README} == set()


def _properties(schema: dict, part: dict) -> dict:
    """The properties of a part of a schema, wherever it is defined."""
    for candidate in (part, *part.get("anyOf", []), *part.get("allOf", [])):
        if "$ref" in candidate:
            return schema["$defs"][candidate["$ref"].rpartition("/")[2]]["properties"]
        if "properties" in candidate:
            return candidate["properties"]
    raise AssertionError(f"no properties in {part}")


def test_every_link_to_a_file_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
