"""Every message about the options of a batch file, or of a call, word for word."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from farm.batch.loader import load_options
from farm.errors import BatchFileError, UsageError

Complaints = Callable[..., list[str]]

TIMEOUT = (
    "`timeout` must be seconds greater than 0, or a text such as 30s, 1.5m, 1h30m, 2d or 500ms"
)
RETRIES = (
    "`retries` must be a whole number from 0 to 1000, "
    "or a mapping with max, delay, backoff and jitter"
)
DELAY = "`delay` must be seconds from 0 to 86400 (1 day), or a text such as 500ms, 1s or 1m30s"
RERUN = (
    "`retries` and `rerun: false` exclude each other: "
    "tasks that must not run twice have no retries; take one of them away"
)

OPTIONS = [
    (
        "command: x\noptions: {priority: -1001}",
        "2:21: `priority` must be a whole number from -1000 to 1000, not -1001",
    ),
    *(
        (f"command: x\noptions: {{retries: {wrong}}}", f"2:20: {RETRIES}, not {shown}")
        for wrong, shown in [
            ("'3'", "the text '3' (without quotes it would be a number)"),
            ("true", "true"),
            ("1001", "1001"),
            ("-1", "-1"),
            ("1.5", "1.5"),
            ("", "nothing"),
            ("[1]", "a list"),
        ]
    ),
    *(
        (f"command: x\noptions: {{retries: {{{wrong}}}}}", f"2:{column}: {message}")
        for wrong, column, message in [
            ("", 20, "`retries` needs `max`: a whole number from 0 to 1000"),
            ("delay: 1s", 20, "`retries` needs `max`: a whole number from 0 to 1000"),
            ("mx: 3", 21, "there is no `mx` in `retries`; did you mean `max`?"),
            ("max: 3, dely: 1s", 29, "there is no `dely` in `retries`; did you mean `delay`?"),
            (
                "max: 3, factor: 2",
                29,
                "there is no `factor` in `retries`; known are max, delay, backoff or jitter",
            ),
            ("max: 3, rate: 2", 29, "there is no `rate` in `retries`; it belongs under `options`"),
            ("max: 3, 5: 2", 29, "YAML takes the key `5` for 5; put it in quotes"),
            ("max: -1", 26, "`max` must be a whole number from 0 to 1000, not -1"),
            ("max: 3, delay: 25h", 36, f"{DELAY}, not the text '25h'"),
            ("max: 3, delay: -1", 36, f"{DELAY}, not -1"),
            ("max: 3, delay: 86400.5", 36, f"{DELAY}, not 86400.5"),
            ("max: 3, delay: ", 36, f"{DELAY}, not nothing"),
            ("max: 3, backoff: 0.5", 38, "`backoff` must be a number from 1 to 100, not 0.5"),
            ("max: 3, backoff: 101", 38, "`backoff` must be a number from 1 to 100, not 101"),
            ("max: 3, backoff: .nan", 38, "`backoff` must be a number from 1 to 100, not nan"),
            ("max: 3, jitter: 1.1", 37, "`jitter` must be a number from 0 to 1, not 1.1"),
            ("max: 3, jitter: true", 37, "`jitter` must be a number from 0 to 1, not true"),
        ]
    ),
    (
        "command: x\noptions: {delay: 1s}",
        "2:11: there is no `delay` in `options`; it belongs under `retries`",
    ),
    ("command: x\nrate: 5/s", "2:1: there is no `rate`; it belongs under `options`"),
    *(
        (f"command: x\noptions: {{{name}: {wrong}}}", f"2:{13 + len(name)}: {message}, not {shown}")
        for name, message, examples in [
            (
                "crash_limit",
                "`crash_limit` must be a whole number from 1 to 100",
                [("0", "0"), ("101", "101"), ("2.5", "2.5"), ("", "nothing")],
            ),
            (
                "max_failures",
                "`max_failures` must be a whole number of tasks from 0, "
                "or a text from 0% to 100% such as 5% or 0.5%",
                [
                    ("-1", "-1"),
                    ("0.5", "0.5"),
                    ("true", "true"),
                    ("101%", "the text '101%'"),
                    ("-5%", "the text '-5%'"),
                    ("5 %", "the text '5 %'"),
                    ("9223372036854775808", "9223372036854775808"),
                ],
            ),
            ("rerun", "`rerun` must be true or false", [("0", "0"), ("", "nothing")]),
            (
                "max_parallel",
                "`max_parallel` must be a whole number from 1",
                [("0", "0"), ("1.5", "1.5"), ("many", "the text 'many'")],
            ),
            (
                "rate",
                "`rate` must be tasks a second, above 0 and at most 1000000, "
                "or a text such as 5/s, 100/m or 1000/h",
                [
                    ("0", "0"),
                    ("-1", "-1"),
                    ("true", "true"),
                    (".nan", "nan"),
                    ("1000001", "1000001"),
                    ("0/s", "the text '0/s'"),
                    ("5/d", "the text '5/d'"),
                    ("/s", "the text '/s'"),
                    ("'5'", "the text '5' (without quotes it would be a number)"),
                    ("60000001/m", "the text '60000001/m'"),
                ],
            ),
            (
                "memory",
                "`memory` must be at least 1MB: a text such as 512MB or 2GiB "
                "(units kB, MB, GB, TB, KiB, MiB, GiB, TiB), or a whole number of bytes",
                [
                    ("512", "512"),
                    ("999999", "999999"),
                    ("999kB", "the text '999kB'"),
                    ("512mb", "the text '512mb'"),
                    ("512 MB", "the text '512 MB'"),
                    ("2.5e+9", "2500000000.0"),
                    ("9e+9TB", "the text '9e+9TB'"),
                    ("99999999TB", "the text '99999999TB'"),
                ],
            ),
        ]
        for wrong, shown in examples
    ),
    *(
        (f"command: x\noptions: {{{wrong}}}", f"2:{column}: {RERUN}")
        for wrong, column in [
            ("retries: 1, rerun: false", 11),
            ("rerun: false, retries: {max: 2, delay: 1s}", 25),
        ]
    ),
    *(
        (f"command: x\noptions: {{timeout: {wrong}}}", f"2:20: {TIMEOUT}, not {shown}")
        for wrong, shown in [
            ("0", "0"),
            ("-1", "-1"),
            ("true", "true"),
            (".inf", "inf"),
            ("1" + "0" * 400, "1" + "0" * 56 + "..."),
            ("0s", "the text '0s'"),
            ("5x", "the text '5x'"),
            ("5 s", "the text '5 s'"),
            ("1m1h", "the text '1m1h'"),
            ("s", "the text 's'"),
            ("2024-01-01", "the date 2024-01-01"),
        ]
    ),
]


@pytest.mark.parametrize(("text", "message"), OPTIONS)
def test_options(complaints: Complaints, text: str, message: str) -> None:
    assert complaints(text) == [f"b.yaml:{message}"]


def test_options_at_once_with_those_that_exclude_each_other(complaints: Complaints) -> None:
    text = """\
command: echo {x}
options:
  rerun: false
  retries:
    max: 3
  rate: fast
"""
    found = complaints(text, "options.memory=12")
    assert [line.split(": ")[0] for line in found] == [
        "b.yaml:1:10",
        "b.yaml:4:3",
        "b.yaml:6:9",
        "--set options.memory=12",
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("options.retries.delay=1s", "`retries` needs `max`: a whole number from 0 to 1000"),
        ("options.retries.max=x", "`max` must be a whole number from 0 to 1000, not the text 'x'"),
        ("options.retries.mx=5", "there is no `mx` in `retries`; did you mean `max`?"),
    ],
)
def test_retries_that_are_set_wrong(complaints: Complaints, override: str, message: str) -> None:
    assert complaints("command: x", override) == [f"--set {override}: {message}"]


def test_options_of_a_call_that_are_wrong_are_named(complaints: Complaints) -> None:
    more = {"retries": {"max": 3, "delay": "long"}, "rat": 5}
    assert complaints("command: [1]", options=more) == [
        "b.yaml:1:11: each argument of `command` must be a text, not 1; put it in quotes",
        f"options.retries: {DELAY}, not the text 'long'",
        "options.rat: there is no `rat` in `options`; did you mean `rate`?",
    ]
    message = "b.yaml:2:10: `options` must be a mapping, not 5"
    assert complaints("command: x\noptions: 5", options=more) == [message]


def test_options_without_a_file_have_the_same_messages() -> None:
    with pytest.raises(UsageError) as caught:
        load_options({"retries": {"max": 3, "delay": "long"}, "memory": 512, "rerun": False})
    assert not isinstance(caught.value, BatchFileError)
    delay, memory = str(caught.value).splitlines()
    assert delay == f"options.retries: {DELAY}, not the text 'long'"
    assert memory.startswith("options.memory: `memory` must be at least 1MB: a text such as")
    with pytest.raises(UsageError) as caught:
        load_options({"retries": 1, "rerun": False})
    assert str(caught.value) == f"options.retries: {RERUN}"
