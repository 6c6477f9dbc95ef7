"""The article's demos do and print what the article's programs do."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]
TIME = r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}"


def test_the_function_prints_and_returns_its_greeting(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    line = load("article/process_function.py").f(name="alvin")
    assert re.fullmatch(f"hello alvin {TIME}", line)
    assert capsys.readouterr().out == line + "\n"


def test_the_class_is_a_process_whose_run_answers(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    line = load("article/process_class.py").MyProcess(name="MyProcess-2").run()
    assert re.fullmatch(f"hello MyProcess-2 {TIME}", line)
    assert capsys.readouterr().out == line + "\n"


def test_the_callback_prints_what_the_pool_computed(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    module = load("article/pool_callback.py")
    module.Bar(module.Foo(i=7))
    assert capsys.readouterr().out == "-->exec done: 107\n"
