"""Python files that batches brought along, unpacked once on a node, by their digest."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from farm.batch import shipment
from farm.errors import ProtocolError

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class CodeStore:
    """A directory with one sub-directory a digest.

    Args:
        directory: private to this node; removed by `remove`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def has(self, digest: str) -> bool:
        """Whether the files of a digest are here."""
        return bool(_DIGEST.match(digest)) and self.path(digest).is_dir()

    def path(self, digest: str) -> Path:
        """Where they lie.

        Raises:
            ProtocolError: it is not a digest.
        """
        if not _DIGEST.match(digest):
            raise ProtocolError(f"{digest!r} is not a digest")
        return self._directory / digest

    def put(self, digest: str, files: dict[str, bytes]) -> None:
        """Write the files of a digest.

        Raises:
            ProtocolError: they are not those, are too many, or want to lie elsewhere.
        """
        if self.has(digest):
            return
        try:
            shipment.check(files)
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        if shipment.digest(files) != digest:
            raise ProtocolError(f"the files that came are not those of {digest}")
        scratch = self._directory / f"{digest}.part"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True, mode=0o700)
        for name, content in files.items():
            _write(scratch / shipment.path_of(name), content)
        # Renamed at the end, so that what is there is complete.
        scratch.rename(self.path(digest))

    def drop(self, digest: str) -> None:
        """Remove the files of a digest."""
        shutil.rmtree(self.path(digest), ignore_errors=True)

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._directory, ignore_errors=True)


def _write(target: Path, content: bytes) -> None:
    """A new file: through no link, and in the place of nothing that is there."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(target, flags, 0o600), "wb") as file:
        file.write(content)
