"""A batch file as a whole: from its text to what can be submitted, or to all its problems."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from farm.batch.columns import Reader
from farm.batch.command import Template, TemplateError, parse
from farm.batch.complaints import check_fields
from farm.batch.document import Document, read_document
from farm.batch.files import Files
from farm.batch.findings import Findings
from farm.batch.model import BatchFields, batch_name
from farm.batch.overrides import apply_options, apply_overrides
from farm.batch.params import Params, ParamsReader
from farm.batch.placed import check_command
from farm.batch.shipment import digest
from farm.batch.space import Space
from farm.batch.spec import Call, CommandCall, Options, PythonCall, Spec
from farm.batch.suggest import clipped, did_you_mean
from farm.batch.target import Target, check_names, check_signature, read_target
from farm.errors import UsageError

_MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that can be submitted.

    Args:
        spec: as it travels.
        space: its parameters.
    """

    spec: Spec
    space: Space

    @property
    def name(self) -> str:
        """For people; not unique."""
        return self.spec.name

    @property
    def total(self) -> int:
        """How many tasks there are."""
        return len(self.space)

    def describe(self, index: int) -> str:
        """One task's call as people read it; a command shows ``BATCH`` for the batch's id.

        Raises:
            IndexError: there is no such task.

        Example:
            >>> batch.describe(0)
            "count(start=0, kind='odd')"
        """
        point = self.space[index]
        call = self.spec.call
        if isinstance(call, CommandCall):
            return _command(parse(call.template), point, index)
        name = call.target.rpartition(":")[2] if isinstance(call, PythonCall) else self.name
        arguments = (f"{key}={clipped(repr(v), _MAX_SHOWN)}" for key, v in point.items())
        return f"{name}({', '.join(arguments)})"


def _command(template: Template, point: dict[str, Any], index: int) -> str:
    try:
        rendered = template.render(point, index, "BATCH")
    except ValueError as error:
        return f"(this command cannot be written: {error})"
    return rendered if isinstance(rendered, str) else shlex.join(rendered)


def load(
    text: str,
    source: str,
    files: Files,
    overrides: Sequence[str] = (),
    name: str | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Batch:
    """Read a batch file.

    Args:
        text: its YAML.
        source: its file name, for messages and as the batch's default name.
        files: access to the files that it names.
        overrides: ``path=value`` texts that replace parts of it, as ``--set`` takes them.
        name: replaces the batch's name.
        options: replace those of the file, after ``overrides``.

    Raises:
        BatchFileError: with everything that is wrong.
    """
    document = read_document(text, source)
    if isinstance(document.value, dict):
        apply_overrides(document, overrides, name)
        apply_options(document, options)
    findings = Findings(document)
    fields = check_fields(document, findings)
    if not isinstance(document.value, dict):
        findings.check()
    return _Loading(document, files, findings).batch(fields)


def load_options(options: Mapping[str, Any]) -> Options:
    """Options without a batch file, in the same forms and with the same checks.

    Raises:
        UsageError: with everything that is wrong.
    """
    document = read_document("{}", "options")
    apply_options(document, options)
    findings = Findings(document)
    fields = check_fields(document, findings)
    problems = findings.problems()
    if problems:
        raise UsageError("\n".join(map(str, problems)))
    return fields.options.as_sent() if fields and fields.options else Options()


class _Loading:
    """The parts of a batch file, each read if its shape is right, whatever the others are."""

    def __init__(self, document: Document, files: Files, findings: Findings) -> None:
        self._document = document
        self._files = files
        self._findings = findings
        self._params = Params()

    def batch(self, fields: BatchFields | None) -> Batch:
        value, findings = self._document.value, self._findings
        params = value.get("params")
        if params is None or isinstance(params, dict):
            reader = Reader(self._files, findings)
            self._params = ParamsReader(params or {}, reader, findings).read()
        call, files = self._call()
        findings.check()
        space = self._params.space
        if fields is None or call is None or space is None:
            raise AssertionError("a batch file without findings has all its parts")
        return Batch(
            Spec(
                name=fields.name or default_name(self._document.source),
                call=call,
                options=fields.options.as_sent() if fields.options else Options(),
                space=space.to_document(),
                files=files,
                digest=digest(files),
            ),
            space,
        )

    def _call(self) -> tuple[Call | None, dict[str, bytes]]:
        value, findings = self._document.value, self._findings
        if "python" in value and "command" in value:
            message = "a batch has `python` or `command`, not both; take one away"
            later = [key for key in value if key in ("python", "command")][1]
            findings.add((later,), message, key=True)
        if "python" in value:
            target = self._python(value["python"])
            return (target.call, target.files) if target else (None, {})
        if "command" in value:
            return self._command(value["command"]), {}
        unknown = value.keys() - BatchFields.model_fields.keys()
        if not any(did_you_mean(key, ("python", "command")) for key in unknown):
            findings.add((), "the batch says nothing to run; give it `python` or `command`")
        return None, {}

    def _python(self, text: Any) -> Target | None:
        if not self._findings.clean(("python",)):
            return None
        check_names(self._params.rows, self._findings)
        target = read_target(text, self._files, self._findings)
        if target:
            check_signature(target, self._params.rows, self._findings)
        return target

    def _command(self, template: str | list[str]) -> CommandCall | None:
        if not self._findings.clean(("command",)):
            return None
        try:
            parsed = parse(template)
        except TemplateError as error:
            for number, message in error.problems:
                path = ("command",) if number is None else ("command", number)
                self._findings.add(path, message)
            parsed = error.template
        check_command(parsed, self._params, self._findings)
        return CommandCall(template)


def default_name(source: str) -> str:
    """The name of a batch whose file gives none: the file's name, without its ending if it can."""
    path = PurePath(source)
    for name in (path.stem[:200], path.name[:200]):
        try:
            return batch_name(name)
        except ValueError:
            continue
    return "batch"
