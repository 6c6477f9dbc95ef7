"""The options of `Session.submit`: as sent, for a function and for a file."""

from __future__ import annotations

from typing import Any

import pytest

from farm.batch.spec import Options, decode
from farm.client.session import Session
from farm.errors import BatchFileError, UsageError
from farm.wire.messages import Message, Submit, Submitted

OPTIONS = {"retries": {"max": 3, "delay": "1s"}, "rate": "5/s", "memory": "512MB"}
AS_SENT = Options(3, delay=1.0, backoff=2.0, jitter=0.1, rate=5.0, memory=512_000_000)


class StubLink:
    """A link to a server that takes everything."""

    session, largest, is_own_thread = "5e55", 1 << 26, False

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self._answers: list[Any] = []

    def call(self, request: Message, seconds: float | None = None) -> Message:
        del seconds
        self.sent.append(request)
        return Submitted(1)

    def tell(self, request: Message, answer: Any) -> None:
        self.sent.append(request)
        self._answers.append(answer)

    def drain(self) -> None:
        while self._answers:
            self._answers.pop().set_result(Submitted(1))

    def options(self) -> Options:
        (submit,) = self.sent
        assert isinstance(submit, Submit)
        assert decode(submit.spec).options == submit.options
        return submit.options


@pytest.fixture
def link() -> StubLink:
    return StubLink()


@pytest.fixture
def session(link: StubLink) -> Session:
    return Session(link)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "b.yaml"
    path.write_text("command: x\noptions: {retries: 1, timeout: 5, max_parallel: 8}\n")
    return path


def test_a_function_takes_the_options_of_a_batch_file(session, link):
    session.submit(pow, options=OPTIONS)
    assert link.options() == AS_SENT


def test_a_function_needs_none(session, link):
    session.submit(pow)
    assert link.options() == Options()


def test_a_file_has_them_replaced(session, link, file):
    session.submit(file, options=OPTIONS | {"timeout": None})
    assert link.options() == Options(
        3, delay=1.0, backoff=2.0, jitter=0.1, max_parallel=8, rate=5.0, memory=512_000_000
    )


@pytest.mark.parametrize("what", ["function", "file"])
def test_arguments_of_their_own_win(session, link, file, what):
    options = {"retries": {"max": 3}, "timeout": "1m", "priority": 1, "crash_limit": 1}
    session.submit(
        pow if what == "function" else file,
        options=options, overrides=["options.priority=9"], retries=0, timeout=2.5, priority=-1,
    )  # fmt: skip
    found = link.options()
    assert (found.retries, found.timeout, found.priority) == (0, 2.5, -1)
    assert (found.backoff, found.crash_limit) == (1.0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"options": {"rat": 5}}, "options.rat: there is no `rat` in `options`; did you mean"),
        ({"options": {"memory": 512}}, "options.memory: `memory` must be at least 1MB"),
        ({"options": {"rerun": False}, "retries": 1}, "options.retries: `retries` and `rerun: "),
        ({"retries": -1}, "options.retries: `retries` must be a whole number from 0 to 1000"),
        ({"timeout": float("inf")}, "options.timeout: `timeout` must be seconds greater than 0"),
    ],
)
def test_wrong_ones_are_named_and_nothing_is_sent(
    session, link, file, arguments: dict[str, Any], message: str
):
    for what, kind in ((pow, UsageError), (file, BatchFileError)):
        with pytest.raises(kind) as caught:
            session.submit(what, **arguments)
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)
    assert link.sent == []


@pytest.mark.parametrize("options", [5, ["rate"], "rate", {1: 2}])
def test_they_are_a_mapping_of_names(session, file, options):
    for what in (pow, file):
        with pytest.raises(UsageError, match="options is a mapping of names to values, such as"):
            session.submit(what, options=options)
