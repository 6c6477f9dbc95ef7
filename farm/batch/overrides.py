"""``--set options.retries=5``, or the options of a call: what replaces parts of a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from farm.batch.document import Document, Override, read_document
from farm.batch.nodes import Mark, Path
from farm.batch.suggest import found
from farm.errors import BatchFileError, Problem


def apply_overrides(document: Document, texts: Sequence[str], name: str | None = None) -> None:
    """Replace parts of a document's value; what cannot be done is added to its problems.

    Args:
        document: its root is a mapping.
        texts: ``path=value`` each. The path goes through mappings by key and through lists by
            index; mappings that are missing are made. The value is YAML.
        name: a value for ``name``, as `--name` gives it.
    """
    for text in texts:
        mark = Mark(f"--set {text}", (float("inf"), len(document.overrides)))
        complaint = _apply(document, text, mark.text)
        if complaint:
            document.problems.append((mark, complaint, ()))
    if name is not None:
        document.value["name"] = name
        document.overrides.append(Override(("name",), f"--name {name}"))


def apply_options(document: Document, options: Mapping[str, Any]) -> None:
    """Replace options of a document by values of Python.

    Args:
        document: its root is a mapping.
        options: by name, in the forms that a batch file's ``options`` may have.
    """
    if not options:
        return
    if document.value.get("options") is None:
        document.value["options"] = {}
    own = document.value["options"]
    if not isinstance(own, dict):
        return  # which is found wrong with the file as it is
    for key, value in options.items():
        own[key] = dict(value) if isinstance(value, Mapping) else value
        document.overrides.append(Override(("options", key), f"options.{key}"))


def _apply(document: Document, text: str, label: str) -> str | None:
    """Apply one override; returns what is wrong with it, if anything."""
    path_text, equals, value_text = text.partition("=")
    keys = path_text.split(".")
    if not equals or not all(keys):
        return "write it as path=value, such as options.retries=5"
    try:
        value = _value(value_text)
    except BatchFileError as error:
        return error.problems[0].message
    path: Path = ()
    parent = document.value
    for key in keys[:-1]:
        step = _step(parent, key)
        if step is None:
            return _no_way(path, parent, key)
        if isinstance(parent, dict) and parent.get(key) is None:
            parent[key] = {}
        path, parent = (*path, step), parent[step]
    step = _step(parent, keys[-1])
    if step is None:
        return _no_way(path, parent, keys[-1])
    parent[step] = value
    document.overrides.append(Override((*path, step), label))
    return None


def _step(parent: Any, key: str) -> Any:
    """The key or index that leads on, or None if there is no such way."""
    if isinstance(parent, dict):
        return key
    if isinstance(parent, list) and key.isascii() and key.isdigit() and int(key) < len(parent):
        return int(key)
    return None


def _no_way(path: Path, parent: Any, key: str) -> str:
    place = ".".join(map(str, path))
    if isinstance(parent, list):
        return f"`{place}` is a list of {len(parent)}, so `{key}` must be an index below that"
    return f"`{place}` is {found(parent)}, which has no `{key}` in it"


def _value(text: str) -> Any:
    if not text.strip():
        return None
    document = read_document(text, "the value")
    if document.problems:
        raise BatchFileError(
            [Problem(mark.text, message) for mark, message, _ in document.problems]
        )
    return document.value
