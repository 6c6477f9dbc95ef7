"""Runs a shell command as a task."""

from __future__ import annotations

import subprocess
from typing import Any

from farm.batch.command import Template, parse
from farm.engines.capture import capture
from farm.engines.exits import exit_text
from farm.engines.failure import CallError, clip

_REPORT_BYTES = 64 << 10
_LINE_CHARACTERS = 500


class Command:
    """A command's template, bound to its batch.

    The command runs in the process group of its slot, so that it ends with the slot when the
    task is timed out or cancelled. What it leaves in the background when it exits by itself is
    left alone, until the slot ends.

    Args:
        template: a text for the shell, or a list of arguments.
        batch: the batch's id, for ``{batch}``.
    """

    def __init__(self, template: str | list[str], batch: int) -> None:
        self._template: Template = parse(template)
        self._batch = batch

    def __call__(self, index: int, params: dict[str, Any]) -> dict[str, Any]:
        """Run it.

        Returns:
            ``exit_code`` (0), ``stdout`` and ``stderr``.

        Raises:
            CallError: it cannot be started, or its exit code is not 0.
        """
        line = self._template.render(params, index, self._batch)
        try:
            process = subprocess.Popen(
                line,
                shell=isinstance(line, str),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except (OSError, ValueError) as error:
            name = line if isinstance(line, str) else line[0]
            raise CallError("CommandError", f"cannot start {name!r}: {error}") from error
        stdout, stderr = capture(process)
        if process.returncode:
            raise _failed(line, process.returncode, stdout, stderr)
        return {"exit_code": 0, "stdout": stdout, "stderr": stderr}


def _failed(line: str | list[str], code: int, stdout: str, stderr: str) -> CallError:
    lines = (stderr.strip() or stdout.strip()).splitlines()
    message = exit_text(code)
    if lines:
        message = f"{message}: {lines[-1][:_LINE_CHARACTERS]}"
    report = (
        f"command: {line if isinstance(line, str) else ' '.join(line)}\n{exit_text(code)}\n"
        f"--- stdout ---\n{clip(stdout, _REPORT_BYTES)}\n"
        f"--- stderr ---\n{clip(stderr, _REPORT_BYTES)}\n"
    )
    return CallError("CommandError", message, report)
