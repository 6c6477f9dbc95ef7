"""The values of one name as a batch file writes them: a list, one value, numbers, a file."""

from __future__ import annotations

import re
from typing import Any

from farm.batch.files import Files
from farm.batch.findings import Findings
from farm.batch.nodes import Path
from farm.batch.plain import SpaceError, pack
from farm.batch.spread import SPREADS
from farm.batch.suggest import did_you_mean, found, one_of
from farm.batch.tables import read_lines
from farm.batch.values import Literal, Values

_KINDS = (*SPREADS, "lines", "glob")


class Reader:
    """Reads what a batch file and the files it names say; what is wrong becomes a finding.

    Args:
        files: access to the files.
        findings: where problems go.
    """

    def __init__(self, files: Files, findings: Findings) -> None:
        self._files = files
        self._findings = findings

    def text(self, path: Path, name: str) -> str | None:
        """The text of a file that the value at ``path`` names; None if it cannot be read."""
        try:
            return self._files.read_text(name)
        except UnicodeDecodeError as error:
            self._findings.add(path, f"{name} is not UTF-8 text (at byte {error.start})")
        except (OSError, ValueError) as error:
            self._findings.add(path, f"cannot read {name}: {reason(error)}")
        return None

    def lines(self, path: Path, name: str) -> Values | None:
        """The lines of a file; None if there is a finding."""
        text = self.text(path, name)
        if text is None:
            return None
        lines = read_lines(text)
        if not lines:
            self._findings.add(path, f"{name} is empty, so there is nothing to run")
        return self.literal(path, lines) if lines else None

    def glob(self, path: Path, pattern: str) -> Values | None:
        """The files that match a pattern; None if there is a finding."""
        try:
            paths = self._files.glob(pattern)
        except (OSError, ValueError, NotImplementedError) as error:
            self._findings.add(path, f"cannot look for {pattern}: {reason(error)}")
            return None
        if not paths:
            self._findings.add(path, f"no file matches {pattern}")
        return self.literal(path, paths) if paths else None

    def literal(self, path: Path, items: list[Any], *, each: bool = False) -> Values | None:
        """Values as they are.

        Args:
            path: where they were written, or the name of their file.
            items: the values.
            each: whether the items have places of their own below ``path``.
        """
        for position, item in enumerate(items):
            try:
                pack(item)
            except SpaceError as error:
                self._findings.add((*path, position) if each else path, str(error))
                return None
        return Literal(items)

    def column(self, path: Path, value: Any) -> Values | None:
        """The values of one name of a matrix or zip; None if there is a finding."""
        if not self._findings.clean(path):
            return None
        if isinstance(value, dict):
            return self._computed(path, value)
        if value is None or value == []:
            hint = "; write [null] for a null" if value is None else ""
            self._findings.add(path, f"`{path[-1]}` has no values{hint}")
            return None
        if isinstance(value, list):
            return self.literal(path, value, each=True)
        return self.literal(path, [value])

    def _computed(self, path: Path, value: dict[Any, Any]) -> Values | None:
        kind = next(iter(value), None)
        if len(value) != 1 or kind not in _KINDS:
            self._findings.add(path, _not_computed(path[-1], value))
            return None
        body, path = value[kind], (*path, kind)
        if kind in SPREADS:
            return self._spread(path, kind, body)
        if not isinstance(body, str) or not body:
            self._findings.add(path, f"`{kind}` must be a text, not {found(body)}")
            return None
        return self.lines(path, body) if kind == "lines" else self.glob(path, body)

    def _spread(self, path: Path, kind: str, body: Any) -> Values | None:
        if not isinstance(body, list):
            wanted = "[start, stop, step]" if kind == "range" else "[first, last, how many]"
            self._findings.add(path, f"`{kind}` must be a list {wanted}, not {found(body)}")
            return None
        try:
            values = SPREADS[kind](body)
        except SpaceError as error:
            self._findings.add(path, str(error))
            return None
        if not values.count:
            self._findings.add(path, f"the range {body} has no values")
            return None
        return values


def _not_computed(name: Any, value: dict[Any, Any]) -> str:
    unknown = [key for key in value if key not in _KINDS]
    if not unknown and len(value) > 1:
        return f"`{name}` takes one of {one_of(_KINDS)}, but has {one_of(list(value), 'and')}"
    meant = did_you_mean(unknown[0], _KINDS) if unknown else ""
    meant = meant or "; for a mapping as a value, put it in a list"
    return f"`{name}` must be a list, or a mapping with {one_of(_KINDS)}{meant}"


def reason(error: Exception) -> str:
    """Why a file cannot be used, without Python's decorations."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return re.sub(r"\s+", " ", str(error))
