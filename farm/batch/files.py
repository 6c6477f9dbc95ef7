"""How batch files reach other files: handed in by the caller, so that this package does no I/O."""

from __future__ import annotations

from typing import Protocol


class Files(Protocol):
    """Reads files that a batch file names; every path is relative to the batch file."""

    def read_text(self, path: str) -> str:
        """The text of a UTF-8 file, or of a pipe.

        Raises:
            OSError: it cannot be read.
            UnicodeDecodeError: it is not UTF-8.
        """

    def read_bytes(self, path: str) -> bytes:
        """The bytes of a file.

        Raises:
            OSError: it cannot be read, or is not a regular file.
        """

    def glob(self, pattern: str) -> list[str]:
        """The files (no directories) that match, sorted, as absolute paths; ``**`` is allowed."""
