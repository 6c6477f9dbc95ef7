"""Rows as CSV and JSON lines, and files that are whole or not there."""

import csv
import io
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from farm.cli.writing import check_target, csv_lines, written
from farm.client.jsontext import json_lines
from farm.errors import UsageError


def row(index: int, params: dict[str, Any], result: Any = None, **more: Any) -> dict[str, Any]:
    """A row as `farm.client.rows` makes them."""
    return {
        "index": index, "params": params, "status": "done", "result": result, "seconds": 0.5,
        "node": "n", "attempts": 1, **more,
    }  # fmt: skip


def read(rows: list[dict[str, Any]], names: list[str]) -> list[dict[str, str]]:
    """What a reader of CSV gets."""
    return list(csv.DictReader(io.StringIO("".join(csv_lines(rows, names)))))


def test_csv_columns() -> None:
    error = {"kind": "error", "type": "ValueError", "message": 'a, "b"\nc', "traceback": ""}
    found = read(
        [row(0, {"x": "a,b", "node": 2}, {"k": [1]}), row(1, {}, error=error)], ["x", "node"]
    )

    assert list(found[0]) == [
        "index", "status", "seconds", "node", "attempts", "x", "params.node", "result", "error",
    ]  # fmt: skip
    assert (found[0]["x"], found[0]["params.node"], found[0]["node"]) == ("a,b", "2", "n")
    assert (found[0]["result"], found[0]["error"]) == ('{"k": [1]}', "")
    assert (found[1]["x"], found[1]["result"]) == ("", "")
    assert found[1]["error"] == 'ValueError: a, "b"\nc'


def test_csv_has_a_header_without_rows() -> None:
    assert "".join(csv_lines([], ["x"])) == "index,status,seconds,node,attempts,x,result,error\n"


def test_csv_refuses_a_parameter_without_a_column() -> None:
    with pytest.raises(UsageError, match=r"task 7 .*'z'.*jsonl"):
        list(csv_lines([row(7, {"z": 1})], ["x"]))


def test_rows_are_written_one_at_a_time() -> None:
    def endless() -> Any:
        while True:
            yield row(0, {})

    assert next(json_lines(endless())).startswith('{"index": 0')
    lines = csv_lines(endless(), [])
    assert [next(lines), next(lines)][1].startswith("0,done")


def test_a_file_takes_its_name_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    target.chmod(0o640)
    kept = target.open()

    with written(target) as file:
        file.write("new")
        file.flush()
        assert target.read_text() == "old"

    assert target.read_text() == "new"
    with kept:
        assert kept.read() == "old"  # whoever had it open reads on: it was replaced
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [target]


def write_and_fail(path: Path, error: BaseException) -> None:
    """Fail in the middle of writing."""
    with written(path) as file:
        file.write("half")
        raise error


def test_a_file_that_was_not_finished_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_and_fail(tmp_path / "out", KeyboardInterrupt())

    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)

    with written(link) as file:
        file.write("new")

    assert link.is_symlink()
    assert real.read_text() == "new"


def test_a_device_is_written_to_and_not_replaced() -> None:
    with written(Path(os.devnull)) as file:
        file.write("gone")

    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("name", ["", "absent/out"])
def test_a_place_that_cannot_be_written_is_found_out_first(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="directory"):
        check_target(tmp_path / name)


def test_a_disk_that_is_full_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No space left"):
        write_and_fail(tmp_path / "out", OSError(28, "No space left on device"))
