"""Command templates: quoting that survives a shell's parsing, braces, and what is refused."""

from __future__ import annotations

import pickle
import shlex
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.batch.command import TemplateError, parse

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(texts, texts, st.integers(0, 10**12))
def test_quoted_values_survive_a_shells_words(a: str, b: str, index: int) -> None:
    rendered = parse("run --a={a} {b} {index}").render({"a": a, "b": b}, index, 3)
    assert isinstance(rendered, str)
    assert shlex.split(rendered) == ["run", f"--a={a}", b, str(index)]


@given(texts, st.floats(), st.booleans())
def test_arguments_are_not_quoted(a: str, number: float, flag: bool) -> None:
    parsed = parse(["run", "--a={a}", "{n:raw}", "{flag}", "{{{batch}}}"])
    rendered = parsed.render({"a": a, "n": number, "flag": flag}, 0, 12)
    assert rendered == ["run", f"--a={a}", repr(number), str(flag), "{12}"]


def test_a_real_shell_sees_the_value_itself() -> None:
    value = "a 'b' \"c\" $HOME `id` ; # \n*"
    rendered = parse('printf %s {v}; printf %s "$(printf %s {v})"').render({"v": value}, 0, 1)
    assert isinstance(rendered, str)
    done = subprocess.run(["sh", "-c", rendered], capture_output=True, text=True, check=True)
    assert done.stdout == value * 2


def test_names_and_kinds() -> None:
    parsed = parse("{a} {b:raw} {index} {batch} {{c}}")
    assert parsed.names == {"a", "b", "index", "batch"}
    assert parsed.render({"a": "x y", "b": "x y"}, 4, "B7") == "'x y' x y 4 B7 {c}"
    assert parse("{index}").render({"index": 9}, 4, 1) == "9"
    with pytest.raises(KeyError):
        parsed.render({"a": 1}, 0, 1)


@pytest.mark.parametrize("template", ["echo {v}", ["echo", "{v}"], "echo {v:raw}"])
def test_nul_characters_are_refused(template: Any) -> None:
    with pytest.raises(ValueError, match=r"the value of \{v\} holds a NUL"):
        parse(template).render({"v": "a\0b"}, 0, 1)


@pytest.mark.parametrize("template", ["echo '{v}'", 'echo "x{v}"', "echo \"$(echo '{v}')\""])
def test_values_do_not_break_out_of_quotes(template: str) -> None:
    parsed = parse(template)
    assert parsed.render({"v": 12}, 0, 1) == template.replace("{v}", "12")
    with pytest.raises(ValueError, match=r"would break out of the quotes around \{v\}"):
        parsed.render({"v": "a b"}, 0, 1)
    raw = parse(template.replace("{v}", "{v:raw}"))
    assert raw.render({"v": "a b"}, 0, 1) == template.replace("{v}", "a b")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("echo {", "a single { means nothing here; write {{ for a brace"),
        ("echo }", "a single } means nothing here; write }} for a brace"),
        ("echo {}", "{} names no parameter; write {name}, or {{}} for braces"),
        ("echo {a b}", "{a b} names no parameter; write {name}, or {{a b}} for braces"),
        ("echo {0}", "{0} names no parameter; write {name}, or {{0}} for braces"),
        ("echo {a:foo}", "{a:foo} is not understood; write {a} or {a:raw}"),
        ("echo {a:}", "{a:} is not understood; write {a} or {a:raw}"),
        ("echo {a.b}", "{a.b} names no parameter; write {name}, or {{a.b}} for braces"),
        ("", "the command is empty"),
        ("  ", "the command is empty"),
        ("echo \0", "a command cannot hold a NUL character"),
    ],
)
def test_templates_that_mean_nothing(template: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse(template)
    assert caught.value.problems == [(None, message)]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_all_problems_of_all_arguments_at_once() -> None:
    with pytest.raises(TemplateError) as caught:
        parse(["run", "{", "{ok} {a:b} }"])
    assert [number for number, _ in caught.value.problems] == [1, 2, 2]
    assert caught.value.template.names == {"ok"}
    with pytest.raises(TemplateError, match="empty"):
        parse([])
