"""YAML text to values that remember where they were written.

`yaml.safe_load`'s semantics and less: duplicate keys, tags of one's own, recursion and aliases that
multiply are refused. Apart from the model because it knows nothing of batches.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import Reader

from farm.batch.suggest import clipped
from farm.errors import BatchFileError, Problem

Path = tuple[Any, ...]
"""Keys and list indices from the root of a document to a value."""

MAX_DEPTH = 100
"""How deep values may be nested."""

_ALIAS_BUDGET = 100_000
"""Values that aliases may add to those that are written out."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_YAML = "tag:yaml.org,2002:"
_SCALARS = frozenset(
    _YAML + name for name in ("null", "bool", "int", "float", "binary", "timestamp", "str")
)
_FLOAT_OF_YAML_1_2 = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")

Entries = dict[Any, tuple[Node, Node]]


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a message points, and where it comes among the others.

    Args:
        text: ``file:line:column``, or ``--set a.b=c``.
        order: what messages are sorted by.
    """

    text: str
    order: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Override:
    """A value that replaced what the file says.

    Args:
        path: what it replaced.
        text: how a message names it, such as ``--set options.retries=5``.
    """

    path: Path
    text: str


@dataclass(slots=True)
class Document:
    """A YAML document.

    Args:
        source: the file's name, for messages.
        value: what it says, after ``overrides``.
        root: the node it was made from.
        entries: key node and value node of every entry of every mapping node, by its `id`.
        problems: what is wrong although the text could be read, such as duplicate keys, each
            with the path of what it spoils.
        overrides: what replaced parts of the value, the latest last.
    """

    source: str
    value: Any
    root: Node
    entries: dict[int, Entries]
    problems: list[tuple[Mark, str, Path]]
    overrides: list[Override] = field(default_factory=list)

    def mark(self, path: Path, *, key: bool = False) -> Mark:
        """Where a value was written; if it was not, where the nearest one around it was.

        Args:
            path: keys and indices from the root.
            key: point at the key instead of its value.
        """
        for number in reversed(range(len(self.overrides))):
            override = self.overrides[number]
            if override.path == path[: len(override.path)]:
                return Mark(override.text, (float("inf"), number))
        node, key_node, complete = self._find(path)
        if not complete:
            for number, override in enumerate(self.overrides):
                if override.path[: len(path)] == path:
                    return Mark(override.text, (float("inf"), number))
        return _mark(self.source, key_node if key and complete and key_node else node)

    def key_text(self, path: Path) -> str:
        """The last key of a path as it was written, such as ``on`` for what YAML reads as true."""
        _, key_node, _ = self._find(path)
        return str(key_node.value) if key_node else str(path[-1])

    def _find(self, path: Path) -> tuple[Node, Node | None, bool]:
        node, key_node = self.root, None
        for part in path:
            entries = self.entries.get(id(node), {})
            if isinstance(node, MappingNode) and part in entries:
                key_node, node = entries[part]
            elif isinstance(node, SequenceNode) and _is_index(part, len(node.value)):
                key_node, node = None, node.value[part]
            else:
                return node, key_node, False
        return node, key_node, True


def read_document(text: str, source: str) -> Document:
    """Read one YAML document.

    Args:
        text: the file's text.
        source: its name, for messages.

    Raises:
        BatchFileError: it is not YAML, is empty, holds more than one document, or is nested or
            multiplied by aliases beyond reason.
    """
    _check_characters(text, source)
    loader = _Loader(text)
    try:
        _check_events(text, source)
        root = loader.get_single_node()
        if root is None:
            raise _fatal(f"{source}:1:1", "the file is empty; it should describe a batch")
        builder = _Builder(loader, source, len(text) + _ALIAS_BUDGET)
        value = builder.build(root)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, source) from None
    finally:
        loader.dispose()
    return Document(source, value, root, builder.entries, builder.problems)


class _Builder:
    """Makes values from nodes; what is wrong with one is noted, and the rest still made."""

    def __init__(self, loader: Any, source: str, budget: int) -> None:
        self.entries: dict[int, Entries] = {}
        self.problems: list[tuple[Mark, str, Path]] = []
        self._loader = loader
        self._source = source
        self._budget = budget
        self._open: set[int] = set()
        self._path: list[Any] = []

    def build(self, node: Node) -> Any:
        self._spend(node)
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if node.tag not in (_YAML + "map", _YAML + "seq"):
            return self._note(node, f"the tag {_short(node.tag)} cannot be used here")
        with _Within(self, node):
            if isinstance(node, SequenceNode):
                return [self._part(position, item) for position, item in enumerate(node.value)]
            entries = self._entries(node)
            return {key: self._part(key, value) for key, (_, value) in entries.items()}

    def _part(self, key: Any, node: Node) -> Any:
        self._path.append(key)
        value = self.build(node)
        self._path.pop()
        return value

    def _entries(self, node: Node) -> Entries:
        known = self.entries.get(id(node))
        if known is not None:
            self._budget -= len(known)
            return known
        own: Entries = {}
        merged: Entries | None = None
        for key_node, value_node in node.value:
            self._spend(key_node)
            if key_node.tag == _YAML + "merge" and merged is None:
                merged = self._merge(value_node)
            elif key_node.tag == _YAML + "merge":
                message = "`<<` is given twice; write one with a list of mappings"
                self._note(key_node, message, "<<")
            elif not isinstance(key_node, ScalarNode):
                kind = "list" if isinstance(key_node, SequenceNode) else "mapping"
                self._note(key_node, f"a key must be a text, not a {kind}", key_node)
            else:
                self._own(own, key_node, value_node)
        self.entries[id(node)] = (merged or {}) | own
        return self.entries[id(node)]

    def _own(self, own: Entries, key_node: ScalarNode, value_node: Node) -> None:
        key = self._scalar(key_node)
        if key in own:
            first = _mark(self._source, own[key][0]).text
            message = f"`{clipped(key_node.value)}` is given twice, first at {first}"
            self._note(key_node, message, key)
        else:
            own[key] = (key_node, value_node)

    def _merge(self, node: Node) -> Entries:
        """The entries ``<<`` brings in; of several mappings the earlier ones win."""
        nodes = node.value if isinstance(node, SequenceNode) else [node]
        merged: Entries = {}
        for mapping in nodes:
            if not isinstance(mapping, MappingNode):
                self._note(mapping, "`<<` takes a mapping, or a list of mappings", "<<")
                continue
            with _Within(self, mapping):
                merged = self._entries(mapping) | merged
        return merged

    def _scalar(self, node: ScalarNode) -> Any:
        if node.tag not in _SCALARS:
            return self._note(node, f"the tag {_short(node.tag)} cannot be used here")
        plain_text = node.tag == _YAML + "str" and not node.style
        if plain_text and _FLOAT_OF_YAML_1_2.fullmatch(node.value):
            return self._note(node, _float_complaint(node.value))
        try:
            return self._loader.construct_object(node, deep=True)
        except ValueError as error:
            return self._note(node, f"{clipped(node.value)} cannot be read: {error}")
        except yaml.MarkedYAMLError as error:
            return self._note(node, f"the value cannot be read: {error.problem}")

    def _spend(self, node: Node) -> None:
        self._budget -= 1
        if self._budget < 0:
            mark = _mark(self._source, node).text
            raise _fatal(mark, "aliases multiply the file beyond reason; write it without them")

    def _note(self, node: Node, message: str, *key: Any) -> None:
        self.problems.append((_mark(self._source, node), message, (*self._path, *key)))

    def enter(self, node: Node) -> None:
        if id(node) in self._open:
            mark = _mark(self._source, node).text
            raise _fatal(mark, "an alias refers to a value that it is itself a part of")
        self._open.add(id(node))

    def leave(self, node: Node) -> None:
        self._open.discard(id(node))


class _Within:
    """Marks a node as being built, so that an alias to itself is seen."""

    def __init__(self, builder: _Builder, node: Node) -> None:
        self._builder, self._node = builder, node

    def __enter__(self) -> None:
        self._builder.enter(self._node)

    def __exit__(self, *_: object) -> None:
        self._builder.leave(self._node)


def _check_characters(text: str, source: str) -> None:
    wrong = Reader.NON_PRINTABLE.search(text)
    if wrong:
        line = text.count("\n", 0, wrong.start()) + 1
        column = wrong.start() - text.rfind("\n", 0, wrong.start())
        where = f"{source}:{line}:{column}"
        raise _fatal(where, f"the character {wrong[0]!a} cannot stand in YAML")


def _check_events(text: str, source: str) -> None:
    """Refuse what the composer would not survive (it recurses in C) or would not explain."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if depth > MAX_DEPTH:
            where = _where(source, event.start_mark)
            raise _fatal(where, f"values are nested more than {MAX_DEPTH} deep")
        if documents > 1:
            where = _where(source, event.start_mark)
            raise _fatal(where, "a second document begins here; write one batch a file")


def _syntax_error(error: yaml.MarkedYAMLError, source: str) -> BatchFileError:
    context = f" {error.context}" if error.context else ""
    begin, end = error.context_mark, error.problem_mark
    if context and begin and end and begin.line < end.line:
        context += f" that begins at line {begin.line + 1}"
    problem = (error.problem or "it cannot be read").replace("'\\t' ", "")
    message = f"this is not YAML: {problem}{context}"
    return _fatal(_where(source, error.problem_mark or error.context_mark), message)


def _fatal(where: str, message: str) -> BatchFileError:
    return BatchFileError([Problem(where, message)])


def _float_complaint(text: str) -> str:
    mantissa, exponent = re.split("[eE]", text)
    mantissa += "" if "." in mantissa else ".0"
    exponent = exponent if exponent[0] in "+-" else f"+{exponent}"
    return (
        f"YAML 1.1 takes {text} for a text; "
        f'write {mantissa}e{exponent} for the number or "{text}" for the text'
    )


def _short(tag: str) -> str:
    return tag.replace(_YAML, "!!")


def _is_index(part: Any, length: int) -> bool:
    return isinstance(part, int) and 0 <= part < length


def _mark(source: str, node: Node) -> Mark:
    mark = node.start_mark
    return Mark(_where(source, mark), (mark.line, mark.column))


def _where(source: str, mark: Any) -> str:
    return f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else f"{source}:1:1"
