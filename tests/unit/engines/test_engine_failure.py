"""Exceptions to bounded text, and to pickles that can be read again."""

import pickle
import sys

from hypothesis import given
from hypothesis import strategies as st

from farm.engines.exits import BROKEN, crash_text, exit_text
from farm.engines.failure import CallError, clip, describe


@given(st.text(max_size=400), st.integers(100, 300))
def test_clipped_text_fits_and_keeps_both_ends(text, limit):
    clipped = clip(text, limit)
    assert len(clipped.encode()) <= limit
    if len(text.encode()) <= limit:
        assert clipped == text
    else:
        assert "bytes cut" in clipped
        assert clipped[:5] == text[:5]
        assert clipped[-5:] == text[-5:]


def test_lone_surrogates_become_text_that_can_travel():
    assert clip("a\udcff", 100) == "a\\udcff"


class Mute(Exception):
    def __str__(self):
        raise ValueError("no text")


class Leaving(Exception):
    """Ends the process if it is let."""

    def __str__(self):
        sys.exit("no text")

    def __reduce__(self):
        sys.exit("no pickle")


class Twofaced(Exception):
    def __reduce__(self):
        return (int, ("not a number",))


def test_an_exception_without_text_is_described():
    failure = describe(Mute(), 3, 4)
    assert (failure.start, failure.stop, failure.type_name) == (3, 4, "Mute")
    assert "ValueError" in failure.message


def test_an_exception_that_ends_the_process_when_looked_at_is_described():
    failure = describe(Leaving(), 3, 4)
    assert (failure.type_name, failure.exception) == ("Leaving", None)
    assert "SystemExit" in failure.message


def test_an_exception_travels_only_if_it_can_be_read_again():
    assert repr(pickle.loads(describe(KeyError("k"), 0, 1).exception)) == "KeyError('k')"
    assert describe(Twofaced(), 0, 1).exception is None


def test_a_call_that_could_not_be_made_has_no_exception():
    failure = describe(CallError("ResolveError", "no such thing", "report"), 0, 9)
    assert (failure.type_name, failure.message, failure.traceback, failure.exception) == (
        "ResolveError",
        "no such thing",
        "report",
        None,
    )


def test_ends_of_processes_in_words():
    assert exit_text(3) == "exit code 3"
    assert exit_text(-9) == "killed by SIGKILL"
    assert exit_text(-1000) == "killed by signal 1000"
    assert "memory" in crash_text(-9)
    assert "memory" not in crash_text(-15)
    assert "the task ended its process" in crash_text(3)
    assert "signal handler" in crash_text(BROKEN)
