"""All that answers requests, put together: who serves each kind of message.

Apart from the manager, which brings the connections: this needs a loop's clock and timers alone.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from farm.errors import JournalError
from farm.limits import DEFAULTS, Limits
from farm.server.around import Hooks
from farm.server.attendance import Attendance
from farm.server.clients import Clients
from farm.server.controls import Controls
from farm.server.core import Core
from farm.server.fencing import Sessions
from farm.server.journal import Journal
from farm.server.load import Load
from farm.server.nodes import NodeDesk
from farm.server.peers import Handler, Peer
from farm.server.processor import demand
from farm.server.programs import Programs
from farm.server.pruning import Pruner
from farm.version import __version__
from farm.wire import controls, leases, messages

log = logging.getLogger("farm.server")


class Service:
    """The server without its connections.

    Args:
        journal: what was acknowledged before.
        loop: runs it; of it, ``time``, ``call_soon``, ``call_later`` and ``call_at`` are used.
        give_up: called with what makes it impossible to go on.
        keep: seconds for which a batch that has ended is kept; None for as long as it takes.
        limits: of a batch, and of a message.
        wall: seconds since the epoch.
        chance: gives a number from 0 to 1, for the jitter of retries.
        cpu: seconds of a core that the loop has asked for.
        load: makes a pace of them.

    Raises:
        JournalError: what is in the journal cannot be read.
    """

    def __init__(
        self,
        journal: Journal,
        loop: asyncio.AbstractEventLoop,
        give_up: Callable[[Exception], None],
        *,
        keep: float | None = None,
        limits: Limits = DEFAULTS,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        cpu: Callable[[], float] = demand,
        load: Load | None = None,
    ) -> None:
        self._cpu, self._load = cpu, load or Load()
        self._give_up = give_up
        hooks = Hooks(lambda: self.desk.hand_out(), lambda batch: self.desk.drop(batch), give_up)
        self.core = Core(journal, loop, hooks, wall=wall, chance=chance)
        self.desk = NodeDesk(self.core)
        self._sessions = Sessions()
        self._attendance = Attendance(self.core, self._sessions.is_here)
        self._limits = limits
        self._clients = Clients(self.core, limits.max_batch)
        self._programs = Programs(self.core)
        self._pruner = Pruner(self.core, keep)
        self._controls = Controls(self.core, self._pruner, self.desk.recall)
        self.handlers = self._all_handlers()

    def _all_handlers(self) -> dict[type[messages.Message], Handler]:
        clients, desk, control = self._clients, self.desk, self._controls
        programs = self._programs
        return {
            messages.Hello: self._hello,
            messages.Submit: clients.submit,
            messages.Append: clients.append,
            messages.GetStatus: clients.status,
            messages.ListBatches: clients.batches,
            messages.GetSpec: programs.spec,
            messages.GetOutcomes: clients.outcomes,
            messages.GetResults: clients.results,
            messages.Cancel: control.cancel,
            controls.Pause: control.pause,
            controls.Resume: control.resume,
            controls.Retry: control.retry,
            controls.Forget: control.forget,
            controls.Restore: control.restore,
            controls.DrainNode: desk.drain_node,
            messages.GetNodes: desk.list_nodes,
            leases.Join: desk.join,
            leases.Want: desk.want,
            messages.GetBlock: programs.block,
            leases.GetCode: programs.code,
            leases.Report: desk.report,
            leases.Beat: desk.beat,
            leases.Leave: desk.leave,
        }

    def sweep(self) -> None:
        """To be called every `farm.server.nodes.SWEEP_SECONDS`."""
        self.desk.sweep()
        self._set_pace()
        self._attendance.sweep()
        self._pruner.sweep()
        self.core.journal.sum_up()
        try:
            self.core.journal.check_all_there()
        except JournalError as error:
            self._give_up(error)

    def _set_pace(self) -> None:
        """Nodes hear of it with their next lease."""
        ledger, before = self.core.ledger, self._load.pace
        working = sum(bool(node.batches) for node in ledger.nodes.values())
        ledger.pace = self._load.look(self._cpu(), self.core.loop.time(), working)
        if bool(before) != bool(ledger.pace):
            log.info(
                "much to do: nodes report less often"
                if ledger.pace
                else "nodes report at once again"
            )

    def _hello(self, peer: Peer, number: int, request: messages.Hello) -> None:
        if not self._sessions.greet(peer, number, request.session, request.connection):
            return
        self.desk.versions[peer] = (request.version, request.python)
        server, largest = self.core.journal.server, self._limits.max_frame
        peer.reply(number, messages.Welcome(__version__, server, peer.role, largest))
