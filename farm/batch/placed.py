"""`command:` of a batch file against its parameters: every name it uses must be given."""

from __future__ import annotations

from farm.batch.command import BUILTIN_NAMES, Parts, Place, Template
from farm.batch.findings import Findings
from farm.batch.nodes import Path
from farm.batch.params import Params, Row
from farm.batch.space import Space
from farm.batch.suggest import clipped, did_you_mean, one_of

_AT: Path = ("command",)


def check_command(template: Template, params: Params, findings: Findings) -> None:
    """Check the names a command uses, and that its first and its last task can be written."""
    for row in params.rows:
        _check_names(row, params.builtin, findings)
    if not params.rows:
        return  # the parameters themselves could not be read
    given = tuple(dict.fromkeys(name for row in params.rows for name in row.names))
    for number, parts in enumerate(template.arguments):
        _check_used(parts, _AT if template.shell else (*_AT, number), given, findings)
    for row in params.rows:
        _check_given(template, given, row, findings)
    if params.space is not None and findings.clean(_AT) and findings.clean(("params",)):
        _check_written(template, params.space, findings)


def _check_names(row: Row, builtin: frozenset[str], findings: Findings) -> None:
    for name in row.names:
        if name in BUILTIN_NAMES and name not in builtin:
            row.note(findings, name, f"farm itself gives `{name}` to a command; use another name")
        elif not name.isidentifier():
            row.note(findings, name, f"`{clipped(name)}` is not a name that a command could use")


def _check_used(parts: Parts, path: Path, given: tuple[str, ...], findings: Findings) -> None:
    known = tuple(dict.fromkeys((*given, *BUILTIN_NAMES)))
    for part in parts:
        if isinstance(part, Place) and part.name not in known:
            hint = did_you_mean(part.name, known) or f"; there is {one_of(known, 'and')}"
            findings.add(path, f"no parameter is called `{part.name}`{hint}")


def _check_given(template: Template, given: tuple[str, ...], row: Row, findings: Findings) -> None:
    used = template.names.intersection(given).difference(BUILTIN_NAMES)
    missing = [f"`{name}`" for name in sorted(used.difference(row.names))]
    if missing:
        row.note(findings, None, f"the command uses {one_of(missing, 'and')}, not given here")


def _check_written(template: Template, space: Space, findings: Findings) -> None:
    for index in dict.fromkeys((0, len(space) - 1)):
        try:
            template.render(space[index], index, 1)
        except ValueError as error:
            findings.add(_AT, f"task {index} cannot be written: {error}")
