"""Batch files that are right: what they become."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from types import MappingProxyType

import pytest

from farm.batch import spec
from farm.batch.loader import Batch, default_name, load_options
from farm.batch.shipment import digest
from farm.batch.space import from_document
from farm.batch.spec import CommandCall, Options, PythonCall

Load = Callable[..., Batch]

WHOLE = """\
name: primes
python: primes.py:count
params:
  matrix:
    start: {range: [0, 2000000, 20000]}
    kind: [odd, all]
  exclude: [{start: 0, kind: odd}]
  include: [{start: 7}]
options: {retries: 2, timeout: 1m30s, priority: -5}
"""


def test_a_whole_batch(load_text: Load) -> None:
    batch = load_text(WHOLE)
    assert (batch.name, batch.total) == ("primes", 200)
    assert batch.spec.call == PythonCall("primes:count", "primes.py")
    assert batch.spec.options == Options(2, 90.0, -5)
    assert list(batch.spec.files) == ["primes.py"]
    assert batch.spec.digest == digest(batch.spec.files) != ""
    assert batch.describe(0) == "count(start=0, kind='all')"
    assert batch.describe(198) == "count(start=1980000, kind='all')"
    assert batch.describe(199) == "count(start=7)"
    with pytest.raises(IndexError):
        batch.describe(200)


def test_a_batch_travels(load_text: Load) -> None:
    batch = load_text(WHOLE)
    again = spec.decode(spec.encode(batch.spec))
    assert again == batch.spec
    space = from_document(again.space)
    assert [space[i] for i in range(200)] == [batch.space[i] for i in range(200)]


def test_dates_and_long_integers_travel(load_text: Load) -> None:
    text = "python: m:f\nparams: {matrix: {d: [2024-02-29], n: [123456789012345678901234567890]}}"
    space = from_document(spec.decode(spec.encode(load_text(text).spec)).space)
    assert space[0] == {"d": date(2024, 2, 29), "n": 123456789012345678901234567890}


@pytest.mark.parametrize(
    ("params", "last", "total"),
    [
        ("", {}, 1),
        ("params:", {}, 1),
        ("params: {}", {}, 1),
        ("params: {matrix: {a: [1, 2], b: x}}", {"a": 2, "b": "x"}, 2),
        ("params: {zip: {a: [1, 2], b: {linspace: [0, 1, 2]}}}", {"a": 2, "b": 1.0}, 2),
        ("params: {matrix: {a: {logspace: [1, 100, 3]}}}", {"a": 100.0}, 3),
        ("params: {list: [{a: 1}, {b: 2}]}", {"b": 2}, 2),
        ("params: {count: 3}", {"index": 2}, 3),
        ("params: {lines: l.txt}", {"line": "y"}, 2),
        ("params: {csv: t.csv}", {"a": 2, "b": 0.5}, 2),
        ("params: {jsonl: t.jsonl}", {"b": [2]}, 2),
        ("params: {glob: '*.txt'}", {"path": "/data/l.txt"}, 1),
        (
            "params: {matrix: {a: {lines: l.txt}, b: {glob: '*.csv'}}}",
            {"a": "y", "b": "/data/t.csv"},
            2,
        ),
        ("params: {include: [{a: 1}, {a: 2}]}", {"a": 2}, 2),
        ("params: {count: 3, exclude: [{index: 2}], include: }", {"index": 1}, 2),
        ("params: {lines: l.txt, exclude: [{line: gone}]}", {"line": "y"}, 2),
        ("params: {list: [{a: 1}, {a: 2}], exclude: [{a: 2.0}]}", {"a": 1}, 1),
        ("params: {csv: t.csv, exclude: [{a: 1}]}", {"a": 2, "b": 0.5}, 1),
        ("params: {matrix: {a: [{list: 1}]}}", {"a": {"list": 1}}, 1),
    ],
)
def test_sources(load_text: Load, params: str, last: dict[str, object], total: int) -> None:
    files = {"l_txt": "x\ny\n", "t_csv": "a,b\n1,1.5\n2,0.5\n", "t_jsonl": '{"a": 1}\n{"b": [2]}\n'}
    batch = load_text(f"python: m:f\n{params}\n", **files)
    assert batch.total == total
    point = batch.space[total - 1]
    assert point == last
    assert [type(value) for value in point.values()] == [type(value) for value in last.values()]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30.0),
        ("0.5", 0.5),
        ("30s", 30.0),
        ("1.5m", 90.0),
        ("1h30m", 5400.0),
        ("2d", 172800.0),
        ("500ms", 0.5),
        (".5s", 0.5),
        ("1m500ms", 60.5),
        ("1d1h1m1s1ms", 90061.001),
        ("null", None),
    ],
)
def test_durations(load_text: Load, text: str, seconds: float | None) -> None:
    batch = load_text(f"command: x\noptions: {{timeout: {text}}}")
    assert batch.spec.options.timeout == seconds


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", Options()),
        ("retries: 3", Options(3, delay=0.0, backoff=1.0, jitter=0.0)),
        ("retries: {max: 3}", Options(3, delay=0.0, backoff=2.0, jitter=0.1)),
        (
            "retries: {max: 0, delay: 1m, backoff: 1, jitter: 0}",
            Options(0, delay=60.0, backoff=1.0, jitter=0.0),
        ),
        (
            "retries: {max: 1000, delay: 0, backoff: 100, jitter: 1}",
            Options(1000, delay=0.0, backoff=100.0, jitter=1.0),
        ),
        ("retries: {max: 1, delay: 1d}", Options(1, delay=86400.0, backoff=2.0, jitter=0.1)),
        ("crash_limit: 1", Options(crash_limit=1)),
        ("max_failures: 0", Options(max_failures=0)),
        ("max_failures: 10", Options(max_failures=10)),
        ("max_failures: 5%", Options(max_failure_share=0.05)),
        ("max_failures: 0.5%", Options(max_failure_share=0.005)),
        ("max_failures: 0%", Options(max_failure_share=0.0)),
        ("max_failures: 100%", Options(max_failure_share=1.0)),
        ("max_failures: ", Options()),
        ("rerun: false", Options(rerun=False)),
        ("rerun: false, retries: 0", Options(rerun=False)),
        ("rerun: true, retries: 1", Options(1)),
        ("max_parallel: 8", Options(max_parallel=8)),
        ("max_parallel: ", Options()),
        ("rate: 5", Options(rate=5.0)),
        ("rate: 0.5/s", Options(rate=0.5)),
        ("rate: 90/m", Options(rate=1.5)),
        ("rate: 1800/h", Options(rate=0.5)),
        ("rate: 1000000", Options(rate=1e6)),
        ("rate: ", Options()),
        ("memory: 1000000", Options(memory=1_000_000)),
        ("memory: 512MB", Options(memory=512_000_000)),
        ("memory: 1.5GiB", Options(memory=3 << 29)),
        ("memory: ", Options()),
    ],
)
def test_options(load_text: Load, text: str, options: Options) -> None:
    assert load_text(f"command: x\noptions: {{{text}}}").spec.options == options
    data = spec.encode(load_text(f"command: x\noptions: {{{text}}}").spec)
    assert spec.decode(data).options == options


@pytest.mark.parametrize(
    ("before", "override", "options"),
    [
        ("", "retries.max=5", Options(5, backoff=2.0, jitter=0.1)),
        ("retries: ", "retries.max=5", Options(5, backoff=2.0, jitter=0.1)),
        (
            "retries: {max: 1, delay: 2s}",
            "retries.max=5",
            Options(5, delay=2.0, backoff=2.0, jitter=0.1),
        ),
        ("retries: {max: 1, delay: 2s}", "retries=5", Options(5)),
        ("retries: 1", "retries={max: 5, jitter: 0}", Options(5, backoff=2.0)),
        ("rate: 5/s", "rate=", Options()),
    ],
)
def test_options_that_are_set(
    load_text: Load, before: str, override: str, options: Options
) -> None:
    found = load_text(f"command: x\noptions: {{{before}}}", f"options.{override}").spec.options
    assert found == options


def test_options_of_a_call_replace_those_of_the_file_and_of_overrides(load_text: Load) -> None:
    text = "command: x\noptions: {retries: {max: 1, delay: 2s}, rate: 5/s, priority: 2}"
    more = {"retries": MappingProxyType({"max": 3}), "rate": None, "memory": "2MB"}
    found = load_text(text, "options.rate=7", options=more).spec.options
    assert found == Options(3, priority=2, backoff=2.0, jitter=0.1, memory=2_000_000)
    bare = load_text("command: x\noptions:", options=more).spec.options
    assert bare == Options(3, backoff=2.0, jitter=0.1, memory=2_000_000)


def test_options_are_read_without_a_file() -> None:
    assert load_options({}) == Options()
    given = {"retries": {"max": 3, "delay": "1s"}, "rate": "5/s", "memory": "512MB"}
    assert load_options(given) == Options(
        3, delay=1.0, backoff=2.0, jitter=0.1, rate=5.0, memory=512_000_000
    )
    assert given["retries"] == {"max": 3, "delay": "1s"}


@pytest.mark.parametrize(
    "target",
    [
        "primes.py:fetch",
        "primes.py:cached",
        "primes.py:Child",
        "primes.py:LIMIT",
        "primes.py:os.getcwd",
    ],
)
def test_calls_the_text_cannot_judge_are_let_through(load_text: Load, target: str) -> None:
    batch = load_text(f"python: {target}\nparams: {{list: [{{url: 1, other: 2}}]}}")
    assert batch.spec.call == PythonCall(target.replace(".py", ""), "primes.py")


def test_a_star_import_may_define_anything(load_text: Load) -> None:
    assert load_text("python: star.py:f", star_py="from math import *").total == 1


def test_classes_methods_and_modules(load_text: Load) -> None:
    sweep = load_text("python: primes.py:Sweep\nparams: {list: [{start: 1}]}")
    assert sweep.describe(0) == "Sweep(start=1)"
    assert load_text("python: primes.py:Bare").total == 1
    method = load_text("python: primes.py:Sweep.run")
    assert method.spec.call == PythonCall("primes:Sweep.run", "primes.py")
    elsewhere = load_text("python: package.module:Class.make")
    assert elsewhere.spec.call == PythonCall("package.module:Class.make")
    assert (elsewhere.spec.files, elsewhere.spec.digest) == ({}, "")


def test_files_in_other_directories_ship_under_their_own_name(load_text: Load) -> None:
    text = "def f(): ..."
    batch = load_text("python: deep/er.py:f", **{"deep/er_py": text})
    assert batch.spec.call == PythonCall("er:f", "er.py")
    assert batch.spec.files == {"er.py": text.encode()}
    assert len(batch.spec.digest) == len(hashlib.sha256().hexdigest())


def test_commands(load_text: Load) -> None:
    shell = load_text(
        "command: 'convert {src} -resize {size:raw} out/{index}-{batch}.png {{}}'\n"
        "params: {matrix: {src: [a b.jpg, c.jpg], size: [10%]}}"
    )
    assert isinstance(shell.spec.call, CommandCall)
    assert shell.describe(0) == "convert 'a b.jpg' -resize 10% out/0-BATCH.png {}"
    words = load_text("command: [echo, '{line}', x]\nparams: {lines: l.txt}", l_txt="a b\n")
    assert words.spec.call == CommandCall(["echo", "{line}", "x"])
    assert words.describe(0) == "echo 'a b' x"
    keyword = load_text("command: echo {class}\nparams: {list: [{class: 1, unused: 2}]}")
    assert keyword.describe(0) == "echo 1"
    counted = load_text("command: echo {index}\nparams: {count: 3, include: [{index: 9}]}")
    assert counted.describe(3) == "echo 9"
    own = load_text("command: echo {index}\nparams: {count: 3, include: [{other: 9}]}")
    assert own.describe(3) == "echo 3"


def test_a_command_that_cannot_be_written_is_described_as_that(load_text: Load) -> None:
    text = "command: echo '{v}'\nparams: {matrix: {v: [a, b c, d]}}"
    assert (
        load_text(text).describe(1).startswith("(this command cannot be written: the value 'b c'")
    )


def test_long_values_are_shortened_in_descriptions(load_text: Load) -> None:
    described = load_text(f"python: m:f\nparams: {{list: [{{a: {'x' * 5000}}}]}}").describe(0)
    assert len(described) < 300
    assert described.endswith("...)")


def test_overrides_and_names(load_text: Load) -> None:
    batch = load_text(
        WHOLE, "params.exclude=", "params.include=", "params.matrix.kind=odd", "options.retries=5"
    )
    assert batch.total == 100
    assert batch.spec.options.retries == 5
    assert load_text(WHOLE, name="other").name == "other"
    assert load_text("command: x", "options.timeout=2s").spec.options.timeout == 2.0


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("dir/sweep.yaml", "sweep"),
        ("2024.yaml", "2024.yaml"),
        ("last.yml", "last.yml"),
        ("17", "batch"),
        ("a\tb.yaml", "batch"),
        ("x" * 300 + ".yaml", "x" * 200),
    ],
)
def test_default_names_can_be_told_from_ids(load_text: Load, source: str, name: str) -> None:
    assert default_name(source) == name
    assert load_text("command: x", source=source).name == name


def test_a_trillion_points_load_without_being_expanded(load_text: Load) -> None:
    batch = load_text(
        "python: m:f\nparams:\n  matrix: {a: {range: [1000000]}, b: {linspace: [0, 1, 1000000]}}\n"
        "  exclude: [{a: 5}, {b: 1.0, a: 7}]\n"
    )
    assert batch.total == 10**12 - 10**6 - 1
    assert batch.describe(batch.total - 1) == "f(a=999999, b=1.0)"
