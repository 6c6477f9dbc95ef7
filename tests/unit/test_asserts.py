"""Asserts in farm/ tell mypy what is so anyway; none may guard, for `python -O` takes them away."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import farm

ROOT = Path(farm.__file__).parent


def narrows(test: ast.expr) -> bool:
    """Whether it is ``x is not None`` or ``isinstance(x, T)`` of a plain name or attribute."""
    match test:
        case ast.Compare(left=value, ops=[ast.IsNot()], comparators=[ast.Constant(value=None)]):
            pass
        case ast.Call(func=ast.Name(id="isinstance"), args=[value, _]):
            pass
        case _:
            return False
    while isinstance(value, ast.Attribute):
        value = value.value
    return isinstance(value, ast.Name)


@pytest.mark.parametrize(
    ("source", "good"),
    [
        ("assert self._socket is not None", True),
        ("assert isinstance(transport, asyncio.Transport)", True),
        ("assert name in self.public", False),
        ("assert len(frame) < 5", False),
        ("assert peek(frame) is not None", False),
    ],
)
def test_what_narrows_a_type(source: str, good: bool) -> None:
    (statement,) = ast.parse(source).body
    assert isinstance(statement, ast.Assert)
    assert narrows(statement.test) is good


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.name)
def test_asserts_only_narrow_types(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guards = [n for n in ast.walk(tree) if isinstance(n, ast.Assert) and not narrows(n.test)]

    assert not [f"{path}:{guard.lineno}" for guard in guards]
