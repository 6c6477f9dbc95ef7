"""The real ``farm`` in processes of its own: started, watched, stopped, and never left behind."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm_disk import Disk, mounted_disk
from functional_farm import FarmCli, marked_processes


@pytest.fixture
def farm_cli(tmp_path: Path) -> Iterator[FarmCli]:
    """The command line with a home, a key and a data directory of its own."""
    cli = FarmCli(tmp_path / "home", uuid.uuid4().hex)
    try:
        yield cli
    finally:
        cli.stop_all()


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a process behind."""
    cli = request.getfixturevalue("farm_cli") if "farm_cli" in request.fixturenames else None
    yield
    if cli is None:
        return
    cli.stop_all()
    left = cli.wait_for_no_process()
    for pid in left:
        cli.kill(pid)
    assert not left, f"processes were left behind: {left}, of {marked_processes(cli.mark)}"


@pytest.fixture
def disk(tmp_path: Path, farm_cli: FarmCli) -> Iterator[Disk]:
    """A disk of 4 MB, there until nothing runs any more."""
    with mounted_disk(tmp_path / "disk", 4) as mounted:
        yield mounted
        farm_cli.stop_all()
