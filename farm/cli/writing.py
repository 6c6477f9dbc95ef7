"""Rows as lines of CSV, one at a time; and a file that is there whole or not at all."""

from __future__ import annotations

import csv
import io
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from farm.client.jsontext import to_json
from farm.client.rows import Row
from farm.errors import UsageError, telling

FIXED = ("index", "status", "seconds", "node", "attempts")
_TAKEN = frozenset({*FIXED, "result", "error"})


def csv_lines(rows: Iterable[Row], names: Sequence[str]) -> Iterator[str]:
    """A header, then a line a row; ``result`` is JSON text, ``error`` a type and a message.

    Args:
        rows: as `farm.client.rows.row` makes them.
        names: of the parameters; each is a column (``params.index`` where a column is called so).

    Raises:
        UsageError: a task has a parameter of another name.
    """
    columns = [f"params.{name}" if name in _TAKEN else name for name in names]
    yield _csv_line([*FIXED, *columns, "result", "error"])
    for row in rows:
        yield _csv_line(_cells(row, names))


def _csv_line(cells: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def _cells(row: Row, names: Sequence[str]) -> list[str]:
    params = row["params"] if isinstance(row["params"], dict) else {"params": row["params"]}
    unknown = params.keys() - set(names)
    if unknown:
        raise UsageError(
            f"task {row['index']} has a parameter {min(unknown)!r} that others do not have: "
            "a table cannot hold them, write JSON lines (--format jsonl)"
        )
    error = row.get("error")
    return [
        *(str(row[name]) for name in FIXED),
        *(_cell(params[name]) if name in params else "" for name in names),
        "" if error else to_json(row["result"]),
        f"{error['type'] or error['kind']}: {error['message']}" if error else "",
    ]


def _cell(value: object) -> str:
    return value if isinstance(value, str) else to_json(value)


def check_target(path: Path) -> None:
    """Find out before the work whether a file can be written after it.

    Raises:
        UsageError: it cannot.
    """
    directory = path.absolute().parent
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a directory")
    if not directory.is_dir():
        raise UsageError(f"cannot write {path}: there is no directory {directory}")
    if not os.access(path if _is_special(path) else directory, os.W_OK):
        raise UsageError(f"cannot write {path}: no permission")


def _is_special(path: Path) -> bool:
    """Whether it is a device or a named pipe: to be written to, not to be replaced."""
    return path.exists() and not path.is_file()


@contextmanager
def written(path: Path) -> Iterator[IO[str]]:
    """A text file that takes its name when all of it is written; on an error nothing is left.

    Raises:
        UsageError: it cannot be written.
    """
    check_target(path)
    if _is_special(path):
        with (
            telling(UsageError, "cannot write", path),
            path.open("w", encoding="utf-8", newline="") as file,
        ):
            yield file
        return
    target = path.resolve()
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with telling(UsageError, "cannot write", path):
            with part.open("x", encoding="utf-8", newline="") as file:
                yield file
            if target.exists():
                shutil.copymode(target, part)
            part.replace(target)
    finally:
        part.unlink(missing_ok=True)
