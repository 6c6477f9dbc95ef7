"""The layers of the house, by what each module imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import farm

ROOT = Path(farm.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# What each part may import, itself included; those that are below everything else stand last.
BELOW = {
    "allocation", "errors", "version", "limits", "pieces", "printable", "regular", "rooms",
}  # fmt: skip
ALLOWED = {
    "allocation": set(),
    "errors": set(),
    "version": set(),
    "limits": set(),
    "pieces": set(),
    "printable": set(),
    "regular": set(),
    "rooms": set(),
    "config": {"batch", *BELOW},
    "authority": {"certificates", "whole", "wire", *BELOW},
    "certificates": {"wire", *BELOW},
    "cpus": BELOW,
    "scratch": BELOW,
    "whole": BELOW,
    "batch": {"batch", *BELOW},
    "wire": {"wire", "batch", "config", *BELOW},
    "server": {"server", "wire", "batch", *BELOW},
    "engines": {"engines", "batch", *BELOW},
    "client": {"client", "wire", "batch", "config", *BELOW},
    "codestore": {"batch", *BELOW},
    "heartbeat": {"wire", *BELOW},
    "shelf": BELOW,
    "unable": {"wire", *BELOW},
    "delivery": {"shelf", "unable", "engines", "wire", "batch", *BELOW},
    "holdings": {"engines", "batch", *BELOW},
    "pacing": BELOW,
    "node": {
        "delivery",
        "holdings",
        "pacing",
        "shelf",
        "unable",
        "engines",
        "wire",
        "batch",
        *BELOW,
    },
    "dialogue": {"node", "unable", "engines", "wire", "batch", *BELOW},
    "worker": {
        "dialogue",
        "node",
        "delivery",
        "shelf",
        "codestore",
        "heartbeat",
        "engines",
        "wire",
        "config",
        *BELOW,
    },
    "local": {
        "worker",
        "server",
        "engines",
        "client",
        "wire",
        "cpus",
        "scratch",
        "config",
        *BELOW,
    },
    "pool": {"client", "local", *BELOW},
    "__init__": {"client", "local", "pool", *BELOW},
    "__main__": {"cli"},
}

PURE = [
    *ROOT.glob("batch/*.py"), ROOT / "node.py", ROOT / "delivery.py", ROOT / "pacing.py",
    *(ROOT / "server" / f"{name}.py" for name in (
        "ledger", "states", "schedule", "sizing", "again", "pace", "attempts", "holding", "replay",
        "load", "wanting", "evening",
    )),
]  # fmt: skip
IMPURE = {
    "asyncio", "concurrent", "glob", "logging", "multiprocessing", "os", "random",
    "secrets", "select", "selectors", "shutil", "signal", "socket", "sqlite3", "subprocess",
    "tempfile", "threading", "time",
}  # fmt: skip


def part_of(path: Path) -> str:
    """The directory or module right below the package."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(tree: ast.AST) -> set[str]:
    """The full names of what a piece of code imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def parts_used(tree: ast.AST) -> set[str]:
    names = [name.split(".") for name in imports_of(tree)]
    return {name[1] for name in names if name[0] == "farm" and len(name) > 1}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
class TestModule:
    def test_imports_point_downwards(self, path):
        allowed = ALLOWED.get(part_of(path))
        if allowed is None:
            assert part_of(path) == "cli", "a new part of the house needs a line in this test"
            return
        used = parts_used(ast.parse(path.read_text()))
        assert used - allowed - {"__version__"} == set()

    def test_nothing_of_farm_is_imported_inside_a_function(self, path):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                inside = {name for name in imports_of(node) if name.split(".")[0] == "farm"}
                assert inside == set(), f"in {node.name}"

    def test_it_says_what_it_is(self, path):
        assert ast.get_docstring(ast.parse(path.read_text()))


def test_nothing_imports_the_command_line():
    for path in MODULES:
        if part_of(path) not in ("cli", "__main__"):
            assert "cli" not in parts_used(ast.parse(path.read_text())), path


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_modules_do_no_input_or_output_and_know_no_time(path):
    used = {name.split(".")[0] for name in imports_of(ast.parse(path.read_text()))}
    assert used & IMPURE == set()


def test_what_a_node_says_is_pure_but_for_the_log():
    used = imports_of(ast.parse((ROOT / "dialogue.py").read_text()))
    assert {name.split(".")[0] for name in used} & IMPURE == {"logging"}


def test_only_the_server_knows_a_database():
    users = {
        part_of(path) for path in MODULES
        if "sqlite3" in {n.split(".")[0] for n in imports_of(ast.parse(path.read_text()))}
    }  # fmt: skip
    assert users == {"server"}
