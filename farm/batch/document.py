"""YAML text to values that remember where they were written.

Apart from the model because it knows nothing of batches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode
from yaml.reader import Reader

from farm.batch.nodes import Builder, Entries, Mark, Path, fatal, mark_of, where_of
from farm.errors import BatchFileError

MAX_DEPTH = 100
"""How deep values may be nested."""

_ALIAS_BUDGET = 100_000
"""Values that aliases may add to those that are written out."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
        return mark_of(self.source, key_node if key and complete and key_node else node)

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
            raise fatal(f"{source}:1:1", "the file is empty; it should describe a batch")
        builder = Builder(loader, source, len(text) + _ALIAS_BUDGET)
        value = builder.build(root)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, source) from None
    finally:
        loader.dispose()
    return Document(source, value, root, builder.entries, builder.problems)


def _check_characters(text: str, source: str) -> None:
    wrong = Reader.NON_PRINTABLE.search(text)
    if wrong:
        line = text.count("\n", 0, wrong.start()) + 1
        column = wrong.start() - text.rfind("\n", 0, wrong.start())
        where = f"{source}:{line}:{column}"
        raise fatal(where, f"the character {wrong[0]!a} cannot stand in YAML")


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
            where = where_of(source, event.start_mark)
            raise fatal(where, f"values are nested more than {MAX_DEPTH} deep")
        if documents > 1:
            where = where_of(source, event.start_mark)
            raise fatal(where, "a second document begins here; write one batch a file")


def _syntax_error(error: yaml.MarkedYAMLError, source: str) -> BatchFileError:
    context = f" {error.context}" if error.context else ""
    begin, end = error.context_mark, error.problem_mark
    if context and begin and end and begin.line < end.line:
        context += f" that begins at line {begin.line + 1}"
    problem = (error.problem or "it cannot be read").replace("'\\t' ", "")
    message = f"this is not YAML: {problem}{context}"
    if "maximum nesting depth" in problem:  # PyYAML has a limit of its own since 6.0.4
        message = f"values are nested more than {MAX_DEPTH} deep"
    return fatal(where_of(source, error.problem_mark or error.context_mark), message)


def _is_index(part: Any, length: int) -> bool:
    return isinstance(part, int) and 0 <= part < length
