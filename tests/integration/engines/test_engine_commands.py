"""Shell commands as tasks."""

import os
import time

import pytest
from engine_driver import failures, group_members, results, wait_until

from farm.batch import space, spec

pytestmark = pytest.mark.skipif(os.name != "posix", reason="commands of a POSIX shell")


def command(driver, template, points=1, **options):
    """Run a command for each point; events."""
    if isinstance(points, int):
        points = space.counted(points)
    return driver.run(
        driver.program(spec.CommandCall(template), points, code="", **options), 0, len(points)
    )


def test_a_text_runs_in_the_shell_with_quoted_values(driver):
    points = space.listed([{"word": "a b; echo no"}, {"word": "$HOME"}])
    found = results(command(driver, "echo {word} {index} | tr a-z A-Z; echo warned >&2", points))
    assert found == {
        0: {"exit_code": 0, "stdout": "A B; ECHO NO 0\n", "stderr": "warned\n"},
        1: {"exit_code": 0, "stdout": "$HOME 1\n", "stderr": "warned\n"},
    }


def test_a_list_runs_without_a_shell(driver):
    found = results(command(driver, ["echo", "{index}", "$HOME;"], 2))
    assert [each["stdout"] for each in found.values()] == ["0 $HOME;\n", "1 $HOME;\n"]


def test_a_failed_command_says_how(driver):
    events = command(driver, "echo out; echo first >&2; echo last line >&2; exit 3")
    (failure,) = failures(events).values()
    assert (failure.kind, failure.type_name) == ("error", "CommandError")
    assert failure.message == "exit code 3: last line"
    for text in ("exit code 3", "--- stdout ---\nout\n", "--- stderr ---\nfirst\nlast line\n"):
        assert text in failure.traceback


def test_a_command_killed_by_a_signal_names_it(driver):
    (failure,) = failures(command(driver, "kill -SEGV $$")).values()
    assert failure.message == "killed by SIGSEGV"


def test_a_command_that_cannot_be_started_says_why(driver):
    (failure,) = failures(command(driver, ["/no/such/program", "x"])).values()
    assert failure.type_name == "CommandError"
    assert "cannot start '/no/such/program'" in failure.message
    assert "No such file" in failure.message


def test_output_that_is_not_utf8_is_replaced(driver):
    found = results(command(driver, r"printf 'a\377b'"))
    assert found[0]["stdout"] == "a\ufffdb"


def test_long_output_keeps_head_and_tail(driver):
    found = results(
        command(driver, "echo begin; head -c 40000000 /dev/zero | tr '\\0' x; echo; echo end")
    )
    text = found[0]["stdout"]
    assert text.startswith("begin\nxxx")
    assert text.endswith("xxx\nend\n")
    assert "bytes cut" in text
    assert len(text) <= (16 << 20) + 100


def test_standard_input_is_empty(driver):
    assert results(command(driver, "cat; echo done"))[0]["stdout"] == "done\n"


def test_what_a_command_leaves_in_the_background_is_not_waited_for(driver):
    (slot,) = driver.engine.pids
    began = time.monotonic()
    found = results(command(driver, "sleep 100 & echo started"))
    assert found[0]["stdout"] == "started\n"
    assert time.monotonic() - began < 10
    assert len(group_members(slot)) == 2
    driver.engine.stop()
    wait_until(lambda: group_members(slot) == [])


def test_a_command_may_take_its_arguments_from_a_block(driver):
    batch = driver.program(spec.CommandCall("echo {word} {index} {batch}"), code="")
    found = results(driver.run(batch, 7, 9, [((), {"word": "x"}), ((), {"word": "y"})]))
    assert [each["stdout"] for each in found.values()] == [f"x 7 {batch}\n", f"y 8 {batch}\n"]


def test_a_value_that_cannot_be_rendered_fails_its_task(driver):
    points = space.listed([{"word": "a\0b"}, {"word": "fine"}])
    events = command(driver, "echo {word}", points)
    assert "NUL" in failures(events)[0].message
    assert results(events)[1]["stdout"] == "fine\n"
