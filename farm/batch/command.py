"""Commands with places for parameters: parsed once, rendered for every task.

Slots import this module: no pydantic, no yaml.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from farm.batch.shell import quoted_places

BUILTIN_NAMES = ("index", "batch")
"""What every command may name beside its parameters."""

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class TemplateError(ValueError):
    """A template that cannot be parsed; ``problems`` holds everything that is wrong with it.

    Args:
        problems: pairs of the argument's number (None for a text for the shell) and a sentence.
        template: what could be understood.
    """

    def __init__(self, problems: list[tuple[int | None, str]], template: Template) -> None:
        super().__init__("; ".join(message for _, message in problems))
        self.problems = problems
        self.template = template

    def __reduce__(self) -> tuple[type[TemplateError], tuple[Any, Template]]:
        return type(self), (self.problems, self.template)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value goes: its name, whether it is shell-quoted, whether quotes surround it."""

    name: str
    quote: bool
    inside_quotes: bool


Parts = tuple[str | Place, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed command: one text for the shell, or arguments that run without one.

    Args:
        arguments: the parts of each argument; of the one text if ``shell``.
        shell: whether a shell runs it.
    """

    arguments: tuple[Parts, ...]
    shell: bool

    @property
    def names(self) -> frozenset[str]:
        """Every name the template uses, ``index`` and ``batch`` among them."""
        return frozenset(
            part.name for parts in self.arguments for part in parts if isinstance(part, Place)
        )

    def render(self, params: Mapping[str, Any], index: int, batch: int | str) -> str | list[str]:
        """The command of one task.

        Values are written as Python's `str` writes them: ``0.1``, ``True``, ``None``. In a text
        for the shell they are quoted by `shlex.quote`, unless the place says ``:raw``.

        Args:
            params: the task's parameters.
            index: the task's index.
            batch: the batch's id.

        Raises:
            KeyError: the template uses a name that is not there.
            ValueError: a value holds a NUL character, or would break out of the quotes around
                its place.

        Example:
            >>> parse("convert {src} out-{index}.png").render({"src": "a b.jpg"}, 7, 1)
            "convert 'a b.jpg' out-7.png"
        """
        known = {"index": index, "batch": batch, **params}
        rendered = ["".join([_write(part, known) for part in parts]) for parts in self.arguments]
        return rendered[0] if self.shell else rendered


def _write(part: str | Place, known: Mapping[str, Any]) -> str:
    if isinstance(part, str):
        return part
    text = str(known[part.name])
    if "\0" in text:
        raise ValueError(f"the value of {{{part.name}}} holds a NUL character: {text!r}")
    if not part.quote:
        return text
    quoted = shlex.quote(text)
    if part.inside_quotes and quoted != text:
        raise ValueError(
            f"the value {text!r} would break out of the quotes around {{{part.name}}}; "
            f"take them away, as farm quotes it, or write {{{part.name}:raw}}"
        )
    return quoted


def parse(template: str | list[str]) -> Template:
    """Read a command as it is written in a batch file.

    ``{name}`` is a value, ``{name:raw}`` is not shell-quoted, ``{{`` and ``}}`` are braces.

    Args:
        template: one text for the shell, or the arguments (first the program) for no shell.

    Raises:
        TemplateError: it is empty, or has braces that mean nothing.
    """
    shell = isinstance(template, str)
    texts = [template] if isinstance(template, str) else template
    problems: list[tuple[int | None, str]] = []
    if not texts or not texts[0].strip():
        problems.append((None, "the command is empty"))
    arguments = []
    for number, text in enumerate(texts):
        parts, wrong = _parse_text(text, shell)
        arguments.append(parts)
        problems += [(None if shell else number, message) for message in wrong]
    parsed = Template(tuple(arguments), shell)
    if problems:
        raise TemplateError(problems, parsed)
    return parsed


def _parse_text(text: str, shell: bool) -> tuple[Parts, list[str]]:
    parts: list[str | Place] = []
    problems: list[str] = []
    literal = ""
    reached = 0
    inside = quoted_places(text) if shell else frozenset()
    for token in _TOKEN.finditer(text):
        literal += text[reached : token.start()]
        reached = token.end()
        if token[0] in ("{{", "}}"):
            literal += token[0][0]
            continue
        name, _, conversion = (token[1] or "").partition(":")
        wrong = _complaint(token[0], name, conversion)
        if wrong:
            problems.append(wrong)
            continue
        quote = shell and conversion != "raw"
        parts += [literal, Place(name, quote, token.start() in inside)]
        literal = ""
    parts.append(literal + text[reached:])
    if "\0" in text:
        problems.append("a command cannot hold a NUL character")
    return tuple(part for part in parts if part), problems


def _complaint(token: str, name: str, conversion: str) -> str | None:
    """What is wrong with a token that is not a doubled brace, if anything."""
    if token in ("{", "}"):
        return f"a single {token} means nothing here; write {token}{token} for a brace"
    if not name.isidentifier():
        body = token[1:-1]
        return f"{token} names no parameter; write {{name}}, or {{{{{body}}}}} for braces"
    if token != f"{{{name}}}" and conversion != "raw":
        return f"{token} is not understood; write {{{name}}} or {{{name}:raw}}"
    return None
