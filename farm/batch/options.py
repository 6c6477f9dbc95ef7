"""The ``options`` of a batch file: their types, their JSON schema, and what they become.

Apart from `model.py` because a session takes the same options for a function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from farm.batch import quantities
from farm.batch.parts import Part
from farm.batch.spec import MAX_DELAY, MAX_RATE, Options

MAX_RETRIES = 1000
MIN_MEMORY = 1_000_000
"""Bytes; less is a number whose unit was forgotten."""

_MAX_INT = 2**63 - 1  # what a journal and msgpack can hold
_DURATION: dict[str, Any] = {"type": "string", "pattern": r"^([0-9.]+(d|h|ms|m|s))+$"}


def _within(
    parse: Callable[[Any], float], least: float, most: float, *, above: bool = False
) -> Callable[[Any], float]:
    """A parser that refuses what is out of bounds (and the lower one too, if ``above``)."""

    def bounded(value: Any) -> float:
        number = parse(value)
        if not least <= number <= most or (above and number == least):
            raise ValueError("out of bounds")
        return number

    return bounded


def _failures(value: Any) -> int | float:
    """A number of tasks as an int, or a share of them as a float."""
    if type(value) is int and 0 <= value <= _MAX_INT:
        return value
    return quantities.share(value)


def _no_wait(value: Any) -> Any:
    """A plain number of retries as the mapping it stands for."""
    return value if isinstance(value, dict) else {"max": value, "backoff": 1.0, "jitter": 0.0}


Seconds = Annotated[
    float,
    BeforeValidator(_within(quantities.seconds, 0, float("inf"), above=True)),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, _DURATION]}),
]
Delay = Annotated[
    float,
    BeforeValidator(_within(quantities.seconds, 0, MAX_DELAY)),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": MAX_DELAY}, _DURATION]}),
]
Failures = Annotated[
    int | float,
    PlainValidator(_failures),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": quantities.SHARE_PATTERN},
            ]
        }
    ),
]
Rate = Annotated[
    float,
    BeforeValidator(_within(quantities.rate, 0, MAX_RATE, above=True)),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_RATE},
                {"type": "string", "pattern": quantities.RATE_PATTERN},
            ]
        }
    ),
]
Memory = Annotated[
    int,
    BeforeValidator(_within(quantities.size, MIN_MEMORY, _MAX_INT)),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": MIN_MEMORY},
                {"type": "string", "pattern": quantities.SIZE_PATTERN},
            ]
        }
    ),
]


class RetriesFields(Part):
    """Further attempts after a failed one, and how long each of them waits."""

    max: Annotated[int, Field(ge=0, le=MAX_RETRIES)] = Field(
        description="Further attempts after a failed one."
    )
    delay: Delay = Field(
        default=0.0, description="Before the first retry: seconds, or text such as 1s or 500ms."
    )
    backoff: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] = Field(
        default=2.0, description="Each further retry waits so many times as long as the last."
    )
    jitter: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        default=0.1, description="Delays are varied at random by up to this share of them."
    )


Retries = Annotated[
    RetriesFields,
    BeforeValidator(_no_wait),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MAX_RETRIES},
                RetriesFields.model_json_schema(),
            ],
            "default": 0,
        }
    ),
]


class OptionsFields(Part):
    """How the tasks are run."""

    retries: Retries = Field(
        default_factory=lambda: RetriesFields(max=0, backoff=1.0, jitter=0.0),
        description="Further attempts after a failed one; a mapping to wait before them.",
    )
    timeout: Seconds | None = Field(
        default=None,
        description="How long an attempt may take: seconds, or text such as 30s, 1.5m, 1h30m, 2d.",
    )
    priority: Annotated[int, Field(ge=-1000, le=1000)] = Field(
        default=0, description="Batches of a higher priority are served first."
    )
    crash_limit: Annotated[int, Field(ge=1, le=100)] = Field(
        default=3, description="So many dead processes, and the task that ran in them has failed."
    )
    max_failures: Failures | None = Field(
        default=None,
        description="The batch is stopped when more tasks have failed: a number, or text such as "
        "5% of all tasks.",
    )
    rerun: bool = Field(
        default=True,
        description="false for tasks that must not run twice; one that may have run when its "
        "process or node was lost has then failed.",
    )
    max_parallel: Annotated[int, Field(ge=1, le=_MAX_INT)] | None = Field(
        default=None, description="So many tasks of the batch run at a time on the whole farm."
    )
    rate: Rate | None = Field(
        default=None,
        description="So many tasks of the batch begin in a second on the whole farm, or text such "
        "as 5/s, 100/m or 1000/h.",
    )
    memory: Memory | None = Field(
        default=None,
        description="What the process of a task may allocate: text such as 512MB or 2GiB, or "
        "bytes.",
    )

    def as_sent(self) -> Options:
        """The options as they travel."""
        retries, failures = self.retries, self.max_failures
        return Options(
            retries=retries.max,
            timeout=self.timeout,
            priority=self.priority,
            delay=retries.delay,
            backoff=retries.backoff,
            jitter=retries.jitter,
            crash_limit=self.crash_limit,
            max_failures=failures if isinstance(failures, int) else None,
            max_failure_share=failures if isinstance(failures, float) else None,
            rerun=self.rerun,
            max_parallel=self.max_parallel,
            rate=self.rate,
            memory=self.memory,
        )


WANTED: dict[str, str] = {
    "retries": "a whole number from 0 to 1000, or a mapping with max, delay, backoff and jitter",
    "max": "a whole number from 0 to 1000",
    "delay": "seconds from 0 to 86400 (1 day), or a text such as 500ms, 1s or 1m30s",
    "backoff": "a number from 1 to 100",
    "jitter": "a number from 0 to 1",
    "timeout": "seconds greater than 0, or a text such as 30s, 1.5m, 1h30m, 2d or 500ms",
    "priority": "a whole number from -1000 to 1000",
    "crash_limit": "a whole number from 1 to 100",
    "max_failures": "a whole number of tasks from 0, or a text from 0% to 100% such as 5% or 0.5%",
    "rerun": "true or false",
    "max_parallel": "a whole number from 1",
    "rate": "tasks a second, above 0 and at most 1000000, or a text such as 5/s, 100/m or 1000/h",
    "memory": "at least 1MB: a text such as 512MB or 2GiB (units kB, MB, GB, TB, KiB, MiB, GiB, "
    "TiB), or a whole number of bytes",
}
"""What each option wants, for messages."""
