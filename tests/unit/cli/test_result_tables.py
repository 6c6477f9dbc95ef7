"""Tables in narrow and in wide terminals."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from farm.cli.tables import MAX_CELL, cut, results_table


def printed(params: list[str], width: int) -> list[str]:
    """The lines of the tasks in a table of results."""
    rows = [
        {"index": index, "params": {"path": path}, "result": 1, "seconds": 0.5, "node": "n"}
        for index, path in enumerate(params)
    ]
    file = io.StringIO()
    Console(file=file, width=width).print(results_table(rows))
    return file.getvalue().splitlines()[2:]


@pytest.mark.parametrize("width", [60, 1000])
def test_rows_that_differ_at_their_ends_look_different(width: int) -> None:
    same = "/usr/lib" + "/python" * 50
    lines = printed([f"{same}/abc.py", f"{same}/xyz.py"], width)
    assert len(lines) == 2
    for line, name in zip(lines, ["abc.py", "xyz.py"], strict=True):
        assert f"{name}'" in line
        assert "path='/usr" in line
        assert cell_len(line) <= min(width, MAX_CELL + 30)


def test_what_fits_is_whole() -> None:
    (line,) = printed(["/usr/lib/abc.py"], 80)
    assert "path='/usr/lib/abc.py'" in line


@given(st.text(), st.integers(1, 30))
def test_a_cut_is_never_too_wide(text: str, width: int) -> None:
    found = cut(text, width)
    assert cell_len(found) <= width
    assert found == text or "…" in found
