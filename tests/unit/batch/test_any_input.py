"""Whatever is written: a batch, or a BatchFileError whose problems say where; nothing else."""

from __future__ import annotations

from collections.abc import Callable

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.batch import spec
from farm.batch.loader import Batch
from farm.errors import BatchFileError, Problem

WORDS = [
    *("name", "python", "command", "params", "options", "retries", "timeout", "priority"),
    *("max", "delay", "backoff", "jitter", "crash_limit", "max_failures", "rerun", "max_parallel"),
    *("rate", "memory", "5%", "5/s", "512MB"),
    *("matrix", "zip", "list", "count", "lines", "csv", "jsonl", "glob", "include", "exclude"),
    *("range", "linspace", "logspace", "start", "kind", "odd", "index", "batch", "a b", "class"),
    *("primes.py:count", "m:f", "echo {a}", "{kind}", "l.txt", "t.csv", "30s", "last", "12"),
]
scalars = (
    st.sampled_from(WORDS)
    | st.none()
    | st.booleans()
    | st.integers(-3, 12)
    | st.floats()
    | st.dates()
    | st.binary(max_size=3)
    | st.text(max_size=3)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(WORDS) | scalars, inner, max_size=4)
    ),
    max_leaves=8,
)
mappings = st.dictionaries(st.sampled_from(WORDS), values, max_size=3)
columns = st.dictionaries(
    st.sampled_from(["start", "kind", "a", "index", 1, True]),
    values
    | st.lists(scalars, min_size=1, max_size=4)
    | st.fixed_dictionaries({"range": st.lists(st.integers(-5, 5), max_size=4)}),
    max_size=3,
)
params = st.fixed_dictionaries(
    {},
    optional={
        "matrix": columns,
        "zip": columns,
        "list": st.lists(columns | mappings, max_size=3),
        "count": st.integers(-1, 5),
        "csv": st.sampled_from(["t.csv", "l.txt", "primes.py", "none"]),
        "include": st.lists(columns, max_size=2),
        "exclude": st.lists(columns, max_size=2),
    },
)
options = st.fixed_dictionaries(
    {},
    optional={
        "retries": mappings | scalars,
        "rerun": st.booleans() | scalars,
        "max_failures": st.sampled_from(["5%", 3, "101%"]) | values,
        "rate": st.sampled_from(["5/s", 1, "1/d"]) | values,
        "memory": st.sampled_from(["5MB", 512]) | values,
    },
)
batches = st.fixed_dictionaries(
    {},
    optional={
        "python": st.sampled_from(["primes.py:count", "m:f", "primes.py:Sweep"]) | values,
        "command": st.sampled_from(["echo {a} {kind}", "echo '{start}'"]) | values,
        "params": params | values,
        "options": mappings | options,
        "name": values,
    },
)
overrides = st.lists(
    st.tuples(
        st.lists(st.sampled_from([*WORDS, "0", "1"]), min_size=1, max_size=4).map(".".join),
        st.sampled_from(["5", "[1, x]", "{a: 1}", "", "[", "- -", "!x y", "&a [*a]", "1e5"]),
    ).map("=".join),
    max_size=3,
)


def outcome(load_text: Callable[..., Batch], text: str, extra: list[str]) -> None:
    try:
        batch = load_text(text, *extra, l_txt="x\ny\n", t_csv="a,kind\n1,odd\n2,all\n")
    except BatchFileError as error:
        check_problems(error.problems)
    else:
        assert batch.total > 0
        for index in {0, batch.total // 2, batch.total - 1}:
            assert batch.describe(index)
        assert repr(spec.decode(spec.encode(batch.spec))) == repr(batch.spec)


def check_problems(problems: list[Problem]) -> None:
    assert problems
    for problem in problems:
        assert problem.where.startswith(("--set ", "b.yaml:", "t.csv:", "l.txt:", "primes.py:"))
        assert problem.message


relaxed = settings(
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@relaxed
@given(batches, overrides)
def test_anything_shaped_like_a_batch(
    load_text: Callable[..., Batch], value: object, extra: list[str]
) -> None:
    outcome(load_text, yaml.safe_dump(value, sort_keys=False), extra)


@relaxed
@given(st.text("ab:-[]{}&*!<>|'\"#%@`?,\n\t 01.e~=", max_size=30))
def test_anything_at_all(load_text: Callable[..., Batch], text: str) -> None:
    outcome(load_text, text, [])
