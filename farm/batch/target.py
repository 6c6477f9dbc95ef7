"""`python:` of a batch file: the function or class it names, checked against the parameters."""

from __future__ import annotations

import ast
import keyword
from dataclasses import dataclass
from pathlib import PurePosixPath

from farm.batch.columns import reason
from farm.batch.files import Files
from farm.batch.findings import Findings
from farm.batch.nodes import Path
from farm.batch.params import Row
from farm.batch.shipped import Definitions, Signature, is_plain, signature_of
from farm.batch.spec import PythonCall
from farm.batch.suggest import clipped, did_you_mean, one_of

_AT: Path = ("python",)
_MAX_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Target:
    """What a batch calls.

    Args:
        call: as it travels.
        files: the Python files that are shipped, by name.
        signature: what it can be called with; None if that is not known.
    """

    call: PythonCall
    files: dict[str, bytes]
    signature: Signature | None


def read_target(text: str, files: Files, findings: Findings) -> Target | None:
    """Read `python:`; None if there is a finding.

    Args:
        text: ``file.py:name``, or ``package.module:name``; the name may have dots.
        files: access to the file.
        findings: where problems go.
    """
    place, _, name = text.rpartition(":")
    if not place or not all(map(_is_name, name.split("."))):
        findings.add(_AT, f"`{clipped(text)}` names no function; {_how(text)}")
        return None
    if place.endswith(".py"):
        return _shipped(place, name, files, findings)
    if not all(map(_is_name, place.split("."))):
        findings.add(_AT, f"`{clipped(place)}` is no module; {_how(text)}")
        return None
    return Target(PythonCall(f"{place}:{name}"), {}, None)


def _how(text: str) -> str:
    if text.endswith(".py"):
        return f"write {text}:NAME with the name of a function or class in it"
    return "write file.py:function or package.module:function"


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


def _shipped(place: str, name: str, files: Files, findings: Findings) -> Target | None:
    path = PurePosixPath(place.replace("\\", "/"))
    if not _is_name(path.stem):
        findings.add(_AT, f"{path.name} cannot be imported: `{path.stem}` is not a Python name")
        return None
    source = _read(place, files, findings)
    tree = None if source is None else _parse(source, place, findings)
    if source is None or tree is None:
        return None
    found, signature = _find(tree, name, place, findings)
    if not found:
        return None
    return Target(PythonCall(f"{path.stem}:{name}", path.name), {path.name: source}, signature)


def _read(place: str, files: Files, findings: Findings) -> bytes | None:
    try:
        source = files.read_bytes(place)
    except (OSError, ValueError) as error:
        findings.add(_AT, f"cannot read {place}: {reason(error)}")
        return None
    if len(source) > _MAX_BYTES:
        findings.add(_AT, f"{place} is larger than {_MAX_BYTES // 2**20} MiB")
        return None
    return source


def _parse(source: bytes, place: str, findings: Findings) -> ast.Module | None:
    try:
        return ast.parse(source, filename=place)
    except SyntaxError as error:
        where = f"{place}:{error.lineno or 1}:{error.offset or 1}"
        findings.add_in_file(_AT, where, f"this is not Python: {error.msg}")
    except (ValueError, RecursionError, MemoryError) as error:
        findings.add_in_file(_AT, f"{place}:1:1", f"this cannot be read as Python: {error}")
    return None


def _find(
    tree: ast.Module, name: str, place: str, findings: Findings
) -> tuple[bool, Signature | None]:
    """Look a dotted name up: whether it can be there, and its signature if that is known."""
    outer, _, inner = name.partition(".")
    module = Definitions(tree.body)
    if outer not in module:
        if not module.open:
            hint = did_you_mean(outer, module.names) or _offer(module)
            findings.add(_AT, f"{place} has no `{outer}`{hint}")
        return module.open, None
    node = module.only(outer)
    plain_class = node if isinstance(node, ast.ClassDef) and is_plain(node) else None
    if inner:
        return _find_inside(plain_class, inner, findings), None
    if plain_class and "run" not in Definitions(plain_class.body):
        findings.add(_AT, f"class `{outer}` has no method `run`, which is what a task calls")
        return False, None
    return True, signature_of(node)


def _find_inside(owner: ast.ClassDef | None, inner: str, findings: Findings) -> bool:
    if owner is None:
        return True
    first = inner.partition(".")[0]
    body = Definitions(owner.body)
    if first in body:
        return True
    findings.add(_AT, f"class `{owner.name}` has no `{first}`{did_you_mean(first, body.names)}")
    return False


def _offer(module: Definitions) -> str:
    public = [name for name in module.names if not name.startswith("_")][:5]
    return f"; it has {one_of(public, 'and')}" if public else ""


def check_names(rows: list[Row], findings: Findings) -> None:
    """Parameters of a Python call are arguments by name, so they must be Python names."""
    for row in rows:
        for name in row.names:
            if not _is_name(name):
                message = f"`{clipped(name)}` is not a Python name{_repaired(name)}"
                row.note(findings, name, message)


def _repaired(name: str) -> str:
    if keyword.iskeyword(name):
        return f", it is a keyword; did you mean `{name}_`?"
    repaired = "".join(c if c.isalnum() else "_" for c in name.strip())
    return f"; did you mean `{repaired}`?" if _is_name(repaired) else ""


def check_signature(target: Target, rows: list[Row], findings: Findings) -> None:
    """Check the parameters' names against what the function or class can be called with."""
    signature = target.signature
    if signature is None:
        return
    name = target.call.target.rpartition(":")[2]
    if signature.positional:
        listed = one_of([f"`{argument}`" for argument in signature.positional], "and")
        findings.add(_AT, f"`{name}` takes {listed} by position only, but parameters go by name")
    for row in rows:
        _check_row(name, signature, row, findings)


def _check_row(name: str, signature: Signature, row: Row, findings: Findings) -> None:
    if not signature.anything:
        for given in row.names:
            if given not in signature.names:
                hint = did_you_mean(given, signature.names) or _takes(signature)
                row.note(findings, given, f"`{name}` has no argument `{clipped(given)}`{hint}")
    missing = [f"`{needed}`" for needed in signature.required if needed not in row.names]
    if missing:
        message = f"`{name}` needs {one_of(missing, 'and')}, which these parameters do not give"
        row.note(findings, None, message)


def _takes(signature: Signature) -> str:
    return f"; it takes {one_of(signature.names, 'and')}" if signature.names else "; it takes none"
