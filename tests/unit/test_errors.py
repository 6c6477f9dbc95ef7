"""The tree of errors."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

import farm
from farm import errors
from farm.errors import ConfigError, UsageError, WaitTimeoutError, telling


def all_errors() -> list[type[errors.FarmError]]:
    found, waiting = [], [errors.FarmError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += [sub for sub in kind.__subclasses__() if sub.__module__ == errors.__name__]
    return found


EXAMPLES = [
    errors.BatchFileError([errors.Problem("a.yaml:1:2", "no")]),
    errors.RequestError("code", "text"),
    errors.TaskError(3, "error", "ValueError", "no", "Traceback"),
    *(
        kind("text")
        for kind in all_errors()
        if kind not in (errors.BatchFileError, errors.RequestError, errors.TaskError)
    ),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("twin_of", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_errors_travel_between_processes(error, twin_of):
    twin = twin_of(error)
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)


def test_every_error_is_an_example_here_and_public():
    assert {type(error) for error in EXAMPLES} == set(all_errors())
    assert {kind.__name__ for kind in all_errors()} <= set(farm.__all__)


@pytest.mark.parametrize(
    ("kind", "code"),
    [(errors.FarmError, 1), (errors.TaskError, 1), (errors.UsageError, 2),
     (errors.BatchFileError, 2), (errors.ConfigError, 2), (errors.UnknownBatchError, 2),
     (errors.JournalError, 2), (errors.AddressError, 2), (errors.ServerUnreachableError, 3),
     (errors.NotAuthorisedError, 4)],
)  # fmt: skip
def test_exit_codes(kind, code):
    assert kind.exit_code == code


def test_a_wait_that_was_too_long_is_a_timeout_of_the_language_too():
    assert issubclass(errors.WaitTimeoutError, TimeoutError)


def test_what_a_failed_task_says():
    error = errors.TaskError(3, "crash", "", "SIGKILL")
    assert str(error) == "task 3 failed (crash): SIGKILL"
    assert "ValueError: no" in str(errors.TaskError(3, "error", "ValueError", "no"))


def test_public_names_are_found_and_others_are_not():
    for name in farm.__all__:
        assert getattr(farm, name) is not None
    assert dir(farm) == sorted(farm.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = farm.nothing


def test_what_the_system_says_of_a_file_is_told_in_its_words(tmp_path):
    for exactly, named in ((False, "the list"), (True, tmp_path / "x")):
        with (
            pytest.raises(ConfigError, match=rf"^cannot use {named}: No such file or directory$"),
            telling(ConfigError, "cannot use", Path("the list"), exactly=exactly),
        ):
            (tmp_path / "x").read_bytes()


def test_an_error_of_the_tree_stays_what_it_is():
    """Though one of them is an OSError, too."""
    assert issubclass(WaitTimeoutError, OSError)
    with pytest.raises(WaitTimeoutError), telling(UsageError, "cannot write", Path("out")):
        raise WaitTimeoutError("too long")
