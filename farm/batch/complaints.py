"""What pydantic found wrong with a batch file, in words for the person who wrote it."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from farm.batch.document import Document
from farm.batch.findings import Findings
from farm.batch.model import WANTED, BatchFields, ParamsFields
from farm.batch.nodes import Path
from farm.batch.options import OptionsFields, RetriesFields
from farm.batch.suggest import did_you_mean, found, one_of

_FIELDS: dict[Path, list[str]] = {
    (): list(BatchFields.model_fields),
    ("params",): list(ParamsFields.model_fields),
    ("options",): list(OptionsFields.model_fields),
    ("options", "retries"): list(RetriesFields.model_fields),
}


def check_fields(document: Document, findings: Findings) -> BatchFields | None:
    """Check the shape of a document, and note everything that is wrong with it.

    Returns:
        The fields, or None if their shape is wrong.
    """
    errors: list[ErrorDetails] = []
    fields: BatchFields | None = None
    try:
        fields = BatchFields.model_validate(document.value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
    paths = [_path(document.value, detail["loc"]) for detail in errors]
    for path, detail in zip(paths, errors, strict=True):
        # A list that is wrong inside is also "not a text"; the inner complaint says more.
        if path != ("command",) or not any(other[:1] == path != other for other in paths):
            _note(document, findings, path, detail)
    _check_rerun(document.value, findings)
    return fields


def _check_rerun(value: Any, findings: Findings) -> None:
    """Whether tasks that must not run twice have retries, be the rest of the file as it may."""
    options = value.get("options") if isinstance(value, dict) else None
    if not isinstance(options, dict) or options.get("rerun") is not False:
        return
    retries: Any = options.get("retries", 0)
    most: Any = retries.get("max") if isinstance(retries, dict) else retries
    path = ("options", "retries")
    if findings.clean(path) and most > 0:
        message = (
            "`retries` and `rerun: false` exclude each other: tasks that must not run twice have "
            "no retries; take one of them away"
        )
        findings.add(path, message, key=True)


def _note(document: Document, findings: Findings, path: Path, detail: ErrorDetails) -> None:
    if detail["type"] == "invalid_key" or detail["loc"][-1:] == ("[key]",):
        text = document.key_text(path)
        message = f"YAML takes the key `{text}` for {found(path[-1])}; put it in quotes"
        findings.add(path, message, key=True)
    elif detail["type"] == "extra_forbidden":
        findings.add(path, _unknown_key(path), key=True)
    elif detail["type"] == "missing":
        _note_missing(document, findings, path, detail["loc"][-1])
    else:
        findings.add(path, _wanted(path, _at(document.value, path)))


def _note_missing(document: Document, findings: Findings, path: Path, name: int | str) -> None:
    """A key that a mapping needs, unless one that is unknown there seems to mean it."""
    unknown = _at(document.value, path).keys() - _FIELDS[path]
    if not any(did_you_mean(key, [name]) for key in unknown):
        findings.add(path, f"`{path[-1]}` needs `{name}`: {WANTED[str(name)]}")


def _unknown_key(path: Path) -> str:
    known = _FIELDS[path[:-1]]
    meant = did_you_mean(path[-1], known)
    if not meant:
        holder = next((where for where, names in _FIELDS.items() if path[-1] in names), None)
        meant = f"; it belongs under `{holder[-1]}`" if holder else f"; known are {one_of(known)}"
        meant = "; it belongs at the top level" if holder == () else meant
    place = f" in `{path[-2]}`" if len(path) > 1 else ""
    return f"there is no `{path[-1]}`{place}{meant}"


def _wanted(path: Path, value: Any) -> str:
    name = path[-1] if path else ""
    if isinstance(name, int):
        owner = path[-2]
        if owner == "command":
            return (
                f"each argument of `command` must be a text, not {found(value)}; put it in quotes"
            )
        return f"each item of `{owner}` must be a mapping of names to values, not {found(value)}"
    if not path:
        return f"a batch file is a mapping with `python` or `command`, not {found(value)}"
    return f"`{name}` must be {WANTED[name]}, not {_found_in(value)}"


def _found_in(value: Any) -> str:
    return f"an empty {'list' if value == [] else 'mapping'}" if value in ([], {}) else found(value)


def _path(value: Any, loc: tuple[int | str, ...]) -> Path:
    """The part of an error's place that exists in the document (pydantic adds tags of unions)."""
    path: Path = ()
    for part in loc:
        if isinstance(value, dict):
            part = next((key for key in value if key == part or str(key) == part), part)
            if part not in value:
                continue
        elif not isinstance(value, list) or not isinstance(part, int):
            continue
        value = value[part]
        path = (*path, part)
    return path


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value
