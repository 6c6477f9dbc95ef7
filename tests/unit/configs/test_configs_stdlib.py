"""The batch over Python files: complexity of known snippets, and the tables."""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Load = Callable[[str], ModuleType]


@pytest.fixture
def stats(load: Load) -> ModuleType:
    return load("stdlib_stats.py")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("pass", 1),
        ("return [x, y]", 1),
        ("if x: pass", 2),
        ("if x: pass\nelse: pass", 2),
        ("if x: pass\nelif y: pass\nelse: pass", 3),
        ("return 1 if x else 2", 2),
        ("for i in x: pass\nelse: pass", 2),
        ("while x: pass", 2),
        ("if x and y: pass", 3),
        ("return x or y or z", 3),
        ("return x and (y or z)", 3),
        ("try: pass\nexcept OSError: pass\nexcept ValueError: pass\nfinally: pass", 3),
        ("with x: pass", 1),
        ("assert x", 2),
        ("return [i for i in x if i if i > 1]", 4),
        ("return {i: j for i in x for j in i}", 3),
        ("return lambda: 1 if x else 2", 2),
        ("match x:\n case 1: pass\n case 2: pass", 3),
        ("match x:\n case 1: pass\n case _: pass", 2),
        ("match x:\n case 1: pass\n case other: pass", 2),
        ("match x:\n case other if y: pass", 2),
        ("def g():\n  if x: pass", 1),
        ("class C:\n  a = 1 if x else 2", 1),
    ],
)
def test_complexity_of_a_known_body(stats: ModuleType, body: str, expected: int) -> None:
    for head in ("def f(x, y, z):", "async def f(x, y, z):"):
        function = ast.parse(f"{head}\n{textwrap.indent(body, '    ')}").body[0]
        assert stats.complexity(function) == expected


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return str(path)


def test_a_file_is_measured_whole(stats: ModuleType, tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.py",
        """\
        def plain():
            return 1

        class Outer:
            async def method(self, x):
                if x:
                    def nested(y):
                        return y and x or 3
                return x
        """,
    )
    measured = stats.measure(path)
    assert measured == {
        "path": path,
        "lines": 9,
        "functions": 3,
        "complexity": 6,
        "worst": [
            {"name": "Outer.method.nested", "line": 7, "complexity": 3},
            {"name": "Outer.method", "line": 5, "complexity": 2},
            {"name": "plain", "line": 1, "complexity": 1},
        ],
    }
    assert json.loads(json.dumps(measured)) == measured


def test_a_file_names_its_ten_worst_functions_only(stats: ModuleType, tmp_path: Path) -> None:
    path = write(tmp_path / "a.py", "def f(): pass\n" * 11 + "def g(x): return x or 1\n")
    measured = stats.measure(path)
    assert measured["functions"] == 12
    assert len(measured["worst"]) == 10
    assert measured["worst"][0]["name"] == "g"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (b"print 'old'\n", "SyntaxError: .*a.py, line 1"),
        (b"# coding: no-such\n", "SyntaxError: "),
        (b"x = 1\0\n", "(ValueError|SyntaxError): source code.* null bytes"),
        (b"x = '\xff'\n", "SyntaxError: "),
    ],
)
def test_what_cannot_be_parsed_is_told_not_raised(
    stats: ModuleType, tmp_path: Path, source: bytes, error: str
) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(source)
    measured = stats.measure(str(path))
    assert set(measured) == {"path", "unparsable"}
    assert re.match(error, measured["unparsable"])


@pytest.mark.filterwarnings("error")
def test_the_style_of_other_peoples_files_warns_nobody(stats: ModuleType, tmp_path: Path) -> None:
    assert stats.measure(write(tmp_path / "a.py", "x = '\\d'\n"))["lines"] == 1


@pytest.mark.parametrize("directory", ["site-packages", "dist-packages"])
def test_installed_packages_are_passed_over(
    stats: ModuleType, tmp_path: Path, directory: str
) -> None:
    assert stats.measure(str(tmp_path / directory / "a.py")) is None


def test_a_missing_file_is_an_error(stats: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        stats.measure(str(tmp_path / "a.py"))


def test_the_report_ranks_across_files(
    stats: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simple = write(tmp_path / "lib" / "simple.py", "def f(): pass\ndef g(): pass\n")
    branchy = write(tmp_path / "lib" / "sub" / "branchy.py", "\n\ndef h(x): return x or 1 or 2\n")
    broken = write(tmp_path / "lib" / "broken.py", "def")
    values = [stats.measure(path) for path in (simple, branchy, broken)] + [None, None]
    outcomes: list[dict[str, Any]] = [{"status": "done", "result": value} for value in values]
    outcomes.append({"status": "failed", "result": None, "error": {"message": "gone"}})
    results = write(tmp_path / "results.jsonl", "".join(json.dumps(o) + "\n" for o in outcomes))
    assert stats.main([results]) == 0
    assert capsys.readouterr().out == textwrap.dedent(
        f"""\
        {tmp_path / "lib"}: 2 files, 5 lines, 3 functions of mean complexity 1.7
        (apart from 1 files that cannot be parsed and 2 of installed packages)

        The ten most complex functions
        complexity  function  where
                 3  h         {Path("sub", "branchy.py")}:3
                 1  f         simple.py:1
                 1  g         simple.py:2

        The ten most complex files
        complexity  functions  lines  file
                 3          1      3  {Path("sub", "branchy.py")}
                 2          2      2  simple.py
        """
    )


def test_only_ten_are_shown(stats: ModuleType, tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{name}.py", f"def {name}(x): return x{' or 1' * at}\n")
        for at, name in enumerate("abcdefghijkl", start=1)
    ]
    lines = stats.report([stats.measure(path) for path in paths]).splitlines()
    assert len(lines) == 2 + 2 * 13
    assert lines[5].split() == ["13", "l", "l.py:1"]
    assert lines[-1].split() == ["4", "1", "1", "c.py"]


def test_no_file_at_all_is_said(stats: ModuleType) -> None:
    assert stats.report([None]) == "No Python file was measured."


def test_the_pattern_finds_the_running_library(
    stats: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stats.main(["--pattern"]) == 0
    root, stars, last = capsys.readouterr().out.rstrip("\n").rpartition(str(Path("**", "*.py")))
    assert (stars, last) == (str(Path("**", "*.py")), "")
    assert Path(root, "ast.py").samefile(ast.__file__)


def test_wrong_arguments_say_how_to_call_it(
    stats: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stats.main([]) == 2
    assert "RESULTS.jsonl | --pattern" in capsys.readouterr().err
