"""A driver for engines: what a node's loop does, without a node."""

import itertools
import os
import pickle
import time
from array import array
from multiprocessing import connection
from pathlib import Path

from farm.batch import space, spec
from farm.engines.base import Block, Chunk, Ended, Failed, Part, Program, Returned

HERE = Path(__file__).parent
PATIENCE = 30.0


class Driver:
    """An engine, and all it has said.

    Args:
        engine: started.
    """

    def __init__(self, engine):
        self.engine = engine
        self.events = []
        self.ids = itertools.count(1)
        self.batches = itertools.count(1)

    def program(self, call, points=None, *, code="a", **options):
        """Make a batch known.

        Args:
            call: a `Call`, or a function's name in `engine_tasks`, or in another module that is
                shipped: ``module:name``.
            points: a space, how many points to count, or None for blocks.
            options: of the batch.
        """
        batch = next(self.batches)
        if isinstance(call, str):
            call = spec.PythonCall(call if ":" in call else f"engine_tasks:{call}")
        if isinstance(points, int):
            points = space.counted(points)
        document = points.to_document() if points is not None else None
        encoded = spec.encode(spec.Spec("test", call, spec.Options(**options), space=document))
        code_dir = str(HERE / f"tasks_{code}") if code else None
        self.engine.add_program(Program(batch, encoded, code, code_dir))
        return batch

    def submit(self, batch, start, stop, items=None, *, block=None, ahead=False):
        """Submit one chunk."""
        if items is not None:
            block = Block(start, stop, pickle.dumps(items))
        chunk = Chunk(next(self.ids), batch, start, stop, block)
        self.engine.submit(chunk, ahead=ahead)
        return chunk

    def poll(self, limit=0.5):
        """Wait for something to happen, at most ``limit`` seconds."""
        due = self.engine.timeout(time.monotonic())
        wait = limit if due is None else min(due, limit)
        connection.wait(self.engine.waitables(), wait)
        events = self.engine.poll()
        self.events += events
        return events

    def until(self, condition, patience=PATIENCE):
        """Poll until something is true."""
        deadline = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain; {len(self.events)} events"
            self.poll(0.02)

    def finish(self):
        """Poll until every chunk has ended; the events since the last time."""
        self.until(lambda: not self.engine.running)
        events, self.events = self.events, []
        return events

    def finish_now(self, batch):
        """Cancel what runs of a batch; the events since the last time."""
        self.engine.cancel(batch)
        return self.finish()

    def run(self, batch, start, stop, items=None):
        """One chunk from submission to end."""
        self.until(lambda: self.engine.idle)
        self.submit(batch, start, stop, items)
        return self.finish()

    def run_all(self, batch, stop, size, beside=0):
        """All tasks of a batch in chunks on all slots, what is lost again; all events.

        So many other chunks run beside it all the time.
        """
        owed = [(at, min(at + size, stop)) for at in range(0, stop, size)]
        seen = 0
        while owed or len(self.engine.running) > beside:
            while owed and self.engine.idle:
                self.submit(batch, *owed.pop())
            self.poll()
            for event in self.events[seen:]:
                if isinstance(event, Ended | Returned):
                    owed += event.lost
            seen = len(self.events)
        events, self.events = self.events, []
        return events


def results(events):
    """Index -> result of the tasks that are done; fails if one is reported twice."""
    found = {}
    for part in events:
        if isinstance(part, Part):
            values = pickle.loads(part.payload)
            assert len(values) == part.stop - part.start == len(array("f", part.seconds))
            for index, value in enumerate(values, part.start):
                assert index not in found
                found[index] = value
    return found


def failures(events):
    """Index -> failure; fails if one is reported twice."""
    found = {}
    for event in events:
        if isinstance(event, Failed):
            assert event.index not in found
            found[event.index] = event
    return found


def lost(events):
    """The indices that are lost, in order, and every chunk ended once."""
    ended = [event.chunk for event in events if isinstance(event, Ended)]
    assert len(set(ended)) == len(ended)
    return sorted(
        index
        for event in events if isinstance(event, Ended | Returned)
        for start, stop in event.lost for index in range(start, stop)
    )  # fmt: skip


def accounted(events, start, stop):
    """Every index is done, failed or lost, and only one of them."""
    everything = [*results(events), *failures(events), *lost(events)]
    assert sorted(everything) == list(range(start, stop))


def alive(pid):
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def group_members(pgid):
    """The processes of a group that are alive."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and alive(int(entry.name)):
            try:
                member = os.getpgid(int(entry.name)) == pgid
            except ProcessLookupError:
                member = False
            if member:
                found.append(int(entry.name))
    return found


def wait_until(condition, patience=PATIENCE):
    """Wait for something that no engine reports."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)
