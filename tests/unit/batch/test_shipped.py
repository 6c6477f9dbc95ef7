"""Python files read without running them: what they define and how it can be called."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.batch.shipped import Definitions, Signature, signature_of


def module(text: str) -> Definitions:
    return Definitions(ast.parse(text).body)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def f(): x = 1", {"f"}),
        ("async def f(): ...\nclass C:\n  y = 1", {"f", "C"}),
        ("a, (b, *c) = 1, (2, 3)\nd: int = 4\ne: int", {"a", "b", "c", "d"}),
        ("import os.path, sys as system\nfrom a import b as c, d", {"os", "system", "c", "d"}),
        ("if x:\n  def f(): ...\nelse:\n  g = 1", {"f", "g"}),
        ("try:\n  import a\nexcept E as e:\n  a = None", {"a", "e"}),
        ("for i in x:\n  with y as z: ...", {"i", "z"}),
        ("print(w := 1)\n[v for v in x]\nlambda: (u := 2)", {"w"}),
        ("match x:\n  case [a, *b]: ...\n  case {'k': c}: ...", {"a", "b", "c"}),
        ("f = lambda x: x\nf += 1", {"f"}),
    ],
)
def test_what_a_module_defines(text: str, names: set[str]) -> None:
    assert set(module(text).names) == names


def test_what_cannot_be_known_is_open() -> None:
    assert module("from x import *").open
    assert module("def __getattr__(name): ...").open
    assert not module("from x import y").open
    assert module("def f(): ...\nf = 1").only("f") is None
    assert module("x = 1\ndef f(): ...").names == ["f", "x"]


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        ("def f(): ...", Signature()),
        ("def f(a, b=1): ...", Signature(("a", "b"), ("a",))),
        ("async def f(a, *, b, c=1): ...", Signature(("a", "b", "c"), ("a", "b"))),
        ("def f(a, /, b): ...", Signature(("b",), ("b",), ("a",))),
        ("def f(a=1, /, b=2): ...", Signature(("b",))),
        ("def f(*a, **k): ...", Signature(anything=True)),
        ("@d\ndef f(a): ...", None),
        ("f = g", None),
        ("class f:\n  def run(self): ...", Signature()),
        ("class f(object):\n  def __init__(self, a, b=1): ...", Signature(("a", "b"), ("a",))),
        ("class f:\n  def __init__(self, /, a): ...", Signature(("a",), ("a",))),
        ("class f:\n  def __init__(*args): ...", None),
        ("class f:\n  @d\n  def __init__(self): ...", None),
        ("class f:\n  def __new__(cls, a): ...", None),
        ("class f:\n  __init__ = g", None),
        ("class f(Base): ...", None),
        ("class f(metaclass=M): ...", None),
        ("@dataclass\nclass f:\n  a: int", None),
    ],
)
def test_signatures(text: str, signature: Signature | None) -> None:
    assert signature_of(module(text).only("f")) == signature


names = st.lists(st.sampled_from("abcdef"), unique=True)


@given(names, names, st.integers(0, 6), st.booleans(), st.data())
def test_signatures_agree_with_the_running_python(
    first: list[str], second: list[str], slash: int, anything: bool, data: st.DataObject
) -> None:
    plain = sorted(set(first))
    defaults = data.draw(st.integers(0, len(plain)))
    parts = [f"{n}=1" if i >= len(plain) - defaults else n for i, n in enumerate(plain)]
    if 0 < slash <= len(parts):
        parts.insert(slash, "/")
    keyword_only = sorted(set(second) - set(first))
    if keyword_only:
        parts += ["*", *(n if data.draw(st.booleans()) else f"{n}=1" for n in keyword_only)]
    if anything:
        parts.append("**more")
    text = f"def f({', '.join(parts)}): ..."
    namespace: dict[str, Any] = {}
    exec(text, namespace)  # the text is this test's own
    signature = signature_of(module(text).only("f"))
    assert signature is not None
    given_names = set(data.draw(names))
    try:
        namespace["f"](**dict.fromkeys(given_names))
        fits = True
    except TypeError:
        fits = False
    unknown = set() if signature.anything else given_names - set(signature.names)
    missing = set(signature.required) - given_names
    assert fits == (not unknown and not missing and not signature.positional)
