"""Every message about a batch file, word for word, with its line and column."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from farm.batch.findings import MAX_PROBLEMS

Complaints = Callable[..., list[str]]

KNOWN = "known are name, python, command, params or options"
SOURCES = "matrix, zip, list, count, lines, csv, jsonl, glob"
NAME = "`name` must be a text of at most 200 characters that is not a number, not `last`, "
NAME += "and has no control characters"

FIELDS = [
    ("[]", "1:1: a batch file is a mapping with `python` or `command`, not a list"),
    ("7", "1:1: a batch file is a mapping with `python` or `command`, not 7"),
    ("name: x", "1:1: the batch says nothing to run; give it `python` or `command`"),
    ("pyton: m:f", "1:1: there is no `pyton`; did you mean `python`?"),
    ("command: x\nworkers: 3", f"2:1: there is no `workers`; {KNOWN}"),
    ("command: x\nretries: 3", "2:1: there is no `retries`; it belongs under `options`"),
    ("command: x\nmatrix: {}", "2:1: there is no `matrix`; it belongs under `params`"),
    (
        "command: x\nparams: {command: 1}",
        "2:10: there is no `command` in `params`; it belongs at the top level",
    ),
    (
        "command: x\nparams: {matrx: {}}",
        "2:10: there is no `matrx` in `params`; did you mean `matrix`?",
    ),
    (
        "command: x\noptions: {retry: 1}",
        "2:11: there is no `retry` in `options`; did you mean `retries`?",
    ),
    ("command: x\nTrue: 1", "2:1: YAML takes the key `True` for true; put it in quotes"),
    (
        "command: x\nparams: {matrix: {on: [1]}}",
        "2:19: YAML takes the key `on` for true; put it in quotes",
    ),
    (
        "command: x\nparams: {list: [{1: 2}]}",
        "2:18: YAML takes the key `1` for 1; put it in quotes",
    ),
    ("python: m:f\ncommand: x", "2:1: a batch has `python` or `command`, not both; take one away"),
    ("command: x\nname: 5", f"2:7: {NAME}, not 5"),
    ("command: x\nname: last", f"2:7: {NAME}, not the text 'last'"),
    (
        "command: x\nname: '12'",
        f"2:7: {NAME}, not the text '12' (without quotes it would be a number)",
    ),
    ("command: x\nname: ''", f"2:7: {NAME}, not the text ''"),
    ('command: x\nname: "a\\tb"', f"2:7: {NAME}, not the text 'a\\tb'"),
    (
        "command: x\nname: " + "n" * 201,
        f"2:7: {NAME}, not the text '" + "n" * 56 + "...",
    ),
    (
        "python: [m]",
        "1:9: `python` must be a text such as file.py:function or "
        "package.module:function, not a list",
    ),
    ("command: 5", "1:10: `command` must be a text, or a list of texts, not 5"),
    ("command: {a}", "1:10: `command` must be a text, or a list of texts, not a mapping"),
    (
        "command: [sleep, 1]",
        "1:18: each argument of `command` must be a text, not 1; put it in quotes",
    ),
    (
        "command: x\nparams: [1]",
        "2:9: `params` must be a mapping with one source, such as matrix or list, not a list",
    ),
    ("command: x\noptions: 1", "2:10: `options` must be a mapping, not 1"),
    (
        "command: x\nparams: {matrix: {}}",
        "2:18: `matrix` must be a mapping of at least one name to its values, not an empty mapping",
    ),
    (
        "command: x\nparams: {matrix: }",
        "2:18: `matrix` must be a mapping of at least one name to its values, not nothing",
    ),
    (
        "command: x\nparams: {list: {a: 1}}",
        "2:16: `list` must be a list of mappings, not a mapping",
    ),
    (
        "command: x\nparams: {list: [{a: 1}, 5]}",
        "2:25: each item of `list` must be a mapping of names to values, not 5",
    ),
    (
        "command: x\nparams: {count: 0}",
        "2:17: `count` must be a whole number from 1 to 2**63 - 1, not 0",
    ),
    (
        "command: x\nparams: {count: 9223372036854775808}",
        "2:17: `count` must be a whole number from 1 to 2**63 - 1, not 9223372036854775808",
    ),
    (
        "command: x\nparams: {lines: [a]}",
        "2:17: `lines` must be the name of a text file, not a list",
    ),
    (
        "command: x\nparams: {glob: ''}",
        "2:16: `glob` must be a pattern such as images/*.png, not the text ''",
    ),
]

PARAMS = [
    (
        "{exclude: [{a: 1}]}",
        f"2:10: `exclude` needs a source to take points away from: "
        f"{SOURCES.replace(', glob', ' or glob')}",
    ),
    (
        "{count: 1, list: [{}]}",
        "2:20: `params` takes one source, but has count and list; keep one",
    ),
    ("{list: []}", "2:16: `list` is empty, so there is nothing to run"),
    ("{matrix: {a: []}}", "2:22: `a` has no values"),
    ("{matrix: {a: !!set {b}}}", "2:22: the tag !!set cannot be used here"),
    ("{matrix: {a: }}", "2:22: `a` has no values; write [null] for a null"),
    (
        "{matrix: {a: {rnge: [1]}}}",
        "2:22: `a` must be a list, or a mapping with range, linspace, logspace, lines or glob"
        "; did you mean `range`?",
    ),
    (
        "{matrix: {a: {x: 1}}}",
        "2:22: `a` must be a list, or a mapping with range, linspace, logspace, lines or glob"
        "; for a mapping as a value, put it in a list",
    ),
    (
        "{matrix: {a: {range: [1], glob: x}}}",
        "2:22: `a` takes one of range, linspace, logspace, lines or glob, but has range and glob",
    ),
    (
        "{matrix: {a: {range: 5}}}",
        "2:30: `range` must be a list [start, stop, step], not 5",
    ),
    (
        "{matrix: {a: {linspace: 5}}}",
        "2:33: `linspace` must be a list [first, last, how many], not 5",
    ),
    ("{matrix: {a: {lines: 5}}}", "2:30: `lines` must be a text, not 5"),
    ("{matrix: {a: {range: [5, 1]}}}", "2:30: the range [5, 1] has no values"),
    ("{matrix: {a: {range: [0, 1, 0]}}}", "2:30: the step of a range cannot be 0"),
    (
        "{matrix: {a: {logspace: [0, 1, 5]}}}",
        "2:33: both ends of a logspace must be greater than 0 (they are not exponents)",
    ),
    (
        "{zip: {a: [1, 2], b: [1], c: {range: [2000]}}}",
        "2:15: zip wants values of one length, but `a` has 2, `b` has 1 and `c` has 2,000",
    ),
    (
        "{matrix: {a: {range: [10000000000]}, b: {range: [10000000000]}}}",
        "2:18: 100,000,000,000,000,000,000 tasks are too many; the limit is 2**63 - 1",
    ),
    (
        "{count: 9223372036854775807, include: [{a: 1}]}",
        "2:47: 9,223,372,036,854,775,808 tasks are too many; the limit is 2**63 - 1",
    ),
    ("{matrix: {a: [x]}, exclude: [{}]}", "2:38: an empty exclude would take every point away"),
    (
        "{matrix: {kind: [x]}, exclude: [{knd: x}]}",
        "2:42: no point has the name `knd`; did you mean `kind`?",
    ),
    (
        "{matrix: {kind: [odd, all]}, exclude: [{kind: od}]}",
        "2:55: `kind` is never the text 'od'; did you mean `odd`?",
    ),
    (
        "{matrix: {a: [1, 2]}, exclude: [{a: true}]}",
        "2:45: `a` is never true; it is 1 or 2",
    ),
    (
        "{matrix: {a: {range: [0, 1, 0.1]}}, exclude: [{a: 1}]}",
        "2:59: `a` is never 1; its 10 values go from 0.0 to 0.9",
    ),
    (
        "{list: [{a: 1}, {b: 2}], exclude: [{b: 1}]}",
        "2:48: `b` is never 1; it is 2",
    ),
    (
        "{matrix: {a: [x]}, exclude: [{a: x}]}",
        "2:37: everything is excluded: nothing is left to run",
    ),
    ("{lines: none.txt}", "2:17: cannot read none.txt: No such file or directory"),
    ("{lines: empty.txt}", "2:17: empty.txt is empty, so there is nothing to run"),
    ("{glob: '*.png'}", "2:16: no file matches *.png"),
    ("{matrix: {a: {glob: '*.png'}}}", "2:29: no file matches *.png"),
    ("{csv: none.csv}", "2:15: cannot read none.csv: No such file or directory"),
    ("{csv: header.csv}", "2:15: header.csv has no rows, so there is nothing to run"),
    ("{jsonl: empty.txt}", "2:17: empty.txt has no objects, so there is nothing to run"),
]

IN_FILES = [
    ("{csv: ragged.csv}", "ragged.csv:3: the header has 2 cells, but this row has 1"),
    (
        "{csv: empty.txt}",
        "empty.txt:1: the file has no header; its first line should name the columns",
    ),
    ("{jsonl: bad.jsonl}", "bad.jsonl:2:7: this is not JSON: Expecting value"),
    (
        "{csv: odd.csv}",
        "odd.csv:1: `b c` is not a Python name; did you mean `b_c`?",
    ),
    ("{jsonl: lone.jsonl}", "lone.jsonl:1: the text '\\ud800' is not valid Unicode"),
]

FILES = {
    "empty_txt": "",
    "header_csv": "a,b\n",
    "ragged_csv": "a,b\n1,2\n3\n",
    "odd_csv": "a,b c\n1,2\n",
    "bad_jsonl": '{"a": 1}\n{"a": }\n',
    "lone_jsonl": '{"a": "\\ud800"}\n',
    "broken_py": "def f(:\n",
    "not-a-name_py": "",
    "nothing_py": "",
}

CALLS = [
    (
        "count",
        "",
        "1:9: `count` names no function; write file.py:function or package.module:function",
    ),
    (
        "primes.py",
        "",
        "1:9: `primes.py` names no function; "
        "write primes.py:NAME with the name of a function or class in it",
    ),
    ("a-b:f", "", "1:9: `a-b` is no module; write file.py:function or package.module:function"),
    (
        "m:class",
        "",
        "1:9: `m:class` names no function; write file.py:function or package.module:function",
    ),
    ("none.py:f", "", "1:9: cannot read none.py: No such file or directory"),
    (
        "not-a-name.py:f",
        "",
        "1:9: not-a-name.py cannot be imported: `not-a-name` is not a Python name",
    ),
    ("primes.py:cuont", "", "1:9: primes.py has no `cuont`; did you mean `count`?"),
    (
        "primes.py:zzz",
        "",
        "1:9: primes.py has no `zzz`; it has count, fetch, cached, positional and Sweep",
    ),
    ("nothing.py:f", "", "1:9: nothing.py has no `f`"),
    ("primes.py:Idle", "", "1:9: class `Idle` has no method `run`, which is what a task calls"),
    ("primes.py:Sweep.rum", "", "1:9: class `Sweep` has no `rum`; did you mean `run`?"),
    ("primes.py:count", "", "1:1: `count` needs `start`, which these parameters do not give"),
    (
        "primes.py:count",
        "{matrix: {start: [1], knid: [a]}}",
        "2:31: `count` has no argument `knid`; did you mean `kind`?",
    ),
    (
        "primes.py:count",
        "{list: [{start: 1}, {start: 1, x: 2}]}",
        "2:40: `count` has no argument `x`; it takes start, kind and verbose",
    ),
    (
        "primes.py:count",
        "{list: [{start: 1}, {kind: 2}]}",
        "2:29: `count` needs `start`, which these parameters do not give",
    ),
    ("primes.py:Bare", "{count: 3}", "2:17: `Bare` has no argument `index`; it takes none"),
    ("primes.py:Bare", "{list: [{a: 1}]}", "2:18: `Bare` has no argument `a`; it takes none"),
    (
        "primes.py:positional",
        "{list: [{b: 1}]}",
        "1:9: `positional` takes `a` by position only, but parameters go by name",
    ),
    (
        "m:f",
        "{list: [{learning-rate: 1}]}",
        "2:18: `learning-rate` is not a Python name; did you mean `learning_rate`?",
    ),
    (
        "m:f",
        "{list: [{class: 1}]}",
        "2:18: `class` is not a Python name, it is a keyword; did you mean `class_`?",
    ),
]

COMMANDS = [
    (
        "'echo {srce}'",
        "{list: [{src: 1}]}",
        "1:10: no parameter is called `srce`; did you mean `src`?",
    ),
    (
        "'echo {x}'",
        "{list: [{src: 1}]}",
        "1:10: no parameter is called `x`; there is src, index and batch",
    ),
    ("[echo, '{x}']", "{count: 1}", "1:17: no parameter is called `x`; there is index and batch"),
    (
        "'echo {src'",
        "{list: [{src: 1}]}",
        "1:10: a single { means nothing here; write {{ for a brace",
    ),
    (
        "[echo, '{src:b}']",
        "{list: [{src: 1}]}",
        "1:17: {src:b} is not understood; write {src} or {src:raw}",
    ),
    ("[]", "{count: 1}", "1:10: the command is empty"),
    ("'echo {a}'", "{list: [{a: 1}, {b: 1}]}", "2:25: the command uses `a`, not given here"),
    (
        "'echo {a}'",
        "{matrix: {a: [1]}, include: [{b: 1}]}",
        "2:38: the command uses `a`, not given here",
    ),
    (
        "echo",
        "{list: [{index: 1}]}",
        "2:18: farm itself gives `index` to a command; use another name",
    ),
    ("echo", "{list: [{a b: 1}]}", "2:18: `a b` is not a name that a command could use"),
    (
        "echo '{a}'",
        "{list: [{a: b c}]}",
        "1:10: task 0 cannot be written: the value 'b c' would "
        "break out of the quotes around {a}; take them away, as farm quotes it, or write {a:raw}",
    ),
]


@pytest.mark.parametrize(("text", "message"), FIELDS)
def test_fields(complaints: Complaints, text: str, message: str) -> None:
    assert complaints(text) == [f"b.yaml:{message}"]


@pytest.mark.parametrize(("params", "message"), PARAMS)
def test_params(complaints: Complaints, params: str, message: str) -> None:
    assert complaints(f"python: m:f\nparams: {params}\n", **FILES) == [f"b.yaml:{message}"]


@pytest.mark.parametrize(("params", "message"), IN_FILES)
def test_files_of_parameters(complaints: Complaints, params: str, message: str) -> None:
    assert complaints(f"python: m:f\nparams: {params}\n", **FILES) == [message]


@pytest.mark.parametrize(("target", "params", "message"), CALLS)
def test_python_calls(complaints: Complaints, target: str, params: str, message: str) -> None:
    more = f"\nparams: {params}" if params else ""
    assert complaints(f"python: {target}{more}\n", **FILES) == [f"b.yaml:{message}"]


@pytest.mark.parametrize(("command", "params", "message"), COMMANDS)
def test_commands(complaints: Complaints, command: str, params: str, message: str) -> None:
    assert complaints(f"command: {command}\nparams: {params}\n") == [f"b.yaml:{message}"]


def test_python_files_with_syntax_errors(complaints: Complaints) -> None:
    (problem,) = complaints("python: broken.py:f", **FILES)
    assert problem.startswith("broken.py:1:7: this is not Python: ")


def test_files_that_are_not_text(complaints: Complaints) -> None:
    (problem,) = complaints("command: x\nparams: {lines: primes.py.gz}")
    assert problem == "b.yaml:2:17: cannot read primes.py.gz: No such file or directory"


def test_excludes_too_tangled_to_count(complaints: Complaints) -> None:
    names = [f"n{i}" for i in range(40)]
    matrix = ", ".join(f"{name}: [0, 1]" for name in names)
    excludes = ", ".join(f"{{{names[i]}: 1, {names[39 - i]}: 1}}" for i in range(20))
    (problem,) = complaints(
        f"python: m:f\nparams:\n  matrix: {{{matrix}}}\n  exclude: [{excludes}]\n"
    )
    assert problem == (
        "b.yaml:4:12: the excludes overlap in too many ways to be counted; "
        "use fewer of them, or name the same names in each"
    )


def test_everything_at_once_in_the_order_of_the_file(complaints: Complaints) -> None:
    text = """\
name: last
python: primes.py:cuont
params:
  matrix:
    start: {rang: [5]}
    kind: [odd, 1e5]
    more: {range: [1, 2, 0]}
  exclude: [{knd: odd}]
  exlude: []
options:
  retries: many
  retries: 3
  timeout: soon
priority: 4
"""
    found = complaints(text, "options.priority=high", "params.matrix.x.y=")
    assert [line.split(": ")[0] for line in found] == [
        "b.yaml:1:7",
        "b.yaml:2:9",
        "b.yaml:5:12",
        "b.yaml:6:17",
        "b.yaml:7:19",
        "b.yaml:9:3",
        "b.yaml:11:12",
        "b.yaml:12:3",
        "b.yaml:13:12",
        "b.yaml:14:1",
        "--set options.priority=high",
        "--set params.matrix.x.y=",
    ]


def test_a_wrong_override_is_named_by_its_text(complaints: Complaints) -> None:
    assert complaints("command: x", "options.retries=x", "params.count=0") == [
        "--set options.retries=x: `retries` must be a whole number from 0 to 1000, "
        "or a mapping with max, delay, backoff and jitter, not the text 'x'",
        "--set params.count=0: `count` must be a whole number from 1 to 2**63 - 1, not 0",
    ]


def test_a_wrong_name_from_the_command_line(complaints: Complaints) -> None:
    assert complaints("command: x", name="12")[0].startswith("--name 12: `name` must be a text")


def test_the_number_of_messages_is_bounded(complaints: Complaints) -> None:
    found = complaints("command: x\n" + "\n".join(f"zz{i}: 1" for i in range(MAX_PROBLEMS + 20)))
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1] == "b.yaml:102:1: 20 more from here on; mend the first ones"


def test_one_signature_problem_stands_for_all_points_alike(complaints: Complaints) -> None:
    points = ", ".join("{start: 1, zz: 2}" for _ in range(500))
    assert len(complaints(f"python: primes.py:count\nparams: {{list: [{points}]}}")) == 1
