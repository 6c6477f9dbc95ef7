"""The audit of the dependencies: what it compares, and that it fails where it should."""

from __future__ import annotations

import datetime
import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

import farm

SCRIPTS = Path(farm.__file__).parents[1] / "scripts"
TABLE = """
[looked]
soup = 2026-01-02
nuts = 2026-03-04
[[advisory]]
package = "Soup"
id = "CVE-1"
affected = ["<1.3", ">=2,<2.4.1"]
fixed = "2.4.1"
url = "https://example.org/1"
what = "it burns"
"""


def load():
    """The script as a module; it has no suffix."""
    loader = SourceFileLoader("audit", str(SCRIPTS / "audit"))
    spec = importlib.util.spec_from_loader("audit", loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["audit"] = module  # its dataclasses look themselves up there
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


audit = load()


def use(package: str, version: str, where: str = "somewhere"):
    return audit.Use(package, audit.Version(version), where)


def problems(*uses) -> list[str]:
    return list(audit.affected(uses, audit.read_advisories(TABLE)[1]))


@pytest.mark.parametrize(
    ("version", "bad"),
    [
        ("1.2.9", True), ("1.3", False), ("1.9", False), ("2", True), ("2.4.0", True),
        ("2.4.1", False), ("3", False),
    ],
)  # fmt: skip
def test_a_version_in_an_affected_range_is_a_problem(version: str, bad: bool) -> None:
    assert bool(problems(use("soup", version))) is bad


def test_a_problem_says_what_where_and_what_to_do() -> None:
    (line,) = problems(use("soup", "2.4", "constraints.txt"), use("nuts", "2.4"))

    assert line == (
        "constraints.txt: soup 2.4 has CVE-1: it burns; fixed in 2.4.1, see https://example.org/1"
    )


def test_every_pin_of_the_constraints_is_looked_at() -> None:
    text = '# words\n\nSoup==2.4\nnuts==1 ; python_version == "3.11"\nnuts==2 ; os_name == "nt"\n'

    pinned = list(audit.pins(text))

    assert [(one.package, str(one.version)) for one in pinned] == [
        ("soup", "2.4"), ("nuts", "1"), ("nuts", "2"),
    ]  # fmt: skip
    assert len(problems(*pinned)) == 1


def test_a_line_of_the_constraints_that_pins_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="'soup>=2' does not pin"):
        list(audit.pins("soup>=2\n"))


def test_the_lowest_version_that_is_allowed_is_looked_at() -> None:
    document = {
        "build-system": {"requires": ["nuts>=7"]},
        "project": {
            "name": "meal",
            "dependencies": ["soup>=2.4,<4"],
            "optional-dependencies": {"dev": ["meal[rich]", "Sau.Ce~=1.2"]},
        },
    }

    allowed = list(audit.lowest(document))

    assert [(one.package, str(one.version)) for one in allowed] == [
        ("nuts", "7"), ("soup", "2.4"), ("sau-ce", "1.2"),
    ]  # fmt: skip
    (line,) = problems(*allowed)
    assert line.startswith("pyproject.toml (soup>=2.4,<4): soup 2.4 has CVE-1")


def test_peers_that_farm_is_measured_beside_are_passed_over() -> None:
    document = {
        "build-system": {"requires": []},
        "project": {"name": "meal", "optional-dependencies": {"bench": ["rival"], "dev": ["a>=1"]}},
    }

    assert [one.package for one in audit.lowest(document)] == ["a"]


def test_a_dependency_without_a_lowest_version_is_refused() -> None:
    document = {"build-system": {"requires": ["soup<4"]}, "project": {"name": "meal"}}

    with pytest.raises(ValueError, match="no lowest version"):
        list(audit.lowest(document))


def test_a_package_that_nobody_has_looked_at_is_a_problem() -> None:
    looked, _ = audit.read_advisories(TABLE)

    lines = list(audit.unseen([use("soup", "3"), use("sauce", "1"), use("sauce", "2")], looked))

    assert len(lines) == 1
    assert lines[0].startswith("sauce: nobody has looked")


def test_what_is_installed_must_be_what_is_pinned() -> None:
    pinned = [use("soup", "3"), use("nuts", "1"), use("nuts", "2")]
    there = [
        use("soup", "3.1"),
        use("nuts", "2"),
        use("sauce", "1"),
        use("farm", "0"),
        use("pip", "9"),
    ]

    assert list(audit.strays(there, pinned)) == [
        "installed: soup 3.1, but constraints.txt says 3",
        "installed: sauce 1, but constraints.txt says not to be there",
    ]


def test_an_advisory_whose_fix_is_affected_is_refused() -> None:
    with pytest.raises(ValueError, match="CVE-1"):
        audit.read_advisories(TABLE.replace('fixed = "2.4.1"', 'fixed = "2.4"'))


def test_somebody_is_reminded_to_look_again() -> None:
    looked, _ = audit.read_advisories(TABLE)
    day = datetime.date(2026, 1, 2)

    assert audit.stale(looked, day + datetime.timedelta(180)) == ""
    assert "is 181 days old" in audit.stale(looked, day + datetime.timedelta(181))


def run(monkeypatch: pytest.MonkeyPatch, root: Path) -> int:
    monkeypatch.setattr(audit, "ROOT", root)
    monkeypatch.setattr(audit, "installed", lambda: [])
    monkeypatch.setattr(sys, "argv", ["audit"])
    return audit.main()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the audit reads of this checkout, to be changed."""
    (tmp_path / "scripts").mkdir()
    for name in ("pyproject.toml", "constraints.txt", "scripts/advisories.toml"):
        (tmp_path / name).write_text((SCRIPTS.parent / name).read_text())
    return tmp_path


def test_this_checkout_passes(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, checkout) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("constraints.txt", "pyyaml==", "pyyaml==5.3.1\n# ", "CVE-2020-14343"),
        ("constraints.txt", "pyyaml==", "novelty==1.0\npyyaml==", "novelty: nobody has looked"),
        ("pyproject.toml", "pyyaml>=6.0.2", "pyyaml>=5.3", "CVE-2020-14343"),
        ("pyproject.toml", "setuptools>=83", "setuptools>=77", "CVE-2025-47273"),
    ],
)
def test_a_planted_problem_is_found(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    file: str, old: str, new: str, said: str,
) -> None:  # fmt: skip
    text = (checkout / file).read_text()
    assert old in text
    (checkout / file).write_text(text.replace(old, new))

    assert run(monkeypatch, checkout) == 1
    assert said in capsys.readouterr().err
