"""What the key protects, and which keys there may be (hazards 2 and 3)."""

from __future__ import annotations

import pickle
import socket
from threading import Thread

import pytest
from farm_harness import HOST, KEY, PATIENCE
from stock import Stock, ask, connected, read_frame, send_frame

from farm.errors import ConfigError
from farm.server.manager import FarmManager

SECRET = b"account 4711, password hunter2"


def test_hazard_02_who_is_in_between_reads_what_passes(stock, relay):
    between = relay(stock.port)
    connected(between.port).get_task_queue().put(SECRET)
    assert between.has_read(SECRET)


def test_hazard_02_a_client_opens_its_server_for_who_has_no_key(stock):
    """A client answers whatever challenge it is sent: also that of another server."""
    with socket.create_server((HOST, 0)) as rogue:
        Thread(target=_connect_and_fail, args=(rogue.getsockname()[1],)).start()
        victim, _ = rogue.accept()
        with victim, socket.create_connection((HOST, stock.port), timeout=PATIENCE) as server:
            for source, target in ((server, victim), (victim, server)) * 3:
                # Challenge, answer, welcome; then the same the other way about.
                send_frame(target, read_frame(source))
            send_frame(server, pickle.dumps((None, "create", ("get_secret",), {})))
            kind, (ident, _) = pickle.loads(read_frame(server))
    assert kind == "#RETURN"
    assert ident


def _connect_and_fail(port: int) -> None:
    with pytest.raises((EOFError, OSError)):
        connected(port)


def test_hazard_03_an_empty_key_is_a_key(served, data):
    """As is one that can be guessed."""
    keys = (b"", b"x", KEY[:31])
    for key, stock in [(key, served("stock", key=key)) for key in keys]:
        assert ask(stock.port, "number_of_objects", key=key) == 0
        with pytest.raises(ConfigError):
            FarmManager((HOST, 0), key, data).get_server()


def test_hazard_03_a_missing_key_is_made_up(data):
    """Nobody learns it: such a server serves the children of its own process, and no other."""
    nobody_knows = Stock((HOST, 0)).get_server()
    nobody_knows.listener.close()
    assert len(nobody_knows.authkey) > 0
    with pytest.raises((ConfigError, TypeError)):
        FarmManager((HOST, 0), None, data).get_server()
