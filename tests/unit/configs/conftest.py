"""Batches' Python files are imported by path, as a node does with a shipped file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

BATCHES = Path(__file__).resolve().parents[3] / "configs" / "batches"


@pytest.fixture(scope="session")
def batches() -> Path:
    """The directory of the batches."""
    return BATCHES


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A function that imports the Python file of a batch, by its path below ``batches``."""

    def load_file(path: str) -> ModuleType:
        file = BATCHES / path
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, file.stem, module)
        spec.loader.exec_module(module)
        return module

    return load_file
