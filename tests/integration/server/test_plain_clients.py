"""Plain `BaseManager` clients: they put, look, wait, take away, and work themselves."""

from __future__ import annotations

import queue
import threading

import pytest
from farm_harness import KEY, PATIENCE, ServerThread, eventually
from plain_scripts import find_python, in_process, let_go, run, start

CALLER = """
one = tasks.put(("math:factorial", (20,), {}))
print(results.wait(one, 20), one in results, results[one], len(results), tasks.qsize())
print(error_of(results.__getitem__, 99))
two = tasks.put(("math:sqrt", (-1,), {}))
print(results.wait(two, 20), error_of(results.__getitem__, two))
print(results.get(one), results.get(99, "default"), results.keys())
print(results.pop(one), one in results, len(results), error_of(results.pop, one))
print(error_of(results.wait, one), results.pop(one, "default"))
"""

WORKER = """
try:
    while True:
        task, call, args, kwargs = tasks.get(timeout=1)
        results[task] = [call, args, kwargs]
except queue.Empty:
    print("empty")
"""


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_a_caller_in_every_python(server, node, version):
    python = find_python(version)
    node()
    assert run(CALLER, server.port, python=python) == [
        "True True 2432902008176640000 1 0",
        "KeyError: 99",
        "True RuntimeError: call 1 failed (error): ValueError: math domain error",
        "2432902008176640000 default [0, 1]",
        "2432902008176640000 False 1 KeyError: 0",
        "KeyError: 0 default",
    ]


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_a_worker_in_every_python(server, version):
    python = find_python(version)
    manager = in_process(server.port)
    tasks, results = manager.get_task_queue(), manager.get_result_dict()
    ids = [tasks.put(("a:b", (n,), {"k": [n]})) for n in range(3)]
    assert tasks.qsize() == 3
    assert not tasks.empty()
    assert run(WORKER, server.port, python=python) == ["empty"]
    assert [results[i] for i in ids] == [["a:b", (n,), {"k": [n]}] for n in range(3)]
    assert tasks.empty()


def test_a_queue_without_calls_is_empty(server):
    tasks = in_process(server.port).get_task_queue()
    for arguments in [(False,), (True, 0.05), (True, float("nan")), (True, -1)]:
        with pytest.raises(queue.Empty):
            tasks.get(*arguments)


def test_a_wait_ends_after_its_time(server):
    manager = in_process(server.port)
    task = manager.get_task_queue().put(("a:b",))
    assert manager.get_result_dict().wait(task, 0.05) is False


def test_the_first_result_stays(server):
    manager = in_process(server.port)
    results, task = manager.get_result_dict(), manager.get_task_queue().put(("a:b",))
    results[task] = "first"
    results[task] = "second"
    assert results[task] == "first"
    with pytest.raises(KeyError):
        results[task + 1] = "of a call that nobody put"


def test_what_a_killed_worker_took_goes_to_who_waits(server):
    taker = start("print(tasks.get(timeout=20)[0], flush=True); time.sleep(600)", server.port)
    manager = in_process(server.port)
    tasks = manager.get_task_queue()
    task = tasks.put(("a:b", (), {}))
    try:
        assert taker.stdout.readline() == f"{task}\n"
        got: list = []
        waiting = threading.Thread(target=lambda: got.append(tasks.get(timeout=PATIENCE)))
        waiting.start()
        eventually(lambda: server.call(lambda: len(server.server._core.waiters._by_batch)), "waits")
        assert got == []
    finally:
        taker.kill()
        taker.communicate()
    waiting.join(PATIENCE)
    assert got == [(task, "a:b", (), {})]


def test_who_is_gone_waits_for_nothing_and_takes_nothing(server):
    waiter = start("print('waits', flush=True); tasks.get()", server.port)
    waiter.stdout.readline()
    eventually(lambda: server.call(lambda: len(server.server._core.waiters._by_batch)), "it waits")
    waiter.kill()
    waiter.communicate()
    eventually(lambda: server.call(lambda: not server.server._core.waiters._by_batch), "forgotten")
    tasks = in_process(server.port).get_task_queue()
    task = tasks.put(("a:b",))
    assert tasks.get(timeout=5)[0] == task


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("3", "ValueError: put a call"),
        ("('nomodule',)", "ValueError: 'nomodule' does not name a function"),
        ("('m:f', 3)", "TypeError: the arguments are a tuple, not int"),
        ("('m:f', (), {1: 2})", "TypeError: the keyword arguments are a dict whose keys are names"),
        ("(bomb, (), {})", "ValueError: ((("),
        ("('m:f', (object(),))", "TypeError: only builtin types are accepted"),
        ("('m:f', (ValueError(),))", "TypeError: only builtin types are accepted"),
    ],
)
def test_what_is_no_call_is_refused_clearly_and_harms_nobody(server, call, error):
    other = in_process(server.port).get_task_queue()
    assert other.qsize() == 0
    script = f"""
bomb = ()
for _ in range(60):
    bomb = (bomb, bomb)
print(error_of(tasks.put, {call})[:200])
print(Manager(manager.address, authkey=sys.argv[2].encode()).connect())
"""
    said, connected = run(script, server.port)
    assert said.startswith(error)
    assert connected == "None"
    assert other.put(("m:f",)) == 0


def test_a_wrong_key_is_refused(server):
    script = "print('connected')"
    process = start(script, server.port, key=b"x" * 32)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert "AuthenticationError" in err


NOT_SERVED = """
from multiprocessing.managers import dispatch
def ask(name, *args, ident=None):
    connection = manager._Client(manager.address, authkey=sys.argv[2].encode())
    try:
        return dispatch(connection, ident, name, args)
    finally:
        connection.close()
for name in ["shutdown", "debug_info", "number_of_objects", "get_methods"]:
    print(error_of(ask, name))
for name in ["#GETVALUE", "__str__", "__repr__", "__class__", "_core", "batch", "put_nowait"]:
    print(error_of(tasks._callmethod, name))
print(error_of(ask, "create", "get_task_queue", 1))
print(error_of(ask, "create", "dict"))
print(error_of(ask, "dummy"))
print(tasks.qsize())
"""


@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_the_rest_of_the_stock_server_is_not_served(server, version):
    said = run(NOT_SERVED, server.port, python=find_python(version))
    assert [line.split(":")[0] for line in said[:4]] == ["ValueError"] * 4
    assert "does not serve 'shutdown'" in said[0]
    assert [line.split(":")[0] for line in said[4:11]] == ["AttributeError"] * 7
    assert all(
        line.startswith("ValueError: this manager has get_task_queue") for line in said[11:13]
    )
    assert said[13:] == ["None", "0"]


def test_many_clients_put_and_take_at_once_and_each_call_is_taken_once(server):
    taken: list[int] = []
    errors: list[BaseException] = []

    def put() -> None:
        tasks = in_process(server.port).get_task_queue()
        for n in range(60):
            tasks.put(("m:f", (n,)))

    def take() -> None:
        try:
            tasks = in_process(server.port).get_task_queue()
            while True:
                taken.append(tasks.get(timeout=2)[0])
                results.append(None)
        except queue.Empty:
            pass
        except BaseException as error:
            errors.append(error)

    results: list = []
    threads = [threading.Thread(target=role) for role in (put, put, take, take, take)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert errors == []
    # What a taker held came back when its connection closed, so that it may have been taken again.
    assert set(taken) == set(range(120))


def test_results_are_read_while_they_are_being_recorded(server, node):
    """One that is recorded but not journalled yet is there, or it is not; it is no error."""
    node()
    manager = in_process(server.port)
    tasks, results = manager.get_task_queue(), manager.get_result_dict()
    for n in range(150):
        task = tasks.put(("math:factorial", (n,)))
        while True:
            try:
                results[task]
            except KeyError:
                continue
            break
    assert len(results) == 150


def test_calls_and_results_are_there_after_a_restart(data):
    server = ServerThread(data)
    try:
        manager = in_process(server.port)
        tasks, results = manager.get_task_queue(), manager.get_result_dict()
        done, taken, waiting = (tasks.put(("m:f", (n,))) for n in range(3))
        results[done] = {"a": 1}
        popped = tasks.put(("m:f", (3,)))
        results[popped] = 1
        assert results.pop(popped) == 1
        assert tasks.get()[0] == taken
        server.stop()
        del manager, tasks, results
        let_go()  # as long as one of them lives, the library keeps to the connection that is lost
        server.start()
        manager = in_process(server.port, KEY)
        tasks, results = manager.get_task_queue(), manager.get_result_dict()
        assert results[done] == {"a": 1}
        assert popped not in results
        assert results.keys() == [done]
        assert [tasks.get()[:3] for _ in range(2)] == [
            (taken, "m:f", (1,)), (waiting, "m:f", (2,)),
        ]  # fmt: skip
        assert tasks.put(("m:f",)) == 4
    finally:
        server.stop()


def test_a_popped_result_does_not_stop_who_reads_the_whole_queue(server, session):
    manager = in_process(server.port)
    tasks, results = manager.get_task_queue(), manager.get_result_dict()
    for n in range(3):
        results[tasks.put(("m:f", (n,)))] = n
    assert results.pop(1) == 1
    assert [outcome.value for outcome in session.batch("queue").recorded()] == [0, None, 2]


def test_a_result_that_is_no_builtin_is_kept_for_who_can_read_it(server, node, session):
    node()
    manager = in_process(server.port)
    task = manager.get_task_queue().put(("decimal:Decimal", ("1.5",)))
    results = manager.get_result_dict()
    assert results.wait(task, PATIENCE)
    for read in (results.__getitem__, results.pop):
        with pytest.raises(TypeError, match="is not of a builtin value"):
            read(task)
    assert str(session.batch("queue")[task]) == "1.5"
