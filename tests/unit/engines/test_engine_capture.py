"""Bounded output."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.engines import capture as module
from farm.engines.capture import Capture, capture


@given(st.lists(st.binary(max_size=50), max_size=30), st.integers(2, 60).map(lambda n: 2 * n))
def test_head_and_tail_are_kept(writes, limit):
    kept = Capture(limit)
    for data in writes:
        kept.write(data)
        assert len(kept._head) + len(kept._tail) <= 2 * limit + 50
    whole = b"".join(writes)
    if len(whole) <= limit:
        assert kept.text() == whole.decode("utf-8", "replace")
        return
    half = limit // 2
    head = whole[:half].decode("utf-8", "replace")
    tail = whole[-half:].decode("utf-8", "replace")
    assert kept.text() == f"{head}\n[... {len(whole) - limit} bytes cut ...]\n{tail}"


def run(program):
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize("platform", ["posix", "nt"])
def test_both_streams_are_read_on_every_platform(monkeypatch, platform):
    process = run("import sys; print('out' * 50000); print('err' * 50000, file=sys.stderr)")
    monkeypatch.setattr(module.os, "name", platform)
    out, err = capture(process)
    monkeypatch.undo()
    assert (out.strip(), err.strip()) == ("out" * 50000, "err" * 50000)
    assert process.returncode == 0


def test_pipes_are_needed():
    with (
        subprocess.Popen([sys.executable, "-c", ""]) as process,
        pytest.raises(ValueError, match="without pipes"),
    ):
        capture(process)
