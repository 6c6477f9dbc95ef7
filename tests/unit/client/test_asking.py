"""What a server's refusal becomes in a client, and with which exit code it ends."""

from __future__ import annotations

from typing import Any

import pytest

from farm.client.asking import ask
from farm.errors import (
    FarmError,
    NotAuthorisedError,
    ProtocolError,
    RequestError,
    UnknownBatchError,
    UsageError,
)
from farm.wire.messages import Done, GetNodes, Nodes


class Link:
    """Answers, or refuses with a code."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def call(self, _request: Any, _seconds: float | None = None) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def refusal(code: str) -> FarmError:
    link: Any = Link(RequestError(code, "the server's words"))
    with pytest.raises(FarmError, match="the server's words") as error:
        ask(link, GetNodes(), Nodes)
    return error.value


@pytest.mark.parametrize(
    ("code", "kind", "exit_code"),
    [
        ("forbidden", NotAuthorisedError, 4),
        ("too-large", UsageError, 2),
        ("not-ended", UsageError, 2),
        ("importing", UsageError, 2),
        ("unknown-node", UsageError, 2),
        ("unknown-batch", UnknownBatchError, 2),
        ("busy", RequestError, 1),
        ("internal", RequestError, 1),
    ],
)
def test_a_refusal_has_its_kind_and_exit_code(code, kind, exit_code):
    error = refusal(code)
    assert type(error) is kind
    assert error.exit_code == exit_code


def test_where_to_look_is_said():
    assert str(refusal("unknown-batch")).endswith("(see `farm status`)")
    assert str(refusal("unknown-node")).endswith("(see `farm nodes`)")


def test_an_answer_of_another_kind_is_an_error():
    link: Any = Link(Done())
    with pytest.raises(ProtocolError, match="answered GetNodes with Done"):
        ask(link, GetNodes(), Nodes)
    assert ask(link, GetNodes(), Done) == Done()
