"""What tasks give back: values in order, times, kinds of calls, failures of single tasks."""

import functools
import multiprocessing
import pickle
import sys
from array import array

import cloudpickle
import pytest
from engine_driver import accounted, failures, lost, results

from farm.batch import space, spec
from farm.engines.base import Block, Chunk, Ended, Part, Program
from farm.engines.watch import PlainWatch

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def test_results_come_in_order_and_each_chunk_ends_once(make_driver):
    driver = make_driver(2)
    batch = driver.program("square", 10_000)
    events = driver.run_all(batch, 10_000, 700)
    assert results(events) == {index: index * index for index in range(10_000)}
    assert lost(events) == []
    assert sum(isinstance(event, Ended) for event in events) == 15


def test_every_task_is_timed(driver):
    events = driver.run(driver.program("seconds", 3), 0, 3)
    times = array("f")
    for part in events:
        if isinstance(part, Part):
            times.frombytes(part.seconds)
    assert len(times) == 3
    assert 0.1 <= times[1] < 5
    assert max(times[0], times[2]) < times[1]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("square", [0, 1, 4]),
        ("later", [1, 2, 3]),
        ("Doubler", [0, 2, 4]),
        ("AsyncDoubler", [0, 2, 4]),
        ("Thread", [(0, True), (1, True), (2, True)]),
    ],
)
def test_functions_coroutines_and_classes(driver, call, expected):
    assert list(results(driver.run(driver.program(call, 3), 0, 3)).values()) == expected


def test_what_a_coroutine_leaves_running_is_cancelled(driver):
    events = driver.run(driver.program("leave_behind", 4), 0, 4)
    assert set(results(events).values()) == {1}


def test_a_process_subclass_runs_in_the_slot_itself(driver):
    (slot,) = driver.engine.pids
    assert results(driver.run(driver.program("Process", 1), 0, 1)) == {0: (0, slot, slot)}


def test_a_callable_sent_by_value_returns_objects_of_the_caller(driver):
    class Point:
        def __init__(self, x):
            self.x = x

    call = spec.PickledCall(cloudpickle.dumps(lambda index: Point(index)), "lambda", HERE)
    found = results(driver.run(driver.program(call, 2, code=""), 0, 2))
    assert [type(point) is Point and point.x for point in found.values()] == [0, 1]


def test_a_callable_of_another_python_is_not_tried(driver):
    call = spec.PickledCall(cloudpickle.dumps(lambda index: index), "<lambda>", "2.7")
    failed = failures(driver.run(driver.program(call, 2, code=""), 0, 2))
    assert set(failed) == {0, 1}
    assert f"from Python 2.7; this node runs {HERE}" in failed[0].message


def test_a_class_sent_by_value_without_run_is_just_called(driver):
    call = spec.PickledCall(cloudpickle.dumps(complex), "complex", HERE)
    batch = driver.program(call, code="")
    assert results(driver.run(batch, 0, 1, [((1, 2), {})])) == {0: 1 + 2j}


def test_a_partial_of_a_coroutine_function_is_awaited(driver):
    async def add(first, index):
        return first + index

    call = spec.PickledCall(cloudpickle.dumps(functools.partial(add, 10)), "add", HERE)
    assert results(driver.run(driver.program(call, 2, code=""), 0, 2)) == {0: 10, 1: 11}


def test_blocks_bring_arguments(driver):
    batch = driver.program("block_item")
    items = [((index,), {"second": 100}) for index in range(50, 80)]
    found = results(driver.run(batch, 50, 80, items))
    assert found == {index: index + 100 for index in range(50, 80)}


def test_chunks_of_one_block_send_it_once(driver):
    batch = driver.program("block_item")
    first = driver.submit(batch, 0, 4, [((index,), {}) for index in range(4)])
    driver.finish()
    parts = [Chunk(100, batch, 0, 1, first.block), Chunk(101, batch, 1, 4, first.block)]
    sent = []
    (slot,) = driver.engine._slots.values()
    send = slot.pipe.send
    slot.pipe.send = lambda data: (sent.append(len(data)), send(data))
    for part in parts:
        driver.engine.submit(part)
        assert set(results(driver.finish())) == set(range(part.start, part.stop))
    assert len(sent) == 2  # two messages to run, none with a block


def test_a_block_that_does_not_hold_the_indices_fails_them(driver):
    batch = driver.program("block_item")
    events = driver.run(batch, 0, 3, [((1,), {})])
    assert {failure.type_name for failure in failures(events).values()} == {"BlockError"}
    assert sorted(failures(events))[-2:] == [1, 2]
    accounted(events, 0, 3)


def test_a_block_that_cannot_be_unpickled_fails_its_tasks(driver):
    batch = driver.program("block_item")
    chunk = driver.submit(batch, 0, 2, None, block=Block(0, 2, b"\x80\x05cno_such_module\nname\n."))
    events = driver.finish()
    assert chunk.id == events[-1].chunk
    messages = [failure.message for failure in failures(events).values()]
    assert len(messages) == 2
    assert all("cannot be unpickled" in m and "no_such_module" in m for m in messages)


def test_each_item_of_a_queue_brings_its_own_call(driver):
    batch = driver.program(spec.QueueCall(), code="")
    items = [
        ("math:factorial", (5,), {}),
        ("math:no", (), {}),
        ("builtins:int", ("ff",), {"base": 16}),
    ]
    events = driver.run(batch, 0, 3, items)
    assert results(events) == {0: 120, 2: 255}
    assert "has no function 'no'" in failures(events)[1].message


def test_exceptions_fail_their_task_alone(driver):
    events = driver.run(driver.program("raising", 10), 0, 10)
    assert results(events) == {index: index for index in (0, 1, 2, 8, 9)}
    failed = failures(events)
    assert [failed[index].type_name for index in (3, 4, 5, 6, 7)] == [
        "ValueError",
        "SystemExit",
        "KeyboardInterrupt",
        "Odd",
        "RuntimeError",
    ]
    assert {failure.kind for failure in failed.values()} == {"error"}
    assert failed[3].message == "bad 3"
    assert 'raise ValueError(f"bad {index}")' in failed[3].traceback
    assert "farm/engines" not in failed[3].traceback.replace("tests/integration/farm", "")


def test_an_exception_travels_if_it_survives_it(driver):
    failed = failures(driver.run(driver.program("raising", 10), 3, 8))
    assert repr(pickle.loads(failed[3].exception)) == "ValueError('bad 3')"
    assert failed[6].exception is None  # its constructor wants two arguments
    assert failed[7].exception is None  # larger than 1 MiB
    assert len(failed[7].message) <= 64 << 10
    assert len(failed[7].traceback) <= 256 << 10
    assert "bytes cut" in failed[7].message


def test_a_result_that_cannot_be_pickled_fails_alone(driver):
    events = driver.run(driver.program("unpicklable", 100), 0, 100)
    failed = failures(events)
    assert sorted(failed) == list(range(2, 100, 5))
    assert {failure.kind for failure in failed.values()} == {"unpicklable"}
    assert "a dict, cannot be pickled" in failed[2].message
    assert "lock" in failed[2].message
    assert "return plain values" in failed[2].message
    accounted(events, 0, 100)


def test_large_results_are_split_and_too_large_ones_fail(driver):
    batch = driver.program("large", 100)
    events = driver.run(batch, 0, 9)
    assert {index: len(value) >> 20 for index, value in results(events).items()} == {
        index: index for index in range(9)
    }
    parts = [part for part in events if isinstance(part, Part)]
    assert all(len(part.payload) <= 8 << 20 or part.stop - part.start == 1 for part in parts)
    (failure,) = failures(driver.run(batch, 61, 62)).values()
    assert (failure.kind, failure.type_name) == ("error", "ResultTooLarge")
    assert "61.0 MiB" in failure.message
    assert "60 MiB" in failure.message
    assert len(results(driver.run(batch, 59, 60))[59]) == 59 << 20


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("engine_tasks:sqare", ["has no function 'sqare'", "did you mean 'square'", "tasks_a"]),
        (
            "engine_task:square",
            ["no module 'engine_task'", "did you mean 'engine_tasks'", "tasks_a"],
        ),
        ("engine_tasks:NoRun", ["has no method run()"]),
        ("engine_tasks:not_callable", ["is a int, not a function"]),
        ("engine_tasks", ["not of the form module:function"]),
    ],
)
def test_what_cannot_be_resolved_fails_every_task_and_says_why(driver, target, says):
    batch = driver.program(spec.PythonCall(target), 5)
    events = driver.run(batch, 0, 5)
    failed = failures(events)
    assert sorted(failed) == [0, 1, 2, 3, 4]
    for text in says:
        assert text in failed[4].message
    assert lost(events) == []


def test_a_module_that_fails_to_import_is_named(driver, tmp_path):
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    encoded = spec.encode(
        spec.Spec("t", spec.PythonCall("broken_module:f"), space=space.counted(1).to_document())
    )
    driver.engine.add_program(Program(500, encoded, "x", str(tmp_path)))
    (failure,) = failures(driver.run(500, 0, 1)).values()
    assert "importing the module 'broken_module' failed: ZeroDivisionError" in failure.message
    assert "1 / 0" in failure.traceback


def test_wrong_parameters_fail_as_errors(driver):
    batch = driver.program("square", space.listed([{"indx": 1}]))
    (failure,) = failures(driver.run(batch, 0, 1)).values()
    assert failure.type_name == "TypeError"
    assert "indx" in failure.message


def test_a_chunk_beyond_the_space_fails(driver):
    events = driver.run(driver.program("square", 3), 2, 5)
    assert sorted(failures(events)) == [3, 4]
    assert "[3, 5)" in failures(events)[3].message
    accounted(events, 2, 5)


def test_sixteen_programs_are_kept_and_others_are_sent_again(driver):
    batches = [driver.program("square", 100) for _ in range(40)]
    for at in range(3):
        for batch in batches:
            assert results(driver.run(batch, at, at + 1)) == {at: at * at}
    (slot,) = driver.engine._slots.values()
    assert len(slot._programs) == 16


def test_a_dropped_program_is_unknown_but_what_was_submitted_runs(driver):
    batch = driver.program("square", 10)
    driver.submit(batch, 0, 10)
    driver.engine.drop_program(batch)
    assert len(results(driver.finish())) == 10
    with pytest.raises(ValueError, match="has not been added"):
        driver.submit(batch, 0, 1)


def test_submit_refuses_what_no_slot_takes(driver):
    batch = driver.program("square", 10)
    with pytest.raises(ValueError, match="empty"):
        driver.submit(batch, 3, 3)
    with pytest.raises(ValueError, match="no slot"):
        driver.submit(batch, 0, 1, ahead=True)
    driver.submit(batch, 0, 1)
    with pytest.raises(ValueError, match="no slot"):
        driver.submit(batch, 1, 2)
    assert driver.engine.ahead == 1
    driver.submit(batch, 1, 2, ahead=True)
    assert (driver.engine.idle, driver.engine.ahead, len(driver.engine.running)) == (0, 0, 2)
    assert sorted(results(driver.finish())) == [0, 1]


def test_a_spec_that_cannot_be_decoded_is_refused(driver):
    with pytest.raises(ValueError, match="batch 7"):
        driver.engine.add_program(Program(7, b"junk"))


def test_slots_know_the_owners_environment_and_path(driver, monkeypatch, make_driver):
    monkeypatch.setenv("FARM_TEST_VALUE", "new")
    late = make_driver(1)
    names = space.listed([{"index": 0, "name": "FARM_TEST_VALUE"}])
    assert results(late.run(late.program("environment", names), 0, 1)) == {0: "new"}
    assert results(driver.run(driver.program("environment", names), 0, 1)) == {0: None}


def test_a_block_larger_than_any_socket_buffer_arrives(driver):
    driver.submit(driver.program("seconds", 2), 0, 2)
    items = [((bytes(4_000_000),), {"second": b"x"}) for _ in range(6)]
    driver.submit(driver.program("block_item"), 10, 16, items, ahead=True)
    found = results(driver.finish())
    assert [len(found[index]) for index in range(10, 16)] == [4_000_001] * 6


def test_where_there_is_no_fork_server_slots_are_spawned(monkeypatch, make_driver):
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    monkeypatch.setattr("farm.engines.processes.make_watch", PlainWatch)
    driver = make_driver(2)
    assert results(driver.run(driver.program("standard", 1), 0, 1)) == {0: ("", b"", True)}
    items = [((bytes(4_000_000),), {"second": b"x"})]
    assert len(results(driver.run(driver.program("block_item"), 0, 1, items))[0]) == 4_000_001
    events = driver.run(driver.program("exit_at_two", 3), 0, 3)
    assert failures(events)[2].kind == "crash"
    assert results(driver.run(driver.program("square", 3), 2, 3)) == {2: 4}
    driver.engine.stop()
    assert driver.engine.pids == []
