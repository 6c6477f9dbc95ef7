"""Silent and slow peers, as a process: so many of each are there at any time.

    python -m fuzz.crowd PORT KEY_FILE SILENT SLOW

Half of the slow ones have not shown a key yet; the others trickle a call, or a request of farm's
protocol. Who is cut off comes back at once. Prints ``ready``, and at the end of its input a JSON
document: how many there were at least, and how often they came back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import sys
from collections import Counter
from pathlib import Path

from farm.wire.messages import PROTOCOL
from fuzz.frames import FARM, PLAIN, STRANGER, framed
from fuzz.talk import HOST, answer_to

BYTE_SECONDS = 1.0
"""Between two bytes of a slow peer."""

SPARE = 20
"""More of each, since those that were just cut off are on their way back."""

LOOK_SECONDS = 0.1
STEP_SECONDS = 0.01
"""Between two that come first."""

_FIRST = {PLAIN: "fuzz", FARM: f"farm/{PROTOCOL}"}
_LONG = framed(b"\x92\x01\x92\xa5Leave\xda\x4e\x20" + b"x" * 20_000)
"""More than is trickled in any run."""


class Crowd:
    """All of them.

    Args:
        port: of the server.
        key: that half of the slow ones hold.
    """

    def __init__(self, port: int, key: bytes) -> None:
        self._port = port
        self._key = key
        self.there: Counter[str] = Counter()
        self.least: dict[str, int] = {}
        self.came: Counter[str] = Counter()

    async def stay(self, kind: str, stage: str) -> None:
        """Be one of them, again and again."""
        while True:
            try:
                reader, writer = await asyncio.open_connection(HOST, self._port)
            except OSError:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            self.came[kind] += 1
            self.there[kind] += 1
            try:
                await self._talk(kind, stage, reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass  # cut off, as it should be
            finally:
                self.there[kind] -= 1
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _talk(
        self, kind: str, stage: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        challenge = await _frame(reader)
        if kind == "silent":
            await reader.read()
            return
        answer = framed(answer_to(challenge, self._key))
        if stage == STRANGER:
            await _trickle(reader, writer, answer)
            return
        request = pickle.dumps((None, "accept_connection", (_FIRST[stage],), {}), 4)
        writer.write(answer + framed(b"#CHALLENGE#{sha256}" + os.urandom(20)))
        writer.write(framed(b"#WELCOME#") + framed(request))
        for _ in range(3):  # a welcome, an answer, and the connection
            await _frame(reader)
        await _trickle(reader, writer, _LONG)

    async def look(self) -> None:
        """Remember the least that there were of each."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for kind, count in self.there.items():
                self.least[kind] = min(self.least.get(kind, count), count)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    size = int.from_bytes(await reader.readexactly(4), "big")
    return await reader.readexactly(size)


async def _trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send a byte now and then, until the server closes the connection."""
    closed = asyncio.ensure_future(reader.read())
    try:
        for byte in data:
            writer.write(bytes([byte]))
            done, _ = await asyncio.wait({closed}, timeout=BYTE_SECONDS)
            if done:
                return
    finally:
        closed.cancel()


async def gather(crowd: Crowd, silent: int, slow: int) -> None:
    """Have them all come, and stay until the input ends."""
    tasks = []
    for number in range(max(silent, slow)):
        if number < silent:
            tasks.append(asyncio.create_task(crowd.stay("silent", STRANGER)))
        if number < slow:
            stage = (STRANGER, PLAIN, STRANGER, FARM)[number % 4]
            tasks.append(asyncio.create_task(crowd.stay("slow", stage)))
        await asyncio.sleep(STEP_SECONDS)
    await asyncio.sleep(2 * LOOK_SECONDS)
    tasks.append(asyncio.create_task(crowd.look()))
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Run as a process."""
    port, file, silent, slow = sys.argv[1:]
    crowd = Crowd(int(port), Path(file).read_bytes().strip())
    asyncio.run(gather(crowd, int(silent) + SPARE, int(slow) + SPARE))
    print(json.dumps({"least": crowd.least, "came": crowd.came}), flush=True)


if __name__ == "__main__":
    main()
