"""YAML's nodes to values: `yaml.safe_load`'s semantics, less what would surprise or harm.

Apart from `document.py`, which answers where a value was written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from farm.batch.suggest import clipped
from farm.errors import BatchFileError, Problem

Path = tuple[Any, ...]
"""Keys and list indices from the root of a document to a value."""

Entries = dict[Any, tuple[Node, Node]]
"""Key node and value node by key."""

_YAML = "tag:yaml.org,2002:"
_SCALARS = frozenset(
    _YAML + name for name in ("null", "bool", "int", "float", "binary", "timestamp", "str")
)
_FLOAT_OF_YAML_1_2 = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a message points, and where it comes among the others.

    Args:
        text: ``file:line:column``, or ``--set a.b=c``.
        order: what messages are sorted by.
    """

    text: str
    order: tuple[float, float]


class Builder:
    """Makes values from nodes; what is wrong with one is noted, and the rest still made.

    Args:
        loader: constructs scalars.
        source: the file's name, for messages.
        budget: how many values there may be, so that aliases do not multiply them.
    """

    def __init__(self, loader: Any, source: str, budget: int) -> None:
        self.entries: dict[int, Entries] = {}
        self.problems: list[tuple[Mark, str, Path]] = []
        self._loader = loader
        self._source = source
        self._budget = budget
        self._open: set[int] = set()
        self._path: list[Any] = []

    def build(self, node: Node) -> Any:
        """The value of a node.

        Raises:
            BatchFileError: it contains itself, or aliases multiply beyond the budget.
        """
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
            first = mark_of(self._source, own[key][0]).text
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
            mark = mark_of(self._source, node).text
            raise fatal(mark, "aliases multiply the file beyond reason; write it without them")

    def _note(self, node: Node, message: str, *key: Any) -> None:
        self.problems.append((mark_of(self._source, node), message, (*self._path, *key)))

    def enter(self, node: Node) -> None:
        if id(node) in self._open:
            mark = mark_of(self._source, node).text
            raise fatal(mark, "an alias refers to a value that it is itself a part of")
        self._open.add(id(node))

    def leave(self, node: Node) -> None:
        self._open.discard(id(node))


class _Within:
    """Marks a node as being built, so that an alias to itself is seen."""

    def __init__(self, builder: Builder, node: Node) -> None:
        self._builder, self._node = builder, node

    def __enter__(self) -> None:
        self._builder.enter(self._node)

    def __exit__(self, *_: object) -> None:
        self._builder.leave(self._node)


def fatal(where: str, message: str) -> BatchFileError:
    """The error for what makes all the rest unreadable."""
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


def mark_of(source: str, node: Node) -> Mark:
    """Where a node begins."""
    mark = node.start_mark
    return Mark(where_of(source, mark), (mark.line, mark.column))


def where_of(source: str, mark: Any) -> str:
    """``file:line:column`` of one of PyYAML's marks."""
    return f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else f"{source}:1:1"
