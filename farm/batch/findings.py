"""Everything that is wrong with a batch file, collected while it is read."""

from __future__ import annotations

from farm.batch.document import Document
from farm.batch.nodes import Mark, Path
from farm.errors import BatchFileError, Problem

MAX_PROBLEMS = 100
"""How many problems are told at once."""


class Findings:
    """Collects problems and says where they are.

    Args:
        document: what is being read; its own problems come along.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._found: dict[tuple[str, str], Mark] = {}
        self._paths: list[Path] = []
        for mark, message, path in document.problems:
            self._found[mark.text, message] = mark
            self._paths.append(path)

    def add(self, path: Path, message: str, *, key: bool = False) -> None:
        """Note that a value (or its key) is wrong; the same twice counts once."""
        mark = self._document.mark(path, key=key)
        self._found[mark.text, message] = mark
        self._paths.append(path)

    def add_in_file(self, path: Path, where: str, message: str) -> None:
        """Note that something in a file is wrong, which the value at ``path`` names."""
        order = self._document.mark(path).order
        self._found.setdefault((where, message), Mark(where, order))
        self._paths.append(path)

    def blocked(self, path: Path) -> bool:
        """Whether something was found at a path, or above it (but for the root)."""
        return any(path[: len(other)] == other for other in self._paths if other)

    def clean(self, path: Path) -> bool:
        """Whether nothing was found at a path, above it (but for the root) or below it."""
        return not any(
            path[: len(other)] == other or other[: len(path)] == path
            for other in self._paths
            if other
        )

    def problems(self) -> list[Problem]:
        """All of them, in the order of the file; overrides last."""
        ordered = sorted(self._found.items(), key=lambda item: item[1].order)
        problems = [Problem(where, message) for (where, message), _ in ordered[:MAX_PROBLEMS]]
        if len(ordered) > MAX_PROBLEMS:
            (where, _), _ = ordered[MAX_PROBLEMS]
            rest = len(ordered) - MAX_PROBLEMS
            problems.append(Problem(where, f"{rest:,} more from here on; mend the first ones"))
        return problems

    def check(self) -> None:
        """Stop here if anything was found.

        Raises:
            BatchFileError: with all problems.
        """
        if self._found:
            raise BatchFileError(self.problems())
