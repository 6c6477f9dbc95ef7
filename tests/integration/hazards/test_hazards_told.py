"""What a peer is told and may call beyond what was meant for it (hazards 9, 10, 11 and 14)."""

from __future__ import annotations

import itertools
import multiprocessing
from multiprocessing import AuthenticationError
from multiprocessing.managers import RemoteError

import pytest
from stock import Raw, ask, rest, send_frame, stranger

from farm.wire.frames import header

LIBRARY = multiprocessing.__path__[0].encode()
REFUSED = header(9) + b"#FAILURE#"


def told_without_a_key(port: int, answer: bytes) -> bytes:
    """All that comes after a wrong answer to the challenge."""
    with stranger(port) as sock:
        send_frame(sock, answer)
        return rest(sock)


def test_hazard_09_who_has_no_key_is_sent_a_traceback(stock, server):
    for answer in (b"x" * 16, b"{sha256}" + b"x" * 32, b""):
        said = told_without_a_key(stock.port, answer)
        assert b"Traceback" in said
        assert LIBRARY in said
        assert told_without_a_key(server.port, answer) in (b"", REFUSED)


def test_hazard_09_who_has_it_is_sent_one_too(stock, server):
    for port, error in ((stock.port, RemoteError), (server.port, ValueError)):
        with pytest.raises(error) as caught:
            ask(port, "create", "nothing")
        text = str(caught.value)
        assert (LIBRARY.decode() in text) is (port == stock.port)
        assert (len(text.splitlines()) == 1) is (port == server.port)


PRIVATE = ("fallback_str", None, "what nobody meant to serve")


def test_hazard_10_without_asserts_private_methods_are_served(stock, served):
    with pytest.raises(RemoteError, match="unrecognized"):
        ask(stock.port, *PRIVATE)
    optimised, farm = (served(kind, flags=("-O",)) for kind in ("stock", "farm"))
    assert ask(optimised.port, *PRIVATE) == PRIVATE[-1]
    for name in (PRIVATE[0], "serve_forever", "_connect", "__class__"):
        with pytest.raises(ValueError, match="does not serve"):
            ask(farm.port, name, *PRIVATE[1:])
    with pytest.raises(AuthenticationError):
        ask(farm.port, "dummy", key=b"x" * 32)


def test_hazard_11_any_client_stops_the_server(served, server):
    stock = served("stock")
    with pytest.raises(ValueError, match="does not serve 'shutdown'"):
        ask(server.port, "shutdown")
    assert ask(stock.port, "shutdown") is None
    assert stock.code() == 0
    assert ask(server.port, "dummy") is None


BYPASSES = ("#GETVALUE", "__str__", "__repr__")


def test_hazard_14_what_is_not_exposed_is_read_all_the_same(stock, server):
    with Raw(stock.port, "get_secret") as raw:
        with pytest.raises(RemoteError, match="is not in exposed"):
            raw.call("get", "password")
        for name in BYPASSES:
            assert "hunter2" in str(raw.call(name))
    with Raw(server.port) as tasks, Raw(server.port, "get_result_dict") as results:
        tasks.call("put", ("m:f",))
        results.call("__setitem__", 0, "hunter2")
        for raw, name in itertools.product((tasks, results), BYPASSES):
            with pytest.raises(AttributeError) as caught:
                raw.call(name)
            assert "hunter2" not in str(caught.value)
