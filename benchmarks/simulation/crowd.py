"""All simulated nodes together: processes of them, and what they have seen as one."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType

from benchmarks.simulation.generator import Share, run
from benchmarks.simulation.slots import Pace
from benchmarks.simulation.tally import Tally, summed
from farm.errors import FarmError
from farm.wire.address import Address

ANSWER_SECONDS = 60.0
"""In which a process must answer a command."""

JOIN_SECONDS = 120.0
LOOK_SECONDS = 0.05
"""Between two looks at how many have joined."""

END_SECONDS = 30.0


class Crowd:
    """So many nodes, shared by so many processes; they end where it is left.

    Args:
        address: the server's.
        key: its key.
        nodes: how many.
        slots: of each.
        processes: that they are shared by.
    """

    def __init__(
        self, address: Address, key: bytes, *, nodes: int, slots: int, processes: int
    ) -> None:
        self.nodes, self.slots = nodes, slots
        self._processes: list[tuple[BaseProcess, Connection]] = []
        # Its processes begin with nothing of this one, and none of its threads.
        context = multiprocessing.get_context("spawn")
        bounds = [nodes * part // processes for part in range(processes + 1)]
        for first, end in itertools.pairwise(bounds):
            if end > first:
                mine, its = context.Pipe()
                share = Share(address, key, end - first, slots, first)
                process = context.Process(target=run, args=(share, its), daemon=True)
                process.start()
                its.close()
                self._processes.append((process, mine))

    def joined(self) -> float:
        """Wait until all have joined and have their heartbeat's connection; seconds it took them.

        Raises:
            FarmError: some are not in time.
        """
        deadline = time.monotonic() + JOIN_SECONDS
        while True:
            tally = self.tally()
            if tally.beating == self.nodes:
                return tally.complete - tally.began
            if tally.lost or time.monotonic() > deadline:
                raise FarmError(
                    f"{tally.joined} of {self.nodes} nodes have joined, and {tally.lost} "
                    "connections were refused or lost; see what the server says above"
                )
            time.sleep(LOOK_SECONDS)

    def pace(self, said: float, lasts: float) -> None:
        """From now on tasks say that they took so long, and last so long (seconds)."""
        for _, commands in self._processes:
            commands.send(("pace", Pace(said, lasts)))

    def tally(self) -> Tally:
        """What they have seen since this was last asked."""
        return summed(self._asked("tally"))

    def leave(self) -> Tally:
        """All finish what runs, report it, and go; what they have seen until then."""
        return summed(self._asked("leave"))

    def _asked(self, command: str) -> list[Tally]:
        for _, commands in self._processes:
            commands.send((command,))
        return [self._answer(commands) for _, commands in self._processes]

    def _answer(self, commands: Connection) -> Tally:
        try:
            if commands.poll(ANSWER_SECONDS):
                told = commands.recv()
                assert isinstance(told, Tally)
                return told
        except EOFError:
            pass  # it has ended, and said why
        raise FarmError("a process of simulated nodes does not answer; see above for why")

    def __enter__(self) -> Crowd:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process, commands in self._processes:
            commands.close()
            if error is not None:
                process.terminate()
            process.join(END_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
