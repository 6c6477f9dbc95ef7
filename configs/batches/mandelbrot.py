"""Tiles of the Mandelbrot set, and a small program that joins them to a picture.

`tile` runs on nodes, shipped with `mandelbrot.yaml`; the rest reads what `farm run --output` wrote:

    python configs/batches/mandelbrot.py results.jsonl mandelbrot.png
"""

from __future__ import annotations

import base64
import json
import math
import struct
import sys
import zlib
from array import array
from itertools import pairwise
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 960, 640
TILE = 80  # pixels along a tile's edge: 12 columns and 8 rows make the picture
CENTRE, SPAN = complex(-0.7, 0.0), 3.5  # SPAN is the width of the picture in the plane
LIMIT = 400  # iterations after which a point counts as inside
ESCAPE = 256.0  # a large squared radius makes the fractional count smooth
SCALE = 128  # steps that one iteration is divided into when it is stored
INSIDE = 0xFFFF  # stored for a point that never escapes; LIMIT * SCALE stays below

# Colours of the sky between midnight and noon, as (position in [0, 1], red, green, blue).
PALETTE = (
    (0.0, 6, 10, 38),
    (0.16, 22, 68, 138),
    (0.38, 96, 170, 214),
    (0.58, 246, 246, 226),
    (0.74, 250, 180, 60),
    (0.88, 142, 40, 34),
    (1.0, 6, 10, 38),
)


def tile(row: int, column: int) -> dict[str, Any]:
    """Compute one square tile.

    Args:
        row: from 0 at the top to ``HEIGHT // TILE - 1``.
        column: from 0 at the left to ``WIDTH // TILE - 1``.

    Returns:
        The tile's place and ``counts``: base64 of zlib of ``TILE * TILE`` big-endian 16-bit
        numbers, row by row, each an iteration count times ``SCALE`` or ``INSIDE``.
    """
    counts = array("H")
    for y in range(row * TILE, (row + 1) * TILE):
        counts.extend(escape(point(x, y)) for x in range(column * TILE, (column + 1) * TILE))
    if sys.byteorder == "little":
        counts.byteswap()
    packed = base64.b64encode(zlib.compress(counts.tobytes(), 9)).decode("ascii")
    return {"row": row, "column": column, "counts": packed}


def point(x: int, y: int) -> complex:
    """Give the place in the plane of the centre of pixel (x, y); y grows downwards."""
    pixel = SPAN / WIDTH
    return CENTRE + complex((x + 0.5 - WIDTH / 2) * pixel, (HEIGHT / 2 - y - 0.5) * pixel)


def escape(c: complex) -> int:
    """Count the iterations of ``z = z * z + c`` until z escapes, smoothly.

    The fraction is the normalised iteration count ``n + 1 - log2(log |z|)`` (F. Garcia,
    A. Fernandez, J. Barrallo, L. Martin, "Coloring Dynamical Systems in the Complex Plane").

    Returns:
        The count times ``SCALE``, or ``INSIDE`` if z stays bounded for ``LIMIT`` iterations.
    """
    if in_main_bodies(c):
        return INSIDE
    z = c
    for iteration in range(LIMIT):
        if z.real * z.real + z.imag * z.imag > ESCAPE:
            smooth = iteration + 1 - math.log2(math.log(abs(z)))
            return max(0, round(smooth * SCALE))
        z = z * z + c
    return INSIDE


def in_main_bodies(c: complex) -> bool:
    """Tell whether c lies in the main cardioid or the disc of period two.

    Both have closed forms, and they hold most of the points that would need every iteration.
    """
    x, y2 = c.real - 0.25, c.imag * c.imag
    q = x * x + y2
    return q * (q + x) <= 0.25 * y2 or (c.real + 1) ** 2 + y2 <= 0.0625


def colours() -> list[bytes]:
    """Make the table of 1,024 colours: ``PALETTE`` with straight lines between its stops."""
    table = []
    for step in range(1024):
        at = step / 1023
        left, right = next(pair for pair in pairwise(PALETTE) if at <= pair[1][0])
        share = (at - left[0]) / (right[0] - left[0])
        mixed = (a + (b - a) * share for a, b in zip(left[1:], right[1:], strict=True))
        table.append(bytes(round(channel) for channel in mixed))
    return table


def colour(count: int, table: list[bytes]) -> bytes:
    """Give the three bytes of a stored count; equal ratios of counts are equal steps of colour."""
    if count == INSIDE:
        return b"\x02\x03\x0c"
    turns = math.log1p(count / SCALE) / math.log(LIMIT) * 1.6
    return table[int(turns * len(table)) % len(table)]


def join(tiles: list[dict[str, Any]]) -> list[bytearray]:
    """Join tiles to the lines of a picture.

    Args:
        tiles: what `tile` returned, in any order; a place without a tile stays black.

    Returns:
        ``HEIGHT`` lines of ``WIDTH * 3`` bytes, red, green and blue.
    """
    table = colours()
    known: dict[int, bytes] = {}
    lines = [bytearray(WIDTH * 3) for _ in range(HEIGHT)]
    for one in tiles:
        raw = zlib.decompress(base64.b64decode(one["counts"]))
        counts = struct.unpack(f">{TILE * TILE}H", raw)
        for count in set(counts) - known.keys():
            known[count] = colour(count, table)
        left = one["column"] * TILE * 3
        for y in range(TILE):
            line = b"".join(known[count] for count in counts[y * TILE : (y + 1) * TILE])
            lines[one["row"] * TILE + y][left : left + TILE * 3] = line
    return lines


def png(lines: list[bytearray]) -> bytes:
    """Encode a picture as PNG: 8-bit RGB, no interlacing.

    Args:
        lines: at least one line, all of the same length, three bytes a pixel.

    Source: "Portable Network Graphics (PNG) Specification", W3C, sections 5 (chunks) and
    11.2 (IHDR, IDAT, IEND).
    """
    header = struct.pack(">IIBBBBB", len(lines[0]) // 3, len(lines), 8, 2, 0, 0, 0)
    unfiltered = b"".join(b"\x00" + line for line in lines)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(unfiltered, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def main(arguments: list[str]) -> int:
    """Read a file of results, write the picture, say where it is."""
    if len(arguments) != 2:
        print("usage: python mandelbrot.py RESULTS.jsonl PICTURE.png", file=sys.stderr)
        return 2
    source, target = map(Path, arguments)
    with source.open(encoding="utf-8") as lines:
        outcomes = [json.loads(line) for line in lines]
    tiles = [outcome["result"] for outcome in outcomes if outcome.get("error") is None]
    target.write_bytes(png(join(tiles)))
    missing = WIDTH // TILE * (HEIGHT // TILE) - len(tiles)
    print(f"{target}: {WIDTH} x {HEIGHT} pixels" + (f", {missing} tiles missing" * (missing > 0)))
    return 1 if missing > 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
