"""Files that exist only in memory, so that the tests of batch files need no disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from types import MappingProxyType
from typing import Any

import pytest

from farm.batch.loader import Batch, load
from farm.errors import BatchFileError

PRIMES = b"""\
import os
from functools import cache

LIMIT = 10

def count(start, kind="odd", *, verbose=False):
    return 0

async def fetch(url, **more): ...

@cache
def cached(anything): ...

def positional(a, /, b): ...

class Sweep:
    def __init__(self, start, stop=1): ...
    def run(self): ...

class Bare:
    def run(self): ...

class Idle:
    pass

class Child(Sweep):
    pass
"""


class MemoryFiles:
    """Files by name, for `farm.batch.files.Files`."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self.contents = contents

    def read_bytes(self, path: str) -> bytes:
        if path not in self.contents:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self.contents[path]

    def read_text(self, path: str) -> str:
        return self.read_bytes(path).decode()

    def glob(self, pattern: str) -> list[str]:
        return [f"/data/{name}" for name in sorted(self.contents) if fnmatch(name, pattern)]


@pytest.fixture
def load_text() -> Callable[..., Batch]:
    def load_it(
        text: str,
        *overrides: str,
        name: str | None = None,
        source: str = "b.yaml",
        options: Mapping[str, Any] = MappingProxyType({}),
        **files: str,
    ) -> Batch:
        contents = {key.replace("_", "."): value.encode() for key, value in files.items()}
        memory = MemoryFiles({"primes.py": PRIMES, **contents})
        return load(text, source, memory, overrides, name, options)

    return load_it


@pytest.fixture
def complaints(load_text: Callable[..., Batch]) -> Callable[..., list[str]]:
    """All that is wrong with a batch file, as it is printed."""

    def collect(text: str, *overrides: str, **more: Any) -> list[str]:
        with pytest.raises(BatchFileError) as caught:
            load_text(text, *overrides, **more)
        assert str(caught.value) == "\n".join(map(str, caught.value.problems))
        return str(caught.value).splitlines()

    return collect
