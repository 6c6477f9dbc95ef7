"""Every kind of harm, and its healing. Each says whether it could be done just now."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chaos.batches import Counted
from chaos.processes import Farm, below, signal_to
from chaos.proxy import Proxy, Trap, Way

DEADLINE = 10.0
"""Seconds of silence after which a server gives up a node (README)."""

FREEZE_SECONDS = (DEADLINE + 1.0, DEADLINE + 2.0)
STALL_SECONDS = (1.0, 3.0)
TRAP_SECONDS = 5.0
"""After that time harm is done without the message that was waited for."""

REPORT_BYTES = 80
"""A message of a node that has as many holds results; a smaller one asks for work."""


@dataclass
class Healing:
    """What ends a harm that lasts."""

    due: float
    node: str
    heal: Callable[[], None]


@dataclass
class Faults:
    """The harm that is done to a farm.

    Args:
        farm: to do it to.
        chance: what is random.
        batches: those that run.
    """

    farm: Farm
    chance: random.Random
    batches: Sequence[Counted]
    counts: Counter[str] = field(default_factory=Counter)
    _healing: list[Healing] = field(default_factory=list)

    def do(self, kind: str) -> bool:
        """Do harm of a kind, see `KINDS`; False if its object is not there at the moment."""
        if not KINDS[kind](self):
            return False
        self.counts[kind] += 1
        return True

    def heal(self) -> bool:
        """End the harm that has lasted long enough; whether there is none left."""
        now = time.monotonic()
        for one in list(self._healing):
            if one.due <= now:
                self._healing.remove(one)
                one.heal()
        return not self._healing

    def _later(self, seconds: tuple[float, float], node: str, heal: Callable[[], None]) -> None:
        due = time.monotonic() + self.chance.uniform(*seconds)
        self._healing.append(Healing(due, node, heal))

    # -- on whom ------------------------------------------------------------------------------

    def _node(self) -> str | None:
        """A node that no lasting harm is done to."""
        harmed = {one.node for one in self._healing}
        sound = [name for name in self.farm.nodes if name not in harmed]
        return self.chance.choice(sound) if sound else None

    def _slots(self, node: str) -> list[int]:
        """The processes below a node that have run tasks: each has left a file of its name."""
        ran = {int(mark.name) for batch in self.batches for mark in batch.marks.iterdir()}
        return sorted(ran & below(self.farm.nodes[node].pid))

    # -- processes ----------------------------------------------------------------------------

    def kill_slot(self) -> bool:
        """SIGKILL to a process that runs tasks."""
        node = self._node()
        slots = self._slots(node) if node else []
        return bool(slots) and signal_to(self.chance.choice(slots), signal.SIGKILL)

    def kill_node(self) -> bool:
        """SIGKILL to a node's main process; another of that name is started at once."""
        node = self._node()
        if node is None:
            return False
        self.farm.start_node(node)
        return True

    def kill_server(self) -> bool:
        """SIGKILL to the server, which is started again on the same data and port."""
        self.farm.serve_again()
        return True

    def kill_server_that_answers(self) -> bool:
        """SIGKILL to the server with an answer to a node on its way, which then arrives."""
        node = self._node()
        if node is None:
            return False
        server = self.farm.server
        trap = Trap(Way.DOWN, spring=lambda: server.send(signal.SIGKILL))
        self._caught(self.farm.fronts[node], trap)
        self.farm.serve_again()
        return True

    def freeze_node(self) -> bool:
        """SIGSTOP to a node's main process, until the server has given it up; its slots go on."""
        return self._freeze(lambda pid: [pid])

    def freeze_tree(self) -> bool:
        """SIGSTOP to a node's main process and all below it, for as long."""
        return self._freeze(lambda pid: [pid, *below(pid)])

    def _freeze(self, chosen: Callable[[int], list[int]]) -> bool:
        if any(one.node for one in self._healing):
            return False  # one node at least goes on
        node = self._node()
        if node is None:
            return False
        pids = chosen(self.farm.nodes[node].pid)
        for pid in pids:
            signal_to(pid, signal.SIGSTOP)

        def thaw() -> None:
            for pid in pids:
                signal_to(pid, signal.SIGCONT)

        self._later(FREEZE_SECONDS, node, thaw)
        return True

    # -- connections --------------------------------------------------------------------------

    def cut_node(self) -> bool:
        """Reset a node's connections: just so, or with one of its reports or their answers lost."""
        node = self._node()
        if node is None:
            return False
        front = self.farm.fronts[node]
        how = self.chance.choice(("now", "report", "torn report", "answer"))
        if how == "now":
            front.cut()
            return True
        way = Way.DOWN if how == "answer" else Way.UP
        least = 1 if how == "answer" else REPORT_BYTES
        passes = 0.5 if how == "torn report" else 0.0
        if not self._caught(front, Trap(way, least, passes, cuts=True)):
            front.cut()
        return True

    def stall_node(self) -> bool:
        """Forward nothing between a node and the server for some seconds, then reset."""
        node = self._node()
        if node is None:
            return False
        front = self.farm.fronts[node]
        front.stall()
        self._later(STALL_SECONDS, node, front.cut)
        return True

    def cut_client(self) -> bool:
        """Reset the connection of the client that watches, half of the time within an answer."""
        trap = Trap(Way.DOWN, 2, 0.5, cuts=True)
        if self.chance.random() < 0.5 or not self._caught(self.farm.client, trap):
            self.farm.client.cut()
        return True

    def stall_client(self) -> bool:
        """Forward nothing between that client and the server for some seconds, then reset."""
        if self.farm.client.stalled:
            return False
        self.farm.client.stall()
        self._later(STALL_SECONDS, "", self.farm.client.cut)
        return True

    def _caught(self, proxy: Proxy, trap: Trap) -> bool:
        """Wait until a trap has sprung; False if it has not and never will."""
        proxy.set(trap)
        trap.sprung.wait(TRAP_SECONDS)
        proxy.disarm()
        return trap.sprung.is_set()


KINDS: dict[str, Callable[[Faults], bool]] = {
    "slot killed": Faults.kill_slot,
    "node killed": Faults.kill_node,
    "server killed": Faults.kill_server,
    "server killed as it answers": Faults.kill_server_that_answers,
    "node frozen": Faults.freeze_node,
    "node and slots frozen": Faults.freeze_tree,
    "node cut off": Faults.cut_node,
    "node stalled": Faults.stall_node,
    "client cut off": Faults.cut_client,
    "client stalled": Faults.stall_client,
}
