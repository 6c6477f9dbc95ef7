"""A dialogue without a network: the test is the server, and the hands keep what they were to do."""

from __future__ import annotations

from farm.batch import spec as specs
from farm.batch.shipment import digest as digest_of
from farm.dialogue import Dialogue
from farm.engines import base
from farm.node import Node
from farm.wire import leases, messages
from farm.wire.leases import Lease

FILES = {"tasks.py": b"def f(): ..."}
DIGEST = digest_of(FILES)
SECONDS = b"\0\0\0\0"


class Hands:
    """Keeps what it was to do, and the code that is there."""

    def __init__(self) -> None:
        self.did: list[tuple] = []
        self.code: set[str] = set()

    def add_program(self, program: base.Program) -> None:
        self.did.append(("add", program.batch, program.code, program.code_dir))

    def forget_program(self, batch: int) -> None:
        self.did.append(("forget", batch))

    def kill(self, batch: int) -> None:
        self.did.append(("kill", batch))

    def take_back(self, batch: int) -> None:
        self.did.append(("take back", batch))

    def has_code(self, digest: str) -> bool:
        return digest in self.code

    def keep_code(self, digest: str, files: dict[str, bytes]) -> None:
        assert files == FILES
        self.code.add(digest)
        self.did.append(("keep", digest))

    def drop_code(self, digest: str) -> None:
        self.code.discard(digest)
        self.did.append(("drop", digest))

    def code_directory(self, digest: str) -> str:
        return f"/code/{digest}"

    def joined(self, answer: leases.Joined) -> None:
        self.did.append(("joined", answer.node))


class Talk:
    """A dialogue, and a server that answers what the test says."""

    def __init__(self, slots: int = 2) -> None:
        self.hands = Hands()
        self.node = Node(slots)
        self.dialogue = Dialogue(self.node, self.hands, "n", "token")
        self.asked: dict[str, int] = {}  # the number of the latest message of each kind

    def _sent(self, told) -> list[messages.Message]:
        told = list(told)
        self.asked.update({type(message).__name__: number for number, message in told})
        return [message for _, message in told]

    def connect(self, node: int = 7, name: str = "n", drop=()) -> list[messages.Message]:
        joining = self._sent(self.dialogue.connected())
        self.hear(leases.Joined(node, name, 3.0, list(drop)), "Join")
        return joining

    def say(self, **more) -> list[messages.Message]:
        """What is said, apart from what is wanted."""
        told = self._sent(self.dialogue.say(0, **more))
        return [message for message in told if not isinstance(message, leases.Want)]

    def hear(self, body: messages.Message, answers: str = "") -> list[messages.Message]:
        number = self.asked[answers] if answers else 0
        return self._sent(self.dialogue.hear(number, body))

    def work(self, batch: int = 1, count: int = 5, digest: str = "") -> None:
        """A lease has come, and the batch's program with it."""
        self.hear(Lease(batch, [(0, count)]))
        self.say()
        self.hear(found(batch, digest=digest), "GetSpec")


def found(
    batch: int = 1, *, by_value: bool = False, digest: str = "", rerun: bool = True, **options
):
    spec = specs.Spec(
        "b", specs.PythonCall("tasks:f"), specs.Options(rerun=rerun, **options),
        None if by_value else {"count": 10},
    )  # fmt: skip
    return messages.SpecFound(batch, "b", 10, specs.encode(spec), digest)


def done(talk: Talk, *indices: int, batch: int = 1) -> None:
    talk.node.chunks(len(indices), 0)
    talk.node.events([base.Part(1, batch, i, i + 1, b"r%d" % i, SECONDS) for i in indices])


def joined_talk() -> Talk:
    """A node that has joined."""
    made = Talk()
    made.connect()
    made.hands.did.clear()
    return made
