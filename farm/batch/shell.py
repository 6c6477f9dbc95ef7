"""Where quotes are open in a text for the shell, so that a value is not quoted twice."""

from __future__ import annotations


def quoted_places(text: str) -> frozenset[int]:
    """The positions that stand inside ``'...'`` or ``"..."``.

    A command substitution, ``$(...)`` or backquotes, begins anew, as POSIX's shell grammar (2.2.3
    and 2.6.3) has it. Comments are skipped; here-documents are not known.

    Example:
        >>> text = 'a "b$(c)"'
        >>> [text[at] for at in sorted(quoted_places(text))]
        ['b', '$', '"']
    """
    inside: set[int] = set()
    open_: list[str] = []  # the closing of everything that is open, innermost last
    at = 0
    while at < len(text):
        context = open_[-1] if open_ else ""
        if context in ("'", '"'):
            inside.add(at)
        at += _step(text, at, context, open_)
    return frozenset(inside)


def _step(text: str, at: int, context: str, open_: list[str]) -> int:
    """Read one token, open or close what it opens or closes; how many characters it has."""
    character = text[at]
    if character == context:
        open_.pop()
    elif context == "'":
        pass
    elif character == "\\":
        return 2
    elif text.startswith("$(", at):
        open_.append(")")
        return 2
    elif character == "`":
        open_.append("`")
    elif character == '"' or (character == "'" and context != '"'):
        open_.append(character)
    elif character == "(" and context != '"':
        open_.append(")")
    elif character == "#" and context != '"' and (at == 0 or text[at - 1] in " \t\n;&|("):
        end = text.find("\n", at)
        return (end if end >= 0 else len(text)) - at
    return 1
