"""Python files that travel with a batch, read without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

Function = ast.FunctionDef | ast.AsyncFunctionDef
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function can be called with by name.

    Args:
        names: arguments that may be given.
        required: those that must be.
        positional: those that cannot be given by name, though they must.
        anything: whether ``**kwargs`` takes all other names.
    """

    names: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    positional: tuple[str, ...] = ()
    anything: bool = False


class Definitions:
    """What a namespace (a module, the body of a class) defines, as far as its text tells.

    Args:
        body: its statements.
    """

    def __init__(self, body: list[ast.stmt]) -> None:
        self.open = False  # a star import or a module's __getattr__ can define anything
        self._bindings: dict[str, list[ast.AST]] = {}
        for statement in body:
            for name, node in _bindings(statement):
                self._bindings.setdefault(name, []).append(node)
        self.open = "*" in self._bindings or "__getattr__" in self._bindings

    @property
    def names(self) -> list[str]:
        """The names that are defined, those of functions and classes first."""
        return sorted(self._bindings, key=lambda name: not _is_definition(self._bindings[name][-1]))

    def __contains__(self, name: str) -> bool:
        return name in self._bindings

    def only(self, name: str) -> ast.AST | None:
        """What defines a name, if exactly one statement does."""
        bindings = self._bindings.get(name, [])
        return bindings[0] if len(bindings) == 1 else None


def _is_definition(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def _bindings(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The names a statement binds in its own namespace, with what binds them."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name, node
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name.partition(".")[0]), node
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id, node
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name, node
    if isinstance(node, ast.AnnAssign) and node.value is None:
        return  # an annotation alone defines nothing
    if not isinstance(node, _SCOPES + _COMPREHENSIONS):
        for child in ast.iter_child_nodes(node):
            yield from _bindings(child)


def signature_of(node: ast.AST | None) -> Signature | None:
    """How something can be called, or None where the text does not tell (decorators, bases)."""
    if isinstance(node, Function) and not node.decorator_list:
        return _signature(node.args, skip=0)
    if isinstance(node, ast.ClassDef) and is_plain(node):
        body = Definitions(node.body)
        init = body.only("__init__")
        if "__new__" in body or ("__init__" in body and not isinstance(init, ast.FunctionDef)):
            return None
        if init is None:
            return Signature()
        if isinstance(init, ast.FunctionDef) and not init.decorator_list:
            return _signature(init.args, skip=1)
    return None


def is_plain(node: ast.ClassDef) -> bool:
    """Whether a class has neither decorators nor bases (but ``object``) nor a metaclass."""
    bases = [base for base in node.bases if ast.unparse(base) != "object"]
    return not (bases or node.keywords or node.decorator_list)


def _signature(arguments: ast.arguments, skip: int) -> Signature | None:
    ordered = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    if len(ordered) < skip:
        return None  # `self` comes in by *args
    needed = len(ordered) - len(arguments.defaults)
    by_position = ordered[skip : len(arguments.posonlyargs)]
    by_name = ordered[max(skip, len(arguments.posonlyargs)) :]
    keyword_only = [argument.arg for argument in arguments.kwonlyargs]
    defaults = zip(keyword_only, arguments.kw_defaults, strict=True)
    return Signature(
        names=(*by_name, *keyword_only),
        required=(
            *(name for name in by_name if name in ordered[:needed]),
            *(name for name, default in defaults if default is None),
        ),
        positional=tuple(name for name in by_position if name in ordered[:needed]),
        anything=arguments.kwarg is not None,
    )
