"""A directory to be imported may hold something else than files, where files should lie."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from fake_farm import FakeFarm, done, farm_with

from farm.client import transfer
from farm.client.batch import Batch
from farm.errors import UsageError
from farm.wire.messages import Block

FILES = ("batch.json", "outcomes.jsonl", "blocks.jsonl", "code/tasks.py")


@pytest.fixture
def target(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """An export; with the file that a test is about."""
    directory = tmp_path / "out"
    if "blocks.jsonl" in request.node.name:
        farm = farm_with([done(0, [0, 1])], total=2, files={}, blocks=[Block(0, 2, b"xy")])
    else:
        farm = farm_with([done(0, [0, 1])])
    Batch(farm, 1).export(directory)
    return directory


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_the_place_of_a_file_is_refused_at_once(target: Path, name: str) -> None:
    (target / name).unlink()
    os.mkfifo(target / name)
    refused(target, name)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["batch.json", "outcomes.jsonl", "blocks.jsonl"])
def test_a_device_in_the_place_of_a_file_is_refused(target: Path, name: str) -> None:
    (target / name).unlink()
    (target / name).symlink_to("/dev/zero")
    refused(target, name)


def test_a_pipe_beside_the_code_is_named(target: Path) -> None:
    os.mkfifo(target / "code" / "more.py")
    refused(target, "code/more.py")


def test_a_directory_in_the_place_of_a_file_is_named(target: Path) -> None:
    (target / "batch.json").unlink()
    (target / "batch.json").mkdir()
    with pytest.raises(UsageError, match=r"batch\.json: Is a directory"):
        transfer.import_(FakeFarm(), target)


def test_a_file_in_the_place_of_the_directory_is_no_export(target: Path, tmp_path: Path) -> None:
    shutil.rmtree(target)
    target.write_text("")
    with pytest.raises(UsageError, match="is not an exported batch"):
        transfer.import_(FakeFarm(), target)


def refused(target: Path, name: str) -> None:
    """See that an import names the file, and has sent nothing."""
    farm = FakeFarm()
    with pytest.raises(UsageError, match=f"cannot read {target / name}: it is not a regular file"):
        transfer.import_(farm, target)
    assert farm.asked == []
