"""The Mandelbrot batch: its tiles, and the picture that they join to."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Load = Callable[[str], ModuleType]


@pytest.fixture
def mandelbrot(load: Load) -> ModuleType:
    return load("mandelbrot.py")


def decode(data: bytes) -> tuple[int, int, list[bytes]]:
    """Read back a PNG of 8-bit RGB without filters: width, height and its lines."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert rest == [8, 2, 0, 0, 0]
    raw, stride = zlib.decompress(chunks[b"IDAT"]), 1 + width * 3
    assert len(raw) == height * stride
    lines = [raw[start : start + stride] for start in range(0, len(raw), stride)]
    assert {line[0] for line in lines} == {0}
    return width, height, [line[1:] for line in lines]


def write_results(path: Path, tiles: list[dict[str, Any]]) -> None:
    outcomes = [{"index": at, "status": "done", "result": one} for at, one in enumerate(tiles)]
    path.write_text("".join(json.dumps(one) + "\n" for one in outcomes), encoding="utf-8")


@pytest.mark.parametrize(
    "c",
    [
        0,
        -1,
        -0.5 + 0.5j,  # the cardioid
        -0.1226 + 0.7449j,  # the disc of period three, outside both closed forms
        -1.7549,  # the small copy on the antenna
    ],
)
def test_points_inside_never_escape(mandelbrot: ModuleType, c: complex) -> None:
    assert mandelbrot.escape(complex(c)) == mandelbrot.INSIDE


def test_points_further_out_escape_sooner(mandelbrot: ModuleType) -> None:
    counts = [mandelbrot.escape(complex(x, 0)) for x in (0.26, 0.3, 0.5, 1.0, 2.0, 3.0)]
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) == len(counts)
    assert counts[0] < mandelbrot.INSIDE


def test_the_count_is_smooth_where_the_iteration_steps(mandelbrot: ModuleType) -> None:
    steps = [mandelbrot.escape(complex(0.6 + at / 1000, 0.4)) for at in range(200)]
    assert max(abs(a - b) for a, b in pairwise(steps)) < mandelbrot.SCALE / 8
    assert max(steps) - min(steps) > mandelbrot.SCALE


def test_the_closed_forms_agree_with_iterating(
    mandelbrot: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = [complex(x / 25, y / 25) for x in range(-50, 20) for y in range(0, 28)]
    claimed = [c for c in grid if mandelbrot.in_main_bodies(c)]
    assert len(claimed) > 300
    monkeypatch.setattr(mandelbrot, "in_main_bodies", lambda _: False)
    assert {mandelbrot.escape(c) for c in claimed} == {mandelbrot.INSIDE}


def test_a_tile_is_json_and_knows_its_place(mandelbrot: ModuleType) -> None:
    tile = mandelbrot.tile(row=4, column=6)
    assert json.loads(json.dumps(tile)) == tile
    assert (tile["row"], tile["column"]) == (4, 6)


def test_every_colour_is_three_bytes_and_neighbours_are_alike(mandelbrot: ModuleType) -> None:
    table = mandelbrot.colours()
    assert {len(one) for one in table} == {3}
    for one, next_one in zip(table, [*table[1:], table[0]], strict=True):
        assert max(abs(a - b) for a, b in zip(one, next_one, strict=True)) <= 4


def test_the_program_writes_a_whole_picture(
    mandelbrot: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, columns = mandelbrot.HEIGHT // mandelbrot.TILE, mandelbrot.WIDTH // mandelbrot.TILE
    tiles = [mandelbrot.tile(row, column) for row in range(rows) for column in range(columns)]
    write_results(tmp_path / "results.jsonl", tiles[::-1])  # the order must not matter
    target = tmp_path / "picture.png"
    assert mandelbrot.main([str(tmp_path / "results.jsonl"), str(target)]) == 0
    assert capsys.readouterr().out == f"{target}: 960 x 640 pixels\n"

    width, height, lines = decode(target.read_bytes())
    assert (width, height) == (960, 640)

    def pixel(c: complex) -> bytes:
        scale = mandelbrot.WIDTH / mandelbrot.SPAN
        offset = (c - mandelbrot.CENTRE) * scale
        x, y = int(width / 2 + offset.real), int(height / 2 - offset.imag)
        return lines[y][x * 3 : x * 3 + 3]

    inside = mandelbrot.colour(mandelbrot.INSIDE, [])
    assert pixel(0) == pixel(-1) == pixel(-0.1226 + 0.7449j) == inside
    corner = lines[0][:3]
    assert corner[2] > corner[0]  # the sky far away is blue
    assert pixel(0.6) != inside
    below = [line == above for line, above in zip(lines, lines[::-1], strict=True)]
    assert all(below)  # the set is its own mirror image


def test_missing_tiles_are_counted_and_left_black(
    mandelbrot: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, target = tmp_path / "results.jsonl", tmp_path / "picture.png"
    write_results(results, [mandelbrot.tile(0, 1)])
    failure = {"index": 1, "status": "failed", "result": None, "error": {"type": "OSError"}}
    results.write_text(results.read_text() + json.dumps(failure) + "\n", encoding="utf-8")
    assert mandelbrot.main([str(results), str(target)]) == 1
    assert capsys.readouterr().out.endswith(", 95 tiles missing\n")
    _, _, lines = decode(target.read_bytes())
    edge = mandelbrot.TILE * 3
    assert lines[0][:edge] == lines[0][2 * edge : 3 * edge] == bytes(edge)
    assert lines[0][edge : 2 * edge].count(0) == 0


def test_wrong_arguments_say_how_to_call_it(
    mandelbrot: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mandelbrot.main([]) == 2
    assert "RESULTS.jsonl PICTURE.png" in capsys.readouterr().err
