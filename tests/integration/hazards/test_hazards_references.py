"""Objects that live and die by the references that clients claim (hazards 12, 13 and 25)."""

from __future__ import annotations

from multiprocessing.managers import RemoteError
from threading import Thread

import pytest
from farm_harness import PATIENCE, eventually
from plain_scripts import in_process
from stock import Raw, ask, together

MANY = 5


def test_hazard_12_any_client_takes_away_what_others_use(stock, server):
    with Raw(stock.port, "make_list") as mine:
        mine.call("append", 1)
        ask(stock.port, "decref", mine.ident)
        with pytest.raises(RemoteError, match="KeyError"):
            mine.call("append", 2)
    with Raw(server.port) as mine:
        for _ in range(3):
            ask(server.port, "decref", mine.ident)
        assert mine.call("put", ("m:f",)) == 0
        assert mine.call("qsize") == 1


def test_hazard_12_any_client_makes_objects_without_limit(stock, server):
    before = ask(stock.port, "number_of_objects")
    made = {ask(stock.port, "create", "make_list", "x" * 1000)[0] for _ in range(MANY)}
    assert len(made) == ask(stock.port, "number_of_objects") - before == MANY
    assert len({ask(server.port, "create", "get_task_queue")[0] for _ in range(MANY)}) == 1
    for wrong in (("get_task_queue", "x" * 1000), ("make_list",), ("dict",)):
        with pytest.raises(ValueError, match="without arguments"):
            ask(server.port, "create", *wrong)


HANDED_OVER = """
import multiprocessing, pickle
multiprocessing.current_process().authkey = sys.argv[2].encode()
{make}
on_its_way = pickle.dumps(proxy)
{drop}
again = error_of(pickle.loads, on_its_way)
print(again if isinstance(again, str) else again.{call}())
"""


def test_hazard_13_a_reference_that_is_handed_over_late_is_lost(stock, server):
    """Its last owner lets go of a proxy that is still in a queue for somebody else."""
    make = "Manager.register('make_list'); proxy = manager.make_list()"
    to_stock = HANDED_OVER.format(make=make, drop="del proxy", call="__len__")
    drop = "del proxy, tasks, results; import gc; gc.collect()"
    to_farm = HANDED_OVER.format(make="proxy = tasks", drop=drop, call="qsize")
    lost, found = together((to_stock, stock.port), (to_farm, server.port))
    assert any("KeyError" in line for line in lost)
    assert found == ["0"]


HELD_AT_ZERO = """
import time
from multiprocessing import util
def debug(message, *args):
    if message.startswith("disposing of obj"):
        Path({went!r}).touch()
        while not Path({go!r}).exists():
            time.sleep(0.005)
util.debug = debug
"""
"""Widens a gap: references are down to 0, and the object is about to be dropped."""


def test_hazard_13_a_reference_that_is_taken_at_zero_is_lost(served, server, tmp_path):
    """One client lets go of a shared object while another one asks for it (gh-88321)."""
    went, go = tmp_path / "went", tmp_path / "go"
    stock = served("stock", setup=HELD_AT_ZERO.format(went=str(went), go=str(go)))
    ident, _ = ask(stock.port, "create", "get_task_queue")
    last = Thread(target=ask, args=(stock.port, "decref", ident))
    last.start()
    eventually(went.exists, "the object is about to be dropped")
    with Raw(stock.port) as newcomer:
        assert newcomer.ident == ident
        assert newcomer.call("qsize") == 0
        go.touch()
        last.join(PATIENCE)
        with pytest.raises(RemoteError, match="KeyError"):
            newcomer.call("qsize")
    # There is no such gap where nothing is counted, whatever the order.
    with Raw(server.port) as newcomer:
        for name in ("decref", "decref", "incref", "decref"):
            assert ask(server.port, name, newcomer.ident) is None
        assert newcomer.call("qsize") == 0


NESTED = """
import multiprocessing
multiprocessing.current_process().authkey = sys.argv[2].encode()
for name in ("get_tools", "make_list"):
    Manager.register(name)
outer, tools = manager.make_list(), manager.get_tools()
for _ in range(2):
    inner = manager.make_list()
    outer.append(inner)
    outer.clear()
    del inner
print(len(outer), tools.proxies_kept())
"""
SENT = """
import multiprocessing
multiprocessing.current_process().authkey = sys.argv[2].encode()
print(error_of(tasks.put, ("m:f", (results,))))
"""


def test_hazard_25_what_was_once_nested_is_kept_for_good(stock, server):
    """gh-103136: the server notes each proxy that it is sent, and never forgets it."""
    kept, [said] = together((NESTED, stock.port), (SENT, server.port))
    assert kept == ["0 2"]
    assert said.startswith("TypeError: only builtin types are accepted")
    assert in_process(server.port).get_task_queue().qsize() == 0
    assert not hasattr(server.server, "id_to_local_proxy_obj")


def test_hazard_25_an_answer_may_be_one_more_object(stock, server):
    """Farm's answers are values: there is nothing to let go of."""
    before = ask(stock.port, "number_of_objects")
    with Raw(stock.port, "get_nested") as raw:
        for _ in range(MANY):
            raw.connection.send((raw.ident, "copy", (), {}))
            kind, _ = raw.connection.recv()
            assert kind == "#PROXY"
    assert ask(stock.port, "number_of_objects") == before + 1 + MANY
    with Raw(server.port) as tasks, Raw(server.port, "get_result_dict") as results:
        tasks.call("put", ("m:f",))
        for raw, name in ((tasks, "qsize"), (tasks, "get"), (results, "keys")):
            raw.send(name)
            assert raw.connection.recv()[0] == "#RETURN"
