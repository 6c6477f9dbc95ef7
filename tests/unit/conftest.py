"""An authority for the tests of certificates, made once and copied."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from farm.authority import Authority


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an authority, which nobody changes."""
    directory = tmp_path_factory.mktemp("authority") / "tls"
    Authority.create(directory)
    return directory


@pytest.fixture
def tls(template: Path, tmp_path: Path) -> Path:
    """The directory of an authority."""
    return Path(shutil.copytree(template, tmp_path / "tls"))
