"""What is done to a simulated world: deaths, frozen processes, cut connections, full disks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from farm.wire import controls, messages

if TYPE_CHECKING:
    from sim.client import Watched
    from sim.machine import Machine
    from sim.world import World


class Harm:
    """Plans the harm of a world, and the end of it.

    Args:
        world: to which it is done.
        until: simulated seconds.
    """

    def __init__(self, world: World, until: float) -> None:
        self._world = world
        self.until = until
        self.over = False
        self.refusals = world.chance.choice([0.0, 0.0, 0.2])
        self.pending = 0
        """Things that people have begun and will end: a pause, say."""
        kinds: list[Callable[[], None]] = [
            self._kill_slot, self._kill_slot, self._kill_node, self._freeze_node, self._cut_node,
            self._cut_node, self._kill_server, self._crash_in_commit, self._freeze_server,
            self._fill_disk, self._cut_client, self._drain, self._pause, self._cancel, self._retry,
            self._cut_everything, self._crash_in_commit, self._retry,
        ]  # fmt: skip
        mild = world.chance.random() < 0.1
        for _ in range(0 if mild else world.chance.randint(1, 30)):
            kind = world.chance.choice(kinds)
            world.time.at(world.chance.uniform(0.0, until), lambda kind=kind: self._do(kind))
        world.time.at(until, self._end)

    def _do(self, kind: Callable[[], None]) -> None:
        self._world.counts[kind.__name__.strip("_")] += 1
        kind()

    def _after(self, longest: float, call: Callable[[], None]) -> None:
        world = self._world
        world.time.at(min(self.until, world.time.now + world.chance.uniform(0.0, longest)), call)

    # -- nodes --------------------------------------------------------------------------------

    def _some_machine(self) -> Machine | None:
        alive = [m for m in self._world.machines if m.process.alive]
        return self._world.chance.choice(alive) if alive else None

    def _kill_slot(self) -> None:
        machine = self._some_machine()
        if machine is not None and not machine.process.frozen:
            self._world.trace(f"node {machine.name}: a slot is killed")
            machine.engine.kill_slot()

    def _kill_node(self) -> None:
        machine = self._some_machine()
        if machine is not None:
            self._world.trace(f"node {machine.name}: killed")
            machine.process.kill()
            self._after(15.0, lambda: self._world.start_machine(machine.name))

    def _freeze_node(self) -> None:
        machine = self._some_machine()
        if machine is not None:
            self._world.trace(f"node {machine.name}: frozen")
            machine.process.freeze()
            self._after(30.0, lambda: self._thaw(machine))

    def _thaw(self, machine: Machine) -> None:
        self._world.trace(f"node {machine.name}: thawed")
        machine.process.thaw()

    def _cut_node(self) -> None:
        machine = self._some_machine()
        if machine is not None and machine.pipes:
            self._world.trace(f"node {machine.name}: a connection is cut")
            self._world.chance.choice(machine.pipes).cut()

    def _drain(self) -> None:
        machine = self._some_machine()
        if machine is None or len([m for m in self._world.machines if m.process.alive]) < 2:
            return
        self._world.trace(f"node {machine.name}: drained")
        self._world.client.ask(controls.DrainNode(machine.dialogue.name), lambda _: None)

    # -- the server ---------------------------------------------------------------------------

    def _kill_server(self) -> None:
        if self._world.server is not None:
            self._world.server.process.kill()

    def _crash_in_commit(self) -> None:
        disk, chance = self._world.disk, self._world.chance
        disk.crash_in = chance.randint(1, 5)
        disk.crash_after = chance.random() < 0.5

    def _freeze_server(self) -> None:
        server = self._world.server
        if server is not None:
            self._world.trace("server: frozen")
            server.process.freeze()
            self._after(20.0, server.process.thaw)

    def _fill_disk(self) -> None:
        self._world.trace("the disk is full")
        self._world.disk.full = True
        self._after(20.0, self._empty_disk)

    def _empty_disk(self) -> None:
        self._world.trace("the disk has room")
        self._world.disk.full = False

    def _cut_everything(self) -> None:
        if self._world.server is not None:
            self._world.trace("every connection is cut")
            for pipe in list(self._world.server.pipes):
                pipe.cut()

    # -- people -------------------------------------------------------------------------------

    def _cut_client(self) -> None:
        pipe = self._world.client.pipe
        if pipe is not None:
            self._world.trace("client: its connection is cut")
            pipe.cut()

    def _some_batch(self) -> Watched | None:
        known = [watched for watched in self._world.batches if watched.batch]
        return self._world.chance.choice(known) if known else None

    def _pause(self) -> None:
        watched = self._some_batch()
        if watched is None:
            return
        self.pending += 1
        self._world.trace(f"client: pauses batch {watched.batch}")

        def resume(_: messages.Message) -> None:
            watched.paused = False
            watched.resuming += 1
            self._world.trace(f"client: resumes batch {watched.batch}")
            watched.control(controls.Resume(str(watched.batch)), done)

        def done(_: messages.Message) -> None:
            self.pending -= 1
            watched.resuming -= 1

        def paused(answer: messages.Message) -> None:
            assert isinstance(answer, messages.Status)
            watched.paused = answer.paused and not (watched.resuming or watched.cancelling)
            self._after(10.0, lambda: resume(answer))

        watched.control(controls.Pause(str(watched.batch)), paused)

    def _cancel(self) -> None:
        watched = self._some_batch()
        if watched is not None:
            self._world.trace(f"client: cancels batch {watched.batch}")
            watched.control(messages.Cancel(str(watched.batch)), watched.was_cancelled)

    def _retry(self) -> None:
        watched = self._some_batch()
        if watched is None:
            return
        self.pending += 1
        self._world.trace(f"client: retries batch {watched.batch}")

        def done(answer: messages.Message) -> None:
            self.pending -= 1
            watched.retrying -= 1
            watched.again()

        watched.sticks = False
        watched.retrying += 1
        failed = self._world.chance.random() < 0.5
        watched.control(controls.Retry(str(watched.batch), failed=failed), done)

    # -- the end ------------------------------------------------------------------------------

    def _end(self) -> None:
        """All harm ends. Who is there has to do what is left; only where nobody is, one comes."""
        world = self._world
        world.trace("the harm ends")
        self.refusals = 0.0
        world.disk.full = False
        world.disk.crash_in = 0
        if world.server is not None:
            world.server.process.thaw()
        for machine in world.machines:
            machine.process.thaw()
        self.over = True
        world.see_to_nodes()
