"""The files a batch names, as they lie beside it: a `farm.batch.files.Files`."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from farm.regular import read_regular


class LocalFiles:
    """Files of this machine.

    Args:
        directory: what relative paths are relative to.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()

    def read_text(self, path: str) -> str:
        """The text of a UTF-8 file; may be a pipe, which is waited for (``<(command)``)."""
        return (self._directory / path).read_text(encoding="utf-8")

    def read_bytes(self, path: str) -> bytes:
        """The bytes of a regular file."""
        return read_regular(self._directory / path)

    def glob(self, pattern: str) -> list[str]:
        """The files that match, absolute and sorted; ``**`` reaches into directories."""
        found = glob.glob(str(self._directory / pattern), recursive=True)  # noqa: PTH207
        # pathlib's glob takes no absolute pattern, and a tree may hold millions of files.
        return sorted(os.path.normpath(path) for path in found if os.path.isfile(path))  # noqa: PTH113
